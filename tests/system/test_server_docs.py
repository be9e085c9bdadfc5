"""The documentation of the server: its commands run, its snippets parse, what is generated is up to date."""

import json
import subprocess

import pytest
from conftest import ROOT
from docs_tools import WebSocket, blocks, run_script
from server_tools import nothing_left_behind, server  # noqa: F401


# --- docs/api.md ------------------------------------------------------------------------------------------

def test_the_reference_of_the_api_is_what_the_server_says_of_itself(server):
    made = subprocess.run([ROOT / "scripts/api-docs", f"http://127.0.0.1:{server.port}"], capture_output=True,
                          text=True, check=True)
    assert made.stdout == (ROOT / "docs/api.md").read_text(), "make it again: scripts/api-docs URL > docs/api.md"


def test_the_examples_of_the_reference_print_what_it_says(server):
    run_script("".join(blocks("docs/api.md", "sh")), server, MSB_API_KEY="none")


def test_exactly_the_methods_that_the_reference_says_stream(server):
    _, _, text = server.ask("GET", "/api/v1/openapi.json")
    reference = (ROOT / "docs/api.md").read_text()
    for name in json.loads(text)["components"]["schemas"]:
        if not name.endswith(".request"):
            continue
        method = name.removesuffix(".request")
        # Without parameters nothing is done; the kind of the answer is decided before.
        _, headers, _ = server.post(method, {"sandbox": "", "namespace": "nobody"},
                                    {"Accept": "text/event-stream"})
        streams = headers["Content-Type"].startswith("text/event-stream")
        section = reference.split(f"### {method}\n")[1].split("###")[0]
        assert ("*Streams.*" in section) == streams, method


def test_a_web_socket_hears_what_the_reference_says(server):
    [conversation] = blocks("docs/api.md", "json")
    request, *answers = map(json.loads, conversation.splitlines())
    server.names.append("demo")
    server.call("sandbox.start", sandbox="demo", config={"image": "microsandbox/python", "memory": 256})
    web_socket = WebSocket(server.port, "/api/v1/ws")
    web_socket.send(request)
    assert [web_socket.receive() for _ in answers] == answers
    web_socket.close()
