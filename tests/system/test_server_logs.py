"""What a sandbox's own program wrote, and what the server wrote of its requests."""

import datetime
import json

import pytest
from conftest import run, wait_until
from server_tools import Refused, nothing_left_behind, server  # noqa: F401


# --- sandbox.logs -----------------------------------------------------------------------------------------

def logged(sandbox, count, **params):
    """The lines, once there are so many."""
    def lines():
        found = sandbox.call("logs", **params)["lines"]
        return found if len(found) >= count else None

    return wait_until(lines, f"{count} lines of the log")


def test_a_log_has_the_lines_of_each_stream_and_when_they_were_written(server):  # noqa: F811
    before = datetime.datetime.now(datetime.timezone.utc)
    sandbox = server.sandbox("busybox", memory=64, exec="echo one; echo häh; echo wrong >&2; printf end")
    lines = logged(sandbox, 4)
    assert [line["text"] for line in lines if line["stream"] == "stdout"] == ["one", "häh", "end"]
    assert [line["text"] for line in lines if line["stream"] == "stderr"] == ["wrong"]
    times = sorted(datetime.datetime.fromisoformat(line["time"]) for line in lines)
    assert before - datetime.timedelta(seconds=1) <= times[0]
    assert times[-1] <= datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    assert all(set(line) == {"time", "stream", "text"} for line in lines)


def test_the_last_lines_of_a_log_can_be_had_alone(server):  # noqa: F811
    sandbox = server.sandbox("busybox", memory=64, exec="i=0; while [ $i -lt 1500 ]; do echo line $i; i=$((i+1)); done")
    everything = [f"line {i}" for i in range(1500)]
    assert [line["text"] for line in logged(sandbox, 1500, tail=10000)] == everything
    for params, count in (({"tail": 3}, 3), ({"tail": 0}, 0), ({}, 1000)):
        lines = sandbox.call("logs", **params)["lines"]
        assert [line["text"] for line in lines] == everything[1500 - count:], params


def test_what_commands_write_is_in_no_log(server):  # noqa: F811
    sandbox = server.sandbox("busybox", memory=64)
    sandbox.sh("echo this is of a command")
    assert sandbox.call("logs")["lines"] == []


def test_a_log_is_there_when_the_sandbox_has_stopped_and_gone_with_it(server):  # noqa: F811
    sandbox = server.sandbox("busybox", memory=64, exec="echo kept")
    logged(sandbox, 1)
    sandbox.call("stop", grace=0)
    assert [line["text"] for line in sandbox.call("logs")["lines"]] == ["kept"]
    sandbox.call("remove")
    with pytest.raises(Refused) as refused:
        sandbox.call("logs")
    assert (refused.value.status, refused.value.code) == (404, 4001)


# --- the access log ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("method, path, status", [
    ("GET", "/api/v1/health", 200), ("GET", "/api/v1/absent", 404), ("POST", "/api/v1/rpc", 415)])
def test_a_request_is_found_in_the_log_by_the_id_that_its_answer_had(server, method, path, status):  # noqa: F811
    answered = [server.ask(method, path, b"{}" if method == "POST" else None) for _ in range(2)]
    ids = [headers["X-Request-Id"] for _, headers, _ in answered]
    assert ids[0] != ids[1]

    def records():
        lines = map(json.loads, run("server", "log", env=server.env).stdout.splitlines())
        found = [line for line in lines if line.get("request") in ids]
        return found if len(found) == 2 else None

    for id, record in zip(ids, wait_until(records, "both in the log"), strict=True):
        assert (record["request"], record["method"], record["path"], record["status"]) == (id, method, path, status)
