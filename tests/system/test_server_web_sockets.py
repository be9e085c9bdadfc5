"""How WebSockets end, what ends with them, and how much one can ask for at once."""

from conftest import wait_until
from server_tools import Server, nothing_left_behind, server  # noqa: F401
from web_socket import WebSocket


def test_a_web_socket_ends_with_its_key(nothing_left_behind):  # noqa: F811
    keyed = Server(dev=False)
    try:
        key = keyed.key("--namespace", "alpha", "--expire", "3s")
        socket = WebSocket(keyed, {"Authorization": f"Bearer {key}"})
        assert socket.call("sandbox.list", {"namespace": "alpha"})["result"] == {"sandboxes": []}
        assert socket.receive() is None and socket.close_code == 1008  # nobody else ends it
        socket.close()
    finally:
        keyed.end()


def test_a_server_that_ends_closes_the_web_sockets_that_wait(nothing_left_behind):  # noqa: F811
    one = Server()
    try:
        socket = WebSocket(one)
        assert socket.call("sandbox.list", {})["result"] == {"sandboxes": []}
        assert one.stop().returncode == 0
        assert socket.receive() is None and socket.close_code == 1001
        socket.close()
    finally:
        one.end()


# --- what ends with one -----------------------------------------------------------------------------------

def test_a_program_of_a_web_socket_that_closes_is_killed(server):  # noqa: F811
    sandbox = server.sandbox("busybox", memory=64)
    socket = WebSocket(server)
    run = {"sandbox": sandbox.name, "command": "sh", "args": ["-c", "echo started; exec sleep 98765"]}
    socket.send({"jsonrpc": "2.0", "id": 1, "method": "sandbox.command.run", "params": run})
    assert socket.receive()["params"]["data"]["text"] == "started\n"
    wait_until(lambda: sandbox.sh("pidof sleep")["success"], "the program")
    socket.close()
    wait_until(lambda: not sandbox.sh("pidof sleep")["success"], "the program's end")


def test_code_of_a_web_socket_that_closes_is_interrupted(server):  # noqa: F811
    sandbox = server.sandbox()
    socket = WebSocket(server)
    code = "import time\ntry:\n    print('started')\n    time.sleep(98765)\nexcept KeyboardInterrupt:\n    seen = True"
    run = {"sandbox": sandbox.name, "language": "python", "code": code}
    socket.send({"jsonrpc": "2.0", "id": 1, "method": "sandbox.repl.run", "params": run})
    assert socket.receive()["params"]["data"]["text"] == "started\n"
    socket.close()
    assert sandbox.output("seen") == "True\n"  # the next run waits for the one before


# --- how much at once -------------------------------------------------------------------------------------

CALLS = 64


def test_a_web_socket_has_so_many_calls_open_and_others_have_theirs(server):  # noqa: F811
    sandbox = server.sandbox("busybox", memory=64)
    process = sandbox.call("process.start", command="sleep", args=["98765"])["process"]
    waiting, other = WebSocket(server), WebSocket(server)
    params = {"sandbox": sandbox.name, "process": process}

    def wait(id):
        waiting.send({"jsonrpc": "2.0", "id": id, "method": "sandbox.process.wait", "params": params})

    for id in range(CALLS):
        wait(id)
    refused = waiting.call("sandbox.list", {}, id="more")
    assert refused["error"]["code"] == 3002 and f"{CALLS} calls are open" in refused["error"]["message"]
    assert other.call("sandbox.process.signal", {**params, "signal": "KILL"})["result"] == {}
    answers = [waiting.receive() for _ in range(CALLS)]
    assert sorted(answer["id"] for answer in answers) == list(range(CALLS))
    assert all(answer["result"]["signal"] == 9 for answer in answers)
    assert "result" in waiting.call("sandbox.list", {}, id="again")
    waiting.close()
    other.close()
