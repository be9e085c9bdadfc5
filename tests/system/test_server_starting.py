"""Starts through the server: of what runs, of what was there before, of what is missing or cannot be. What a
configuration asks for is there when they return, or they fail and nothing stays."""

import functools
import pathlib

import pytest
from conftest import processes, run, wait_until
from server_tools import Refused, lines_of, nothing_left_behind, refusal, server, small, unique  # noqa: F401

IMAGE = {"image": "busybox", "memory": 128}
NOBODY = {"user": "nobody-here"}


def test_a_start_of_what_runs_is_a_success_if_it_is_the_same(server):
    name = {"sandbox": unique("t-same")}
    server.call("sandbox.start", **name, config=small(envs=["A=1"]))
    [before] = [s for s in server.call("sandbox.list")["sandboxes"] if s["name"] == name["sandbox"]]
    other = run("image", "tag", "busybox", "t-alias")
    assert other.returncode == 0, other.stderr.decode()
    spellings = ["busybox:latest", "docker.io/library/busybox", "t-alias"]
    for config in (small(envs=["A=1"]), {"memory": 64}, {}, None,
                   *(small(image=image, envs=["A=1"]) for image in spellings)):
        assert server.call("sandbox.start", **name, config=config) == f"Sandbox {name['sandbox']} started successfully"
    assert server.call("sandbox.start", **name) == f"Sandbox {name['sandbox']} started successfully"
    for config, said in [(small(envs=["A=2"]), "envs"), (small(memory=128, envs=["A=1"]), "memory"),
                         ({"cpus": 2}, "cpus"), (small(image="noshell", envs=["A=1"]), "image")]:
        refused = refusal(server, "sandbox.start", **name, config=config)
        assert (refused.status, refused.code) == (400, 2001)
        assert said in refused.message and "stop it first" in refused.message
    assert refusal(server, "sandbox.start", **name, reset=True).status == 400
    assert [s["id"] for s in server.call("sandbox.list")["sandboxes"] if s["name"] == name["sandbox"]] == [before["id"]]
    server.call("sandbox.remove", **name)
    assert run("image", "rm", "t-alias").returncode == 0


def test_a_start_without_an_image_uses_the_earlier_configuration_and_needs_one(server):
    name = {"sandbox": unique("t-earlier")}
    for config in ({}, {"memory": 64}, {"image": None}, {"image": ""}, None):
        refused = refusal(server, "sandbox.start", **name, config=config)
        assert (refused.status, refused.code) == (400, 2001)
        assert "config.image" in refused.message
    server.call("sandbox.start", **name, config=small(envs=["A=kept"], workdir="/data"))
    server.call("sandbox.stop", **name, grace=0)
    server.call("sandbox.start", **name, config={"memory": 96})
    ran = server.call("sandbox.command.run", **name, command="/bin/sh", args=["-c", "echo $A; pwd"])
    assert lines_of(ran) == "kept\n/data\n"
    [listed] = [s for s in server.call("sandbox.list")["sandboxes"] if s["name"] == name["sandbox"]]
    assert listed["memory"] == 96
    server.call("sandbox.remove", **name)
    assert refusal(server, "sandbox.start", **name).status == 400


def test_another_image_over_an_old_disk_needs_a_reset(server):
    name = {"sandbox": unique("t-reset")}
    server.call("sandbox.start", **name, config=small())
    server.call("sandbox.files.write", **name, path="/data/kept", text="x")
    server.call("sandbox.stop", **name)
    refused = refusal(server, "sandbox.start", **name, config=small(image="microsandbox/base"))
    assert (refused.status, refused.code) == (400, 2001)
    for said in (name["sandbox"], "busybox", "microsandbox/base", "reset: true"):
        assert said in refused.message
    assert server.directory not in refused.message
    server.call("sandbox.start", **name)  # what was refused has changed nothing
    assert server.call("sandbox.files.read", **name, path="/data/kept")["text"] == "x"
    server.call("sandbox.stop", **name, grace=0)
    server.call("sandbox.start", **name, config=small(image="microsandbox/base"), reset=True)
    assert refusal(server, "sandbox.files.read", **name, path="/data/kept").status == 404
    server.call("sandbox.remove", **name)


def test_an_error_does_not_tell_where_the_host_has_what(server):
    name = {"sandbox": unique("t-where")}
    server.call("sandbox.start", **name, config=small())
    server.call("sandbox.stop", **name, grace=0)
    place = pathlib.Path(server.directory, "namespaces/default", name["sandbox"])
    (place / "disk.json").write_text("nonsense")
    refused = refusal(server, "sandbox.start", **name)
    assert refused.status == 500 and "NAMESPACES/default" in refused.message
    assert server.directory not in refused.message
    log = run("server", "log", env=server.env).stdout.decode()
    assert str(place / "disk") in log  # whoever runs the server is told
    server.call("sandbox.remove", **name)


@pytest.mark.parametrize("image", ["no-such", "no/such:1", "registry.example/no/such", "busybox:no-such-tag"])
def test_an_image_that_is_missing_is_not_found_and_brought_by_the_named_commands(server, image):
    refused = refusal(server, "sandbox.start", sandbox="t-missing", config=small(image=image))
    assert (refused.status, refused.code) == (404, 4001)
    assert f"image '{image}'" in refused.message
    for named in ("load", "import"):
        assert f"msb image {named}" in refused.message
        assert run("image", named, "--help").returncode == 0
    assert not any(s["name"] == "t-missing" for s in server.call("sandbox.list")["sandboxes"])
    assert not (pathlib.Path(server.directory) / "namespaces/default/t-missing/config.json").exists()


def refused_start(server, name, **config):  # noqa: F811
    with pytest.raises(Refused) as refused:
        server.call("sandbox.start", sandbox=name, config={**IMAGE, **config})
    assert (refused.value.status, refused.value.code) == (400, 2001), refused.value
    return refused.value.message


@functools.cache
def the_one(server):  # noqa: F811
    return server.sandbox(**IMAGE).name


def listed(server, name):  # noqa: F811
    return [one for one in server.call("sandbox.list")["sandboxes"] if one["name"] == name]


@pytest.mark.parametrize("program", [{}, {"exec": "pwd > /where; sleep 1000"}])
def test_a_working_directory_is_made(server, program):  # noqa: F811
    sandbox = server.sandbox(**{**IMAGE, **program}, workdir="/work/deep")
    assert lines_of(sandbox.call("command.run", command="pwd")) == "/work/deep\n"
    if program:
        wait_until(lambda: lines_of(sandbox.sh("cat /where")) == "/work/deep\n", "its program")


@pytest.mark.parametrize("program", [{}, {"exec": "sleep 1000"}])
@pytest.mark.parametrize("wish, said", [
    (NOBODY, "nobody-here"), ({"user": "root:nogroup-here"}, "nogroup-here"), ({"workdir": "/bin/sh/x"}, "/bin/sh"),
])
def test_a_user_or_directory_that_cannot_be_fails_the_start_and_nothing_runs(server, program, wish, said):  # noqa: F811
    before = processes()
    message = refused_start(server, unique("t"), **wish, **program)
    assert said in message and "busybox" in message
    assert processes() == before


@pytest.mark.parametrize("wish", [NOBODY, {**NOBODY, "exec": "true"}, {"exec": "true", "shell": "/no/such"},
                                  {"exec": "true", "shell": "/bin/notexecutable"}])
def test_of_a_first_start_that_fails_nothing_stays(server, wish):  # noqa: F811
    name = unique("t")
    message = refused_start(server, name, **wish)
    assert wish.get("shell", NOBODY["user"]) in message
    assert not listed(server, name)
    assert not pathlib.Path(server.directory, "namespaces/default", name).exists()
    assert name not in run("ps", "--all").stdout.decode()
    server.names.append(name)
    server.call("sandbox.start", sandbox=name, config={"image": "noshell", "memory": 128})


def test_a_later_start_that_fails_leaves_the_disk_and_the_configuration(server):  # noqa: F811
    sandbox = server.sandbox(**IMAGE)
    sandbox.call("files.write", path="/kept", text="x")
    sandbox.call("stop")
    for wish in (NOBODY, {"exec": "true", "shell": "/no/such"}):
        refused_start(server, sandbox.name, **wish)
        assert [one["status"] for one in listed(server, sandbox.name)] == ["stopped"]
    sandbox.call("start")
    assert sandbox.call("files.read", path="/kept")["text"] == "x"
    assert lines_of(sandbox.call("command.run", command="id", args=["-un"])) == "root\n"


def test_a_disk_that_has_lost_its_configuration_is_kept_when_a_start_fails(server):  # noqa: F811
    sandbox = server.sandbox(**IMAGE)
    sandbox.call("files.write", path="/kept", text="x")
    sandbox.call("stop")
    pathlib.Path(server.directory, "namespaces/default", sandbox.name, "config.json").unlink()
    refused_start(server, sandbox.name, **NOBODY)
    server.call("sandbox.start", sandbox=sandbox.name, config=IMAGE)
    assert sandbox.call("files.read", path="/kept")["text"] == "x"


def test_more_cpus_than_the_engine_has_are_taken_as_one_with_a_warning(server):  # noqa: F811
    name = unique("t")
    server.names.append(name)
    said = f"Sandbox {name} started successfully. Warning: engine uml has one virtual CPU: cpus 2 is taken as 1"
    for config in ({**IMAGE, "cpus": 2}, {**IMAGE, "cpus": 2.0}, None):  # started, or running already
        assert server.call("sandbox.start", sandbox=name, config=config) == said
    ran = server.call("sandbox.command.run", sandbox=name, command="nproc")
    assert lines_of(ran) == "1\n"


@pytest.mark.parametrize("method, params, said", [
    ("repl.run", {"code": "1"}, "params.language: is required"),
    ("logs", {"tail": -1}, "tail: -1 is not a whole number of lines from 0 to 10000"),
    ("logs", {"tail": 10_001}, "tail: 10001 is not a whole number of lines from 0 to 10000"),
    ("timeout", {"lifetime": -3}, "lifetime: -3 is not a number of seconds from 0 to a century"),
    ("files.write", {"path": "/x", "text": "", "base64": ""}, "exactly one of text and base64"),
    ("command.run", {"command": "true", "envs": ["X"]}, 'envs: "X" is not an environment variable: write NAME=VALUE'),
])
def test_a_refusal_says_what_is_allowed(server, method, params, said):  # noqa: F811
    with pytest.raises(Refused) as refused:
        server.call("sandbox." + method, sandbox=the_one(server), **params)
    assert (refused.value.status, refused.value.code) == (400, 2001)
    assert said in refused.value.message


@pytest.mark.parametrize("method", ["remove", "stop"])
def test_nobody_is_told_to_start_what_is_to_end(server, method):  # noqa: F811
    with pytest.raises(Refused) as refused:
        server.call("sandbox." + method, sandbox="no-such")
    assert (refused.value.status, refused.value.code) == (404, 4001)
    assert refused.value.message == "there is no sandbox no-such in namespace default (sandbox.list)"
