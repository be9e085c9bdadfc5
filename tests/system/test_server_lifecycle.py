"""msb server: started, found, ended, restarted; keys; and the web page that must not reach it."""

import base64
import datetime
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from conftest import command, run, wait_until


class Server:
    """A server of a home of its own, detached, on a port of its own."""

    def __init__(self, home):
        self.env = {"MSB_HOME": str(home)}
        self.home = home
        self.port = None

    def msb(self, *arguments, **options):
        return run("server", *arguments, env=self.env, **options)

    def start(self, *arguments):
        done = self.msb("start", "--detach", "--port", "0", *arguments)
        assert done.returncode == 0, done.stderr.decode()
        self.port = int(re.fullmatch(rb"Listening on http://127\.0\.0\.1:(\d+)\n", done.stdout)[1])
        return self

    def pid(self):
        return json.loads((self.home / "server.pid").read_text())["pid"]

    def ask(self, method="GET", path="/api/v1/health", headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text, answer.headers
        finally:
            connection.close()

    def rpc(self, method, params, headers=None):
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()
        return self.ask("POST", "/api/v1/rpc", {"Content-Type": "application/json", **(headers or {})},
                        body)[:2]

    def key(self, *arguments):
        done = self.msb("keygen", "--json", *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.msb("stop")


# --- lifecycle --------------------------------------------------------------------------------------------

def test_a_detached_server_can_be_used_when_its_start_returns(server):
    server.start("--dev")
    status, body, headers = server.ask()
    assert (status, body) == (200, {"message": "Service is healthy"})
    assert headers["X-Request-Id"]
    status = server.msb("status", "--json")
    report = json.loads(status.stdout)
    assert report["running"] and status.returncode == 0
    assert report["server"]["urls"] == [f"http://127.0.0.1:{server.port}"]
    assert server.msb("stop").returncode == 0
    process = pathlib.Path(f"/proc/{report['server']['pid']}/stat")
    assert not process.exists() or process.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    status = server.msb("status", "--json")
    assert not json.loads(status.stdout)["running"] and status.returncode == 3
    status = server.msb("status")
    assert (status.returncode, status.stderr) == (3, b"")
    assert b"does not run" in status.stdout
    stopped = server.msb("stop")
    assert (stopped.returncode, stopped.stderr) == (1, b"msb: error: no server of yours runs\n")


def test_a_second_server_is_told_where_the_first_is(server):
    server.start("--dev")
    key = server.home / "server.key"
    second = server.msb("start", "--port", "0", "--reset-key")
    assert second.returncode == 1
    assert f"http://127.0.0.1:{server.port}" in second.stderr.decode()
    assert not key.exists()  # it has touched nothing


def test_after_a_kill_another_can_be_started(server):
    server.start("--dev")
    pid = server.pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not json.loads(server.msb("status", "--json").stdout)["running"], "its end")
    server.start("--dev")
    assert server.pid() != pid
    assert server.ask()[0] == 200


def test_a_server_that_cannot_listen_says_why(server, tmp_path_factory):
    server.start("--dev")
    other = Server(tmp_path_factory.mktemp("other"))
    done = other.msb("start", "--detach", "--dev", "--port", server.port)
    assert done.returncode == 1
    assert f"port {server.port}" in done.stderr.decode()


def test_a_server_in_the_foreground_ends_by_sigterm(server):
    child = subprocess.Popen(command("server", "start", "--dev", "--port", "0"), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env={**os.environ, **server.env})
    line = child.stdout.readline()
    server.port = int(line.rsplit(b":", 1)[1])
    assert server.ask()[0] == 200
    child.send_signal(signal.SIGTERM)
    _, log = child.communicate(timeout=60)
    assert child.returncode == 0
    record = json.loads(log.splitlines()[0])
    assert (record["method"], record["path"], record["status"]) == ("GET", "/api/v1/health", 200)


def test_a_detached_server_keeps_a_log(server):
    server.start("--dev")
    server.ask(headers={"Authorization": "Bearer secret"})
    server.msb("stop")
    log = server.msb("log").stdout.decode()
    assert '"path":"/api/v1/health"' in log
    assert "secret" not in log


@pytest.mark.parametrize("arguments, complaint", [
    (["--dev", "--host", "0.0.0.0"], "loopback"),
    (["--dev-any-user"], "--dev"),
    (["--dev", "--key", "x"], "--dev"),
    (["--host", "nonsense"], "nonsense"),
    (["--cors-origin", "*"], "origin"),
    (["--host-name", "http://x"], "host name"),
    (["--key", "short"], "--key"),
])
def test_what_a_server_cannot_be_is_said_before_it_starts(server, arguments, complaint):
    done = server.msb("start", "--detach", "--port", "0", *arguments)
    assert done.returncode == 1
    assert complaint in done.stderr.decode()
    assert "short" not in done.stderr.decode()  # it may be a secret


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_server_without_keys_serves_its_own_user_only(server):
    server.start("--dev")
    ask = ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{server.port}/api/v1/health"]
    assert subprocess.run(ask).returncode == 0
    assert subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *ask]).returncode != 0
    server.msb("stop")
    server.start("--dev", "--dev-any-user")
    ask[-1] = f"http://127.0.0.1:{server.port}/api/v1/health"
    assert subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *ask]).returncode == 0


# --- keys -------------------------------------------------------------------------------------------------

def test_a_key_is_needed_and_must_be_valid(server):
    key = server.key()["token"]
    assert key.startswith("msb_")
    server.start()
    assert server.ask()[0] == 200  # health needs none
    params = {"namespace": "default"}
    status, body = server.rpc("sandbox.list", params)
    assert (status, body["code"]) == (401, 1001)
    assert "keygen" in body["error"]
    for headers in ({"Authorization": key}, {"Authorization": f"Bearer {key}"},
                    {"Proxy-Authorization": f"Bearer {key}"}):
        assert server.rpc("sandbox.list", params, headers)[0] == 200
    for wrong in ("x", key[:-2] + "AA", key[4:], "msb_e30.e30.e30"):
        status, body = server.rpc("sandbox.list", params, {"Authorization": f"Bearer {wrong}"})
        assert (status, body["code"]) == (401, 1004)
        assert wrong not in body["error"] or wrong == "x"


def test_a_key_expires(server):
    key = server.key("--expire", "1s")["token"]
    server.start()
    answer = wait_until(lambda: (lambda a: a if a[0] != 200 else None)(
        server.rpc("sandbox.list", {}, {"Authorization": key})), "the key's end")
    assert (answer[0], answer[1]["code"]) == (401, 1004)
    assert "expired" in answer[1]["error"]


def test_a_key_is_for_its_namespace(server):
    key = server.key("-n", "mine")["token"]
    server.start()
    assert server.rpc("sandbox.list", {"namespace": "mine"}, {"Authorization": key})[0] == 200
    for own in ({}, {"namespace": None}):  # absent: its own
        assert server.rpc("sandbox.list", own, {"Authorization": key})[0] == 200
        status, body = server.rpc("sandbox.stop", {"sandbox": "x", **own}, {"Authorization": key})
        assert status == 404 and "namespace mine" in body["error"]
        status, body, _ = server.ask("GET", "/api/v1/files?sandbox=x&path=/x", {"Authorization": key})
        assert status == 404 and "namespace mine" in body["error"]
    for method, params in [("sandbox.list", {"namespace": "default"}), ("sandbox.list", {"namespace": "other"}),
                           ("sandbox.stop", {"namespace": "other", "sandbox": "x"}),
                           ("sandbox.stop", {"namespace": "*", "sandbox": "x"})]:
        status, body = server.rpc(method, params, {"Authorization": key})
        assert (status, body["code"]) in ((403, 3001), (400, 2001)), (method, params)


def test_resetting_the_servers_key_voids_the_others(server):
    key = server.key()["token"]
    server.start("--reset-key")
    status, body = server.rpc("sandbox.list", {}, {"Authorization": key})
    assert (status, body["code"]) == (401, 1004)


@pytest.mark.parametrize("new_key", [["--reset-key"], ["--key", "0123456789abcdef" * 4]])
@pytest.mark.parametrize("detached", [["--detach"], []])
@pytest.mark.parametrize("place, complaint", [([], "port"), (["--host", "192.0.2.1", "--port", "0"], "192.0.2.1")])
def test_a_start_that_fails_voids_no_key(server, tmp_path_factory, new_key, detached, place, complaint):
    server.key()
    secret = (server.home / "server.key").read_bytes()
    other = Server(tmp_path_factory.mktemp("other")).start("--dev")
    try:
        done = server.msb("start", *detached, *(place or ["--port", other.port]), *new_key)
        assert done.returncode == 1
        assert complaint in done.stderr.decode()
    finally:
        other.msb("stop")
    assert (server.home / "server.key").read_bytes() == secret


@pytest.mark.parametrize("way", ["file", "stdin", "literal"])
def test_a_servers_key_can_be_given(server, way):
    secret = "0123456789abcdef" * 4
    file = server.home / "given"
    file.write_text(secret + "\n")
    argument = {"file": str(file), "stdin": "-", "literal": secret}[way]
    done = server.msb("start", "--detach", "--port", "0", "--key", argument,
                      **({"input": secret.encode()} if way == "stdin" else {}))
    assert done.returncode == 0, done.stderr.decode()
    server.port = int(done.stdout.rsplit(b":", 1)[1])
    assert secret.encode() not in pathlib.Path(f"/proc/{server.pid()}/cmdline").read_bytes()
    assert (b"warning" in done.stderr) == (way == "literal")
    assert server.rpc("sandbox.list", {}, {"Authorization": server.key()["token"]})[0] == 200


def test_keygen_says_what_the_key_may_do(server):
    done = server.msb("keygen", "--expire", "30d", "-n", "team", "--allow-image", "python:*",
                      "--max-sandboxes", "3", "--max-memory", "4G", "--max-cpus", "2", "--max-disk", "10G")
    lines = done.stdout.decode().splitlines()
    assert re.fullmatch(r"Token: msb_[\w-]+\.[\w-]+\.[\w-]+", lines[0])
    assert re.fullmatch(r"Token expires: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[1])
    assert lines[2:] == ["Namespace: team", "Images: python:*", "Sandboxes: at most 3",
                         "Memory: at most 4096 MiB", "CPUs: at most 2", "Disk: at most 10240 MiB"]
    assert (server.home / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_asked_for_nothing_is_for_everything_and_a_day(server):
    before = int(time.time())
    lines = server.msb("keygen").stdout.decode().splitlines()
    after = int(time.time())
    expires = datetime.datetime.fromisoformat(lines[1].removeprefix("Token expires: ")).timestamp()
    assert before + 86400 <= expires <= after + 86400
    assert lines[2:] == ["Namespace: *", "Images: *"]
    made = server.key()
    assert (made["namespace"], made["images"]) == ("*", ["*"])
    server.start()
    claims = json.loads(base64.urlsafe_b64decode(lines[0].split(".")[1] + "=="))
    assert (claims["exp"], claims["exp"] - claims["iat"], claims["namespace"]) == (expires, 86400, "*")
    assert server.rpc("sandbox.list", {"namespace": "*"}, {"Authorization": made["token"]})[0] == 200


@pytest.mark.parametrize("arguments, said", [
    (["start", "--dev", "--port", "99999"], "--port: 99999 is not a whole number from 0 to 65535"),
    (["start", "--dev", "--port", "x"], "--port: x is not a whole number from 0 to 65535"),
    (["keygen", "--max-sandboxes", "0"], "--max-sandboxes: 0 is not a whole number from 1 to"),
    (["keygen", "--max-cpus", "-1"], "--max-cpus: -1 is not a whole number from 1 to"),
    ([], "start, stop, status, list, log, keygen, ssh or mcp"),
])
def test_a_wrong_command_line_is_told_what_is_right(server, arguments, said):
    done = server.msb(*arguments)
    assert done.returncode == 2
    assert said in done.stderr.decode()


# --- the web page that a user looks at --------------------------------------------------------------------

RPC = "/api/v1/rpc"
START = json.dumps({"jsonrpc": "2.0", "method": "sandbox.list", "params": {}, "id": 1}).encode()


@pytest.mark.parametrize("headers, status", [
    ({"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
    ({"Content-Type": "application/json", "Origin": "null"}, 403),
    ({"Content-Type": "application/json", "Host": "evil.example"}, 403),  # its name, rebound
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ({}, 415),
    ({"Content-Type": "application/json"}, 200),
])
def test_a_web_page_cannot_call_the_server(server, headers, status):
    server.start("--dev")
    answer = server.ask("POST", RPC, headers, START)
    assert answer[0] == status
    if status != 200:
        assert answer[1]["code"] == (3001 if status == 403 else 2001)
    assert not [name for name in answer[2] if name.lower().startswith("access-control")]
    assert server.ask(headers={"Origin": "http://evil.example"})[0] == 403
    assert server.ask("OPTIONS", RPC, {"Origin": "http://evil.example",
                                       "Access-Control-Request-Method": "POST"})[0] == 403
    assert server.ask("GET", RPC)[0] == 405


def test_an_allowed_origin_and_name_may(server):
    server.start("--dev", "--cors-origin", "http://app.example", "--host-name", "box.example")
    answer = server.ask(headers={"Origin": "http://app.example", "Host": "box.example"})
    assert answer[0] == 200
    assert answer[2]["Access-Control-Allow-Origin"] == "http://app.example"
    assert server.ask(headers={"Origin": "http://other.example"})[0] == 403


# --- draining ---------------------------------------------------------------------------------------------

def test_a_stop_closes_connections_that_wait_for_nothing(server):
    server.start("--dev")
    idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    idle.request("GET", "/api/v1/health")
    idle.getresponse().read()
    assert server.msb("stop").returncode == 0
    assert idle.sock.recv(1) == b""
    idle.close()
