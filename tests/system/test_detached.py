"""Sandboxes that stay: started with -d, looked at, joined, ended; by people and by accidents."""

import concurrent.futures
import fcntl
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import termios

import pytest
from conftest import MSB, command, exe, pids, run, sh, wait_until
from detached import detach, listed, name, status, wait_for_end  # noqa: F401
from test_faults import make_tree


# --- start ----------------------------------------------------------------------------------------------

def test_a_detached_sandbox_outlives_its_starter_and_takes_further_programs(name):
    detach(name)
    assert status(name) == "running"
    done = run("exec", name, "--", "sh", "-c", "echo $HOSTNAME $FROM_IMAGE; exit 7")
    assert (done.returncode, done.stdout) == (7, f"{name} yes\n".encode())
    assert run("exec", name, "--", "nosuch").returncode == 127
    assert run("exec", name, "--", "/bin/notexecutable").returncode == 126
    assert run("exec", name, "--user", "nobody:nogroup", "--env", "A=b c", "--workdir", "/data", "--", "sh", "-c",
               "id -u; echo $A; pwd").stdout == b"65534\nb c\n/data\n"


def test_without_a_name_one_is_made_up():
    done = exe("-d", "busybox", "-e", "sh", "--", "-c", "exit 3")
    made = done.stdout.decode().strip()
    assert re.fullmatch("[a-z]+-[a-z]+(-[0-9a-f]{4})?", made)
    assert wait_for_end(made)["exit_code"] == 3
    assert run("rm", made).stdout.decode() == made + "\n"
    assert listed(made) is None


def test_a_taken_name_is_125_and_the_other_lives_on(name):
    detach(name)
    again = exe("-d", "--name", name, "busybox", "-e", "true")
    assert again.returncode == 125
    assert f"msb stop {name}".encode() in again.stderr
    assert run("exec", name, "--", "echo", "fine").stdout == b"fine\n"


@pytest.mark.parametrize("program, code", [("nosuch", 127), ("/bin/notexecutable", 126)])
def test_a_program_that_cannot_be_started_has_its_code_and_leaves_nothing(name, program, code):
    done = exe("-d", "--name", name, "busybox", "-e", program)
    assert done.returncode == code
    assert done.stdout == b""
    assert listed(name) is None
    assert exe("-d", "--name", name, "busybox", "--user", "nosuchuser", "-e", "true").returncode == 125


def test_an_attached_sandbox_has_a_name_too(name, start):
    process = start("exe", "--name", name, "busybox", "-e", "sh", "--", "-c", "echo ready; cat")
    assert process.stdout.readline() == b"ready\n"
    assert run("exec", name, "--", "hostname").stdout == f"{name}\n".encode()
    assert run("logs", name).returncode == 1
    process.stdin.close()
    assert process.wait(60) == 0
    assert listed(name) is None


def test_arguments_longer_than_a_packet_arrive(name):
    text = "x" * 120_000
    detach(name, script="echo ${#1}; sleep 1000", words=["sh", text, text, text])
    wait_until(lambda: run("logs", name).stdout == b"120000\n", "the log")


# --- logs -----------------------------------------------------------------------------------------------

def test_logs_have_both_streams_and_every_byte(name):
    detach(name, script=r"printf 'a\377\033[31mb\n'; printf 'no newline' >&2")
    wait_for_end(name)
    done = run("logs", name)
    assert (done.stdout, done.stderr) == (b"a\xff\x1b[31mb\n", b"no newline")


def test_logs_tail_counts_lines_not_pieces(name):
    detach(name, script="for i in 1 2 3 4 5; do echo line $i; done; printf end")
    wait_for_end(name)
    assert run("logs", "-t", "2", name).stdout == b"line 5\nend"
    assert run("logs", "-t", "0", name).stdout == b""
    assert run("logs", "-t", "99", name).stdout.startswith(b"line 1\n")


def test_logs_follow_shows_what_comes_and_ends_with_the_sandbox(name, start):
    detach(name, script="echo first; read line; echo got $line")
    follower = start("logs", "-f", name)
    assert follower.stdout.readline() == b"first\n"
    assert run("attach", name, input=b"word\n").returncode == 0
    assert follower.stdout.readline() == b"got word\n"
    assert follower.wait(60) == 0


def test_logs_are_json_lines_on_request(name):
    detach(name, script="echo one; echo two >&2")
    wait_for_end(name)
    lines = [json.loads(line) for line in run("logs", "--json", name).stdout.splitlines()]
    assert [(line["stream"], line["text"]) for line in lines] == [("stdout", "one\n"), ("stderr", "two\n")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"]) for line in lines)


def test_a_guests_escapes_do_not_reach_the_terminal(name, terminal):
    detach(name, script=r"printf '\033]0;title\007\tplain\n'; sleep 1000")
    wait_until(lambda: run("logs", name).stdout, "the log")
    shown = terminal("logs", name)
    assert shown.code() == 0
    assert b"\x1b" not in shown.seen and b"\x07" not in shown.seen
    assert b"\\x1b]0;title\\x07\tplain\r\n" in shown.seen
    shown = terminal("ps")
    assert shown.code() == 0
    assert b"\x1b" not in shown.seen


def test_a_chatty_program_has_a_bounded_log_with_the_latest(name):
    detach(name, script=r"head -c 60000000 /dev/zero | tr '\0' x; echo; echo the end")
    wait_for_end(name)
    text = run("logs", name).stdout
    assert 5_000_000 < len(text) < 20_000_000
    assert text.endswith(b"\nthe end\n")


# --- attach ---------------------------------------------------------------------------------------------

def test_attach_has_the_input_once_and_the_output_as_often_as_wanted(name, start):
    detach(name, script="while read line; do echo got $line; done; echo over")
    first = start("attach", name)
    watcher = start("attach", "--no-stdin", name)
    first.stdin.write(b"one\n")
    assert first.stdout.readline() == b"got one\n"
    second = run("attach", name, input=b"two\n")
    assert second.returncode == 125
    assert b"input" in second.stderr
    first.kill()  # it is left alone, its input is free
    third = start("attach", name)
    third.stdin.write(b"three\n")
    assert third.stdout.readline() == b"got three\n"
    third.stdin.close()
    assert third.wait(60) == 0
    assert watcher.wait(60) == 0
    assert watcher.stdout.read().endswith(b"got three\nover\n")


def test_who_joined_a_program_gets_all_of_its_last_words(name, start):
    """The sandbox ends with its program, but not before they have been read."""
    detach(name, script="read go; head -c 3000000 /dev/zero | tr '\\0' x; exit 4")
    reader = start("attach", "--no-stdin", name)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        read = pool.submit(lambda: len(reader.communicate(timeout=60)[0]))
        assert len(run("attach", name, input=b"go\n").stdout) == 3_000_000
        assert read.result() == 3_000_000
    assert reader.returncode == 4
    assert len(run("logs", name).stdout) == 3_000_000


def test_who_joined_a_program_and_does_not_read_holds_it_up_for_some_seconds_only(name, start):
    detach(name, script="read go; echo over; exit 4")
    deaf = start("attach", "--no-stdin", name)
    wait_until(lambda: pathlib.Path(f"/proc/{deaf.pid}/stat").exists(), "the reader")
    os.kill(deaf.pid, signal.SIGSTOP)
    assert run("attach", name, input=b"go\n").returncode == 4
    assert listed(name)["exit_code"] == 4
    os.kill(deaf.pid, signal.SIGCONT)


def test_a_terminal_is_joined_left_and_joined_again(name, terminal):
    done = exe("-d", "-t", "--name", name, "busybox", "-e", "sh")
    assert done.returncode == 0
    first = terminal("attach", name)
    first.send(b"x=kept; echo $((40+2))\r")
    first.expect(rb"\b42\r\n")
    first.send(b"\x10\x11")
    assert first.code() == 0
    assert status(name) == "running"
    second = terminal("attach", name)
    second.send(b"echo it is $x; exit 9\r")
    second.expect(rb"it is kept\r\n")
    assert second.code() == 9


def test_exec_with_a_terminal_has_its_size(name, terminal):
    detach(name)
    shell = terminal("exec", "-it", name, "--", "sh")
    shell.expect(rb"# ")
    fcntl.ioctl(shell.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    shell.send(b"stty size; tty; exit 4\r")
    assert shell.expect(rb"(\d+ \d+)\r\n/dev/pts").group(1) == b"33 99"
    assert shell.code() == 4


def test_exec_gives_no_input_unless_asked(name):
    detach(name)
    assert run("exec", name, "--", "cat", input=b"data").stdout == b""
    assert run("exec", "-i", name, "--", "cat", input=b"data").stdout == b"data"


def test_a_program_of_exec_dies_with_its_command(name, start):
    detach(name)
    process = start("exec", name, "--", "sh", "-c", "echo ready; exec sleep 777")
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait()
    wait_until(lambda: b"sleep 777" not in run("exec", name, "--", "ps").stdout, "the end of the program")
    assert status(name) == "running"


# --- the end --------------------------------------------------------------------------------------------

def test_stop_sends_the_stop_signal_and_the_programs_code_counts(name):
    detach(name, script="trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done")
    wait_until(lambda: run("logs", name).stdout == b"up\n", "the trap")
    assert run("stop", name).stdout == f"{name}\n".encode()
    assert listed(name)["exit_code"] == 5
    assert run("logs", name).stdout == b"up\nbye\n"


def test_the_images_own_stop_signal_is_used(name, tmp_path):
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    tree.chmod(0o755)
    shutil.copy("/bin/busybox", tree / "bin/sh")
    assert run("image", "import", tree, "--tag", "usr1stop", "--stop-signal", "SIGUSR1").returncode == 0
    detach(name, image="usr1stop", script="trap 'exit 6' USR1; echo up; while :; do read -t 1 x; done")
    wait_until(lambda: run("logs", name).stdout == b"up\n", "the trap")
    assert run("stop", name).returncode == 0
    assert listed(name)["exit_code"] == 6


def test_a_program_that_ignores_the_signal_is_killed_after_the_grace(name):
    detach(name, script="trap '' TERM; echo up; while :; do sleep 0.1; done")
    wait_until(lambda: run("logs", name).stdout == b"up\n", "the trap")
    assert run("stop", "-t", "1", name).returncode == 0
    assert listed(name)["exit_code"] == 137


def test_a_guest_that_answers_nothing_is_stopped_all_the_same(name):
    detach(name)
    for pid in pids("linux"):
        os.kill(pid, signal.SIGSTOP)
    assert run("stop", "-t", "1", name).returncode == 0
    assert listed(name)["exit_code"] == 137


def test_stop_of_an_attached_sandbox_gives_its_program_the_word(name, start):
    process = start("exe", "--name", name, "busybox", "-e", "sh", "--", "-c",
                    "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done")
    assert process.stdout.readline() == b"up\n"
    assert run("stop", name).returncode == 0
    assert process.wait(60) == 5
    assert process.stdout.read() == b"bye\n"


def test_stop_rm_and_what_they_say_of_names_that_are_none(name):
    detach(name)
    refused = run("rm", name)
    assert refused.returncode == 1
    assert f"msb stop {name}".encode() in refused.stderr
    some = run("stop", "-t", "0", "no-such-box", name)
    assert some.returncode == 1
    assert b"no-such-box" in some.stderr
    assert some.stdout == f"{name}\n".encode()
    assert run("stop", name).returncode == 0  # it has ended already
    late = run("exec", name, "--", "true")
    assert late.returncode == 125
    assert b"has ended" in late.stderr


def test_a_lifetime_is_124(name):
    detach(name, "--lifetime", "1s")
    row = wait_for_end(name)
    assert row["exit_code"] == 124
    assert "lifetime" in row["end"]
    attached = exe("--lifetime", "1s", "busybox", "-e", "sleep", "--", "1000")
    assert attached.returncode == 124
    assert b"lifetime" in attached.stderr


def test_idle_counts_from_the_last_use(name, start):
    detach(name, "--idle", "2s")
    process = start("exec", "-i", name, "--", "sh", "-c", "sleep 3; echo still; read x")
    assert process.stdout.readline() == b"still\n"  # in use for longer than the limit
    process.stdin.close()
    process.wait()
    row = wait_for_end(name)
    assert row["exit_code"] == 124
    assert "idle" in row["end"]


# --- clients that misbehave -----------------------------------------------------------------------------

def run_directory(name):
    parent = pathlib.Path("/run/msb") if os.geteuid() == 0 else pathlib.Path(os.environ["MSB_HOME"]) / "run"
    return parent / listed(name)["id"]


def connect(name):
    """A client of the monitor, as any process of the same user could be one."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here = os.open(run_directory(name), os.O_RDONLY)
    client.connect(f"/proc/self/fd/{here}/control")
    os.close(here)
    return client


def test_a_client_cannot_make_the_monitor_wait(name):
    detach(name, "--lifetime", "2s")
    client = connect(name)
    never = os.eventfd(0)
    socket.send_fds(client, [b'{"version":1,"message_fd":0}'], [never])
    assert b"memory file" in client.recv(65536)
    reader, writer = os.pipe()
    socket.send_fds(client, [b'{"version":1,"message_fd":0}'], [reader])
    for nonsense in (b"", b"\xff", b"[]", b"{}", b'{"version":1,"stop":{"grace_ms":-1}}', b'{"version":1,"start":{}}', b"x" * 65000):
        client.send(nonsense or b" ")
    assert wait_for_end(name)["exit_code"] == 124


def test_too_many_clients_are_refused_and_harm_no_healthy_sandbox(name):
    detach(name, script="trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done")
    wait_until(lambda: run("logs", name).stdout == b"up\n", "the trap")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    clients = []
    try:
        clients = [connect(name) for _ in range(900)]
        refused = run("exec", name, "--", "true")
        assert refused.returncode == 125
        assert b"900 commands" in refused.stderr, refused
        followed = run("logs", "-f", name)
        assert followed.returncode == 1
        assert b"900 commands" in followed.stderr, followed
        stopped = run("stop", "-t", "5", name)
        assert stopped.returncode == 1
        assert b"900 commands" in stopped.stderr
        assert status(name) == "running"
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert run("stop", name).returncode == 0
    assert listed(name)["exit_code"] == 5


def test_a_large_file_as_input_arrives_whole(name, tmp_path):
    detach(name, script="wc -c")
    big = tmp_path / "big"
    big.write_bytes(b"x" * 3_000_001)
    with open(big, "rb") as data:
        done = subprocess.run(command("attach", name), stdin=data, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"3000001\n")


def test_a_stop_has_its_own_grace_whatever_the_idle_limit(name):
    detach(name, "--idle", "1s", script="trap 'sleep 3; exit 6' TERM; echo up; while :; do sleep 0.1; done")
    wait_until(lambda: run("logs", name).stdout == b"up\n", "the trap")
    assert run("stop", name).returncode == 0
    assert listed(name)["exit_code"] == 6


def test_the_end_of_a_sandbox_with_a_long_environment_is_kept_on_a_full_disk(name):
    if os.geteuid() != 0:
        pytest.skip("mounts a small file system")
    script = f"""
        set -e
        msb={shlex.quote(str(MSB))}
        mount -t tmpfs -o size=2M,mode=0700 none /run/msb
        $msb exe -d --name {name} --env A=$(head -c 100000 /dev/zero | tr '\\0' a) busybox -e sh -- -c 'read go; exit 7' >/dev/null
        dd if=/dev/zero of=/run/msb/full bs=4k 2>/dev/null || true
        echo | $msb attach {name} || true
        $msb ps -a
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert re.search(rf"{name} +busybox +ended \(7\)", done.stdout), done


# --- accidents ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("victim", ["msb-monitor", "msb-vmm", "linux"])
def test_ps_never_lies_after_a_kill(name, victim):
    detach(name)
    # The guest's own processes are called linux as well: the kernel is the oldest.
    os.kill(min(pids(victim)), signal.SIGKILL)
    row = wait_for_end(name)
    assert row["exit_code"] == 125
    assert run("exec", name, "--", "true").returncode == 125
    assert run("rm", name).returncode == 0
    detach(name)  # the name is free, and works


def test_a_kill_of_the_starter_before_the_program_runs_leaves_nothing(name):
    for delay_ms in range(0, 50, 5):
        starter = subprocess.Popen(command("exe", "-d", "--name", name, "busybox", "-e", "sleep", "--", "1000"),
                                   stdout=subprocess.PIPE)
        try:
            starter.wait(delay_ms / 1000)
        except subprocess.TimeoutExpired:
            starter.kill()
        printed = starter.communicate()[0]
        if printed:  # it was quicker
            assert status(name) == "running"
            run("stop", "-t", "0", name)
            run("rm", name)
        else:
            wait_until(lambda: status(name) in (None, "running"), "a decision")
            if status(name) == "running":  # the program ran, only the name was not printed
                run("stop", "-t", "0", name)
            run("rm", name)
        wait_until(lambda: listed(name) is None, "nothing")


def test_a_deaf_monitor_is_still_ended_by_a_kill(name):
    detach(name)
    monitor = listed(name)["monitor_pid"]
    os.kill(monitor, signal.SIGSTOP)
    os.kill(monitor, signal.SIGKILL)
    assert wait_for_end(name)["exit_code"] == 125


def test_a_full_host_disk_pauses_and_ps_says_so(tmp_path, name):
    if os.geteuid() != 0:
        pytest.skip("mounts a small file system")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96M,mode=0700", "none", small], check=True)
    env = {"MSB_HOME": str(small)}
    try:
        make_tree(tmp_path / "tree")
        assert run("image", "import", tmp_path / "tree", "--tag", "b", env=env).returncode == 0
        (small / "ballast").write_bytes(b"x" * (40 << 20))
        done = exe("-d", "--name", name, "b", "-e", "sh", "--", "-c",
                   "dd if=/dev/urandom of=/big bs=1M count=60 2>/dev/null && sync && md5sum < /big && "
                   "echo 3 > /proc/sys/vm/drop_caches && md5sum < /big", env=env)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: status(name) == "paused", "the pause")
        assert b"paused: host disk full" in run("ps").stdout
        (small / "ballast").unlink()
        assert run("resume", name).returncode == 0
        wait_until(lambda: status(name) != "paused", "the resumption")
        assert wait_for_end(name)["exit_code"] == 0
        first, second = run("logs", name).stdout.splitlines()
        assert first == second
    finally:
        run("stop", "-t", "0", name)
        subprocess.run(["umount", "-l", small], check=True)


def test_a_full_run_directory_loses_output_and_says_so_but_not_the_end(name):
    if os.geteuid() != 0:
        pytest.skip("mounts a small file system")
    # In a mount namespace of its own, where the run directories have two megabytes.
    script = f"""
        set -e
        msb={shlex.quote(str(MSB))}
        mount -t tmpfs -o size=2M,mode=0700 none /run/msb
        $msb exe -d --name {name} busybox -e sh -- -c 'yes | head -c 4000000; read go; echo the end; exit 4' >/dev/null
        until [ "$(df --output=avail /run/msb | tail -1)" -lt 300 ]; do :; done
        $msb ps
        echo | $msb attach --no-stdin {name} & echo | $msb attach {name} >/dev/null || echo code $?
        wait
        $msb ps -a
        $msb exe busybox -e true || echo refused
        $msb logs {name} 2>&1 >/dev/null | head -1
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert re.search(rf"{name} +busybox +running", done.stdout), done
    assert re.search(rf"{name} +busybox +ended \(4\)", done.stdout), done
    assert "code 4" in done.stdout
    assert "bytes of output are missing" in done.stdout


def test_a_reboot_forgets_what_has_ended(name):
    detach(name, script="true")
    row = wait_for_end(name)
    directory = pathlib.Path("/run/msb" if os.geteuid() == 0 else f"{os.environ['MSB_HOME']}/run") / row["id"]
    state = directory / "state.json"
    state.write_text(state.read_text().replace(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
                                               "00000000-0000-0000-0000-000000000000"))
    assert listed(name) is None
    assert sh("true").returncode == 0  # any start sweeps
    assert not directory.exists()
    detach(name)
