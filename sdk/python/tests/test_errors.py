"""What is raised when something goes wrong."""

import httpx
import pytest

import microsandbox
from conftest import out, script
from microsandbox import PythonSandbox, errors
from microsandbox._failures import explained

CODES = [
    (2001, 400, errors.ValidationError),
    (1001, 401, errors.AuthenticationError),
    (1004, 401, errors.InvalidTokenError),
    (3001, 403, errors.PermissionDeniedError),
    (4001, 404, errors.NotFoundError),
    (4002, 409, errors.AlreadyExistsError),
    (4003, 409, errors.BusyError),
    (3002, 429, errors.LimitExceededError),
    (5002, 500, errors.InternalServerError),
    (-32600, 400, errors.InvalidRequestError),
    (-32601, 404, errors.MethodNotFoundError),
    (-32700, 400, errors.ParseError),
    (9999, 418, errors.ApiError),
]


@pytest.mark.parametrize("code, status, kind", CODES)
async def test_each_code_has_a_class(fake, code, status, kind):
    sandbox = PythonSandbox(name=f"error-{code}-{status}")
    for call in (sandbox.run("1"), sandbox.run("1", on_stdout=print)):
        with pytest.raises(errors.ApiError, match="do that") as caught:
            await call
        assert type(caught.value) is kind
        assert (caught.value.code, caught.value.status) == (code, status)
    assert issubclass(kind, RuntimeError)  # what the package of old raised
    await sandbox.close()


async def test_an_error_in_a_stream_is_raised_after_what_came_before(fake):
    seen = []
    sandbox = PythonSandbox(name="test")
    with pytest.raises(errors.BusyError, match="the server drains") as caught:
        await sandbox.run(
            script(out("1"), error=[409, 4003, "the server drains"]), on_stdout=seen.append
        )
    assert (seen, caught.value.status) == (["1"], 409)


async def test_a_stream_that_is_cut_is_an_error_not_a_result(fake):
    sandbox = PythonSandbox(name="test")
    with pytest.raises(errors.ConnectionLostError, match="without a result"):
        await sandbox.run(script(out("1"), cut=True), on_stdout=print)
    stream = sandbox.stream(script(out("1")))
    await stream.aclose()
    with pytest.raises(errors.ConnectionLostError, match="no result"):
        await stream.result()


@pytest.mark.parametrize("text, told", [("", "ReadError"), ("reset by peer", "reset by peer")])
def test_a_connection_that_is_lost_says_why_even_if_its_cause_does_not(text, told):
    with pytest.raises(errors.ConnectionLostError, match=f"was complete: {told}. The server"):
        with explained("http://127.0.0.1:1"):
            raise httpx.ReadError(text)


async def test_a_server_that_is_not_there_is_named_with_how_to_start_one():
    async with PythonSandbox_at("http://127.0.0.1:9") as sandbox:
        with pytest.raises(errors.ServerUnreachableError) as caught:
            await sandbox.run("1")
    assert "http://127.0.0.1:9" in str(caught.value)
    assert "msb server start --dev" in str(caught.value)


class PythonSandbox_at:
    def __init__(self, url):
        self.sandbox = PythonSandbox(url, name="test")

    async def __aenter__(self):
        return self.sandbox

    async def __aexit__(self, *_):
        await self.sandbox.close()


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://[::1"])
async def test_a_url_that_is_none_is_said_to_be_none(url):
    with pytest.raises(ValueError):
        await PythonSandbox(url, name="test").run("1")


async def test_an_answer_that_is_not_the_servers_is_shown(fake):
    sandbox = PythonSandbox(name="garbage")
    for call in (sandbox.run("1"), sandbox.run("1", on_stdout=print)):
        with pytest.raises(errors.UnexpectedResponseError, match="502.*Bad Gateway"):
            await call


async def test_a_start_that_takes_too_long_is_a_timeout(fake, monkeypatch):
    import http.server
    import threading

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            released.wait()

    released = threading.Event()
    server = http.server.HTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sandbox = PythonSandbox(f"http://127.0.0.1:{server.server_port}", name="test")
    with pytest.raises(TimeoutError) as caught:
        await sandbox.start(timeout=0.1)
    assert isinstance(caught.value, errors.RequestTimeoutError)
    released.set()
    server.shutdown()


def test_every_public_name_has_documentation():
    for module in (microsandbox, __import__("microsandbox.sync").sync):
        for name in module.__all__:
            thing = getattr(module, name)
            if isinstance(thing, type):
                public = [thing, *(v for k, v in vars(thing).items() if k[0] != "_" and callable(v))]
                assert all(each.__doc__ for each in public), name
