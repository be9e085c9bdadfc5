"""A server of the tests' own store, on a port of its own, and what the tests say to it."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import re
import select
import secrets
import shutil
import signal
import tempfile

import pytest
from conftest import HOME, mounts, processes, run, wait_until


# A module that uses one server for many tests imports these two: what is left behind is looked for at its end.
@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind():
    before = mounts()
    yield
    wait_until(lambda: not processes(), f"processes are left: {processes()}", 10)
    assert mounts() <= before


@pytest.fixture(scope="module")
def server(nothing_left_behind):
    one = Server()
    yield one
    one.end()


@pytest.fixture(scope="module")
def keyed(nothing_left_behind):
    """One that wants keys."""
    one = Server(dev=False)
    yield one
    one.end()


class Refused(Exception):
    """An answer that is an error: HTTP's status, our code, the message."""

    def __init__(self, status, code, message):
        super().__init__(f"{status}/{code}: {message}")
        self.status, self.code, self.message = status, code, message


class Server:
    """Its sandboxes' disks, pid file and key are in a directory of its own; its images are the tests'.
    One that wants keys is called with one for everything, unless a test gives another."""

    def __init__(self, *arguments, dev=True):
        self.directory = tempfile.mkdtemp(prefix="msb-server-")
        os.chmod(self.directory, 0o700)
        os.symlink(HOME / "images", os.path.join(self.directory, "images"))
        shutil.copy(HOME / "version", self.directory)
        self.env = {"MSB_HOME": self.directory}
        self.arguments = [*(["--dev"] if dev else []), *arguments]
        self.port = 0
        self.names = []
        self.headers = {} if dev else {"Authorization": self.key()}
        self.start()

    def start(self):
        done = run("server", "start", "--detach", "--port", self.port, *self.arguments, env=self.env)
        assert done.returncode == 0, done.stderr.decode()
        self.port = int(re.search(rb"http://[\d.]+:(\d+)", done.stdout)[1])

    def pid(self):
        with open(os.path.join(self.directory, "server.pid")) as file:
            return json.load(file)["pid"]

    def kill(self):
        """Its connections break a moment before its locks are free: until both have."""
        process = os.pidfd_open(self.pid())
        try:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [])
        finally:
            os.close(process)

    def stop(self):
        return run("server", "stop", env=self.env)

    def key(self, *arguments):
        done = run("server", "keygen", "--json", *arguments, env=self.env)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)["token"]

    def stored(self):
        """(namespace, name) of all sandboxes whose disks it has, whether it still runs or not."""
        return [tuple(path.parts[-3:-1]) for path in
                pathlib.Path(self.directory, "namespaces").glob("[!.]*/*/config.json")]

    def end(self):
        for space, name in self.stored():
            with contextlib.suppress(Exception):
                self.call("sandbox.remove", namespace=space, sandbox=name)
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- plain HTTP
    def connect(self, timeout=180):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, connection=None):
        """Status, headers, body as bytes."""
        own = connection or self.connect()
        try:
            own.request(method, path, body, {**self.headers, **(headers or {})})
            answer = own.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            if connection is None:
                own.close()

    # --- JSON-RPC
    def post(self, method, params, headers=None, connection=None):
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": "u1"})
        return self.ask("POST", "/api/v1/rpc", body,
                        {"Content-Type": "application/json", **(headers or {})}, connection)

    def call(self, method, headers=None, connection=None, **params):
        """The result, or Refused."""
        status, _, body = self.post(method, params, headers, connection)
        answer = json.loads(body)
        if status != 200:
            error = answer["error"]
            if isinstance(error, dict):
                raise Refused(status, error["code"], error["message"])
            raise Refused(status, answer["code"], error)
        assert "error" not in answer, answer
        assert answer["jsonrpc"] == "2.0" and answer["id"] == "u1"
        return answer["result"]

    def stream(self, method, headers=None, **params):
        """The events of a stream, as (name, data), as they come."""
        connection = self.connect()
        try:
            body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": "s1"})
            connection.request("POST", "/api/v1/rpc", body,
                               {"Content-Type": "application/json", "Accept": "text/event-stream",
                                **self.headers, **(headers or {})})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            yield from events_of(answer)
        finally:
            connection.close()

    def schemas(self):
        """Of all that is sent and answered, by name."""
        return json.loads(self.ask("GET", "/api/v1/openapi.json")[2])["components"]["schemas"]

    def methods(self):
        """{name: schema of its params} of all that there are."""
        schemas = self.schemas()
        return {name.removesuffix(".request"): resolved(schema["properties"]["params"], schemas)
                for name, schema in schemas.items() if name.endswith(".request")}

    # --- sandboxes
    def sandbox(self, image="microsandbox/python", **config):
        """A new one that runs; removed with the server."""
        name = unique("t")
        self.names.append(name)
        self.call("sandbox.start", sandbox=name, config={"image": image, "memory": 256, **config})
        return Sandbox(self, name)


class Sandbox:
    def __init__(self, server, name):
        self.server, self.name = server, name

    def call(self, method, **params):
        return self.server.call("sandbox." + method, sandbox=self.name, **params)

    def stream(self, method, **params):
        return self.server.stream("sandbox." + method, sandbox=self.name, **params)

    def code(self, code, language="python", **params):
        return self.call("repl.run", language=language, code=code, **params)

    def output(self, code, language="python", stream="stdout", **params):
        """What the code wrote to a stream, a newline after each line."""
        return lines_of(self.code(code, language, **params), stream)

    def sh(self, script, **params):
        return self.call("command.run", command="/bin/sh", args=["-c", script], **params)


def small(**more):
    """The configuration of a sandbox that costs little."""
    return {"image": "busybox", "memory": 64, **more}


def refusal(server, method, headers=None, **params):
    """What the server says to a call that it refuses."""
    with pytest.raises(Refused) as refused:
        server.call(method, headers=headers, **params)
    return refused.value


def unique(name):
    """A name that no other run of the tests has at the same time: all homes of a user share the names."""
    return f"{name}-{secrets.token_hex(3)}"


def resolved(schema, schemas):
    """What a reference to one of the schemas leads to."""
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    return schemas[name] if name else schema


def lines_of(result, stream="stdout"):
    return "".join(entry["text"] + "\n" for entry in result["output"] if entry["stream"] == stream)


def events_of(answer):
    name, data = "", ""
    for raw in answer:
        line = raw.decode().rstrip("\n")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data += line.removeprefix("data: ")
        elif not line and name:
            yield name, json.loads(data)
            name, data = "", ""


def text_of(event):
    """Of an output event, as bytes."""
    return base64.b64decode(event["base64"]) if "base64" in event else event["text"].encode()
