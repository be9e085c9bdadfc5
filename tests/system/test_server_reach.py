"""The host, which nobody reaches through the server: with a key or without, over HTTP, WebSockets and MCP."""

import json
import secrets
import urllib.parse

import pytest
from conftest import HOME
from mcp_session import McpSession
from server_tools import Server, lines_of, nothing_left_behind, refusal, small  # noqa: F401
from web_socket import WebSocket


@pytest.fixture(scope="module", params=["without keys", "with a key"])
def server(request, nothing_left_behind):  # noqa: F811
    one = Server(dev=request.param == "without keys")
    yield one
    one.end()


@pytest.fixture(scope="module")
def base(server):
    return server.sandbox("microsandbox/base", memory=128)


# --- the ways in ------------------------------------------------------------------------------------------

class Http:
    prefix = "sandbox."

    def __init__(self, server):
        self.server = server

    def methods(self):
        """{name: schema of its params}"""
        return self.server.methods()

    def call(self, name, params):
        """Whether it was done, and all that was answered."""
        status, _, body = self.server.post(self.prefix + name, params)
        return status == 200, body.decode()


class OverWebSocket(Http):
    def __init__(self, server):
        super().__init__(server)
        self.socket = WebSocket(server)

    def call(self, name, params):
        answer = self.socket.call(self.prefix + name, params)
        return "result" in answer, json.dumps(answer)


class Mcp:
    prefix = "sandbox_"

    def __init__(self, server):
        self.session = McpSession(server)

    def methods(self):
        return {tool["name"]: tool["inputSchema"] for tool in self.session.tools()}

    def call(self, name, params):
        _, answer = self.session.call(self.prefix + name, params)
        return "result" in answer and not answer["result"].get("isError"), json.dumps(answer)


@pytest.fixture(params=[Http, OverWebSocket, Mcp])
def transport(request, server):
    return request.param(server)


# --- configurations ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("member, value", [
    ("volumes", ["/etc:/etc"]), ("volumes", ["./here:/there"]), ("volumes", ["/"]), ("volumes", [""]),
    ("volumes", ["name:/data"]),
    ("ports", ["8080:80"]), ("ports", ["127.0.0.1:1:1"]), ("ports", ["80"]),
    ("depends_on", ["database"]),
    ("env_file", "/etc/passwd"), ("env_file", ".env"), ("env_file", ""),
    ("image", "/etc"), ("image", "./image"), ("image", "../image"), ("image", "~/image"), ("image", "."),
    ("image", "file:///etc"), ("image", "oci:/tmp"), ("image", "docker-archive:/etc/passwd"),
    ("image", "docker://busybox"), ("image", "http://127.0.0.1/image"), ("image", "a/../../etc"),
    ("image", "/proc/self/fd/3"), ("image", "busybox\0"), ("image", " busybox"), ("image", "-v"),
    ("scripts", {"../../etc/passwd": "x"}), ("scripts", {"/etc/passwd": "x"}), ("scripts", {"..": "x"}),
    ("workdir", "relative"), ("workdir", "../.."),
])
def test_no_configuration_reaches_the_host(server, transport, member, value):
    config = small(**{member: value})
    done, said = transport.call("start", {"sandbox": "t-host", "config": config})
    assert not done and member.rstrip("s") in said, said
    assert "root:" not in said
    assert "t-host" not in [s["name"] for s in server.call("sandbox.list", namespace="*")["sandboxes"]]
    assert ("default", "t-host") not in server.stored()
    if type(transport) is Http:
        refused = refusal(server, "sandbox.start", sandbox="t-host", config=config)
        assert (refused.status, refused.code) == (400, 2001)


def test_a_configuration_that_was_stored_takes_no_reach_either(transport, base):
    for config in ({"volumes": ["/etc:/etc"]}, {"env_file": "/etc/passwd"}, {"ports": ["1:1"]}):
        done, said = transport.call("start", {"sandbox": base.name, "config": config})
        assert not done and next(iter(config)) in said, said


# --- paths ------------------------------------------------------------------------------------------------

@pytest.fixture
def on_the_host(tmp_path):
    """A file of the host that everybody may read, in a directory that everybody may write."""
    for directory in [tmp_path, *tmp_path.parents][:-2]:
        if directory.stat().st_mode & 0o777 == 0o700:
            directory.chmod(0o711)
    tmp_path.chmod(0o777)
    file = tmp_path / "host-file"
    file.write_text("of the host")
    file.chmod(0o777)
    return file


def test_no_path_in_any_method_is_one_of_the_host(server, transport, base, on_the_host):
    """Each method that takes a path is given one that is there on the host alone."""
    def given(schema):
        required = {"sandbox": base.name, "language": "python", "code": "1", "process": "0" * 32,
                    "columns": 1, "rows": 1, "command": str(on_the_host), "path": str(on_the_host),
                    "from": str(on_the_host), "to": str(on_the_host) + "2", "text": "of the sandbox"}
        return {name: required[name] for name in {*schema.get("required", []), "text"} & {*schema["properties"]}}

    tried = 0
    for name, schema in transport.methods().items():
        if not {"path", "from", "command"} & set(schema["properties"]):
            continue
        tried += 1
        name = name.removeprefix(transport.prefix)
        done, said = transport.call(name, given(schema))
        assert not done or name in ("files.write", "files.mkdir", "write_file"), (name, said)
        assert "of the host" not in said
        server.post("sandbox.files.remove", {"sandbox": base.name, "path": str(on_the_host), "recursive": True})
    assert tried >= (4 if type(transport) is Mcp else 10)
    assert on_the_host.read_text() == "of the host"
    assert [file.name for file in on_the_host.parent.iterdir()] == ["host-file"]


READING = {Http: ("command.run", "files.read"), OverWebSocket: ("command.run", "files.read"),
           Mcp: ("run_command", "read_file")}


def test_working_directories_users_and_links_are_the_sandboxs(server, transport, base, on_the_host):
    run, read = READING[type(transport)]
    made = on_the_host.parent / "made"
    transport.call(run, {"sandbox": base.name, "command": "pwd", "workdir": str(made)})
    server.post("sandbox.process.start", {"sandbox": base.name, "command": "pwd", "workdir": str(made)})
    assert not made.exists()
    links = f"/srv/{secrets.token_hex(4)}"
    base.sh(f"mkdir {links}; ln -s {on_the_host} {links}/link; ln -s ../../../../../../../../.. {links}/up")
    for path in (f"{links}/link", f"{links}/up{on_the_host}", f"/../../..{on_the_host}",
                 f"/proc/1/root{on_the_host}", f"/proc/self/cwd{on_the_host}"):
        done, said = transport.call(read, {"sandbox": base.name, "path": path})
        assert not done and "of the host" not in said, path
        query = urllib.parse.urlencode({"sandbox": base.name, "path": path})
        assert server.ask("GET", f"/api/v1/files?{query}")[0] in (400, 403, 404), path


def test_nothing_of_the_servers_environment_or_network_is_in_a_sandbox(server, base):
    environment = lines_of(base.sh("env; cat /proc/1/environ /proc/cmdline /proc/mounts | tr '\\0' '\\n'"))
    assert server.directory not in environment and str(HOME) not in environment
    reached = base.sh(f"(echo > /dev/tcp/127.0.0.1/{server.port}) 2>&1 && echo reached; exit 0")
    assert "reached" not in lines_of(reached)


def test_a_sandbox_has_no_network_and_agents_are_told(server, base):
    assert lines_of(base.sh("ls /sys/class/net")) == "lo\n"
    [start] = [tool for tool in McpSession(server).tools() if tool["name"] == "sandbox_start"]
    assert "no network" in start["description"]
