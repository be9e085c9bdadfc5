"""The documentation of the server: its commands run, its snippets parse, what is generated is up to date."""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import types

import pytest
from conftest import ROOT, run, wait_until
from docs_tools import Place, blocks, free_port, matches, run_script
from server_tools import Refused, Server, nothing_left_behind, server  # noqa: F401
from web_socket import WebSocket

HOSTING = "docs/self-hosting.md"


def hear(web_socket, sandbox):
    """Has the reference's conversation over a WebSocket."""
    [conversation] = blocks("docs/api.md", "json")
    request, *answers = map(json.loads, conversation.splitlines())
    request["params"]["sandbox"] = sandbox
    web_socket.send(request)
    assert [web_socket.receive() for _ in answers] == answers
    web_socket.close()


# --- docs/api.md ------------------------------------------------------------------------------------------

def test_the_reference_of_the_api_is_what_the_server_says_of_itself(server):
    made = subprocess.run([ROOT / "scripts/api-docs", f"http://127.0.0.1:{server.port}"], capture_output=True,
                          text=True, check=True)
    assert made.stdout == (ROOT / "docs/api.md").read_text(), "make it again: scripts/api-docs URL > docs/api.md"


def test_the_examples_of_the_reference_print_what_it_says(server):
    run_script("".join(blocks("docs/api.md", "sh")), server, MSB_API_KEY="none")


def test_exactly_the_methods_stream_of_which_the_reference_says_so(server):
    reference = (ROOT / "docs/api.md").read_text()
    for method in server.methods():
        # Such a sandbox cannot be; the kind of the answer is decided before.
        _, headers, _ = server.post(method, {"sandbox": "", "namespace": "nobody"},
                                    {"Accept": "text/event-stream"})
        streams = headers["Content-Type"].startswith("text/event-stream")
        section = reference.split(f"### {method}\n")[1].split("###")[0]
        assert ("*Streams.*" in section) == streams, method


def test_the_reference_and_the_description_name_the_same_events(server):
    table = (ROOT / "docs/api.md").read_text().split("| method | events |")[1].split("\n\n")[0]
    answer = json.loads(server.ask("GET", "/api/v1/openapi.json")[2])["paths"]["/api/v1/rpc"]["post"]["responses"]["200"]
    description = answer["content"]["text/event-stream"]["schema"]["description"]
    named = re.search(r"\((.*?)\)", description)[1].split(", ")
    assert set(named) == set(re.findall(r"(\w+) \(\[", table))


def test_a_web_socket_hears_what_the_reference_says(server):
    hear(WebSocket(server), server.sandbox().name)


# --- docs/repl.md -----------------------------------------------------------------------------------------

def test_the_example_of_a_context_gives_what_it_says(server):
    [code] = blocks("docs/repl.md", "python")
    ran = server.sandbox("microsandbox/python-data", memory=512).code(code)
    assert [line["text"] for line in ran["output"]][:3] == ["0", "1", "2"]
    [table] = ran["displays"]
    assert {"text/plain", "text/html"} <= set(table["data"]) and "text and HTML" in code


# --- README.md: the SDKs' parts are run in tests/sdk ---------------------------------------------------------

def test_the_readmes_commands_print_what_it_says(tmp_path):
    place = Place(tmp_path)
    try:
        run_script("".join(blocks("README.md", "sh")), place)
    finally:
        run("server", "stop", env={"MSB_HOME": str(tmp_path)})
        run("stop", "-t", "0", "default/test", env={"MSB_HOME": str(tmp_path)})


# --- docs/self-hosting.md: commands -----------------------------------------------------------------------

def test_the_commands_for_who_runs_a_server_print_what_is_said(tmp_path):
    place = Place(tmp_path)
    environment = {"MSB_HOME": str(tmp_path)}
    try:
        run_script("".join(blocks(HOSTING, "sh")), place)
        contents = subprocess.run(["tar", "tzf", tmp_path / "microsandbox-backup.tar.gz"], capture_output=True,
                                  text=True, check=True).stdout.split()
        assert {"server.key", "namespaces/team-a/box/disk", "namespaces/team-a/box/disk.json",
                "namespaces/team-a/box/config.json"} <= set(contents)
    finally:
        run("server", "stop", env=environment)
        run("stop", "-t", "0", "team-a/box", env=environment)


def test_the_options_that_are_described_are_those_that_start_has():
    known = run("server", "start", "--help").stdout.decode()
    table = (ROOT / HOSTING).read_text().split("| option of `start`")[1].split("\n\n")[0]
    described = set(re.findall(r"--[a-z-]+", table.split("|---|---|")[1]))
    assert described == set(re.findall(r"--[a-z-]+", known)) - {"--help", "--debug"}


# --- docs/self-hosting.md: what lasts -----------------------------------------------------------------------

def test_processes_and_files_outlive_the_server_and_contexts_do_not(server):
    sandbox = server.sandbox()
    sandbox.code("x = 1")
    process = sandbox.call("process.start", command="sleep", args=["1000"])["process"]
    sandbox.call("files.write", path="/kept", text="kept")
    server.stop()
    server.start()
    assert [one["process"] for one in sandbox.call("process.list")["processes"]] == [process]
    sandbox.call("process.signal", process=process, signal="KILL")
    assert sandbox.call("process.wait", process=process)["signal"] == 9
    assert sandbox.call("files.read", path="/kept")["text"] == "kept"
    assert sandbox.code("x")["exception"]["name"] == "NameError"


# --- docs/self-hosting.md: proxies and metrics --------------------------------------------------------------

PACKAGES = {"nginx": "usr/sbin/nginx", "caddy": "usr/bin/caddy", "prometheus": "usr/bin/promtool"}


def tool(package):
    """The program of a Debian package: an installed one, else fetched once and unpacked, so that nothing is started."""
    program = PACKAGES[package]
    installed = shutil.which(pathlib.Path(program).name)
    if installed:
        return installed
    unpacked = ROOT / "build/docs-tools" / package
    if not (unpacked / program).exists():
        unpacked.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(["apt-get", "download", package], cwd=scratch, check=True, capture_output=True)
            [archive] = pathlib.Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
    return str(unpacked / program)


@pytest.fixture(scope="module")
def public(nothing_left_behind):
    """A server that wants keys, is called by a public name, and has a sandbox."""
    one = Server("--host-name", "sandbox.example.com", dev=False)
    one.sandbox_name = one.sandbox().name
    yield one
    one.end()


def run_proxy(command, port, directory):
    """The proxy, once it listens."""
    log = open(os.path.join(directory, "log"), "wb")
    process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               env={**os.environ, "HOME": str(directory)})

    def listens():
        assert process.poll() is None, pathlib.Path(log.name).read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "the proxy listens")
    return process


def use_through(server, url, resolve, connect):
    """Streams, files of any size and WebSockets pass through a proxy as they would without."""
    sandbox = server.sandbox_name
    curl = ["curl", "-sSk", "--max-time", "60", "--noproxy", "*", "--resolve", resolve, "-H",
            f"Authorization: {server.headers['Authorization']}"]
    # The code waits until its first line has been seen: one that gathers output would wait for ever.
    code = ("import os, time\nprint('first', flush=True)\nwhile not os.path.exists('/go'): time.sleep(0.01)\n"
            "print('second')")
    body = {"jsonrpc": "2.0", "id": 1, "method": "sandbox.repl.run",
            "params": {"sandbox": sandbox, "language": "python", "code": code}}
    streaming = subprocess.Popen([*curl, "-N", f"{url}/api/v1/rpc", "-H", "Content-Type: application/json",
                                  "-H", "Accept: text/event-stream", "-d", json.dumps(body)], stdout=subprocess.PIPE)
    seen = b""
    while b"first" not in seen:
        line = streaming.stdout.readline()
        assert line, seen
        seen += line
    path = f"{url}/api/v1/files?sandbox={sandbox}&path="
    content = os.urandom(3_000_000)
    put = subprocess.run([*curl, "-T", "-", f"{path}/big"], input=content, capture_output=True, check=True)
    assert json.loads(put.stdout)["size"] == len(content)
    subprocess.run([*curl, "-T", "-", f"{path}/go"], input=b"x", capture_output=True, check=True)
    rest = streaming.stdout.read()
    assert b"second" in rest and streaming.wait() == 0, rest
    assert subprocess.run([*curl, f"{path}/big"], capture_output=True, check=True).stdout == content
    subprocess.run([*curl, f"{url}/api/v1/rpc", "-H", "Content-Type: application/json", "-d", json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "sandbox.files.remove", "params": {"sandbox": sandbox, "path": "/go"}})],
        capture_output=True, check=True)
    over = http.client.HTTPConnection("sandbox.example.com")
    over.sock = connect()
    hear(WebSocket(types.SimpleNamespace(connect=lambda: over, headers=server.headers)), sandbox)


def test_nginx_as_it_is_configured_here_passes_everything_on(public, tmp_path):
    [site] = blocks(HOSTING, "nginx")
    port = free_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout",
                    tmp_path / "sandbox.example.com.key", "-out", tmp_path / "sandbox.example.com.pem", "-subj",
                    "/CN=sandbox.example.com"], check=True, capture_output=True)
    site = site.replace("/etc/ssl/", f"{tmp_path}/").replace("listen 443", f"listen 127.0.0.1:{port}")
    site = site.replace("127.0.0.1:5555", f"127.0.0.1:{public.port}")
    paths = "".join(f"{name}_temp_path {tmp_path}/{name};\n"
                    for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;\n" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(f"{user}daemon off;\npid {tmp_path}/pid;\nevents {{}}\n"
                                         f"http {{\naccess_log off;\n{paths}{site}}}\n")
    command = [tool("nginx"), "-e", "stderr", "-p", tmp_path, "-c", tmp_path / "nginx.conf"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0 and "[warn]" not in checked.stderr, checked.stderr
    proxy = run_proxy(command, port, tmp_path)

    def connect():
        context = ssl.create_default_context(cafile=tmp_path / "sandbox.example.com.pem")
        context.check_hostname = False  # a test's certificate has no alternative name
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60),
                                   server_hostname="sandbox.example.com")

    try:
        use_through(public, f"https://sandbox.example.com:{port}", f"sandbox.example.com:{port}:127.0.0.1", connect)
    finally:
        proxy.terminate()
        proxy.wait()


def test_caddy_as_it_is_configured_here_passes_everything_on(public, tmp_path):
    [site] = blocks(HOSTING, "caddy")
    port = free_port()
    (tmp_path / "Caddyfile").write_text(site)
    subprocess.run([tool("caddy"), "adapt", "--config", tmp_path / "Caddyfile"], check=True, capture_output=True)
    # Run without TLS: nobody here gives out a certificate.
    site = site.replace("sandbox.example.com {", f"http://sandbox.example.com:{port} {{")
    site = site.replace("127.0.0.1:5555", f"127.0.0.1:{public.port}")
    (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n}\n" + site)
    proxy = run_proxy([tool("caddy"), "run", "--config", tmp_path / "Caddyfile"], port, tmp_path)
    try:
        use_through(public, f"http://sandbox.example.com:{port}", f"sandbox.example.com:{port}:127.0.0.1",
                    lambda: socket.create_connection(("127.0.0.1", port), timeout=60))
    finally:
        proxy.terminate()
        proxy.wait()


def test_prometheus_takes_the_configuration_and_the_metrics(public, tmp_path):
    [configuration] = blocks(HOSTING, "yaml")
    key = tmp_path / "key"
    key.write_text(public.headers["Authorization"])
    (tmp_path / "prometheus.yml").write_text(configuration.replace("/etc/prometheus/microsandbox.key", str(key)))
    promtool = tool("prometheus")
    subprocess.run([promtool, "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)
    status, _, metrics = public.ask("GET", "/metrics")
    assert status == 200 and f'sandbox="{public.sandbox_name}"'.encode() in metrics
    checked = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True)
    assert checked.returncode == 0, checked.stderr.decode()


# --- docs/self-hosting.md: log, limits, messages --------------------------------------------------------------

def test_the_log_has_the_members_that_are_shown(public):
    public.ask("GET", "/metrics")
    public.call("sandbox.repl.run", sandbox=public.sandbox_name, language="python", code="1")
    lines = [json.loads(line) for line in run("server", "log", env=public.env).stdout.splitlines()]
    [line] = [line for line in lines if line.get("note") == f"sandbox.repl.run default/{public.sandbox_name}"][-1:]
    [shown] = map(json.loads, blocks(HOSTING, "json"))
    assert {name: type(value) for name, value in line.items()} == {name: type(value) for name, value in shown.items()}


def test_the_limits_are_those_of_the_source():
    source = (ROOT / "src/server/http/limits.h").read_text()
    table = (ROOT / HOSTING).read_text()
    for value, row in {
        "head_bytes = 16 << 10": "16 KiB, 100 fields", "target_bytes = 8 << 10": "the target 8 KiB",
        "fields = 100": "16 KiB, 100 fields", "head_s = 10": "| time to send the head | 10 s |",
        "progress_s = 30": "in either direction | 30 s |", "min_bytes_s = 4096": "| 4 KiB a second |",
        " idle_s = 75": "| silence between two requests | 75 s |",
        "connections = 4096": "| connections | 4096 at once;",
    }.items():
        assert value in source and row in table, row


def refusal(server, method, headers=None, **params):
    with pytest.raises(Refused) as refused:
        server.call(method, headers, **params)
    return refused.value.message


def test_the_messages_that_are_explained_are_what_is_said(public):
    def keygen(*arguments):
        return {"Authorization": public.key(*arguments)}

    def error(status, headers):
        got, _, body = public.ask("POST", "/api/v1/rpc", b"{}", headers)
        assert got == status
        return json.loads(body)["error"]

    json_type = {"Content-Type": "application/json"}
    config = {"image": "microsandbox/python", "memory": 256}
    voided = keygen()["Authorization"][:-4] + "AAAA"
    said = [
        run("server", "start", "--port", 0, env=public.env).stderr.decode(),
        run("server", "start", "--dev", "--host", "0.0.0.0", env=public.env).stderr.decode(),
        error(403, {"Host": "evil.example", **json_type}),
        error(403, {"Origin": "https://evil.example", **json_type}),
        error(401, {**json_type, "Authorization": ""}),
        error(401, {**json_type, "Authorization": voided}),
        error(415, {"Content-Type": "text/plain"}),
        refusal(public, "sandbox.stop", keygen("-n", "other"), sandbox=public.sandbox_name, namespace="default"),
        refusal(public, "sandbox.start", keygen("--max-memory", "100M"), sandbox="t-more", config=config),
        refusal(public, "sandbox.start", keygen("--allow-image", "other*"), sandbox="t-more", config=config),
        refusal(public, "sandbox.start", sandbox="t-more", config={"image": "nowhere"}),
        refusal(public, "sandbox.start", sandbox=public.sandbox_name, config={**config, "memory": 128}),
    ]
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o700)
        said.append(run("server", "start", "--port", public.port, env={"MSB_HOME": home}).stderr.decode())
    table = (ROOT / HOSTING).read_text().split("## When something is wrong")[1]
    explained = re.findall(r"^\| `(.*?)` \|", table, re.M)
    unheard = [one for one in explained if not any(matches(f"*{one}*", text.replace("\n", " ")) for text in said)]
    # What a test cannot bring about stands in the source; tests of their own have the rest.
    assert unheard == [
        "this host does not tell whose connections are *", "the API key has expired",
        "the disk of sandbox * was made over image *", "sandbox * in namespace * does not run: *",
    ]
    source = "".join(path.read_text() for folder in ("server", "sandbox")
                     for path in (ROOT / "src" / folder).rglob("*.cc"))
    source = re.sub(r'"\s*\n\s*"', "", source)
    for message in unheard:
        assert re.search(".*?".join(map(re.escape, message.removesuffix(": *").split("*"))), source), message
    for text in said:
        assert any(matches(f"*{one}*", text.replace("\n", " ")) for one in explained), text
