"""A start through the server: of what runs, of what was there before, of what is missing."""

import pathlib

import pytest
from conftest import run
from server_tools import lines_of, nothing_left_behind, refusal, server, small, unique  # noqa: F401


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
