"""The sandboxes of others, which no key of another namespace reaches through the server."""

import json
import urllib.parse

import pytest
from mcp_session import McpSession
from server_tools import keyed, nothing_left_behind, refusal, small, unique  # noqa: F401
from web_socket import WebSocket

VICTIM, OWN = unique("victim"), unique("own")  # of beta, of alpha


@pytest.fixture(scope="module")
def victim(keyed):
    """Of namespace beta, with everything in it that can be named."""
    keyed.call("sandbox.start", namespace="beta", sandbox=VICTIM, config={**small(), "image": "microsandbox/base"})
    keyed.call("sandbox.files.write", namespace="beta", sandbox=VICTIM, path="/srv/secret", text="secret")
    process = keyed.call("sandbox.process.start", namespace="beta", sandbox=VICTIM, command="sleep",
                         args=["100000"])["process"]
    [listed] = keyed.call("sandbox.list", namespace="beta")["sandboxes"]
    return {"id": listed["id"], "process": process}


@pytest.fixture(scope="module")
def alpha(keyed):
    return {"Authorization": "Bearer " + keyed.key("-n", "alpha")}


@pytest.fixture(autouse=True)
def the_victim_is_as_it_was(request):
    yield
    if "victim" not in request.fixturenames:
        return
    keyed, victim = request.getfixturevalue("keyed"), request.getfixturevalue("victim")
    name = {"namespace": "beta", "sandbox": VICTIM}
    assert [s["id"] for s in keyed.call("sandbox.list", namespace="beta")["sandboxes"]] == [victim["id"]]
    assert keyed.call("sandbox.files.read", **name, path="/srv/secret")["text"] == "secret"
    assert [p["process"] for p in keyed.call("sandbox.process.list", **name)["processes"]] == [victim["process"]]
    assert keyed.call("sandbox.files.list", **name, path="/srv")["entries"][0]["path"] == "/srv/secret"
    assert keyed.call("sandbox.context.list", **name)["contexts"] == []


def sensible(schema, victim, **names):
    """Params of a method that would do something to the victim."""
    values = {"language": "python", "code": "1", "command": "true", "path": "/srv/secret", "from": "/srv/secret",
              "to": "/srv/taken", "process": victim["process"], "columns": 10, "rows": 10, "text": "taken"}
    wanted = [*schema.get("required", []), *({"text"} & set(schema["properties"]))]
    return {**{name: values[name] for name in wanted if name in values}, **names}


def methods_of_sandboxes(server):
    found = {name: schema for name, schema in server.methods().items() if "sandbox" in schema["properties"]}
    assert len(found) >= 28
    return found


def streams(server, method, params, headers):
    """With an answer that is a stream the error is an event of it."""
    status, answered, body = server.post(method, params, {**headers, "Accept": "text/event-stream"})
    if answered["Content-Type"].startswith("text/event-stream"):
        assert body.startswith(b"event: error\n"), body
        error = json.loads(body.split(b"data: ", 1)[1].split(b"\n")[0])
        return error["status"], error["code"], error["error"]
    return status, json.loads(body).get("code"), json.loads(body).get("error")


@pytest.mark.parametrize("space", ["beta", "default", "no-such-space"])
def test_a_key_of_another_namespace_is_refused_by_every_method(keyed, victim, alpha, space):
    for method, schema in methods_of_sandboxes(keyed).items():
        params = sensible(schema, victim, namespace=space, sandbox=VICTIM)
        status, code, message = streams(keyed, method, params, alpha)
        assert (status, code) == (403, 3001), (method, message)
        assert message == f"this key is for namespace alpha, not for {space}: pass namespace=alpha", method


def test_no_namespace_is_the_keys_own_and_no_other(keyed, victim, alpha):
    for method, schema in methods_of_sandboxes(keyed).items():
        params = sensible(schema, victim, sandbox=VICTIM)
        params.pop("namespace", None)
        status, code, message = streams(keyed, method, params, alpha)
        assert (status, code) in {(404, 4001), (400, 2001)}, (method, message)
        assert "beta" not in message and ("in namespace alpha" in message or method == "sandbox.start"), (method, message)


@pytest.mark.parametrize("space", ["*", "", ".", "..", "alpha/../beta", "alpha/beta", "beta ", "beta\0", "BETA",
                                   "../namespaces/beta", "α", "a" * 64, "alpha,beta"])
def test_no_spelling_of_a_namespace_is_another(keyed, victim, alpha, space):
    for method, schema in methods_of_sandboxes(keyed).items():
        params = sensible(schema, victim, namespace=space, sandbox=VICTIM)
        status, code, message = streams(keyed, method, params, alpha)
        assert (status, code) in ((403, 3001), (400, 2001)), (method, message)


@pytest.mark.parametrize("spelling", ["VICTIM", "beta/VICTIM", "../beta/VICTIM", "beta.VICTIM", "..", ".", "", "*",
                                      "beta\\VICTIM", "beta%2fVICTIM", "/beta/VICTIM", "VICTIM\0", "ID", "beta/ID",
                                      "ID/", "../../run/ID"])
def test_no_name_in_a_namespace_is_that_of_a_sandbox_in_another(keyed, victim, alpha, spelling):
    name = spelling.replace("ID", victim["id"]).replace("VICTIM", VICTIM)
    for method, schema in methods_of_sandboxes(keyed).items():
        params = sensible(schema, victim, namespace="alpha", sandbox=name)
        status, code, message = streams(keyed, method, params, alpha)
        assert (status, code) in ((404, 4001), (400, 2001)), (method, message)
        if (status, code) == (404, 4001):
            assert "beta" not in message.replace(name, ""), message


def test_an_answer_does_not_tell_whether_others_have_a_sandbox_of_that_name(keyed, victim, alpha):
    for method, schema in methods_of_sandboxes(keyed).items():
        for space in ("alpha", "beta"):
            answers = {name: streams(keyed, method, sensible(schema, victim, namespace=space, sandbox=name), alpha)
                       for name in (VICTIM, "nobody")}
            told = [answers[name][2].replace(name, "NAME") for name in (VICTIM, "nobody")]
            assert told[0] == told[1] and answers[VICTIM][:2] == answers["nobody"][:2], method


def test_lists_and_metrics_have_only_the_keys_own(keyed, victim, alpha):
    keyed.call("sandbox.start", headers=alpha, namespace="alpha", sandbox=OWN, config=small())
    assert [s["name"] for s in keyed.call("sandbox.list", headers=alpha, namespace="alpha")["sandboxes"]] == [OWN]
    measured = keyed.call("sandbox.metrics.get", headers=alpha, namespace="alpha")["sandboxes"]
    assert [s["name"] for s in measured] == [OWN]
    for method in ("sandbox.list", "sandbox.metrics.get"):
        for space in ("beta", "*"):
            assert refusal(keyed, method, headers=alpha, namespace=space).status == 403
    text = keyed.ask("GET", "/metrics", headers=alpha)[2].decode()
    assert f'sandbox="{OWN}"' in text and VICTIM not in text and "beta" not in text
    everything = keyed.ask("GET", "/metrics")[2].decode()
    assert f'sandbox="{OWN}"' in everything and f'namespace="beta",sandbox="{VICTIM}"' in everything
    keyed.call("sandbox.remove", headers=alpha, namespace="alpha", sandbox=OWN)


def test_ids_of_anothers_processes_are_of_no_use_in_ones_own_sandbox(keyed, victim, alpha):
    own = {"namespace": "alpha", "sandbox": OWN}
    keyed.call("sandbox.start", headers=alpha, **own, config=small())
    for method, schema in methods_of_sandboxes(keyed).items():
        if "process" in schema["properties"]:
            status, code, message = streams(keyed, method, sensible(schema, victim, **own), alpha)
            assert (status, code) == (404, 4001), (method, message)
    keyed.call("sandbox.remove", headers=alpha, **own)


def test_files_are_not_reached_as_raw_bodies_either(keyed, victim, alpha):
    for space, name in [("beta", VICTIM), ("alpha", VICTIM), ("alpha", f"beta/{VICTIM}"), ("alpha", f"../beta/{VICTIM}"),
                        ("*", VICTIM), ("alpha", victim["id"]), (None, VICTIM)]:
        query = {"sandbox": name, "path": "/srv/secret", **({"namespace": space} if space else {})}
        url = "/api/v1/files?" + urllib.parse.urlencode(query)
        for method, body in (("GET", None), ("HEAD", None), ("PUT", "overwritten")):
            status, _, text = keyed.ask(method, url, body, alpha)
            assert status in (400, 403, 404), (method, query)
            assert b"secret" not in text.replace(b"/srv/secret", b"")


def test_a_parameter_that_is_there_twice_is_not_checked_once_and_used_once(keyed, victim, alpha):
    url = f"/api/v1/files?sandbox={VICTIM}&path=/srv/secret"
    for spaces in ("namespace=alpha&namespace=beta", "namespace=beta&namespace=alpha"):
        assert keyed.ask("GET", f"{url}&{spaces}", headers=alpha)[0] in (400, 403, 404)
    twice = '{"jsonrpc":"2.0","id":1,"method":"sandbox.files.read","params":{"sandbox":"%s","path":"/srv/secret",%s}}'
    for spaces in ('"namespace":"alpha","namespace":"beta"', '"namespace":"beta","namespace":"alpha"'):
        status, _, body = keyed.ask("POST", "/api/v1/rpc", twice % (VICTIM, spaces),
                                    {"Content-Type": "application/json", **alpha})
        assert status in (400, 403, 404), body


def test_a_web_socket_reaches_no_further_than_its_key(keyed, victim, alpha):
    socket = WebSocket(keyed, alpha)
    assert socket.status == 101
    for method, schema in methods_of_sandboxes(keyed).items():
        for space, name in [("beta", VICTIM), ("*", VICTIM), ("alpha", VICTIM), ("alpha", f"beta/{VICTIM}")]:
            answer = socket.call(method, sensible(schema, victim, namespace=space, sandbox=name))
            assert answer["error"]["code"] in (3001, 2001, 4001), (method, answer)
            assert space != "beta" or answer["error"]["code"] == 3001
    socket.close()
    refused = WebSocket(keyed, {"Authorization": "Bearer nonsense"})
    assert refused.status == 401
    refused.close()


def test_mcp_reaches_no_further_than_the_key(keyed, victim, alpha):
    session = McpSession(keyed, alpha)
    tools = session.tools()
    assert len(tools) >= 5
    for tool in tools:
        for space, name in [("beta", VICTIM), ("*", VICTIM), ("alpha", f"beta/{VICTIM}"), ("alpha", VICTIM)]:
            arguments = sensible(tool["inputSchema"], victim, namespace=space)
            if "sandbox" in tool["inputSchema"]["properties"]:
                arguments["sandbox"] = name
            elif space == "alpha":
                continue
            status, answer = session.call(tool["name"], arguments)
            assert status in (401, 403) or answer.get("error") or answer["result"]["isError"], tool["name"]
            assert "secret" not in json.dumps(answer).replace("/srv/secret", "")


def test_without_a_key_nothing_but_health_and_the_description_is_answered(keyed, victim):
    nobody = {"Authorization": ""}
    for method, schema in methods_of_sandboxes(keyed).items():
        status, _, body = keyed.post(method, sensible(schema, victim, namespace="beta", sandbox=VICTIM), nobody)
        assert (status, json.loads(body)["code"]) == (401, 1001), method
    for path in ("/metrics", "/api/v1/ws", f"/api/v1/files?sandbox={VICTIM}&namespace=beta&path=/srv/secret"):
        assert keyed.ask("GET", path, headers=nobody)[0] == 401, path
    assert keyed.ask("GET", "/api/v1/health", headers=nobody)[0] == 200
