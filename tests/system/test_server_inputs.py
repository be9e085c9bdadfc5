"""Whatever the server is sent: an answer that says what is wrong with it, and a server that goes on. What it says
itself is what its description says."""

import json
import pathlib

import pytest
from packages import packages  # noqa: F401
from server_tools import nothing_left_behind, resolved, server, unique  # noqa: F401

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def the_same_server_goes_on(server):  # noqa: F811
    pid = server.pid()
    yield
    assert server.ask("GET", "/api/v1/health")[0] == 200
    assert server.pid() == pid and pathlib.Path(f"/proc/{pid}/exe").exists()


@pytest.fixture(scope="module")
def sandbox(server):  # noqa: F811
    return server.sandbox("microsandbox/python")


def rpc(server, text, **headers):  # noqa: F811
    """Status and answer to the body as it is."""
    body = text if isinstance(text, bytes) else text.encode()
    status, _, answer = server.ask("POST", "/api/v1/rpc", body, {**JSON, **headers})
    return status, json.loads(answer)


# --- JSON -------------------------------------------------------------------------------------------------

def call(**members):
    return json.dumps({"jsonrpc": "2.0", "method": "sandbox.list", "params": {}, "id": 1, **members})


@pytest.mark.parametrize("body", [
    "", " ", "{", "[", "}", "nul", "{]", '{"a"}', '{"a":1,}', "{'a':1}", "1 2", call() + call(), call() + "x",
    call()[:-1], "\ufeff" + call(), "\0", call().replace("{}", "NaN"), call().replace("{}", "Infinity"),
    call().replace("{}", "1e"), call().replace("{}", "01"), call().replace("{}", "+1"), "// x\n" + call(),
    call().replace("{}", "1e400"), call(id="ID").replace('"ID"', "-1e400"), call(id="ID").replace('"ID"', "0e544"),
    call().replace("sandbox.list", "sandbox.\nlist"), call().replace("sandbox.list", "\\x41"),
    call().replace("sandbox.list", "\\ud800"), call().replace("sandbox.list", "\\u12"),
    call().encode().replace(b"sandbox.list", b"sandbox.\xff"),
    call().encode().replace(b"sandbox.list", b"\xc0\xaf"),
    call().encode().replace(b"sandbox.list", b"\xed\xa0\x80"),
    call().encode("utf-16"), b"\x1f\x8b\x08\0\0\0\0\0", "[" * 90_000, '{"a":' * 40_000,
    call(params={"namespace": json.loads("[" * 40 + "]" * 40)}),
])
def test_what_is_not_json_is_a_parse_error(server, body):  # noqa: F811
    status, answer = rpc(server, body)
    assert (status, answer["error"]["code"], answer["id"]) == (400, -32700, None), answer
    assert "result" not in answer


def test_a_request_of_very_many_values_is_refused_before_it_is_parsed(server):  # noqa: F811
    status, answer = rpc(server, call(params={"namespace": [0] * 100_000}))
    assert (status, answer["error"]["code"]) == (400, -32600) and "100000" in answer["error"]["message"]


@pytest.mark.parametrize("body", [
    "null", "true", "1", '"x"', "[]", "[1]", f"[{call()}]", f"[{call()},{call()}]", "{}",
    call(jsonrpc=None), call(jsonrpc="1.0"), call(jsonrpc=2.0), call(jsonrpc="2"), call(jsonrpc=["2.0"]),
    call().replace('"jsonrpc": "2.0", ', ""), call(method=None), call(method=1), call(method=""),
    call(method=["sandbox.list"]), call(method={}), call().replace('"method": "sandbox.list", ', ""),
    call(id={}), call(id=[1]),
])
def test_what_is_no_request_is_an_invalid_request(server, body):  # noqa: F811
    status, answer = rpc(server, body)
    assert (status, answer["error"]["code"]) == (400, -32600), answer
    assert "result" not in answer


@pytest.mark.parametrize("method", [
    "no.such", "sandbox", "sandbox.", "SANDBOX.LIST", "sandbox.list ", "sandbox.list\0", "sandbox.*",
    "../sandbox.list", "rpc.discover", "\x1b[2J", "x" * 100_000])
def test_a_method_that_is_not_there_is_not_found(server, method):  # noqa: F811
    status, answer = rpc(server, call(method=method))
    assert (status, answer["error"]["code"], answer["id"]) == (404, -32601, 1)
    assert "openapi.json" in answer["error"]["message"]
    assert len(answer["error"]["message"]) < 1000 and "\x1b" not in answer["error"]["message"]


@pytest.mark.parametrize("params", [[], [1], ["default"], "x", "", 1, 0, 1.5, True, False])
def test_params_are_an_object(server, params):  # noqa: F811
    status, answer = rpc(server, call(params=params))
    assert (status, answer["code"]) == (400, 2001)
    assert answer["error"].startswith("params")


@pytest.mark.parametrize("id", ["", "u1", "é😀\n\"\\", "x" * 10_000, 0, 1, -1, 2**53 + 1, 2**63 - 1, -2**63, 2**64 - 1,
                                1.5, None])
def test_an_id_of_any_kind_comes_back_as_it_was(server, id):  # noqa: F811
    for members in ({}, {"method": "no.such"}, {"jsonrpc": "1.0"}):
        _, answer = rpc(server, call(id=id, **members))
        assert answer["id"] == id and type(answer["id"]) is type(id)
        assert ("result" in answer) != ("error" in answer)


def test_a_request_without_an_id_is_served_and_answered_without_one(server):  # noqa: F811
    body = json.loads(call())
    del body["id"]
    status, answer = rpc(server, json.dumps(body))
    assert status == 200 and answer["result"] == {"sandboxes": []} or answer["result"]["sandboxes"]
    assert answer.get("id") is None


def test_members_that_nobody_knows_do_no_harm(server):  # noqa: F811
    many = {f"x{i}": i for i in range(10_000)}
    status, answer = rpc(server, call(params={"unknown": {"deep": [1]}, **many}, extra=1))
    assert status == 200 and "error" not in answer


@pytest.mark.parametrize("headers", [
    {"Content-Type": "application/json; charset=utf-8"}, {"Content-Type": "Application/JSON"},
    {"Accept": "text/event-stream"}, {"Accept": "*/*"}, {"Accept": "x" * 1000}, {"Accept-Encoding": "gzip, br"},
])
def test_headers_in_any_legal_form_do(server, headers):  # noqa: F811
    assert rpc(server, call(), **headers)[0] == 200


def test_a_body_in_chunks_of_any_size_is_one_body(server):  # noqa: F811
    connection = server.connect()
    body = call().encode()
    connection.request("POST", "/api/v1/rpc", (body[i:i + 1] for i in range(len(body))), JSON, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()


# --- each field of each method ----------------------------------------------------------------------------

def nested(depth):
    value = []
    for _ in range(depth):
        value = {"a": [value]}
    return value


WRONG = [None, True, False, 0, -1, 1, 65_536, 2**31, 2**63 - 1, -2**63, 2**64 - 1, 2**64, 10**30, 0.5, -0.5, 1e308,
         5e-324, "", " ", "x", "NaN", "-1", "é😀", "\0", "\x1b[31m", "../..", "x" * 100_000, [], [None], [1], ["x"],
         [["x"]], ["x"] * 1000, {}, {"a": 1}, {"": ""}, nested(10)]


def fields(schema, schemas, path=()):
    """Where a value can stand in params of that schema."""
    schema = resolved(schema, schemas)
    for name, member in schema.get("properties", {}).items():
        yield (*path, name)
        for choice in [member, *member.get("anyOf", []), *member.get("oneOf", [])]:
            yield from fields(choice, schemas, (*path, name))


def with_value(params, path, value):
    changed = json.loads(json.dumps(params))
    inner = changed
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    return changed


def validator(document, name):
    from jsonschema import Draft202012Validator
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


@pytest.fixture(scope="module")
def document(server, packages):  # noqa: F811
    return json.loads(server.ask("GET", "/api/v1/openapi.json")[2])


LEGAL = {400: {2001}, 403: {3001}, 404: {4001}, 409: {4002, 4003}, 500: {5002}}

SAMPLES = {"sandbox": "t-none", "language": "python", "code": "1", "command": "true", "path": "/tmp/x", "from": "/tmp/x",
           "to": "/tmp/y", "process": "0" * 32, "columns": 80, "rows": 24, "text": "x"}


def pytest_generate_tests(metafunc):
    """A test for each method: those of the table itself, so that a new one is not forgotten."""
    if "method" in metafunc.fixturenames and metafunc.function.__name__.startswith(("test_a_wrong", "test_null")):
        table = pathlib.Path(__file__).resolve().parents[2] / "src/server/rpc/methods.cc"
        names = [line.split('"')[1] for line in table.read_text().splitlines() if "Make<&Service::" in line]
        if "sandbox" in metafunc.fixturenames:
            names = [name for name in names if name not in WOULD_END_IT]
        metafunc.parametrize("method", names)


def assert_legal(status, answer, what):
    if status != 200:
        assert answer["code"] in LEGAL[status] and answer["error"], (what, status, answer)
        assert "\x1b" not in answer["error"] and len(answer["error"]) < 10_000, what
    return status


def wrong_values(server, document, method, base):  # noqa: F811
    """Each wrong value in each field: its place, the params, whether the description allows them."""
    schemas = document["components"]["schemas"]
    allowed = validator(document, method + ".request")
    for path in fields(schemas[method + ".request"]["properties"]["params"], schemas):
        for value in WRONG:
            params = with_value(base, path, value)
            request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
            yield path, value, params, allowed.is_valid(request)


def sample(document, method, **more):
    params = document["components"]["schemas"]
    schema = resolved(params[method + ".request"]["properties"]["params"], params)
    return {**{name: SAMPLES[name] for name in schema.get("required", [])}, **more}


def test_a_wrong_value_in_any_field_is_refused_and_named(server, document, method):  # noqa: F811
    connection = server.connect()
    base = sample(document, method)
    tried = refused = 0
    for path, value, params, allowed in wrong_values(server, document, method, base):
        status, _, body = server.post(method, params, connection=connection)
        what = (method, path, repr(value)[:80])
        tried += 1
        assert_legal(status, json.loads(body), what)
        if not allowed and value is not None:
            assert status == 400, (what, body)
            assert path[-1] in json.loads(body)["error"], (what, body)
            refused += 1
    connection.close()
    assert tried >= len(WRONG) and refused > 0


def test_null_is_as_good_as_absent(server, document, method):  # noqa: F811
    connection = server.connect()
    schemas = document["components"]["schemas"]
    base = sample(document, method)
    for path in fields(schemas[method + ".request"]["properties"]["params"], schemas):
        if path[0] in base:
            continue  # it is required
        without = with_value(base, path[:-1], {}) if path[1:] else base
        answers = [server.post(method, params, connection=connection)[::2]
                   for params in (without, with_value(base, path, None))]
        assert answers[0] == answers[1], (method, path)
    connection.close()


WOULD_END_IT = ("sandbox.start", "sandbox.stop", "sandbox.remove", "sandbox.timeout")


def test_a_wrong_value_in_any_field_does_a_running_sandbox_no_harm(server, sandbox, document, method):  # noqa: F811
    connection = server.connect()
    properties = document["components"]["schemas"]
    schema = resolved(properties[method + ".request"]["properties"]["params"], properties)
    base = sample(document, method)
    if "sandbox" in schema["properties"]:
        base["sandbox"] = sandbox.name
    for path, value, params, _ in wrong_values(server, document, method, base):
        if path[0] in ("sandbox", "namespace"):
            continue
        status, _, body = server.post(method, params, connection=connection)
        assert_legal(status, json.loads(body), (method, path, repr(value)[:80]))
    connection.close()
    for process in sandbox.call("process.list")["processes"]:
        sandbox.call("process.wait", process=process["process"])
    assert sandbox.output("6 * 7") == "42\n"


# --- the description --------------------------------------------------------------------------------------

def test_the_description_is_valid_openapi(document):
    from openapi_spec_validator import OpenAPIV31SpecValidator
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_value_that_is_taken_or_given_is_described(document):
    for name, schema in document["components"]["schemas"].items():
        if "." not in name and name not in ("RpcError", "ErrorBody"):
            for member, value in schema["properties"].items():
                assert value.get("description"), (name, member)


class Checked:
    """Calls whose requests and answers are held against the description."""

    def __init__(self, server, document, sandbox):  # noqa: F811
        self.server, self.document, self.sandbox, self.called = server, document, sandbox, set()

    def __call__(self, method, status=200, **params):
        method = "sandbox." + method
        params = {"sandbox": self.sandbox, **params}
        if status != 400:
            validator(self.document, method + ".request").validate(
                {"jsonrpc": "2.0", "method": method, "params": params, "id": "u1"})
        got, _, body = self.server.post(method, params)
        answer = json.loads(body)
        assert got == status, body
        name = method + ".response" if status == 200 else "ErrorBody"
        described = validator(self.document, name)
        described.validate(answer)
        self.called.add(method)
        return answer.get("result", answer)

    def stream(self, method, **params):
        events = list(self.server.stream("sandbox." + method, sandbox=self.sandbox, **params))
        schemas = {"output": "OutputEvent", "display": "Display", "exception": "Exception", "dropped": "DroppedEvent",
                   "file": "FileEvent", "response": f"sandbox.{method}.response"}
        for name, data in events:
            validator(self.document, schemas[name]).validate(data)
        self.called.add("sandbox." + method)
        return {name for name, _ in events}


def test_what_the_methods_answer_is_as_it_is_described(server, document):  # noqa: F811
    call = Checked(server, document, unique("t-described"))
    call("start", config={"image": "microsandbox/python", "memory": 256, "exec": "echo started", "idle": 10_000,
                          "scripts": {"other": "true"}})
    call("list")
    call("timeout", lifetime=10_000)
    call("logs")
    call("metrics.get")
    call("metrics.get", namespace="*")
    call("repl.run", language="python", code="import sys\nprint(1)\nprint(2, file=sys.stderr)\n{'a': 1}")
    call("repl.run", language="python", code="1/0")
    call("repl.run", 400, language="cobol", code="1")
    assert {"output", "exception", "response"} <= call.stream("repl.run", language="python", code="print(1); 1/0")
    assert {"display", "response"} <= call.stream("repl.run", language="python", code="1")
    call("command.run", command="sh", args=["-c", "echo a; echo b >&2; exit 1"])
    call("command.run", 500, command="no-such")
    call.stream("command.run", command="printf", args=["\\377"])
    call("context.create", language="python", context="one", envs=["A=1"])
    call("context.create", 409, language="python", context="one")
    call("context.list")
    call("context.restart", language="python", context="one")
    call("context.interrupt", language="python", context="one")
    call("context.remove", language="python", context="one")
    call("context.remove", 404, language="python", context="one")
    cat = call("process.start", command="cat", stdin=True, pty={"columns": 80, "rows": 24})["process"]
    call("process.list")
    call("process.resize", process=cat, columns=100, rows=30)
    call("process.write", process=cat, text="x\n")
    call("process.signal", process=cat, signal="KILL")
    call.stream("process.attach", process=cat)
    call("process.list")
    call("process.wait", process=cat)
    call("process.wait", 404, process=cat)
    call("files.write", path="/srv/d/f", text="x", mode="600")
    call("files.write", path="/srv/d/b", base64="/w==")
    call("files.read", path="/srv/d/f")
    call("files.read", path="/srv/d/b")
    call("files.stat", path="/bin")
    call("files.list", path="/", depth=1)
    call("files.mkdir", path="/srv/e", mode="700")
    call("files.move", **{"from": "/srv/d", "to": "/srv/e/d"})
    call("files.remove", 409, path="/srv/e")
    call("files.remove", path="/srv/e", recursive=True)
    call("files.watch", 400, path="/srv")
    call("stop", grace=0)
    call("list")
    call("metrics.get")
    call("repl.run", 404, language="python", code="1")
    call("remove")
    assert call.called == {name.removesuffix(".request") for name in document["components"]["schemas"]
                           if name.endswith(".request")}


@pytest.mark.parametrize("body", [call(method="no.such"), call(jsonrpc="1.0"), "{"])
def test_errors_of_json_rpc_itself_are_as_they_are_described(server, document, body):  # noqa: F811
    validator(document, "RpcError").validate(rpc(server, body)[1])


def test_there_is_a_path_for_what_the_description_names_and_nothing_for_what_it_does_not(server, document):  # noqa: F811
    for path, methods in document["paths"].items():
        for method in ("get", "put", "post", "delete", "patch"):
            status = server.ask(method.upper(), path, headers=JSON)[0]
            assert (status == 405) == (method not in methods), (method, path, status)
    for path in ("/", "/api", "/api/v1", "/api/v1/rpc/", "/api/v2/rpc", "//api/v1/rpc", "/api/v1/../v1/health",
                 "/api/v1/%72pc", "/api/v1/rpc%00", "/metrics/"):
        assert server.ask("GET", path)[0] in (400, 404, 405), path
