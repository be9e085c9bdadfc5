"""Many sandboxes, many programs, and deaths among them: nothing leaks, nothing hangs."""

import concurrent.futures
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

import pytest
from conftest import SOAK, command, exe, mounts, pids, processes, pss_kib, run, run_directories, wait_until
from detached import detach, listed, name, status, wait_for_end  # noqa: F401

KILLS = 200 if SOAK else 10


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def guest_number(name, path):
    return int(run("exec", name, "--", "sh", "-c", path).stdout)


def own_pids():
    """The monitor and msb-vmm of the one sandbox that runs."""
    return {helper: pids(helper)[0] for helper in ("msb-monitor", "msb-vmm")}


def test_thousands_of_short_programs_leak_nothing(name):
    detach(name)

    def burst(count):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(lambda i: run("exec", name, "--", "sh", "-c", f"exit {i % 100}").returncode, range(count)))
        assert codes == [i % 100 for i in range(count)]

    burst(200)  # what is allocated once
    watched = own_pids()
    before = {helper: (descriptors(pid), pss_kib(pid)) for helper, pid in watched.items()}
    # Not the kernel's own threads; what has just ended may still be there for a moment.
    in_guest = lambda: (guest_number(name, "ls /proc/1/fd | wc -l"), guest_number(name, "ps | grep -vc '\\['"))  # noqa: E731
    agent_before = in_guest()
    agent_memory = guest_number(name, "awk '/^VmRSS/ {print $2}' /proc/1/status")
    burst(20_000 if SOAK else 2_000)
    for helper, pid in watched.items():
        assert descriptors(pid) <= before[helper][0] + 2, helper
        assert pss_kib(pid) <= before[helper][1] + 512, helper
    wait_until(lambda: in_guest() <= agent_before, f"the agent's {agent_before}")
    assert guest_number(name, "awk '/^VmRSS/ {print $2}' /proc/1/status") <= agent_memory + 512


def test_two_hundred_in_turn_leave_nothing():
    before = mounts(), set(run_directories())
    for round in range(200):
        done = exe("busybox", "-e", "echo", "--", str(round))
        assert (done.returncode, done.stdout) == (0, f"{round}\n".encode()), done
    assert not processes()
    assert (mounts(), set(run_directories())) == before


def test_twenty_at_once_are_all_there_and_leave_nothing():
    before = mounts(), set(run_directories())
    names = [f"t-many-{os.getpid()}-{i}" for i in range(20)]
    try:
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda n: detach(n, "--memory", "128"), names))
            assert len(pids("msb-monitor")) == 20
            answers = pool.map(lambda n: run("exec", n, "--", "hostname").stdout, names)
            assert list(answers) == [f"{n}\n".encode() for n in names]
    finally:
        assert run("stop", "-t", "0", *names).returncode == 0
        run("rm", *names)
    wait_until(lambda: not processes(), "the end of all")
    assert (mounts(), set(run_directories())) == before


def test_stopping_in_a_storm_of_programs_ends_them_all(name):
    detach(name)
    over = threading.Event()

    def storm():
        codes = set()
        while not over.is_set():
            done = run("exec", name, "--", "sh", "-c", "exit 9")
            codes.add(done.returncode)
            if done.returncode not in (9,):
                over.set()
        return codes

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        storms = [pool.submit(storm) for _ in range(8)]
        time.sleep(0.5)
        assert run("stop", "-t", "2", name).returncode == 0
        over.set()
        codes = set().union(*(one.result(timeout=60) for one in storms))
    # Its own code, killed by the stop, or refused because there is no sandbox any more.
    assert codes <= {9, 125, 137, 143}, codes
    assert status(name) == "ended"


@pytest.mark.parametrize("victim", ["msb exec", "msb-monitor", "msb-vmm", "linux"])
def test_a_kill_while_programs_run_is_an_end_that_is_said(name, start, victim):
    moments = random.Random(victim)
    for round in range(KILLS):
        if status(name) != "running":
            detach(name)
        process = start("exec", name, "--", "sh", "-c", "echo ready; while :; do echo x > /tmp/x; done")
        assert process.stdout.readline() == b"ready\n"
        time.sleep(moments.uniform(0, 0.05))
        if victim == "msb exec":
            process.kill()
            process.wait()
            assert status(name) == "running"
            continue
        os.kill(min(pids(victim)), signal.SIGKILL)
        assert process.wait(30) == 125, round
        assert process.stderr.read().startswith(b"msb: error: ")
        wait_for_end(name)
        wait_until(lambda: not processes(), f"round {round}: the end of all processes", 5)
        assert run("rm", name).returncode == 0
    if victim == "msb exec":
        # What was left alone is not left running.
        wait_until(lambda: run("exec", name, "--", "sh", "-c", "ps | grep -c 'echo [x]'").stdout == b"0\n",
                   "the end of the programs")


def test_a_kill_of_an_import_leaves_a_store_that_works(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    noise = random.Random(1)
    for i in range(200):
        (tree / f"f{i}").write_bytes(noise.randbytes(50_000))
    archive = tmp_path / "tree.tar"
    subprocess.run(["tar", "-C", tree, "-cf", archive, "."], check=True)
    tag = f"killed-{os.getpid()}"
    for _ in range(KILLS):
        process = subprocess.Popen(command("image", "import", archive, "--tag", tag), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(noise.uniform(0, 0.12))
        process.kill()
        process.wait()
    wait_until(lambda: not processes(), "the end of the converters")
    assert run("image", "import", archive, "--tag", tag).returncode == 0
    assert run("image", "check").returncode == 0
    assert run("image", "rm", tag).returncode == 0
    assert not [e for e in pathlib.Path(os.environ["MSB_HOME"], "images").rglob("*") if ".tmp" in e.name]
