"""Clients of microsandbox 0.1 and 0.2, unmodified. Judged by what they print: they exit 0 whatever happens."""

import json
import urllib.error
import urllib.request

import pytest

from tools import TESTS, Venv, fresh


@pytest.fixture(scope="module")
def venv():
    return Venv(fresh("published-venv"), "microsandbox==0.1.8")


def test_the_python_client_works(venv, server, user_env, folder):
    output = venv.python(TESTS / "published_python.py", cwd=folder, env=user_env)
    assert output.splitlines() == [
        "output: '21\\n42'",
        "status: success python False",
        "error: ZeroDivisionError: division by zero",
        "has_error: True",
        "command: 'out' 'err' 3 False sh",
        "metrics: True published-python default",
        "memory: True",
        "refused: True",
        "node: 'node\\n2' node",
        "again: True",
    ]


def test_the_rust_client_works(rust, server, user_env, folder):
    output = rust.program("published", cwd=folder, env=user_env)
    assert output.splitlines() == [
        'output: "21\\n42"',
        "status: success python false",
        "error: ZeroDivisionError: division by zero",
        'command: "out" "err" 3',
        'metrics: true Some(String("published-rust"))',
        "refused: true",
        'node: "node\\n2" node',
    ]


class Exchange:
    """Sends requests as a client did: its headers, its members in its order."""

    def __init__(self, server, headers, common):
        self.server, self.headers, self.common = server, headers, common

    def __call__(self, method, id, **params):
        request = {"jsonrpc": "2.0", "method": f"sandbox.{method}", "params": {**self.common, **params}, "id": id}
        sent = urllib.request.Request(f"{self.server}/api/v1/rpc", json.dumps(request).encode(), self.headers)
        try:
            with urllib.request.urlopen(sent) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def result(self, method, id, **params):
        status, answer = self(method, id, **params)
        assert status == 200 and "error" not in answer, answer
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", id)
        return answer["result"]


# The JavaScript client sent cpus as a whole number and its id as a UUID; the Go client cpus as 1.0, and "Go-http-client".
CLIENTS = {
    "javascript": ({"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "node"}, 1, "python"),
    "go": ({"Content-Type": "application/json", "User-Agent": "Go-http-client/1.1"}, 1.0, "node"),
}
CODE = {"python": ("print('hi')", "1/0"), "node": ("console.log('hi')", "throw new Error('boom')")}


@pytest.mark.parametrize("client", CLIENTS)
def test_exchanges_of_other_clients_are_answered_as_they_were(client, server):
    headers, cpus, language = CLIENTS[client]
    name = f"published-{client}"
    send = Exchange(server, headers, {"namespace": "default", "sandbox": name})
    config = {"image": f"microsandbox/{language}", "memory": 512, "cpus": cpus}
    assert send.result("start", "u1", config=config) == f"Sandbox {name} started successfully"

    ran = send.result("repl.run", "u2", language=language, code=CODE[language][0])
    assert (ran["status"], ran["language"]) == ("success", language)
    assert ran["output"] == [{"stream": "stdout", "text": "hi"}]
    assert send.result("repl.run", "u3", language=language, code=CODE[language][1])["status"] == "success"

    listed = send.result("command.run", "u4", command="ls", args=["-a", "/usr"], timeout=10)
    assert (listed["command"], listed["args"], listed["exit_code"]) == ("ls", ["-a", "/usr"], 0)
    assert listed["success"] is True and {"stream": "stdout", "text": "bin"} in listed["output"]

    (metrics,) = send.result("metrics.get", "u5")["sandboxes"]
    assert (metrics["namespace"], metrics["name"], metrics["running"]) == ("default", name, True)
    assert {"cpu_usage", "memory_usage", "disk_usage"} <= set(metrics)

    status, answer = send("command.run", "u6", command="/no/such/program", args=[])
    assert status >= 400 and isinstance(answer["error"], str)
    assert send.result("stop", "u7") == f"Sandbox {name} stopped successfully"
    status, answer = send("repl.run", "u8", language=language, code="1", sandbox="no-such-sandbox")
    assert (status, answer["code"]) == (404, 4001)


def test_requests_that_are_no_json_rpc_are_refused_as_they_were(server):
    send = Exchange(server, {"Content-Type": "application/json"}, {"namespace": "default"})
    status, answer = send("no.such.method", "u1")
    assert (status, answer["error"]["code"], answer["id"]) == (404, -32601, "u1")
    request = urllib.request.Request(f"{server}/api/v1/rpc", b'{"method":"sandbox.stop","id":1}', send.headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert (refused.value.code, json.load(refused.value)["error"]["code"]) == (400, -32600)
