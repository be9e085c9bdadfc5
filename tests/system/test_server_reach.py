"""What nobody reaches through the server: the host, and the sandboxes of others."""

import json
import pathlib
import secrets
import threading
import urllib.parse

import pytest
from conftest import HOME, run
from server_tools import Refused, Server, lines_of, nothing_left_behind, unique  # noqa: F401
from web_socket import WebSocket

VICTIM, OWN = unique("victim"), unique("own")  # of beta, of alpha


@pytest.fixture(scope="module")
def keyed(nothing_left_behind):  # noqa: F811
    one = Server(dev=False)
    yield one
    one.end()


@pytest.fixture(scope="module")
def open_(nothing_left_behind):  # noqa: F811
    one = Server()
    yield one
    one.end()


@pytest.fixture(params=["without keys", "with a key"])
def server(request, keyed, open_):
    return keyed if request.param == "with a key" else open_


@pytest.fixture(scope="module")
def base(open_):
    return open_.sandbox("microsandbox/base", memory=128)


def small(**more):
    return {"image": "busybox", "memory": 64, **more}


def refusal(server, method, headers=None, **params):
    with pytest.raises(Refused) as refused:
        server.call(method, headers=headers, **params)
    return refused.value


# --- the host ---------------------------------------------------------------------------------------------

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
def test_no_configuration_reaches_the_host(server, member, value):
    refused = refusal(server, "sandbox.start", sandbox="t-host", config=small(**{member: value}))
    assert (refused.status, refused.code) == (400, 2001)
    assert "root:" not in refused.message
    assert "t-host" not in [s["name"] for s in server.call("sandbox.list", namespace="*")["sandboxes"]]
    assert ("default", "t-host") not in server.stored()


def test_a_configuration_that_was_stored_takes_no_reach_either(open_, base):
    for config in ({"volumes": ["/etc:/etc"]}, {"env_file": "/etc/passwd"}, {"ports": ["1:1"]}):
        refused = refusal(open_, "sandbox.start", sandbox=base.name, config=config)
        assert (refused.status, refused.code) == (400, 2001)


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


def test_no_path_in_any_method_is_one_of_the_host(open_, base, on_the_host):
    """Each method that takes a path is given one that is there on the host alone."""
    def given(schema):
        required = {"sandbox": base.name, "language": "python", "code": "1", "process": "0" * 32,
                    "columns": 1, "rows": 1, "command": str(on_the_host), "path": str(on_the_host),
                    "from": str(on_the_host), "to": str(on_the_host) + "2"}
        return {name: required[name] for name in schema.get("required", [])}
    tried = 0
    for method, schema in open_.methods().items():
        if not {"path", "from", "command"} & set(schema["properties"]):
            continue
        tried += 1
        status, _, body = open_.post(method, given(schema))
        if method not in ("sandbox.files.write", "sandbox.files.mkdir"):
            assert status in (400, 404, 409, 500), (method, body)
        assert b"of the host" not in body
        open_.post("sandbox.files.remove", {"sandbox": base.name, "path": str(on_the_host), "recursive": True})
    assert tried >= 10
    assert on_the_host.read_text() == "of the host"
    assert [file.name for file in on_the_host.parent.iterdir()] == ["host-file"]


def test_working_directories_users_and_links_are_the_sandboxs(open_, base, on_the_host):
    made = on_the_host.parent / "made"
    for method, more in [("command.run", {"command": "pwd"}), ("process.start", {"command": "pwd"})]:
        open_.post("sandbox." + method, {"sandbox": base.name, "workdir": str(made), **more})
    assert not made.exists()
    base.sh(f"ln -s {on_the_host} /srv/link; ln -s ../../../../../../../.. /srv/up")
    for path in ("/srv/link", f"/srv/up{on_the_host}", f"/../../..{on_the_host}", f"/proc/1/root{on_the_host}",
                 f"/proc/self/cwd{on_the_host}"):
        assert refusal(open_, "sandbox.files.read", sandbox=base.name, path=path).status in (400, 403, 404), path
        query = urllib.parse.urlencode({"sandbox": base.name, "path": path})
        assert open_.ask("GET", f"/api/v1/files?{query}")[0] in (400, 403, 404), path


def test_nothing_of_the_servers_environment_or_network_is_in_a_sandbox(open_, base):
    environment = lines_of(base.sh("env; cat /proc/1/environ /proc/cmdline /proc/mounts | tr '\\0' '\\n'"))
    assert open_.directory not in environment and str(HOME) not in environment
    reached = base.sh(f"(echo > /dev/tcp/127.0.0.1/{open_.port}) 2>&1 && echo reached; exit 0")
    assert "reached" not in lines_of(reached)


# --- the namespaces of others -----------------------------------------------------------------------------

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
        if space == "default":
            del params["namespace"]
        status, code, message = streams(keyed, method, params, alpha)
        assert (status, code) == (403, 3001), (method, message)
        assert message == f"this key is for namespace alpha, not for {space}: pass namespace=alpha", method


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
    def tell(message, **more):
        status, headers, body = keyed.ask("POST", "/mcp", json.dumps({"jsonrpc": "2.0", **message}), {
            "Content-Type": "application/json", "Accept": "application/json, text/event-stream", **alpha, **more})
        data = body.split(b"data: ")[-1] if b"data: " in body else body
        return status, headers, json.loads(data) if data.strip() else None

    status, headers, _ = tell({"id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}})
    if status == 404:
        pytest.skip("this server has no /mcp")
    session = {"Mcp-Session-Id": headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-06-18"}
    tell({"method": "notifications/initialized"}, **session)
    tools = tell({"id": 2, "method": "tools/list"}, **session)[2]["result"]["tools"]
    assert len(tools) >= 5
    for tool in tools:
        for space, name in [("beta", VICTIM), ("*", VICTIM), ("alpha", f"beta/{VICTIM}"), ("alpha", VICTIM)]:
            arguments = sensible(tool["inputSchema"], victim, namespace=space)
            if "sandbox" in tool["inputSchema"]["properties"]:
                arguments["sandbox"] = name
            elif space == "alpha":
                continue
            answer = tell({"id": 3, "method": "tools/call", "params": {"name": tool["name"], "arguments": arguments}},
                          **session)
            assert answer[0] in (401, 403) or answer[2].get("error") or answer[2]["result"]["isError"], tool["name"]
            assert "secret" not in json.dumps(answer[2]).replace("/srv/secret", "")


def test_without_a_key_nothing_but_health_and_the_description_is_answered(keyed, victim):
    nobody = {"Authorization": ""}
    for method, schema in methods_of_sandboxes(keyed).items():
        status, _, body = keyed.post(method, sensible(schema, victim, namespace="beta", sandbox=VICTIM), nobody)
        assert (status, json.loads(body)["code"]) == (401, 1001), method
    for path in ("/metrics", "/api/v1/ws", f"/api/v1/files?sandbox={VICTIM}&namespace=beta&path=/srv/secret"):
        assert keyed.ask("GET", path, headers=nobody)[0] == 401, path
    assert keyed.ask("GET", "/api/v1/health", headers=nobody)[0] == 200


# --- what a key may use -----------------------------------------------------------------------------------

@pytest.fixture
def key(keyed):
    """key("--max-sandboxes", 1) gives a caller of a namespace of its own, where all is removed in the end."""
    spaces = []

    def make(*arguments):
        space = "s" + secrets.token_hex(4)
        spaces.append(space)
        headers = {"Authorization": keyed.key("-n", space, *map(str, arguments))}

        def call(method, sandbox, **params):
            return keyed.call("sandbox." + method, headers=headers, namespace=space, sandbox=sandbox, **params)

        return call

    yield make
    for space in spaces:
        for one in keyed.call("sandbox.list", namespace=space)["sandboxes"]:
            keyed.call("sandbox.remove", namespace=space, sandbox=one["name"])


def assert_beyond_limit(call, what, **config):
    with pytest.raises(Refused) as refused:
        call("start", "more", config=small(**config))
    assert (refused.value.status, refused.value.code) == (429, 3002)
    assert what in refused.value.message and "this key may use" in refused.value.message


def test_a_key_for_some_images_starts_no_others(keyed, key):
    call = key("--allow-image", "busybox", "--allow-image", "microsandbox/b*")
    for image in ("microsandbox/python", "noshell"):
        with pytest.raises(Refused) as refused:
            call("start", "one", config={**small(), "image": image})
        assert (refused.value.status, refused.value.code) == (403, 3001)
        assert image in refused.value.message and "--allow-image" in refused.value.message
    for image in ("busybox", "busybox:latest", "microsandbox/base"):
        call("start", "one", config={**small(), "image": image}, reset=True)
        call("stop", "one", grace=0)


def test_a_key_for_some_images_starts_no_other_that_was_stored(keyed):
    name = {"namespace": unique("stored"), "sandbox": "one"}
    keyed.call("sandbox.start", **name, config={**small(), "image": "microsandbox/base"})
    keyed.call("sandbox.stop", **name, grace=0)
    restricted = {"Authorization": keyed.key("-n", name["namespace"], "--allow-image", "busybox")}
    assert refusal(keyed, "sandbox.start", headers=restricted, **name).code == 3001
    keyed.call("sandbox.remove", **name)


def test_a_key_has_so_many_sandboxes_at_once(key):
    call = key("--max-sandboxes", 2)
    for name in ("one", "two"):
        call("start", name, config=small())
    assert_beyond_limit(call, "2 sandboxes")
    call("start", "one", config=small())  # it runs: nothing more is used
    call("stop", "two", grace=0)
    call("start", "more", config=small())


@pytest.mark.parametrize("arguments, first, second, what, fits", [
    (["--max-memory", "192M"], {}, {"memory": 160}, "192 MiB of memory", {"memory": 128}),
    (["--max-cpus", "2"], {}, {"cpus": 2}, "2 CPUs", {"cpus": 1}),
    (["--max-disk", "1G"], {"disk": 512}, {"disk": 768}, "1024 MiB of disk", {"disk": 512}),
])
def test_a_key_has_so_much_of_each_for_all_its_sandboxes(key, arguments, first, second, what, fits):
    call = key(*arguments)
    call("start", "one", config=small(**first))
    assert_beyond_limit(call, what, **second)
    call("start", "more", config=small(**fits))


def test_disks_of_stopped_sandboxes_count_until_they_are_removed(key):
    call = key("--max-disk", "1G")
    call("start", "one", config=small(disk=768))
    call("stop", "one", grace=0)
    assert_beyond_limit(call, "1024 MiB of disk", disk=512)
    call("start", "one")  # its own disk is not counted twice
    call("remove", "one")
    call("start", "more", config=small(disk=512))


def test_starts_at_the_same_time_do_not_exceed_a_limit_together(key):
    call = key("--max-sandboxes", 2)
    results = []

    def start(name):
        try:
            results.append(call("start", name, config=small()))
        except Refused as refused:
            results.append(refused.code)

    threads = [threading.Thread(target=start, args=[f"n{i}"]) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results))[:4] == ["3002"] * 4 and len(results) == 6


def test_a_restart_of_the_server_forgets_no_limit(keyed, key):
    call = key("--max-sandboxes", 1, "--max-disk", "1G")
    call("start", "one", config=small(disk=512))
    keyed.stop()
    keyed.start()
    assert_beyond_limit(call, "1 sandbox", disk=256)
    call("stop", "one", grace=0)
    assert_beyond_limit(call, "1024 MiB of disk", disk=768)
    call("start", "more", config=small(disk=512))


# --- starting ---------------------------------------------------------------------------------------------

def test_a_start_of_what_runs_is_a_success_if_it_is_the_same(open_):
    name = {"sandbox": unique("t-same")}
    open_.call("sandbox.start", **name, config=small(envs=["A=1"]))
    [before] = [s for s in open_.call("sandbox.list")["sandboxes"] if s["name"] == name["sandbox"]]
    for config in (small(envs=["A=1"]), {"memory": 64}, {}, None):
        assert open_.call("sandbox.start", **name, config=config) == f"Sandbox {name['sandbox']} started successfully"
    assert open_.call("sandbox.start", **name) == f"Sandbox {name['sandbox']} started successfully"
    for config, said in [(small(envs=["A=2"]), "envs"), (small(memory=128, envs=["A=1"]), "memory"),
                         ({"cpus": 2}, "cpus"), (small(image="noshell", envs=["A=1"]), "image")]:
        refused = refusal(open_, "sandbox.start", **name, config=config)
        assert (refused.status, refused.code) == (400, 2001)
        assert said in refused.message and "stop it first" in refused.message
    assert refusal(open_, "sandbox.start", **name, reset=True).status == 400
    assert [s["id"] for s in open_.call("sandbox.list")["sandboxes"] if s["name"] == name["sandbox"]] == [before["id"]]
    open_.call("sandbox.remove", **name)


def test_a_start_without_an_image_uses_the_earlier_configuration_and_needs_one(open_):
    name = {"sandbox": unique("t-earlier")}
    for config in ({}, {"memory": 64}, {"image": None}, {"image": ""}, None):
        refused = refusal(open_, "sandbox.start", **name, config=config)
        assert (refused.status, refused.code) == (400, 2001)
        assert "config.image" in refused.message
    open_.call("sandbox.start", **name, config=small(envs=["A=kept"], workdir="/data"))
    open_.call("sandbox.stop", **name, grace=0)
    open_.call("sandbox.start", **name, config={"memory": 96})
    ran = open_.call("sandbox.command.run", **name, command="/bin/sh", args=["-c", "echo $A; pwd"])
    assert lines_of(ran) == "kept\n/data\n"
    [listed] = [s for s in open_.call("sandbox.list")["sandboxes"] if s["name"] == name["sandbox"]]
    assert listed["memory"] == 96
    open_.call("sandbox.remove", **name)
    assert refusal(open_, "sandbox.start", **name).status == 400


def test_another_image_over_an_old_disk_needs_a_reset(open_):
    name = {"sandbox": unique("t-reset")}
    open_.call("sandbox.start", **name, config=small())
    open_.call("sandbox.files.write", **name, path="/data/kept", text="x")
    open_.call("sandbox.stop", **name)
    refused = refusal(open_, "sandbox.start", **name, config=small(image="microsandbox/base"))
    assert refused.status in (400, 409) and "reset" in refused.message
    open_.call("sandbox.start", **name)  # what was refused has changed nothing
    assert open_.call("sandbox.files.read", **name, path="/data/kept")["text"] == "x"
    open_.call("sandbox.stop", **name, grace=0)
    open_.call("sandbox.start", **name, config=small(image="microsandbox/base"), reset=True)
    assert refusal(open_, "sandbox.files.read", **name, path="/data/kept").status == 404
    open_.call("sandbox.remove", **name)


@pytest.mark.parametrize("image", ["no-such", "no/such:1", "registry.example/no/such", "busybox:no-such-tag"])
def test_an_image_that_is_missing_is_not_found_and_brought_by_the_named_commands(open_, image):
    refused = refusal(open_, "sandbox.start", sandbox="t-missing", config=small(image=image))
    assert (refused.status, refused.code) == (404, 4001)
    assert f"image '{image}'" in refused.message
    for named in ("load", "import"):
        assert f"msb image {named}" in refused.message
        assert run("image", named, "--help").returncode == 0
    assert not any(s["name"] == "t-missing" for s in open_.call("sandbox.list")["sandboxes"])
    assert not (pathlib.Path(open_.directory) / "namespaces/default/t-missing/config.json").exists()
