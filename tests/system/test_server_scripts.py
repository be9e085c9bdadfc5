"""The scripts of a sandbox's configuration, as its programs find them."""

from conftest import wait_until
from server_tools import lines_of, nothing_left_behind, server  # noqa: F401


def said(sandbox):
    return wait_until(lambda: lines_of(sandbox.sh("cat /said 2>/dev/null")), "what the start script said")


def test_the_start_script_finds_the_others(server):
    scripts = {"start": "/.sandbox/scripts/other > /new 2>&1; mv /new /said", "other": "echo there"}
    sandbox = server.sandbox("microsandbox/base", scripts=scripts)
    assert said(sandbox) == "there\n"
    listed = lines_of(sandbox.sh("stat -c '%a %n' /.sandbox/scripts/*"))
    assert listed == "755 /.sandbox/scripts/other\n755 /.sandbox/scripts/start\n"


def test_a_new_start_finds_the_new_ones_whatever_a_program_left_there(server):
    scripts = {"start": "/.sandbox/scripts/other > /new 2>&1; mv /new /said", "other": "echo old"}
    sandbox = server.sandbox("microsandbox/base", scripts=scripts)
    assert said(sandbox) == "old\n"
    sandbox.sh("cd /.sandbox/scripts && rm /said other && mkfifo other && ln -sf /etc/passwd start")
    sandbox.call("stop")
    sandbox.call("start", config={"scripts": {**scripts, "other": "#!/bin/cat\nnew\n"}})
    assert said(sandbox) == "#!/bin/cat\nnew\n"
    assert "root" in lines_of(sandbox.sh("head -1 /etc/passwd"))


def test_neither_a_full_disk_nor_what_has_their_place_is_in_their_way(server):
    box = server.sandbox("microsandbox/base", disk=256, scripts={"start": "echo first > /new; mv /new /said"})
    assert said(box) == "first\n"
    box.call("stop")
    box.call("start", config={"scripts": {"start": "umount /.sandbox && rm -rf /.sandbox && ln -s /etc /.sandbox; "
                                                   "head -c 100G /dev/zero > /fill; echo full > /dev/shm/said"}})
    wait_until(lambda: lines_of(box.sh("cat /dev/shm/said 2>/dev/null")) == "full\n", "a full disk")
    box.call("stop")
    box.call("start", config={"scripts": {"start": "echo again > /dev/shm/said", "big": "#" * 60_000}})
    wait_until(lambda: lines_of(box.sh("cat /dev/shm/said 2>/dev/null")) == "again\n", "the new script")
    assert "scripts" not in lines_of(box.sh("ls /etc"))
