"""msb server status and list: the sandboxes of the home's own server, whether that runs or not."""

import json
import os
import pathlib

import pytest
from conftest import run
from server_tools import Server, nothing_left_behind, server  # noqa: F401


@pytest.fixture(scope="module")
def other(nothing_left_behind):  # noqa: F811
    one = Server()
    yield one
    one.end()


def shown(home, command, *words):
    """{name: status}"""
    done = run("server", command, "--json", *words, env=home.env)
    told = json.loads(done.stdout)
    assert done.returncode == (0 if command == "list" or told["running"] else 3), done.stderr.decode()
    return {row["name"]: row["status"] for row in (told if command == "list" else told["sandboxes"])}


def test_each_home_shows_its_own_sandboxes_and_no_other(server, other):  # noqa: F811
    own, foreign = server.sandbox("busybox", memory=64).name, other.sandbox("busybox", memory=64).name
    for command in ("status", "list"):
        assert shown(server, command) == {own: "running"}
        assert shown(other, command) == {foreign: "running"}
    done = run("server", "status", foreign, env=server.env)
    assert done.returncode == 1 and f"no sandbox {foreign}" in done.stderr.decode()
    server.call("sandbox.stop", sandbox=own, grace=0)
    assert shown(server, "status") == {}
    assert shown(server, "list") == {own: "stopped"}


def test_a_shell_or_log_of_a_name_is_not_that_of_another_homes_sandbox(server, other):  # noqa: F811
    box = server.sandbox("busybox", memory=64, exec="echo said")
    assert run("server", "ssh", box.name, input=b"echo from $(hostname)\n", env=server.env).stdout == \
        f"from {box.name}\n".encode()
    for named in ([f"default/{box.name}"], ["-n", "default", f"default/{box.name}"]):
        assert run("server", "ssh", *named, input=b"echo here\n", env=server.env).stdout == b"here\n"
    done = run("server", "ssh", "-n", "other", f"default/{box.name}", env=server.env)
    assert done.returncode == 1 and "--namespace says other" in done.stderr.decode()
    box.call("stop", grace=0)
    assert run("server", "log", box.name, env=server.env).stdout == b"said\n"
    other.call("sandbox.start", sandbox=box.name, config={"image": "busybox", "memory": 64})
    for command in ("ssh", "log"):
        done = run("server", command, box.name, input=b"echo from $(hostname)\n", env=server.env)
        assert (done.returncode, done.stdout) == (1, b""), command
        assert f"your server has no sandbox default/{box.name} that runs" in done.stderr.decode()
    assert run("server", "ssh", box.name, input=b"echo $?\n", env=other.env).stdout == b"0\n"


def test_what_runs_is_shown_without_a_server_as_well(other):
    name = other.sandbox("busybox", memory=64).name
    other.stop()
    assert shown(other, "status")[name] == shown(other, "list")[name] == "running"
    other.start()


def test_whoever_looks_changes_nothing(server, tmp_path):  # noqa: F811
    tmp_path.chmod(0o700)
    for command, code in (("status", 3), ("list", 0)):
        assert run("server", command, env={"MSB_HOME": str(tmp_path)}).returncode == code
    assert os.listdir(tmp_path) == []
    removed = pathlib.Path(server.directory, "namespaces/.removed/by-the-server")
    removed.mkdir()
    shown(server, "list")
    assert removed.exists()
