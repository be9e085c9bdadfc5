"""What goes wrong: limits inside, deaths outside. The host stays whole, and the next start works."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import pytest
from conftest import (MSB, SOAK, busybox_tree, exe, mounts, pids, processes, pss_kib, run, run_directories, sh, wait_until)

ROUNDS = 200 if SOAK else 10


# --- the guest's own limits -----------------------------------------------------------------------------

def test_a_full_disk_is_enospc_in_the_guest_and_nothing_on_the_host():
    done = sh("dd if=/dev/zero of=/fill bs=1M; echo code=$?; df / | tail -1 | awk '{print $5}'", "--disk", "64M")
    assert b"No space left on device" in done.stderr
    assert b"code=1\n" in done.stdout


def test_exhausted_guest_memory_is_137_and_a_line():
    done = exe("python", "--memory", "256", "--", "-c", "x = []\nwhile True: x.append(b'x' * (1 << 20))")
    assert done.returncode == 137
    assert b"no memory left" in done.stderr


def test_a_guest_panic_ends_at_once_with_the_kernels_last_words():
    # PID 1's next instruction is at address 0: the kernel cannot go on without it.
    script = r"""
import ctypes
ptrace = ctypes.CDLL(None).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ATTACH, POKEUSER, DETACH, RIP = 16, 6, 17, 16 * 8
assert ptrace(ATTACH, 1, None, None) == 0
while open("/proc/1/stat").read().rsplit(")", 1)[1].split()[0] != "t": pass
assert ptrace(POKEUSER, 1, RIP, None) == 0
ptrace(DETACH, 1, None, None)
while True: pass
"""
    done = exe("python", "--", "-c", script)
    assert done.returncode == 125
    assert b"Kernel panic" in done.stderr
    assert b"the guest kernel" in done.stderr


def test_powering_off_from_inside_is_an_end_that_is_said():
    done = sh("poweroff -f; sleep 100")
    assert done.returncode == 125
    assert b"powered off" in done.stderr
    done = sh("reboot -f; sleep 100")
    assert done.returncode == 125


def test_a_fork_bomb_is_bounded_on_the_host(start):
    process = start("exe", "busybox", "--memory", "128", "-e", "sh", "--", "-c", "b() { b | b & }; b; sleep 1000")
    most = 0
    end = time.monotonic() + (60 if SOAK else 5)
    while time.monotonic() < end and process.poll() is None:
        most = max(most, len(processes()))
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert most <= 140


def test_a_gigabyte_for_a_slow_reader_grows_no_host_process(start):
    size = 1 << 30
    process = start("exe", "busybox", "-e", "sh", "--", "-c", "echo ready; head -c 1073741824 /dev/zero")
    assert process.stdout.readline() == b"ready\n"
    watched = {process.pid: "msb", **{pid: name for pid, name in processes().items() if name in ("msb-monitor", "msb-vmm")}}
    before = {pid: pss_kib(pid) for pid in watched}
    read, samples, grown = 0, 0, {}
    while read < size:
        data = os.read(process.stdout.fileno(), 1 << 20)
        assert data, f"only {read} bytes came"
        read += len(data)
        if read // (64 << 20) > samples:  # slow: look around after every 64 MiB
            samples += 1
            for pid, name in watched.items():
                try:
                    grown[name] = max(grown.get(name, 0), pss_kib(pid) - before[pid])
                except (FileNotFoundError, ProcessLookupError):  # it has just ended
                    pass
    assert process.wait(60) == 0
    assert samples >= 15
    assert max(grown.values()) <= 16 * 1024, grown


# --- the host's limits ------------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")


@needs_root
def test_a_full_host_disk_pauses_the_sandbox_and_room_resumes_it(tmp_path, start):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96M,mode=0700", "none", small], check=True)
    try:
        env = {**os.environ, "MSB_HOME": str(small)}
        make_tree(tmp_path / "tree")
        done = run("image", "import", tmp_path / "tree", "--tag", "b", "--cmd", "/bin/sh", env=env)
        assert done.returncode == 0, done.stderr
        (small / "ballast").write_bytes(b"x" * (40 << 20))
        process = start("exe", "b", "-e", "sh", "--", "-c",
                        "dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null && sync && wc -c < /big && md5sum < /big && "
                        "echo 3 > /proc/sys/vm/drop_caches && md5sum < /big", env=env)
        line = process.stderr.readline()
        assert b"disk is full" in line, line
        (small / "ballast").unlink()
        out, rest = process.communicate(timeout=120)
        assert process.returncode == 0, rest
        size, first, second = out.split(b"\n")[:3]
        assert int(size) == 60 << 20
        assert first == second
        assert b"room again" in rest
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def make_tree(path):
    path.mkdir()
    busybox_tree(path)


@needs_root
def test_a_host_disk_without_room_for_a_start_is_125_and_named(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32M,mode=0700", "none", small], check=True)
    try:
        make_tree(tmp_path / "tree")
        env = {"MSB_HOME": str(small)}
        assert run("image", "import", tmp_path / "tree", "--tag", "b", env=env).returncode == 0
        subprocess.run(["dd", "if=/dev/zero", f"of={small}/ballast", "bs=4k"], stderr=subprocess.DEVNULL)
        done = exe("b", "-e", "true", env=env)
        assert done.returncode == 125
        assert b"msb: error: " in done.stderr
        assert b"space" in done.stderr or b"full" in done.stderr
    finally:
        subprocess.run(["umount", "-l", small], check=True)


# --- deaths -----------------------------------------------------------------------------------------------

def whats_there():
    return mounts(), set(run_directories())


def is_clean(before):
    """Nothing of a killed sandbox after two seconds: no process, no mount; and a start works."""
    wait_until(lambda: not processes(), "the end of all processes", 2)
    mounted, directories = before
    assert mounts() <= mounted
    done = exe("busybox", "-e", "echo", "--", "fine")
    assert (done.returncode, done.stdout) == (0, b"fine\n"), done
    assert set(run_directories()) <= directories


@pytest.mark.parametrize("victim", ["msb", "msb-monitor", "msb-vmm", "msb-jail-init", "linux"])
def test_a_kill_at_any_moment_leaves_nothing(start, victim):
    before = whats_there()
    moments = random.Random(victim)
    for round in range(ROUNDS):
        process = start("exe", "busybox", "-e", "sh", "--", "-c", "while :; do echo x > /tmp/x; done")
        time.sleep(moments.uniform(0, 0.25))
        targets = [process.pid] if victim == "msb" else pids(victim)
        for pid in targets:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if not targets:  # not there at that moment: the round says nothing, but must end
            process.terminate()
            process.terminate()
            process.kill()
        code = process.wait(30)
        if victim != "msb" and targets:
            error = process.stderr.read()
            assert code == 125, (round, code, error)
            assert error.startswith(b"msb: error: "), error
        wait_until(lambda: not processes(), f"round {round}: the end of all processes", 2)
    is_clean(before)
    assert run("image", "check").returncode == 0


def test_a_deaf_guest_cannot_keep_its_starter(start):
    """SIGSTOP of the guest kernel: whoever started it can still end it."""
    process = start("exe", "busybox", "-e", "sh", "--", "-c", "echo ready; sleep 1000")
    assert process.stdout.readline() == b"ready\n"
    for pid in pids("linux"):
        os.kill(pid, signal.SIGSTOP)
    process.terminate()
    time.sleep(0.1)
    process.terminate()
    assert process.wait(30) == 137


# --- other users --------------------------------------------------------------------------------------------

@needs_root
def test_an_ordinary_user_can_do_the_same_from_an_installation(installation):
    home = pathlib.Path(f"/tmp/msb-nobody-{os.getpid()}")
    home.mkdir(mode=0o700)
    make_tree(home / "tree")
    subprocess.run(["chown", "-R", "nobody:nogroup", home], check=True)
    try:
        def as_nobody(*arguments):
            return subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env",
                                   f"MSB_HOME={home}/h", *arguments], capture_output=True, timeout=120,
                                  stdin=subprocess.DEVNULL, cwd="/")
        assert as_nobody(installation / "msb", "image", "import", home / "tree", "--tag", "b").returncode == 0
        done = as_nobody(installation / "msx", "b", "-e", "id")
        assert done.returncode == 0, done.stderr
        assert b"uid=0" in done.stdout
        assert as_nobody(installation / "msb", "doctor").returncode == 0
        done = as_nobody(installation / "msb", "exe", "-d", "--name", "n", "b", "-e", "sleep", "--", "1000")
        assert (done.returncode, done.stdout) == (0, b"n\n"), done.stderr
        for sides in (("-r", home / "tree", "n:/tmp/tree"), ("-r", "n:/tmp/tree", home / "back")):
            done = as_nobody(installation / "msb", "cp", *sides)
            assert (done.returncode, done.stderr) == (0, b"")
        assert (home / "back/bin/busybox").read_bytes() == (home / "tree/bin/busybox").read_bytes()
        assert (home / "back").owner() == "nobody"
        assert as_nobody(installation / "msb", "stop", "-t", "0", "n").returncode == 0
        assert as_nobody(installation / "msb", "rm", "n").returncode == 0
        assert [e for e in os.listdir(home / "h/run") if not e.startswith(".")] == []
    finally:
        shutil.rmtree(home)


@needs_root
def test_a_home_of_another_user_is_refused(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 12345, 12345)
    done = exe("busybox", "-e", "true", env={"MSB_HOME": str(home)})
    assert done.returncode == 125
    assert str(home).encode() in done.stderr


@needs_root
def test_a_host_that_refuses_namespaces_is_refused_with_the_remedy():
    # In a user namespace of its own, whose limit of further ones is set to none.
    holder = subprocess.Popen(["unshare", "-U", "sh", "-c", "echo made; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"made\n"
        for ids in ("uid_map", "gid_map"):
            pathlib.Path(f"/proc/{holder.pid}/{ids}").write_text("0 0 4294967295")

        def inside(*arguments):
            script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
            return subprocess.run(["nsenter", "-t", str(holder.pid), "-U", "-S", "0", "-G", "0", "sh", "-c", script, "sh",
                                   *arguments], capture_output=True, stdin=subprocess.DEVNULL)
        done = inside(MSB, "exe", "busybox", "-e", "true")
        assert done.returncode == 125, done
        assert b"msb doctor" in done.stderr
        doctor = inside(MSB, "doctor")
        assert doctor.returncode == 1
        assert b"sysctl -w user.max_user_namespaces" in doctor.stdout
    finally:
        holder.kill()
        holder.wait()
