"""Agents at work: the official SDKs as clients of the product itself, over both transports, with real sandboxes."""

import base64
import json
import secrets
import subprocess

import pytest

from conftest import HERE, TABLE_OF_TOOLS
from product import Product

# Waits in the sandbox until something is written there; said first, so that the client knows.
WAIT = "import os; os.path.exists('/tmp/gate') or os.mkfifo('/tmp/gate'); print('waiting', flush=True); " \
       "print('came:', open('/tmp/gate').read())"
FIGURE = "import matplotlib.pyplot as plt; plt.plot([1, 4, 9]); plt.savefig('/tmp/figure.png'); plt.show()"


@pytest.fixture(scope="session")
def product(tmp_path_factory):
    one = Product(tmp_path_factory.mktemp("home"))
    yield one
    one.end()


@pytest.fixture(params=["http", "stdio"])
def transport(request):
    return request.param


def steps_of(box):
    """{name: step}: what the agent does, in this order."""

    def code(text, **more):
        return ["sandbox_run_code", {"sandbox": box, "language": "python", "code": text, **more}]

    def tool(name, **arguments):
        return [f"sandbox_{name}", {"sandbox": box, **arguments}]

    return {
        "too early": {"call": code("1")},
        "start": {"call": tool("start", config={"image": "microsandbox/python-data", "memory": 512})},
        "define": {"call": code("x = 41\nprint('defined')")},
        "stream": {
            "call": code(WAIT), "when": "waiting",
            "then": tool("run_command", command="sh", args=["-c", "echo a word > /tmp/gate"]),
        },
        "figure": {"call": code(FIGURE)},
        "write": {"call": tool("write_file", path="/data/notes/one.txt", text="first\nsecond\n")},
        "list": {"call": tool("list_files", path="/data", depth=2)},
        "read": {"call": tool("read_file", path="/data/notes/one.txt")},
        "read image": {"call": tool("read_file", path="/tmp/figure.png")},
        "exception": {"call": code("1 / 0")},
        "missing": {"call": tool("read_file", path="/data/absent")},
        "wrong": {"call": tool("run_command", command=7)},
        "exit code": {"call": tool("run_command", command="sh", args=["-c", "echo out; exit 3"])},
        "timeout": {"call": code("import time; time.sleep(1000)", timeout=0.2)},
        "cancel": {"call": code(WAIT), "when": "waiting", "then": "cancel"},
        "after": {"call": code("x + 1")},
        "metrics": {"call": tool("get_metrics")},
        "stop": {"call": tool("stop")},
        "all": {"call": ["sandbox_list", {}]},
        "leave": {"call": tool("start")},
    }


def check_output(steps):
    assert steps["start"]["failed"] is False and "sandbox_run_code" in steps["start"]["text"]
    assert steps["define"]["text"] == "defined\n"
    stream = steps["stream"]
    assert "waiting" in stream["progress"][0] and "came" not in stream["progress"][0]
    assert stream["then"]["failed"] is False
    assert stream["text"] == "waiting\ncame: a word\n\n"
    assert steps["exit code"]["text"] == "out\n[exit code 3]\n" and steps["exit code"]["failed"] is False
    assert steps["exit code"]["structured"]["exit_code"] == 3
    ((kind, data),) = steps["figure"]["images"]
    assert kind == "image/png" and base64.b64decode(data).startswith(b"\x89PNG\r\n\x1a\n")


def check_files(steps):
    assert steps["write"]["structured"]["size"] == 13
    listed = {entry["path"]: entry["type"] for entry in steps["list"]["structured"]["entries"]}
    assert listed == {"/data/notes": "directory", "/data/notes/one.txt": "file"}
    assert steps["read"]["text"] == steps["read"]["structured"]["text"] == "first\nsecond\n"
    ((kind, data),) = steps["read image"]["images"]
    assert kind == "image/png" and base64.b64decode(data).startswith(b"\x89PNG\r\n\x1a\n")


def check_failures(steps, box):
    said = {name: steps[name]["text"] for name in ("too early", "exception", "missing", "wrong", "timeout")}
    assert all(steps[name]["failed"] for name in said)
    assert box in said["too early"] and "sandbox_start" in said["too early"]
    assert "ZeroDivisionError" in said["exception"]
    assert "/data/absent" in said["missing"] and "sandbox_list_files" in said["missing"]
    assert "command" in said["wrong"]
    assert "timeout" in said["timeout"]
    assert steps["cancel"]["cancelled"] is True and "waiting" in steps["cancel"]["progress"][0]
    assert steps["after"]["text"] == "42\n"  # the code was interrupted, what it had defined is kept


def check_end(steps, box):
    (measured,) = steps["metrics"]["structured"]["sandboxes"]
    assert measured["name"] == box and measured["running"] is True
    states = {one["name"]: one["status"] for one in steps["all"]["structured"]["sandboxes"]}
    assert states[box] == "stopped"
    assert steps["leave"]["failed"] is False


def has_a_whole_session(product, transport, command, **more):
    """What the client says of itself."""
    box = "agent-" + secrets.token_hex(4)
    steps = steps_of(box)
    server = product.over_http() if transport == "http" else product.over_stdio()
    told = {"server": server, "steps": list(steps.values()), **more}
    ran = subprocess.run([*command, json.dumps(told)], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert seen["server"] == "microsandbox"
    assert "sandbox_start" in seen["instructions"] and "no network" in seen["instructions"]
    assert seen["tools"] == TABLE_OF_TOOLS
    assert "box" in seen["prompt"]
    done = dict(zip(steps, seen["steps"], strict=True))
    check_output(done)
    check_files(done)
    check_failures(done, box)
    check_end(done, box)
    # A server's sandboxes outlive the session; those that a session of `msb mcp` has started end with it.
    assert product.status(box) == ("running" if transport == "http" else "stopped")
    return seen


def test_an_agent_with_the_typescript_sdk(product, transport, npm, node):
    has_a_whole_session(product, transport, [node, HERE / "agent.mjs", npm])


@pytest.mark.parametrize("mode, version", [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
def test_an_agent_with_the_python_sdk(product, transport, sdk_python, mode, version):
    seen = has_a_whole_session(product, transport, [sdk_python, HERE / "agent.py"], mode=mode)
    assert seen["version"] == version
