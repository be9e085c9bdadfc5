"""Where the server is found, and with which key."""

import http.server
import threading

import pytest

from microsandbox import Client, PythonSandbox, ServerUnreachableError
from microsandbox._environment import is_loopback


async def test_the_key_is_sent_and_comes_from_the_argument_the_environment_or_dotenv(
    fake, monkeypatch, tmp_path
):
    (tmp_path / ".env").write_text("# keys\nexport MSB_API_KEY='msb_file' # mine\nOTHER\n")
    await PythonSandbox(name="test").run("1")
    monkeypatch.setenv("MSB_API_KEY", "msb_environment")
    await PythonSandbox(name="test").run("1")
    await PythonSandbox(name="test", api_key="msb_argument").run("1")
    assert [each["authorization"] for each in fake.requests()] == [
        "Bearer msb_file",
        "Bearer msb_environment",
        "Bearer msb_argument",
    ]


async def test_no_key_is_sent_where_there_is_none(fake):
    await PythonSandbox(name="test").run("1")
    assert fake.requests()[0]["authorization"] is None


def test_the_url_comes_from_the_argument_the_environment_or_is_the_default(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MSB_SERVER_URL", raising=False)
    assert PythonSandbox().server_url == "http://127.0.0.1:5555"
    monkeypatch.setenv("MSB_SERVER_URL", "http://host:1/")
    assert PythonSandbox().server_url == "http://host:1"
    assert PythonSandbox("http://other:2").server_url == "http://other:2"


@pytest.mark.parametrize(
    "url, expected",
    [
        ("http://127.0.0.1:5555", True),
        ("http://127.8.9.1", True),
        ("http://localhost:5555", True),
        ("http://a.localhost", True),
        ("http://[::1]:5555", True),
        ("http://192.168.0.1", False),
        ("http://localhost.example", False),
        ("https://127.0.0.1.example", False),
    ],
)
def test_loopback_is_recognized(url, expected):
    assert is_loopback(url) is expected


class Proxy(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        body = b'{"message":"from the proxy"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def proxy(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.url = f"http://127.0.0.1:{server.server_port}"
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, server.url)
    yield server
    server.shutdown()


async def test_a_server_on_this_machine_is_not_asked_for_through_the_proxy(fake, proxy):
    async with Client() as client:
        assert await client.health() == "Service is healthy"
    assert proxy.asked == []


async def test_another_host_is_asked_for_through_the_proxy(proxy):
    async with Client("http://sandboxes.example:5555") as client:
        assert await client.health() == "from the proxy"
    assert proxy.asked == ["http://sandboxes.example:5555/api/v1/health"]


async def test_a_proxy_that_is_asked_for_is_used_for_this_machine_too(fake, proxy):
    async with Client(proxy=proxy.url) as client:
        assert await client.health() == "from the proxy"


async def test_a_proxy_that_is_not_there_is_an_error(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with Client("http://sandboxes.example") as client:
        with pytest.raises(ServerUnreachableError, match="sandboxes.example.*HTTP_PROXY"):
            await client.health()
