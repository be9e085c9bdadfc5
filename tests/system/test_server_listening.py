"""A server that listens on more than loopback addresses."""

import json
import pathlib
import re

import pytest
from conftest import ROOT, run
from server_tools import Server, nothing_left_behind  # noqa: F401

NAME = "sandbox.example.com"


def addresses():
    """One of this machine's that is not loopback, if it has one; and one that nothing listens on by default."""
    found = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", pathlib.Path("/proc/net/fib_trie").read_text())
    return sorted({address for address in found if not address.startswith("127.")})[:1] + ["127.0.0.2"]


@pytest.fixture(scope="module")
def server(nothing_left_behind):  # noqa: F811
    """As docs/self-hosting.md has it, on a network that is trusted."""
    [options] = re.findall(r"on a network you trust: `(.*?)`", (ROOT / "docs/self-hosting.md").read_text())
    one = Server(*options.replace("NAME", NAME).split(), dev=False)
    yield one
    one.end()


@pytest.fixture(params=addresses())
def ask(server, request):
    """Asks the server at an address: ask(host, headers) gives the status and the answer."""
    def ask(host, headers=None):
        connection = server.connect()
        connection.host = request.param
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sandbox.list", "params": {}})
        status, _, answer = server.ask("POST", "/api/v1/rpc", body, {
            "Content-Type": "application/json", "Host": host.replace("ADDRESS", request.param), **(headers or {})},
            connection)
        connection.close()
        return status, json.loads(answer)

    return ask


@pytest.mark.parametrize("host", [NAME, f"{NAME}:5555", "ADDRESS", "ADDRESS:5555"])
def test_it_answers_to_its_name_and_to_the_address_that_was_called(ask, host):
    status, answer = ask(host)
    assert (status, answer.get("result")) == (200, {"sandboxes": []}), answer


@pytest.mark.parametrize("host", ["evil.example", "192.0.2.77", "0.0.0.0"])
def test_it_answers_to_no_other_name_or_address(ask, host):
    status, answer = ask(host)
    assert status == 403 and "does not answer to the name" in answer["error"]


def test_nobody_is_let_in_without_a_key(ask):
    status, answer = ask(NAME, {"Authorization": ""})
    assert (status, answer["code"]) == (401, 1001)


def test_pages_of_its_own_name_may_call_it_and_others_may_not(ask):
    assert ask(NAME, {"Origin": f"http://{NAME}"})[0] == 200
    assert ask(NAME, {"Origin": "http://evil.example"})[0] == 403


def test_a_server_without_keys_does_not_listen_there(nothing_left_behind, server):  # noqa: F811
    done = run("server", "start", "--dev", "--host", "0.0.0.0", env=server.env)
    assert done.returncode == 1 and b"loopback addresses only" in done.stderr
