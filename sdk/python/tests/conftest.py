"""Tests of the package against tests/sdk/fake_server.py, which does what a test tells it in the request."""

import asyncio
import json
import pathlib
import subprocess
import sys
import urllib.request

import pytest

FAKE = pathlib.Path(__file__).resolve().parents[3] / "tests/sdk/fake_server.py"


class Fake:
    def __init__(self, url):
        self.url = url

    def requests(self, method=None):
        """What was asked so far."""
        with urllib.request.urlopen(f"{self.url}/recorded") as answer:
            return [each for each in json.load(answer) if method in (None, each["method"])]

    def params(self, method):
        """Parameters of the only request of a method."""
        (request,) = self.requests(method)
        return request["params"]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A server of the test's own; the environment says that it is the one to use."""
    command = [sys.executable, str(FAKE)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    monkeypatch.setenv("MSB_SERVER_URL", url)
    monkeypatch.delenv("MSB_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    yield Fake(url)
    server.stdin.close()
    server.wait()


def pytest_pyfunc_call(pyfuncitem):
    """Coroutine functions are tests, too."""
    if not asyncio.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def script(*events, **more):
    """Code that makes the fake server answer these events."""
    return json.dumps({"events": events, **more})


def out(text, stream="stdout"):
    return ["output", {"stream": stream, "text": text}]
