"""What dies while it is used: the client is told what happened, the server goes on, sandboxes are found again."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import pytest
from conftest import processes, run, wait_until
from detached import listed
from packages import packages  # noqa: F401
from server_tools import Refused, Server, lines_of, nothing_left_behind, server, text_of, unique  # noqa: F401


@pytest.fixture
def own():
    """A server that the test may kill."""
    one = Server()
    yield one
    with contextlib.suppress(AssertionError):  # it runs already
        one.start()
    one.end()


@pytest.fixture
def sandbox(server):  # noqa: F811
    return server.sandbox("microsandbox/python", memory=128)


def full_name(sandbox):
    return "default/" + sandbox.name


def monitor(sandbox):
    return listed(full_name(sandbox))["monitor_pid"]


def processes_of(sandbox):
    """{name: pid} of the processes of one sandbox on the host."""
    top = monitor(sandbox)
    found = {}
    for pid, name in processes().items():
        parent = pid
        while parent > 1 and parent != top:
            stat = pathlib.Path(f"/proc/{parent}/stat").read_text()
            parent = int(stat.rsplit(")", 1)[1].split()[1])
        if parent == top:
            found[name] = pid
    return found


class InFlight:
    """A call in a thread of its own, that has begun in the sandbox."""

    def __init__(self, function):
        self.result = self.error = None
        self.thread = threading.Thread(target=self._run, args=[function])
        self.thread.start()

    def _run(self, function):
        try:
            self.result = function()
        except Exception as error:
            self.error = error

    def end(self):
        self.thread.join(60)
        assert not self.thread.is_alive(), "the call did not end"
        return self.error if self.error is not None else self.result


def busy_contexts(sandbox):
    return [c["context"] for c in sandbox.call("context.list")["contexts"] if c["busy"] and c["runs"]]


def test_a_stop_with_less_patience_does_not_wait_for_one_with_more(server, sandbox):
    sandbox.call("process.start", command="sh", args=["-c", "trap '' TERM; echo ready; exec sleep 7011"])
    wait_until(lambda: "sleep 7011" in commands(sandbox), "the program")
    patient = InFlight(lambda: sandbox.call("stop", grace=3000))
    wait_until(lambda: status_of(server, sandbox) == "stopping", "the stop")
    assert "stopped" in sandbox.call("stop", grace=0)
    assert "stopped" in patient.end()


def status_of(server, sandbox):
    listed = server.call("sandbox.list")["sandboxes"]
    return next((one["status"] for one in listed if one["name"] == sandbox.name), None)


def commands(sandbox):
    return lines_of(sandbox.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))


def calls_in_flight(sandbox):
    """One of each kind that waits for something in the sandbox."""
    process = sandbox.call("process.start", command="sleep", args=["7001"])["process"]
    started = {
        "code": InFlight(lambda: sandbox.code("import time\ntime.sleep(1000)", context="waits")),
        "command": InFlight(lambda: sandbox.call("command.run", command="sleep", args=["7002"])),
        "stream": InFlight(lambda: list(sandbox.stream("command.run", command="sh",
                                                       args=["-c", "echo on; exec sleep 7003"]))),
        "wait": InFlight(lambda: sandbox.call("process.wait", process=process)),
        "attach": InFlight(lambda: list(sandbox.stream("process.attach", process=process))),
    }
    wait_until(lambda: "waits" in busy_contexts(sandbox), "the code")
    wait_until(lambda: {"sleep 7002", "sleep 7003"} <= set(re.findall(r"sleep 700\d", commands(sandbox))),
               "the commands")
    return started


def why(outcome):
    """What an answer or the last event of a stream says went wrong, with its status."""
    if isinstance(outcome, list):
        name, data = outcome[-1]
        assert name == "error", outcome
        return data["status"], data["error"]
    assert isinstance(outcome, Refused), outcome
    return outcome.status, outcome.message


# --- a part of the sandbox dies ---------------------------------------------------------------------------

@pytest.mark.parametrize("victim, said", [
    ("msb-monitor", "the sandbox's monitor was killed"),
    ("msb-vmm", "msb-vmm died"),
    ("linux", "the guest kernel was killed"),
    ("msb-jail-init", "the guest kernel was killed"),
])
def test_calls_in_flight_say_what_was_killed_and_the_sandbox_can_be_started_again(server, sandbox, victim, said):  # noqa: F811
    pid = server.pid()
    sandbox.call("files.write", path="/srv/kept", text="kept")
    sandbox.sh("sync")
    calls = calls_in_flight(sandbox)
    os.kill(monitor(sandbox) if victim == "msb-monitor" else processes_of(sandbox)[victim], signal.SIGKILL)
    for kind, call in calls.items():
        status, message = why(call.end())
        assert status == 500 and said in message and sandbox.name in message, (kind, message)
    for method, params in [("command.run", {"command": "true"}), ("repl.run", {"language": "python", "code": "1"}),
                           ("files.stat", {"path": "/"}), ("process.list", {}), ("timeout", {"idle": 10})]:
        with pytest.raises(Refused) as refused:
            sandbox.call(method, **params)
        assert refused.value.status == 404, method
        assert "does not run" in refused.value.message and "sandbox.start" in refused.value.message
        assert said in refused.value.message
    [ended] = [s for s in server.call("sandbox.list")["sandboxes"] if s["name"] == sandbox.name]
    assert ended["status"] == "stopped" and said in ended["last_end"]
    assert server.pid() == pid
    sandbox.call("start")
    assert sandbox.call("files.read", path="/srv/kept")["text"] == "kept"
    assert sandbox.output("1 + 1") == "2\n"


def test_a_driver_that_is_killed_from_inside_ends_its_run_alone(server, sandbox):  # noqa: F811
    other = InFlight(lambda: sandbox.call("command.run", command="sleep", args=["7004"], timeout=1000))
    run = InFlight(lambda: sandbox.code("import time\nprint('on', flush=True)\ntime.sleep(1000)"))
    wait_until(lambda: busy_contexts(sandbox), "the code")
    wait_until(lambda: "sleep 7004" in commands(sandbox), "the command")
    sandbox.sh("for p in /proc/[0-9]*; do grep -qa /run/msb/python.py $p/cmdline && "
               "[ $p != /proc/$$ ] && kill -9 ${p#/proc/}; done; exit 0")
    ended = run.end()
    assert ended["end"] == "exited" and "killed by signal 9" in lines_of(ended, "stderr")
    assert lines_of(ended) in ("", "on\n")
    assert sandbox.output("'anew'") == "'anew'\n"
    assert "sleep 7004" in commands(sandbox)
    sandbox.call("stop", grace=0)
    other.end()


def test_the_guests_init_cannot_be_killed_from_inside(sandbox):
    sandbox.sh("kill -9 1; kill -SEGV 1; kill -STOP 1; exit 0")
    assert sandbox.output("1 + 1") == "2\n"


# --- the server dies --------------------------------------------------------------------------------------

def test_a_server_that_is_killed_breaks_connections_and_finds_its_sandboxes_again(own):
    sandbox = own.sandbox("microsandbox/python", memory=128)
    sandbox.code("x = 1")
    identity = listed(full_name(sandbox))["id"]
    process = sandbox.call("process.start", command="sh", stdin=True, args=[
        "-c", "echo first; read line; echo $line; exec sleep 7005"])["process"]
    events = sandbox.stream("process.attach", process=process)
    assert text_of(next(events)[1]) == b"first\n"
    calls = [InFlight(lambda: sandbox.code("import time\ntime.sleep(1000)", context="waits")),
             InFlight(lambda: sandbox.call("command.run", command="sleep", args=["7006"]))]
    wait_until(lambda: "sleep 7006" in commands(sandbox) and busy_contexts(sandbox), "the calls")
    own.kill()
    for call in calls:
        assert isinstance(call.end(), (ConnectionError, OSError)) or "Incomplete" in repr(call.error)
    with pytest.raises(Exception):
        assert [name for name, _ in events][-1] == "response"  # a stream that broke off has no such end

    own.start()
    assert listed(full_name(sandbox))["id"] == identity
    assert own.call("sandbox.start", sandbox=sandbox.name) == f"Sandbox {sandbox.name} started successfully"
    assert listed(full_name(sandbox))["id"] == identity
    [kept] = [p for p in sandbox.call("process.list")["processes"] if p["process"] == process]
    assert "ended" not in kept
    sandbox.call("process.write", process=process, text="second\n")
    got = b""
    events = sandbox.stream("process.attach", process=process, stdout_offset=3)
    for name, event in events:
        got += text_of(event) if name == "output" else b""
        if got.endswith(b"second\n"):
            break
    events.close()
    assert got == b"st\nsecond\n"
    # Contexts and commands were of the server that is gone.
    assert sandbox.call("context.list")["contexts"] == []
    assert "NameError" in lines_of(sandbox.code("x"), "stderr")
    wait_until(lambda: "sleep 7006" not in commands(sandbox), "the command's end")
    wait_until(lambda: commands(sandbox).count("/run/msb/python.py") <= 2, "the old contexts' end")


def test_limits_end_sandboxes_while_no_server_runs(own):
    names = {}
    for kind, config in [("idle", {"idle": 1}), ("lifetime", {"lifetime": 1.5}), ("none", {})]:
        names[kind] = own.sandbox("busybox", memory=64, **config)
    own.kill()
    for kind, said in [("idle", "it was idle"), ("lifetime", "its lifetime")]:
        row = wait_until(lambda: (lambda r: r["status"] == "ended" and r)(listed(full_name(names[kind]))), kind)
        assert row["end"].startswith(said)
    own.start()
    for kind, said in [("idle", "it was idle"), ("lifetime", "its lifetime")]:
        with pytest.raises(Refused) as refused:
            names[kind].call("command.run", command="/bin/true")
        assert refused.value.status == 404 and said in refused.value.message
    assert names["none"].call("command.run", command="/bin/true")["success"]


def test_a_sigterm_lets_a_request_that_runs_end(own):
    sandbox = own.sandbox("busybox", memory=64)
    call = InFlight(lambda: sandbox.call("command.run", command="/bin/sh", args=[
        "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; echo done"]))
    other = InFlight(lambda: sandbox.call("command.run", command="/bin/sh", args=[
        "-c", "while [ ! -e /tmp/draining ]; do sleep 0.05; done; touch /tmp/go; echo done"]))
    idle = own.connect()
    idle.request("GET", "/api/v1/health")
    idle.getresponse().read()
    wait_until(lambda: commands(sandbox).count("/tmp/go") >= 2, "the calls")
    gone = own.pid()
    os.kill(gone, signal.SIGTERM)
    assert idle.sock.recv(1) == b""  # it drains
    idle.close()
    assert run("exec", full_name(sandbox), "--", "/bin/touch", "/tmp/draining").returncode == 0
    for one in (call, other):
        assert lines_of(one.end()) == "done\n"
    stat = pathlib.Path(f"/proc/{gone}/stat")
    wait_until(lambda: not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z", "its end")
    own.start()
    assert sandbox.call("command.run", command="/bin/true")["success"]


# --- the client dies --------------------------------------------------------------------------------------

CLIENT = """
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("POST", "/api/v1/rpc", sys.argv[2], {"Content-Type": "application/json", "Accept": sys.argv[3]})
connection.getresponse().read()
"""


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_is_killed_leaves_nothing_that_runs(server, sandbox, accept):  # noqa: F811
    def client(method, **params):
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sandbox." + method,
                              "params": {"sandbox": sandbox.name, **params}})
        return subprocess.Popen([sys.executable, "-c", CLIENT, str(server.port), request, accept])

    sandbox.code("kept = 5")
    clients = [client("command.run", command="sh", args=["-c", "sleep 7007 & sleep 7008"]),
               client("repl.run", language="python", code="import time\ntime.sleep(1000)")]
    wait_until(lambda: {"sleep 7007", "sleep 7008"} <= set(re.findall(r"sleep 700\d", commands(sandbox))), "them")
    wait_until(lambda: busy_contexts(sandbox), "the code")
    for one in clients:
        one.kill()
        one.wait()
    wait_until(lambda: "sleep 7008" not in commands(sandbox), "the command's end")
    wait_until(lambda: not busy_contexts(sandbox), "the interrupt")
    assert sandbox.output("kept") == "5\n"
    assert not sandbox.call("process.list")["processes"]


# --- limits -----------------------------------------------------------------------------------------------

def test_limits_are_changed_while_it_runs(server, sandbox):  # noqa: F811
    def shown():
        [one] = [s for s in server.call("sandbox.list")["sandboxes"] if s["name"] == sandbox.name]
        return one.get("ends"), one.get("idle")

    assert shown() == (None, None)
    set_ = sandbox.call("timeout", lifetime=3600, idle=1800)
    assert set_["idle"] == 1800 and shown() == (set_["ends"], 1800)
    assert "idle" not in sandbox.call("timeout", idle=0) and shown()[0] == set_["ends"]
    later = sandbox.call("timeout", lifetime=7200)["ends"]
    assert later > set_["ends"]
    assert sandbox.call("timeout", lifetime=0) == {} and shown() == (None, None)
    call = InFlight(lambda: sandbox.call("command.run", command="sleep", args=["7009"]))
    wait_until(lambda: "sleep 7009" in commands(sandbox), "the command")
    sandbox.call("timeout", lifetime=0.05)
    outcome = call.end()  # its program is ended first, as by a stop
    assert isinstance(outcome, Refused) and "lifetime" in outcome.message or outcome["success"] is False
    wait_until(lambda: listed(full_name(sandbox))["status"] == "ended", "its end")
    with pytest.raises(Refused) as refused:
        sandbox.sh("true")
    assert refused.value.status == 404 and "its lifetime" in refused.value.message


def test_a_call_that_runs_keeps_a_sandbox_from_being_idle(server):  # noqa: F811
    sandbox = server.sandbox("busybox", memory=64, idle=0.5)
    other = server.sandbox("busybox", memory=64, idle=1.5)
    call = InFlight(lambda: sandbox.call("command.run", command="/bin/sh", args=[
        "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; echo done"]))
    wait_until(lambda: listed(full_name(other))["status"] == "ended", "the other's end")
    sandbox.call("files.write", path="/tmp/go", text="")
    assert lines_of(call.end()) == "done\n"
    row = wait_until(lambda: (lambda r: r["status"] == "ended" and r)(listed(full_name(sandbox))), "its end")
    assert row["end"].startswith("it was idle")


# --- races ------------------------------------------------------------------------------------------------

def test_a_disk_keeps_its_state_over_stop_and_start_and_memory_does_not(sandbox):
    sandbox.sh("echo kept > /srv/file; echo gone > /run/file; ln -s file /srv/link; chmod 4711 /srv/file; "
               "rm -r /usr/share/doc; dd if=/dev/urandom of=/srv/big bs=1M count=8; md5sum /srv/big > /srv/sum")
    sandbox.code("x = 1")
    for _ in range(2):
        assert sandbox.call("stop") == f"Sandbox {sandbox.name} stopped successfully"
        assert sandbox.call("stop") == f"Sandbox {sandbox.name} stopped successfully"  # again: nothing to do
        sandbox.call("start")
        seen = lines_of(sandbox.sh("cat /srv/link; stat -c %a /srv/file; md5sum -c /srv/sum; ls /run/file 2>/dev/null; "
                                   "ls -d /usr/share/doc 2>/dev/null; exit 0"))
        assert seen == "kept\n4711\n/srv/big: OK\n"
        assert "NameError" in lines_of(sandbox.code("x"), "stderr")


def outcome_of(function):
    try:
        return function()
    except Refused as refused:
        return refused.status


def test_starts_of_one_name_at_the_same_time_start_one_sandbox(server):  # noqa: F811
    name = unique("t-twice")
    starts = [InFlight(lambda: server.call("sandbox.start", sandbox=name, config={"image": "busybox", "memory": 64}))
              for _ in range(8)]
    assert {start.end() for start in starts} == {f"Sandbox {name} started successfully"}
    assert len([s for s in server.call("sandbox.list")["sandboxes"] if s["name"] == name]) == 1
    monitors = [pid for pid, kind in processes().items() if kind == "msb-monitor" and
                listed(f"default/{name}")["monitor_pid"] == pid]
    assert len(monitors) == 1
    server.call("sandbox.remove", sandbox=name)


def test_a_stop_or_removal_during_a_start_takes_its_turn(server):  # noqa: F811
    name = unique("t-during")
    for method in ("stop", "remove"):
        for _ in range(3):
            start = InFlight(lambda: outcome_of(lambda: server.call(
                "sandbox.start", sandbox=name, config={"image": "busybox", "memory": 64})))
            end = InFlight(lambda: outcome_of(lambda: server.call("sandbox." + method, sandbox=name)))
            assert start.end() == f"Sandbox {name} started successfully"
            assert end.end() in (404, f"Sandbox {name} {'stopped' if method == 'stop' else 'removed'} successfully")
            left = [s["status"] for s in server.call("sandbox.list")["sandboxes"] if s["name"] == name]
            assert left in ([], ["stopped"], ["running"])
            with contextlib.suppress(Refused):
                server.call("sandbox.remove", sandbox=name)
    assert ("default", name) not in server.stored()


def test_a_removal_during_calls_ends_them_and_nothing_stays(server, sandbox):  # noqa: F811
    calls = calls_in_flight(sandbox)
    assert sandbox.call("remove") == f"Sandbox {sandbox.name} removed successfully"
    for kind, call in calls.items():
        outcome = call.end()
        if isinstance(outcome, dict):  # its program was ended, and that was told in time
            assert outcome.get("end") == "exited" or outcome["exit_code"] == 137, (kind, outcome)
        elif isinstance(outcome, list) and outcome[-1][0] == "response":
            assert outcome[-1][1]["result"]["exit_code"] == 137, (kind, outcome)
        else:
            assert "ended" in why(outcome)[1] or "stopped" in why(outcome)[1], (kind, outcome)
    assert ("default", sandbox.name) not in server.stored() and listed(full_name(sandbox)) is None
    with pytest.raises(Refused) as refused:
        sandbox.call("start")
    assert refused.value.status == 400
    with pytest.raises(Refused) as refused:
        sandbox.call("remove")
    assert (refused.value.status, refused.value.code) == (404, 4001)


# --- metrics ----------------------------------------------------------------------------------------------

def test_metrics_are_prometheus_text_and_count_what_was_done(server, sandbox, packages):  # noqa: F811
    from prometheus_client.parser import text_string_to_metric_families

    def samples():
        status, headers, body = server.ask("GET", "/metrics")
        assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = list(text_string_to_metric_families(body.decode()))
        names = [family.name for family in families]
        assert len(names) == len(set(names))
        for family in families:
            assert family.documentation and family.type != "unknown", family.name
            assert re.fullmatch(r"(microsandbox|process)_[a-z_]+", family.name)
        found = {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}
        assert len(found) == sum(len(family.samples) for family in families)
        return found

    def calls(at, code):
        return at.get(("microsandbox_calls_total", ("code", code), ("method", "sandbox.command.run")), 0)

    before = samples()
    sandbox.sh("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
    with pytest.raises(Refused):
        sandbox.call("command.run", command="no-such-program")
    with pytest.raises(Refused):
        server.call("sandbox.command.run", sandbox="no-such-sandbox", command="true")
    after = samples()
    assert [calls(after, code) - calls(before, code) for code in ("0", "5002", "4001")] == [1, 1, 1]
    durations = "microsandbox_http_request_duration_seconds"
    assert after[f"{durations}_bucket", ("le", "+Inf")] == after[f"{durations}_count",]
    buckets = sorted((float(key[1][1]), value) for key, value in after.items() if key[0] == f"{durations}_bucket")
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    of_sandbox = (("namespace", "default"), ("sandbox", sandbox.name))
    for name in ("cpu_seconds_total", "memory_bytes", "disk_bytes"):
        assert after["microsandbox_sandbox_" + name, *of_sandbox] > 0
    assert after["microsandbox_sandbox_cpu_seconds_total", *of_sandbox] > \
        before["microsandbox_sandbox_cpu_seconds_total", *of_sandbox]
    sandbox.call("stop", grace=0)
    assert ("microsandbox_sandbox_memory_bytes", *of_sandbox) not in samples()
    [one] = server.call("sandbox.metrics.get", sandbox=sandbox.name)["sandboxes"]
    assert (one["running"], one["cpu_usage"], one["memory_usage"]) == (False, None, None)
    assert one["disk_usage"] > 0
