"""Placement: which CPU a sandbox runs on, and that it moves when another has become emptier.

As root all sandboxes of the machine are counted together, so that these have a /run/msb of their own.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import DEADLINE, HOME, MSB, busybox_tree, command, wait_until

ALLOWED = sorted(os.sched_getaffinity(0))
needs_two_cpus = pytest.mark.skipif(len(ALLOWED) < 2, reason="needs two CPUs")
CPUS = ALLOWED[:2]
LIST = ",".join(map(str, CPUS))
BURN = "i=0; while :; do i=$((i+1)); [ $((i % 2000)) = 0 ] && echo $i; done"
FORK = "echo ready; while :; do /bin/busybox true; done"


@pytest.fixture(autouse=True)
def entry():
    """What a command begins with to see no other sandboxes than this test's."""
    if os.geteuid() != 0:
        yield []
        return
    script = "mkdir -p /run/msb && mount -t tmpfs -o mode=0700 none /run/msb && echo ready && exec cat"
    with subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"ready\n"
        yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--"]
        holder.stdin.close()


def children(pid):
    try:
        tasks = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid):
    found = children(pid)
    for one in found:  # grows meanwhile
        found += children(one)
    return found


def cpus_of(pid):
    """The allowed CPUs of each thread of a process."""
    found = set()
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            found.add(re.search(r"Cpus_allowed_list:\t(\S+)", (task / "status").read_text())[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


class Sandbox:
    def __init__(self, entry, script, *options, msb=MSB):
        self.process = subprocess.Popen(
            [*entry, msb, "exe", "busybox", "--memory", "64", *options, "-e", "/bin/sh", "--", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.lines = 0

    def ready(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        return self

    def monitor(self):
        return children(self.process.pid)[0]

    def cpu(self):
        """The one CPU of everything the sandbox consists of, or all that there are, while it moves."""
        found = {cpu for pid in descendants(self.monitor()) for cpu in cpus_of(pid)}
        return int(found.pop()) if len(found) == 1 else found

    def echo(self, text):
        self.process.stdin.write(text + b"\n")
        return self.process.stdout.readline() == text + b"\n"

    def end(self):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()


@pytest.fixture
def sandbox(entry):
    """Starts a sandbox; whatever is left is ended."""
    started = []

    def begin(script, *options, prefix=(), msb=MSB):
        started.append(Sandbox([*entry, *prefix], script, *options, msb=msb))
        return started[-1]

    yield begin
    for one in started:
        one.end()


def counts(sandboxes):
    places = [one.cpu() for one in sandboxes]
    return sorted(places.count(cpu) for cpu in CPUS)


@needs_two_cpus
def test_sandboxes_spread_evenly_with_all_their_threads(sandbox):
    started = [sandbox("echo ready; cat", "--cpu-list", LIST) for _ in range(6)]
    for one in started:
        one.ready()
    assert counts(started) == [3, 3]
    for one in started:
        names = {pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in descendants(one.monitor())}
        assert {"msb-vmm", "msb-jail-init", "linux"} <= names


@needs_two_cpus
@pytest.mark.parametrize("script", ["echo ready; cat", FORK], ids=["idle", "forking"])
def test_when_one_cpu_empties_sandboxes_move_there_with_all_their_threads(sandbox, script):
    started = [sandbox(script, "--cpu-list", LIST).ready() for _ in range(8)]
    assert wait_until(lambda: counts(started) == [4, 4], "four each")
    gone = [one for one in started if one.cpu() == CPUS[0]]
    left = [one for one in started if one not in gone]
    for one in gone:
        one.end()
    wait_until(lambda: counts(left) == [2, 2], "two each")
    for _ in range(20):  # a process forked by one that was missed would be where that was
        assert counts(left) == [2, 2]
    if script != FORK:
        assert all(one.echo(b"still there") for one in left)


@needs_two_cpus
def test_a_forking_sandbox_is_moved_often_and_whole(sandbox):
    one = sandbox(FORK, "--cpu-list", LIST).ready()
    for _ in range(20):
        here = one.cpu()
        other = sandbox("echo ready; cat", "--cpu-list", str(here)).ready()  # two here, none there
        wait_until(lambda: one.cpu() == sum(CPUS) - here, "it moves away")
        other.end()


@needs_two_cpus
def test_what_a_killed_monitor_leaves_the_next_start_evens_out(sandbox):
    started = [sandbox("echo ready; cat", "--cpu-list", LIST).ready() for _ in range(6)]
    gone = [one for one in started if one.cpu() == CPUS[0]]
    left = [one for one in started if one not in gone]
    for one in gone:
        os.kill(one.monitor(), signal.SIGKILL)
        one.process.wait()
    left.append(sandbox("echo ready; cat", "--cpu-list", LIST).ready())
    wait_until(lambda: counts(left) == [2, 2], "two each")


@needs_two_cpus
def test_a_cpu_list_and_an_inherited_affinity_are_kept_to(sandbox):
    last = str(CPUS[1])
    listed = [sandbox("echo ready; cat", "--cpu-list", last).ready() for _ in range(3)]
    inherited = [sandbox("echo ready; cat", prefix=["taskset", "-c", last]).ready() for _ in range(3)]
    assert {one.cpu() for one in listed + inherited} == {CPUS[1]}
    widened = sandbox("echo ready; cat", "--cpu-list", LIST, prefix=["taskset", "-c", last]).ready()
    assert widened.cpu() == CPUS[0], "a list overrides the inherited affinity"


@needs_two_cpus
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_ordinary_users_sandboxes_are_moved_too(sandbox, installation):
    home = pathlib.Path(f"/tmp/msb-placed-{os.getpid()}")
    (home / "tree").mkdir(parents=True)
    busybox_tree(home / "tree")
    subprocess.run(["chown", "-R", "nobody:nogroup", home], check=True)
    user = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "env", "-C", "/", f"MSB_HOME={home}/h"]
    msb = installation / "msb"
    try:
        subprocess.run([*user, msb, "image", "import", home / "tree", "--tag", "busybox", "--env", "PATH=/bin"],
                       check=True, stderr=subprocess.DEVNULL)
        started = [sandbox(FORK, "--cpu-list", LIST, prefix=user, msb=msb).ready() for _ in range(4)]
        assert wait_until(lambda: counts(started) == [2, 2], "two each")
        left = [one for one in started if one.cpu() == CPUS[1]]
        for one in started:
            if one not in left:
                one.end()
        wait_until(lambda: counts(left) == [1, 1], "one each")
        for one in left:
            one.end()
        wait_until(lambda: all(entry.startswith(".") for entry in os.listdir(home / "h/run")), "their end")
    finally:
        shutil.rmtree(home)


def test_a_wrong_cpu_list_is_an_error_that_names_what_is_wrong(entry):
    for cpus, complaint in (("0,frog", b'"frog"'), ("3-1", b'"3-1"'), ("8000-8001", b"CPU 8000-8001 cannot be used here")):
        done = subprocess.run([*entry, *command("exe", "busybox", "--cpu-list", cpus, "-e", "true")], capture_output=True,
                              check=False)
        assert done.returncode == 125
        assert complaint in done.stderr


def test_no_jail_holds_a_slot(sandbox):
    one = sandbox("echo ready; cat").ready()
    if len(ALLOWED) > 1:
        assert any(".placement" in link for link in links(one.monitor()))
    for pid in descendants(one.monitor()):
        assert not any(".placement" in link for link in links(pid))


def links(pid):
    found = []
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        found.append(os.readlink(entry))
    return found


def test_where_nothing_can_be_locked_sandboxes_start_all_the_same(sandbox, entry):
    parent = "/run/msb" if os.geteuid() == 0 else str(HOME / "run")
    subprocess.run([*entry, "sh", "-c", f"rm -rf {parent}/.placement; touch {parent}/.placement"], check=True)
    try:
        assert sandbox("echo ready; cat").ready().cpu() in ALLOWED
    finally:
        subprocess.run([*entry, "rm", f"{parent}/.placement"], check=True)


@needs_two_cpus
def test_twenty_busy_sandboxes_share_two_cpus_fairly(sandbox):
    started = [sandbox("echo ready; read go; " + BURN, "--cpu-list", LIST).ready() for _ in range(20)]
    assert counts(started) == [10, 10]
    for one in started:
        os.set_blocking(one.process.stdout.fileno(), False)
        one.process.stdin.write(b"go\n")
    end = time.monotonic() + DEADLINE
    while min(one.lines for one in started) < 50:
        assert time.monotonic() < end, [one.lines for one in started]
        for one in started:
            one.lines += (one.process.stdout.read(65536) or b"").count(b"\n")
        time.sleep(0.05)
    assert max(one.lines for one in started) <= 3 * min(one.lines for one in started), [one.lines for one in started]
