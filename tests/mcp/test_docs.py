"""What docs/mcp.md tells users to type is well-formed, and leads to the server or to `msb mcp`."""

import json
import re
import shlex
import subprocess
import tomllib

import pytest

from conftest import ROOT, TABLE_OF_TOOLS

TEXT = (ROOT / "docs" / "mcp.md").read_text()
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)


def of(language):
    return [text for kind, text in SNIPPETS if kind == language]


def servers(configuration):
    (table,) = configuration.values()
    return table["microsandbox"]


def check_server(server):
    url = server.get("url") or server.get("serverUrl") or server.get("httpUrl")
    assert url == "http://127.0.0.1:5555/mcp" or (server["command"], server["args"]) == ("msb", ["mcp"])


@pytest.mark.parametrize("text", of("json"))
def test_json(text):
    check_server(servers(json.loads(text)))


@pytest.mark.parametrize("text", of("toml"))
def test_toml(text):
    check_server(servers(tomllib.loads(text)))


@pytest.mark.parametrize("line", [line for text in of("sh") for line in text.splitlines() if "claude" in line])
def test_claude_mcp_add(line):
    words = shlex.split(line)
    assert words[:3] == ["claude", "mcp", "add"]
    assert words[-2:] == ["msb", "mcp"] or "http://127.0.0.1:5555/mcp" in words


def test_the_request_by_hand_is_answered(url):
    (line,) = [line for text in of("sh") for line in text.splitlines() if line.startswith("curl")]
    ran = subprocess.run(line.replace("http://127.0.0.1:5555/mcp", url), shell=True, capture_output=True, text=True)
    assert '"protocolVersion":"2025-11-25"' in ran.stdout
    assert "mcp-session-id" in ran.stdout.lower()


def test_the_table_names_the_tools():
    assert re.findall(r"^\| `(sandbox_\w+)`", TEXT, re.M) == TABLE_OF_TOOLS
