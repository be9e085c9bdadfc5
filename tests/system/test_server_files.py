"""Files and processes of a sandbox over the server's API."""

import base64
import hashlib
import json
import os
import threading
import urllib.parse

import pytest
from conftest import wait_until
from server_tools import Refused, lines_of, nothing_left_behind, server, text_of  # noqa: F401


@pytest.fixture(scope="module")
def sandbox(server):
    return server.sandbox("microsandbox/base")


def url(sandbox, path, **more):
    return "/api/v1/files?" + urllib.parse.urlencode({"sandbox": sandbox.name, "path": path, **more})


# --- files ------------------------------------------------------------------------------------------------

def test_what_is_written_can_be_read(sandbox):
    info = sandbox.call("files.write", path="/srv/new/dir/a.txt", text="häh\n", mode="600")
    assert (info["type"], info["mode"], info["size"]) == ("file", "600", 5)
    assert sandbox.call("files.read", path="/srv/new/dir/a.txt")["text"] == "häh\n"
    sandbox.call("files.write", path="/srv/bin", base64=base64.b64encode(b"\xff\x00").decode())
    assert base64.b64decode(sandbox.call("files.read", path="/srv/bin")["base64"]) == b"\xff\x00"


def test_directories_are_made_listed_moved_and_removed(sandbox):
    sandbox.call("files.mkdir", path="/srv/tree/a/b")
    sandbox.call("files.write", path="/srv/tree/a/f", text="x")
    sandbox.sh("ln -s a/f /srv/tree/link")
    names = [e["path"] for e in sandbox.call("files.list", path="/srv/tree", depth=3)["entries"]]
    assert sorted(names) == ["/srv/tree/a", "/srv/tree/a/b", "/srv/tree/a/f", "/srv/tree/link"]
    link = sandbox.call("files.stat", path="/srv/tree/link")
    assert (link["type"], link["target"], link["name"]) == ("symlink", "a/f", "link")
    sandbox.call("files.move", **{"from": "/srv/tree/a/f", "to": "/srv/tree/g"})
    with pytest.raises(Refused) as refused:
        sandbox.call("files.remove", path="/srv/tree")
    assert refused.value.status == 409
    sandbox.call("files.remove", path="/srv/tree", recursive=True)
    with pytest.raises(Refused) as refused:
        sandbox.call("files.stat", path="/srv/tree")
    assert (refused.value.status, refused.value.code) == (404, 4001)


def test_a_file_is_moved_to_another_file_system_and_a_directory_is_not(sandbox):
    sandbox.call("files.mkdir", path="/srv/move")
    sandbox.call("files.write", path="/srv/move/f", text="x", mode="640")
    with pytest.raises(Refused, match="such as mv") as refused:
        sandbox.call("files.move", **{"from": "/srv/move", "to": "/dev/shm/moved"})
    assert refused.value.status == 400
    moved = sandbox.call("files.move", **{"from": "/srv/move/f", "to": "/dev/shm/moved"})
    assert (moved["type"], moved["path"]) == ("file", "/dev/shm/moved")
    assert lines_of(sandbox.sh("cd /dev/shm && find . | sort && stat -c %a moved; ls /srv/move")) == ".\n./moved\n640\n"


@pytest.mark.parametrize("path", ["relative", "", "/a\0b", "/" + "x" * 5000])
def test_paths_that_cannot_be_are_refused(sandbox, path):
    with pytest.raises(Refused) as refused:
        sandbox.call("files.read", path=path)
    assert (refused.value.status, refused.value.code) == (400, 2001)


def test_a_user_has_no_more_rights_than_in_the_sandbox(sandbox):
    with pytest.raises(Refused) as refused:
        sandbox.call("files.write", path="/etc/passwd", text="", user="nobody")
    assert refused.value.status == 403


def test_a_file_larger_than_the_body_of_a_call_goes_in_and_out_unchanged(server, sandbox):
    data = os.urandom(40_000_000)
    digest = hashlib.sha256(data).hexdigest()
    status, _, body = server.ask("PUT", url(sandbox, "/srv/large"), data)
    assert status == 200 and json.loads(body)["size"] == len(data), body
    assert lines_of(sandbox.sh("sha256sum < /srv/large")) == f"{digest}  -\n"
    status, headers, body = server.ask("GET", url(sandbox, "/srv/large"))
    assert status == 200 and headers["Content-Length"] == str(len(data))
    assert hashlib.sha256(body).hexdigest() == digest
    sandbox.call("files.remove", path="/srv/large")


def test_a_file_of_any_size_goes_in_and_out_whole_and_in_ranges(server, sandbox):
    data = os.urandom(3_000_000)
    status, _, body = server.ask("PUT", url(sandbox, "/srv/up/load", mode="640"), data)
    assert status == 200, body
    status, headers, body = server.ask("GET", url(sandbox, "/srv/up/load"))
    assert (status, body) == (200, data) and headers["Content-Length"] == str(len(data))
    status, headers, body = server.ask("GET", url(sandbox, "/srv/up/load"), headers={"Range": "bytes=10-19"})
    assert (status, body) == (206, data[10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(data)}"
    assert server.ask("GET", url(sandbox, "/srv/up/load"), headers={"Range": "bytes=-5"})[2] == data[-5:]
    assert server.ask("GET", url(sandbox, "/srv/up/load"), headers={"Range": "bytes=9999999-"})[0] == 416
    status, headers, body = server.ask("HEAD", url(sandbox, "/srv/up/load"))
    assert (status, body) == (200, b"") and headers["Content-Length"] == str(len(data))
    assert server.ask("GET", url(sandbox, "/srv"))[0] == 400
    assert server.ask("GET", url(sandbox, "/nowhere"))[0] == 404
    assert b"Linux version" in server.ask("GET", url(sandbox, "/proc/version"))[2]


def test_an_upload_that_breaks_off_leaves_no_new_file(server, sandbox):
    connection = server.connect()
    connection.putrequest("PUT", url(sandbox, "/srv/half"))
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    connection.send(b"x" * 100_000)
    wait_until(lambda: "half" in lines_of(sandbox.sh("ls /srv")), "its beginning")
    connection.close()
    wait_until(lambda: "half" not in lines_of(sandbox.sh("ls /srv")), "its removal")


def test_an_upload_whose_chunks_are_wrong_is_the_clients_fault(server, sandbox):
    connection = server.connect()
    connection.putrequest("PUT", url(sandbox, "/srv/chunks"))
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"3\r\nabc\r\nnonsense\r\n")
    answer = connection.getresponse()
    assert answer.status == 400 and b"chunk" in answer.read()
    connection.close()
    assert "chunks" not in lines_of(sandbox.sh("ls /srv"))


# --- processes --------------------------------------------------------------------------------------------

def test_a_process_outlives_the_call_and_is_followed_from_any_offset(sandbox):
    started = sandbox.call("process.start", command="sh", args=["-c", "echo one; echo two >&2; exit 7"])
    events = list(sandbox.stream("process.attach", process=started["process"]))
    assert events[-1][1]["result"]["exit_code"] == 7
    outputs = [e for n, e in events if n == "output"]
    assert sorted((e["stream"], e["text"], e["offset"]) for e in outputs) == \
        [("stderr", "two\n", 0), ("stdout", "one\n", 0)]
    again = list(sandbox.stream("process.attach", process=started["process"], stdout_offset=2, stderr_offset=4))
    assert [(e["text"], e["offset"]) for n, e in again if n == "output"] == [("e\n", 2)]
    end = sandbox.call("process.wait", process=started["process"])
    assert (end["running"], end["exit_code"]) == (False, 7)
    with pytest.raises(Refused) as refused:
        sandbox.call("process.wait", process=started["process"])
    assert refused.value.status == 404


def test_a_process_is_given_input(sandbox):
    started = sandbox.call("process.start", command="cat", stdin=True)
    sandbox.call("process.write", process=started["process"], text="hello ")
    sandbox.call("process.write", process=started["process"], base64=base64.b64encode(b"w\xff").decode(), eof=True)
    events = list(sandbox.stream("process.attach", process=started["process"]))
    assert b"".join(text_of(e) for n, e in events if n == "output") == b"hello w\xff"
    assert sandbox.call("process.wait", process=started["process"])["exit_code"] == 0


def test_a_process_is_signalled_and_listed(sandbox):
    started = sandbox.call("process.start", command="sleep", args=["1000"])
    listed = [p for p in sandbox.call("process.list")["processes"] if p["process"] == started["process"]]
    assert listed[0]["command"] == ["sleep", "1000"] and listed[0]["pid"] == started["pid"]
    assert sandbox.call("process.wait", process=started["process"], timeout=0)["running"]
    sandbox.call("process.signal", process=started["process"], signal="KILL")
    end = sandbox.call("process.wait", process=started["process"])
    assert (end["signal"], end["exit_code"]) == (9, 137)


def test_a_process_with_a_terminal_has_its_size_and_can_be_resized(sandbox):
    started = sandbox.call("process.start", command="sh", pty={"columns": 100, "rows": 30})
    process = {"process": started["process"]}
    sandbox.call("process.write", **process, text="stty size\n")
    seen = []
    def follow():
        for name, event in sandbox.stream("process.attach", **process):
            if name == "output":
                seen.append(text_of(event))
    follower = threading.Thread(target=follow)
    follower.start()
    wait_until(lambda: b"30 100" in b"".join(seen), "the size")
    sandbox.call("process.resize", **process, columns=120, rows=40)
    sandbox.call("process.write", **process, text="stty size; exit\n")
    wait_until(lambda: b"40 120" in b"".join(seen), "the new size")
    follower.join()


@pytest.mark.parametrize("process", ["", "x", "0" * 32, "../" * 11])
def test_processes_that_are_not_there_are_not_found(sandbox, process):
    with pytest.raises(Refused) as refused:
        sandbox.call("process.signal", process=process)
    assert refused.value.status == 404


def test_attaching_without_a_stream_says_how_to_get_one(sandbox):
    started = sandbox.call("process.start", command="true")
    with pytest.raises(Refused) as refused:
        sandbox.call("process.attach", process=started["process"])
    assert refused.value.status == 400 and "text/event-stream" in refused.value.message
