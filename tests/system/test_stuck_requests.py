"""What in the sandbox keeps a request waiting, for ever maybe, and what goes on all the same."""

import contextlib
import threading

import pytest
from conftest import wait_until
from server_tools import Refused, lines_of, nothing_left_behind, server  # noqa: F401

MANY = 70  # more than may wait for one mount at a time
LINKED = 32  # as many as may wait for what is in no mount that is known
PROGRAMS = 8  # as many of a program as may be stuck in their start

# Serves FUSE at /mnt/dead: answers that it is there (FUSE_INIT), takes all other requests and answers none, so
# that who waits for one cannot even be killed.
DEAD = """
import ctypes, os, struct
os.makedirs("/mnt/dead", exist_ok=True)
fd = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
if libc.mount(b"dead", b"/mnt/dead", b"fuse.dead", 0, options.encode()) != 0:
    raise OSError(ctypes.get_errno(), "mount")
request = os.read(fd, 1 << 20)
unique = struct.unpack_from("<Q", request, 8)[0]
answer = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 16, 16, 65536, 1, 16, 0, 0)
os.write(fd, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
os.close(os.open("/ready", os.O_CREAT))
while True:
    os.read(fd, 1 << 20)
"""


@contextlib.contextmanager
def with_the_mount(server):  # noqa: F811
    """A sandbox with it, and the process that serves it."""
    sandbox = server.sandbox()
    started = sandbox.call("process.start", command="python3", args=["-c", DEAD])
    wait_until(lambda: "/ready" in lines_of(sandbox.sh("ls -d /ready 2>/dev/null")), "the mount")
    yield sandbox, started["process"]
    sandbox.call("stop")


@pytest.fixture
def dead(server):  # noqa: F811
    with with_the_mount(server) as made:
        yield made


@pytest.fixture(scope="module")
def linked(server):  # noqa: F811
    """Another one, and requests that lead to the mount through a link: they wait while other tests run."""
    with with_the_mount(server) as (sandbox, process):
        sandbox.sh("ln -s /mnt/dead /link")
        stuck = [Asking(sandbox, "files.stat", path="/link/file") for _ in range(LINKED + 3)]
        yield sandbox, process, stuck


class Asking(threading.Thread):
    """A call that is made beside others: its result, or its refusal."""

    def __init__(self, sandbox, method, **params):
        super().__init__()
        self.sandbox, self.method, self.params = sandbox, method, params
        self.result, self.refusal, self.over = None, None, False
        self.start()

    def run(self):
        try:
            self.result = self.sandbox.call(self.method, **self.params)
        except Refused as refused:
            self.refusal = refused
        self.over = True


def everything_else_works(sandbox, name):
    assert lines_of(sandbox.sh("echo fine")) == "fine\n"
    sandbox.call("files.write", path=f"/srv/{name}/a", text="häh")
    sandbox.call("files.move", **{"from": f"/srv/{name}/a", "to": f"/srv/{name}/b"})
    assert sandbox.call("files.read", path=f"/srv/{name}/b")["text"] == "häh"
    assert len(sandbox.call("files.list", path=f"/srv/{name}")["entries"]) == 1
    sandbox.call("files.remove", path=f"/srv/{name}", recursive=True)


def test_requests_into_a_dead_mount_time_out_and_keep_nothing_else_waiting(dead, linked):
    sandbox, process = dead
    # Its interpreter is looked for by the kernel alone, in the middle of its execution.
    sandbox.sh("echo '#!/mnt/dead/sh' > /script && chmod +x /script")
    scripts = [Asking(sandbox, "command.run", command="/script") for _ in range(PROGRAMS)]
    stuck = [
        Asking(sandbox, "files.read", path="/mnt/dead/file"),
        Asking(sandbox, "files.write", path="/mnt/dead/file", text="x"),
        Asking(sandbox, "files.list", path="/mnt/dead"),
        Asking(sandbox, "files.mkdir", path="/mnt/dead/directory"),
        Asking(sandbox, "files.remove", path="/mnt/dead/file"),
        Asking(sandbox, "files.move", **{"from": "/mnt/dead/a", "to": "/mnt/dead/b"}),
        Asking(sandbox, "command.run", command="/mnt/dead/program"),
        Asking(sandbox, "command.run", command="true", workdir="/mnt/dead/directory"),
    ]
    everything_else_works(sandbox, "few")
    stuck += [Asking(sandbox, "files.stat", path="/mnt/dead/file") for _ in range(MANY)]
    everything_else_works(sandbox, "many")
    for one in stuck:
        one.join()
        assert one.refusal is not None, one.method
        assert "has not answered for 30 s" in one.refusal.message, one.refusal
        assert "/mnt/dead" in one.refusal.message
    for script in scripts:
        script.join()
        why = "/script: its file, or that of its interpreter, has not been opened for 30 s"
        assert why in script.refusal.message, script.refusal
    everything_else_works(sandbox, "later")
    # Nothing is left to be waited with: the kernel lets go of none of those that wait already.
    with pytest.raises(Refused, match="the file system at /mnt/dead, which does not answer"):
        sandbox.call("files.stat", path="/mnt/dead/file")
    with pytest.raises(Refused, match=f"/script: {PROGRAMS} of its processes are stuck in their start"):
        sandbox.call("command.run", command="/script")
    sandbox.call("process.signal", process=process, signal="KILL")

    # The kernel lets go of them once that process is gone, and the agent of each as it is reaped.
    def refusal():
        with pytest.raises(Refused) as refused:
            sandbox.call("files.stat", path="/mnt/dead/file")
        return refused.value.message

    wait_until(lambda: "not connected" in refusal(), "room for a request that learns what is wrong")


def test_what_leads_there_through_a_link_makes_room_once_there_is_none(linked):
    sandbox, process, stuck = linked
    everything_else_works(sandbox, "many")
    wait_until(lambda: sum(one.over for one in stuck) >= len(stuck) - LINKED, "room for all")
    for one in stuck:
        if one.over:
            assert "has not answered for 30 s" in one.refusal.message, one.refusal
    everything_else_works(sandbox, "later")
    sandbox.call("process.signal", process=process, signal="KILL")
    for one in stuck:
        one.join()
        assert one.refusal is not None


def test_a_sandbox_with_a_dead_mount_can_be_stopped(dead):
    sandbox, _ = dead
    stuck = [Asking(sandbox, "files.stat", path="/mnt/dead/file") for _ in range(3)]
    everything_else_works(sandbox, "few")
    sandbox.call("stop")
    for one in stuck:
        one.join()
        assert one.refusal is not None


# Whoever opens the file waits until its holder gives it up, or until lease-break-time is over.
LEASED = """
import fcntl, os, shutil, signal, time
shutil.copy("/bin/echo", "/leased")
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open("/leased", os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
os.close(os.open("/ready", os.O_CREAT))
signal.pause()
"""


def test_a_leased_program_keeps_nothing_else_waiting(server):  # noqa: F811
    sandbox = server.sandbox()
    holder = sandbox.call("process.start", command="python3", args=["-c", LEASED])["process"]
    wait_until(lambda: "/ready" in lines_of(sandbox.sh("ls -d /ready 2>/dev/null")), "the lease")
    running = Asking(sandbox, "command.run", command="/leased", args=["it", "runs"])
    given_up = Asking(sandbox, "command.run", command="/leased", timeout=1)
    everything_else_works(sandbox, "meanwhile")
    given_up.join()
    assert "did not end within 1 s" in given_up.refusal.message, given_up.refusal
    assert not running.over
    sandbox.call("process.signal", process=holder, signal="KILL")
    running.join()
    assert running.refusal is None, running.refusal
    assert lines_of(running.result) == "it runs\n"
    sandbox.call("stop")
