"""What a person types at a terminal about a server: it in the foreground, its log, a shell in one of its sandboxes."""

import json
import shlex
import signal

import pytest
from conftest import ROOT, run
from docs_tools import Place, blocks
from server_tools import Server, nothing_left_behind, server, unique  # noqa: F401
from test_terminal import interrupt_a_program_in, resize

HOSTING = "docs/self-hosting.md"


def described(command):
    """The words of a command that the document names."""
    assert f"`{command}`" in (ROOT / HOSTING).read_text()
    return shlex.split(command)[1:]


# --- msb server start ---------------------------------------------------------------------------------------

def test_control_c_ends_a_server_in_the_foreground_and_its_sandboxes_go_on(terminal, tmp_path):
    [line] = [block for block in blocks(HOSTING, "shell") if "start --dev" in block]
    assert "Ctrl-C ends it, its sandboxes go on" in line
    place = Place(tmp_path)
    env = {"MSB_HOME": place.directory}
    opened = terminal(*shlex.split(line, comments=True)[1:], "--port", place.port, env=env)
    opened.expect(rb"Listening on http://127\.0\.0\.1:\d+")
    name = unique("t-foreground")
    started = {"jsonrpc": "2.0", "id": 1, "method": "sandbox.start",
               "params": {"sandbox": name, "config": {"image": "busybox", "memory": 64}}}
    Server.ask(Client(place.port), "POST", "/api/v1/rpc", json.dumps(started), {"Content-Type": "application/json"})
    opened.send(b"\x03")
    assert opened.code() == 0
    assert not json.loads(run("server", "status", "--json", env=env).stdout)["running"]
    assert run("exec", f"default/{name}", "--", "echo", "here").stdout == b"here\n"
    assert run("stop", "-t", "0", f"default/{name}").returncode == 0


class Client:
    """What Server.ask needs of a server that another started."""

    headers = {}
    connect = Server.connect

    def __init__(self, port):
        self.port = port


# --- msb server log -f --------------------------------------------------------------------------------------

def test_the_log_is_followed_until_control_c(server, terminal):  # noqa: F811
    following = terminal(*described("msb server log -f"), env=server.env)
    for path in ("/api/v1/health", "/api/v1/absent"):
        server.ask("GET", path)
        line = json.loads(following.expect(rb'(\{[^\n]*"path":"' + path.encode() + rb'"[^\n]*\})\r\n')[1])
        assert line["status"] == (404 if "absent" in path else 200)
    following.send(b"\x03")
    assert following.code() == -signal.SIGINT
    assert server.ask("GET", "/api/v1/health")[0] == 200  # it was the log that ended


# --- msb server ssh -----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def box(server):  # noqa: F811
    return server.sandbox("busybox", memory=64).name


def test_a_shell_in_a_sandbox_is_on_a_terminal_and_ends_with_its_code(server, box, terminal):  # noqa: F811
    shell = terminal("server", "ssh", box, env=server.env)
    shell.expect(rb"[#$] ")
    shell.send(b"tty; echo 6*7=$((6*7)) on $(hostname)\r")
    shell.expect(rb"/dev/pts/\d+")
    shell.expect(rb"6\*7=42 on " + box.encode())
    shell.send(b"exit 7\r")
    assert shell.code() == 7


def test_such_a_shell_has_the_size_of_the_terminal_and_follows_it(server, box, terminal):  # noqa: F811
    shell = terminal("server", "ssh", "-n", "default", box, env=server.env)
    resize(shell, 33, 111)
    shell.expect(rb"[#$] ")
    for rows, columns in ((33, 111), (44, 99)):
        resize(shell, rows, columns)
        size = b"%d %d" % (rows, columns)
        shell.send(b"until stty size | grep '^" + size + b"$'; do :; done\r")
        shell.expect(rb"\n" + size + rb"\r\n")
    shell.send(b"exit\r")
    assert shell.code() == 0


def test_control_c_in_such_a_shell_interrupts_the_program_alone(server, box, terminal):  # noqa: F811
    shell = terminal("server", "ssh", box, env=server.env)
    shell.expect(rb"[#$] ")
    interrupt_a_program_in(shell)
    shell.send(b"\x04")
    shell.code()
