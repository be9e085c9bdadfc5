"""How WebSockets end that nobody closes."""

from server_tools import Server, nothing_left_behind  # noqa: F401
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
