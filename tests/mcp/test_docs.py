"""What docs/mcp.md tells users to type and to configure leads to a session with the product itself."""

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request

import pytest

from conftest import HERE, ROOT, TABLE_OF_TOOLS
from product import Product

TEXT = (ROOT / "docs" / "mcp.md").read_text()
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)
WRITTEN = "http://127.0.0.1:5555"
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
    "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}}


def of(language):
    return [text for kind, text in SNIPPETS if kind == language]


def lines_of(program):
    return [line for text in of("sh") for line in text.splitlines() if line.startswith(program)]


@pytest.fixture(scope="module")
def with_keys(tmp_path_factory):
    one = Product(tmp_path_factory.mktemp("home"))
    yield one
    one.end()


@pytest.fixture(scope="module")
def without_keys(tmp_path_factory):
    one = Product(tmp_path_factory.mktemp("home"), "--dev")
    yield one
    one.end()


@pytest.fixture
def initialize(with_keys, without_keys):
    """Begins a session as a client does that is configured so; gives the server's answer."""
    def initialize(server):
        if "command" in server:
            return over_stdio(with_keys, [server["command"], *server["args"]])
        url = server.get("url") or server.get("serverUrl") or server["httpUrl"]
        headers = {name: value.replace("${env:MSB_API_KEY}", with_keys.key)
                   for name, value in server.get("headers", {}).items()}
        return over_http(with_keys if headers else without_keys, url, headers)

    return initialize


def over_stdio(product, command):
    ran = subprocess.run(command, env={**os.environ, **product.env}, input=json.dumps(INITIALIZE) + "\n",
                         capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def over_http(product, url, headers):
    assert url.startswith(WRITTEN) or url.startswith(product.url)
    request = urllib.request.Request(url.replace(WRITTEN, product.url), json.dumps(INITIALIZE).encode(), {
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Mcp-Session-Id"]
        return json.load(answer)


def is_of_the_product(answer):
    return answer["result"]["serverInfo"]["name"] == "microsandbox" and "tools" in answer["result"]["capabilities"]


@pytest.mark.parametrize("text, parse", [(text, json.loads) for text in of("json")] +
                         [(text, tomllib.loads) for text in of("toml")])
def test_a_client_that_is_configured_so_begins_a_session(text, parse, initialize):
    (table,) = parse(text).values()
    assert list(table) == ["microsandbox"]
    assert is_of_the_product(initialize(table["microsandbox"]))


def test_all_configurations_are_tried():
    assert (len(of("json")), len(of("toml")), len(lines_of("claude"))) == (6, 1, 3)


@pytest.mark.parametrize("line", lines_of("claude"))
def test_claude_mcp_add(line, initialize, with_keys, tmp_path):
    """The line as a shell has it, with a stand-in for Claude Code that says what it would configure."""
    claude = tmp_path / "claude"
    claude.write_text(f"#!{sys.executable}\n{(HERE / 'claude.py').read_text()}")
    claude.chmod(0o755)
    env = {**os.environ, **with_keys.env, "PATH": f"{tmp_path}:{os.environ['PATH']}", "MSB_API_KEY": with_keys.key}
    ran = subprocess.run(["bash", "-euc", line], env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    (name, server), = json.loads(ran.stdout).items()
    assert name == "microsandbox"
    assert is_of_the_product(initialize(server))


def test_the_request_by_hand_is_answered(without_keys):
    (line,) = lines_of("curl")
    ran = subprocess.run(line.replace(WRITTEN, without_keys.url), shell=True, capture_output=True, text=True)
    assert '"protocolVersion":"2025-11-25"' in ran.stdout and '"name":"microsandbox"' in ran.stdout
    assert "mcp-session-id" in ran.stdout.lower()


def test_the_table_names_the_tools():
    assert re.findall(r"^\| `(sandbox_\w+)`", TEXT, re.M) == TABLE_OF_TOOLS
