"""A file system in the sandbox whose server never answers: what goes on all the same."""

import threading

import pytest
from conftest import wait_until
from server_tools import Refused, lines_of, nothing_left_behind, server  # noqa: F401

MANY = 70  # more than may wait for one mount at a time

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


@pytest.fixture
def dead(server):
    """A sandbox with the mount, and the process that serves it."""
    sandbox = server.sandbox()
    started = sandbox.call("process.start", command="python3", args=["-c", DEAD])
    wait_until(lambda: "/ready" in lines_of(sandbox.sh("ls -d /ready 2>/dev/null")), "the mount")
    yield sandbox, started["process"]
    sandbox.call("stop")


class Asking(threading.Thread):
    """A call that is made beside others; its refusal, or None."""

    def __init__(self, sandbox, method, **params):
        super().__init__()
        self.sandbox, self.method, self.params, self.refusal, self.over = sandbox, method, params, None, False
        self.start()

    def run(self):
        try:
            self.sandbox.call(self.method, **self.params)
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


def test_requests_into_a_dead_mount_time_out_and_keep_nothing_else_waiting(dead):
    sandbox, process = dead
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
    everything_else_works(sandbox, "later")
    # Nothing is left to be waited with: the kernel lets go of none of those that wait already.
    with pytest.raises(Refused, match="the file system at /mnt/dead, which does not answer"):
        sandbox.call("files.stat", path="/mnt/dead/file")
    sandbox.call("process.signal", process=process, signal="KILL")

    # The kernel lets go of them once that process is gone, and the agent of each as it is reaped.
    def refusal():
        with pytest.raises(Refused) as refused:
            sandbox.call("files.stat", path="/mnt/dead/file")
        return refused.value.message

    wait_until(lambda: "not connected" in refusal(), "room for a request that learns what is wrong")


def test_what_leads_there_through_a_link_makes_room_once_there_is_none(dead):
    sandbox, _ = dead
    sandbox.sh("ln -s /mnt/dead /link")
    stuck = [Asking(sandbox, "files.stat", path="/link/file") for _ in range(MANY // 2)]
    everything_else_works(sandbox, "many")
    for one in stuck:
        one.join()
        assert one.refusal is not None
    everything_else_works(sandbox, "later")


def test_a_sandbox_with_a_dead_mount_can_be_stopped(dead):
    sandbox, _ = dead
    stuck = [Asking(sandbox, "files.stat", path="/mnt/dead/file") for _ in range(3)]
    everything_else_works(sandbox, "few")
    sandbox.call("stop")
    for one in stuck:
        one.join()
        assert one.refusal is not None
