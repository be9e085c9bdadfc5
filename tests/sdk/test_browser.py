"""sdk/javascript in a page: its ES modules without anything of Node's, and the server's rules for foreign origins."""

import json
import os
import re
import subprocess
import threading

import pytest

from conftest import MSB
from test_javascript import project, source  # noqa: F401 (fixtures)
from tools import TESTS

ORIGIN = "http://app.example:3000"


@pytest.fixture(scope="module")
def served(home, server):
    """(url, key) of a server that lets pages of ORIGIN call it, and wants a key. Its images are the tests'."""
    own = home / "for-pages"
    own.mkdir(mode=0o700)
    (own / "images").symlink_to((home / "images").resolve())
    env = {**os.environ, "MSB_HOME": str(own)}
    process = subprocess.Popen([MSB, "server", "start", "--port", "0", "--cors-origin", ORIGIN], env=env,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    url = re.match(r"Listening on (\S+)", process.stdout.readline())[1]
    threading.Thread(target=process.stdout.read, daemon=True).start()
    key = subprocess.run([MSB, "server", "keygen", "--json"], env=env, capture_output=True, check=True).stdout
    yield url, json.loads(key)["token"]
    process.terminate()
    process.wait(60)


@pytest.fixture
def open_page(project, node):  # noqa: F811
    def open_page(origin, url, key):
        given = json.dumps({"origin": origin, "serverUrl": url, "apiKey": key})
        entry = project / "node_modules/microsandbox/dist/esm/index.js"
        flags = ["--experimental-vm-modules", "--no-warnings"]
        return json.loads(node.node(*flags, TESTS / "browser.mjs", entry, given, cwd=project))

    return open_page


def test_a_page_of_an_allowed_origin_does_all_that_a_program_does(open_page, served):
    seen = open_page(ORIGIN, *served)
    assert "refused" not in seen, seen
    assert seen["globals"] == []
    assert seen["output"] == "from the page"
    assert seen["files"] == {"text": "text", "part": 5, "whole": 300000, "names": ["a.txt", "big"]}
    assert seen["streams"] == {"types": ["output", "display"], "aborted": "AbortError", "kept": "1"}
    assert seen["processes"] == {"text": "to and fro\n", "code": 0}
    assert seen["mcp"] == {"session": "string", "ended": 204, "stateless": True}
    assert seen["missing"]["name"] == "NotFoundError" and "/tmp/absent" in seen["missing"]["message"]
    assert {"POST authorization,content-type", "PUT authorization,content-type", "GET authorization"} <= set(
        seen["preflights"])


@pytest.mark.parametrize("origin", ["http://evil.example", "http://app.example", "https://app.example:3000"])
def test_a_page_of_another_origin_is_refused_and_told_what_may_be_wrong(open_page, served, origin):
    seen = open_page(origin, *served)
    assert seen["refused"]["name"] == "ServerUnreachableError"
    assert f"--cors-origin {origin}" in seen["refused"]["message"]


def test_a_server_that_was_given_no_origin_lets_no_page_in(open_page, server):
    seen = open_page(ORIGIN, server, "")
    assert seen["refused"]["name"] == "ServerUnreachableError"
    assert seen["preflights"] == []
