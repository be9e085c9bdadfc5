"""Many at once, and clients that do not behave: bounded in memory, and nobody else notices.

The bounds of memory are generous: an instance of the server without load has some 20 MiB."""

import concurrent.futures
import itertools
import json
import resource
import socket
import threading

import pytest
from conftest import wait_until
from server_tools import events_of, lines_of, nothing_left_behind, server, text_of, unique  # noqa: F401

MIB = 1 << 20
MOST_MEMORY = 256 * MIB  # of the server, whatever comes


@pytest.fixture(autouse=True, scope="module")
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(autouse=True)
def the_same_server_within_bounds(server):  # noqa: F811
    pid = server.pid()
    yield
    assert server.ask("GET", "/api/v1/health")[0] == 200
    assert server.pid() == pid
    assert resident(server) < MOST_MEMORY


def resident(server):  # noqa: F811
    text = server.ask("GET", "/metrics")[2].decode()
    [value] = [line.split()[1] for line in text.splitlines() if line.startswith("process_resident_memory_bytes ")]
    return float(value)


def connections(server):  # noqa: F811
    text = server.ask("GET", "/metrics")[2].decode()
    [value] = [line.split()[1] for line in text.splitlines() if line.startswith("microsandbox_http_connections ")]
    return int(value)


# --- sandboxes --------------------------------------------------------------------------------------------

def test_a_hundred_sandboxes_are_started_used_and_stopped_by_twenty_clients(server):  # noqa: F811
    one = unique("t-load")
    names = [f"{one}-{i}" for i in range(100)]
    local = threading.local()

    def call(method, name, **params):
        if not hasattr(local, "connection"):
            local.connection = server.connect(timeout=300)
        return server.call("sandbox." + method, connection=local.connection, sandbox=name, **params)

    def is_python(name):
        return name.endswith("0")

    def start(name):
        image = "microsandbox/python" if is_python(name) else "busybox"
        return call("start", name, config={"image": image, "memory": 128}) == f"Sandbox {name} started successfully"

    def use(name):
        if is_python(name):
            ran = call("repl.run", name, language="python", code="1+1")
        else:
            ran = call("command.run", name, command="/bin/sh", args=["-c", "echo $((1+1))"])
        return lines_of(ran) == "2\n"

    def stop(name):
        return call("stop", name) == f"Sandbox {name} stopped successfully"

    def run():
        return {s["name"] for s in server.call("sandbox.list", stopped=False)["sandboxes"]} & set(names)

    with concurrent.futures.ThreadPoolExecutor(20) as clients:
        assert all(clients.map(start, names))
        assert run() == set(names)
        assert all(clients.map(use, names))
        assert all(clients.map(stop, names))
        assert run() == set()
        for name in names:
            server.call("sandbox.remove", sandbox=name)


# --- connections ------------------------------------------------------------------------------------------

CALL = (b"POST /api/v1/rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n"
        b'{"jsonrpc":"2.0","id":1}')  # no method: an answer, at no cost
HEALTH = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def raw(server, data=b""):  # noqa: F811
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    connection.sendall(data)
    return connection


def answer_of(connection):
    """Of a request whose answer has a body of known length: all of it."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        assert piece, got
        got += piece
    head, body = got.split(b"\r\n\r\n", 1)
    [length] = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


def rest_of(connection):
    """Until the server closes it."""
    got = b""
    try:
        while piece := connection.recv(65536):
            got += piece
    except ConnectionResetError:
        pass
    connection.close()
    return got


def test_a_thousand_kept_connections_and_two_hundred_streams_are_served(server):  # noqa: F811
    sandbox = server.sandbox("busybox", memory=128)
    process = sandbox.call("process.start", command="/bin/cat", stdin=True)["process"]
    before = resident(server)
    kept = [raw(server) for _ in range(1000)]
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sandbox.process.attach",
                          "params": {"sandbox": sandbox.name, "process": process}})
    streams = []
    for _ in range(200):
        connection = server.connect()
        connection.request("POST", "/api/v1/rpc", request,
                           {"Content-Type": "application/json", "Accept": "text/event-stream"})
        streams.append(connection)
    followed = [events_of(connection.getresponse()) for connection in streams]
    for line in (b"one\n", b"two\n"):
        for connection in kept:
            connection.sendall(HEALTH)
        sandbox.call("process.write", process=process, text=line.decode())
        for connection in kept:
            assert answer_of(connection)[1] == b'{"message":"Service is healthy"}'
        for events in followed:
            name, data = next(events)
            assert (name, text_of(data)) == ("output", line)
    assert connections(server) >= 1200
    assert resident(server) - before < 100 * MIB  # 80 KiB a connection
    sandbox.call("process.write", process=process, eof=True)
    for events in followed:
        assert [name for name, _ in events] == ["response"]
    for connection in kept + streams:
        connection.close()
    wait_until(lambda: connections(server) < 10, "the ends of all connections")


def test_connections_beyond_the_limit_take_the_place_of_who_waits(server):  # noqa: F811
    many = []
    try:
        while len(many) < 4096:
            many.append(raw(server, CALL))
            answer_of(many[-1])
        one = raw(server, CALL)
        many.append(one)
        assert answer_of(one)[0].startswith(b"HTTP/1.1 400 ")
        assert rest_of(many[0]) == b""
        many[-2].sendall(HEALTH)
        assert answer_of(many[-2])[0].startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in many:
            connection.close()
    wait_until(lambda: answers(server) and connections(server) < 10, "the ends of all connections")


def test_those_without_a_key_cannot_hold_all_connections(server):  # noqa: F811
    known = raw(server, CALL)
    answer_of(known)
    strangers = []
    try:
        while len(strangers) < 4200:
            strangers.append(raw(server))
        assert rest_of(strangers[0]) == b""
        for connection in [raw(server, CALL), known, strangers[-1]]:
            connection.sendall(HEALTH)
            strangers.append(connection)
            assert answer_of(connection)[0].startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    finally:
        for connection in strangers:
            connection.close()
    wait_until(lambda: answers(server) and connections(server) < 10, "the ends of all connections")


def answers(server):  # noqa: F811
    connection = raw(server, HEALTH)
    with connection:
        return answer_of(connection)[0].startswith(b"HTTP/1.1 200 ")


def test_a_slow_reader_slows_only_itself(server):  # noqa: F811
    sandbox = server.sandbox("microsandbox/base", memory=128)
    before = resident(server)
    slow = [sandbox.stream("command.run", command="sh", args=["-c", "yes 0123456789 | head -c 1000000000"])
            for _ in range(3)]
    for events in slow:
        next(events)  # and no more
    seen = sum(len(text_of(data)) for name, data in sandbox.stream(
        "command.run", command="sh", args=["-c", "yes abcdefg | head -c 20000000"]) if name == "output")
    assert seen == 20_000_000
    for _ in range(100):
        assert lines_of(sandbox.sh("echo $((1+1))")) == "2\n"
    assert resident(server) - before < 64 * MIB
    for events in slow:
        events.close()
    wait_until(lambda: "yes" not in lines_of(sandbox.sh("cat /proc/[0-9]*/comm")).split(), "the kill")


# --- clients that do not behave ---------------------------------------------------------------------------

def test_heads_that_do_not_come_to_an_end_are_refused_and_hold_nobody_up(server):  # noqa: F811
    begun = [raw(server, piece) for piece in
             [b"G", b"GET / HTTP/1.1\r\n", b"POST /api/v1/rpc HTTP/1.1\r\nHost: localhost\r\nX: y"] * 60]
    dripping = begun[::20]
    answered = set()
    while len(answered) < len(dripping):  # one byte after the other does not help
        for connection in dripping:
            connection.settimeout(0.02)
            try:
                connection.send(b"x")
                if connection not in answered and connection.recv(1, socket.MSG_PEEK):
                    answered.add(connection)
            except TimeoutError:
                pass
            except OSError:
                answered.add(connection)
        assert answers(server)
    for connection in begun:
        connection.settimeout(60)
        got = rest_of(connection)
        assert got.startswith(b"HTTP/1.1 408 ") or connection in dripping, got[:100]


def request(method=b"POST", target=b"/api/v1/rpc", fields=(), body=b"", version=b"HTTP/1.1"):
    lines = [method + b" " + target + b" " + version, b"Host: localhost", b"Content-Type: application/json", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def number(_, counter=itertools.count()):
    """Of a case: its bytes would be no name."""
    return str(next(counter))


LONG = b"x" * 20_000


@pytest.mark.parametrize("data, status", [
    (request(target=b"/" + LONG), 414),
    (LONG, 414),
    (b"GET /" + LONG * 1000, 414),
    (request(fields=[b"X: " + LONG]), 431),
    (request(fields=[LONG + b": x"]), 431),
    (request(fields=[b"X%d: y" % i for i in range(200)]), 431),
    (request(fields=[b"Content-Length: 16777217"], body=b"x"), 413),
    (request(fields=[b"Content-Length: 99999999999"], body=b"x"), 413),
    (request(fields=[b"Transfer-Encoding: chunked"], body=b"1400000\r\n" + b"x" * 0x1400000 + b"\r\n0\r\n\r\n"), 413),
    (request(fields=[b"Transfer-Encoding: chunked"], body=b"1;" + LONG + b"\r\nx\r\n0\r\n\r\n"), 400),
    (request(fields=[b"Transfer-Encoding: chunked"], body=b"1\r\n{\r\n0\r\nX: " + LONG + b"\r\n\r\n"), 400),
], ids=number)
def test_what_is_too_large_is_refused_with_its_status(server, data, status):  # noqa: F811
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    try:
        connection.sendall(data)
    except (ConnectionResetError, BrokenPipeError):
        pass  # it need not be read to its end
    got = rest_of(connection)
    assert got.startswith(b"HTTP/1.1 %d " % status) or (got == b"" and len(data) > 10 * MIB), got[:300]


def test_a_body_of_the_largest_size_is_read(server):  # noqa: F811
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "sandbox.list", "params": {}}).encode().ljust(16 * MIB)
    connection = raw(server, request(fields=[b"Content-Length: %d" % len(body)], body=body))
    with connection:
        assert answer_of(connection)[0].startswith(b"HTTP/1.1 200 ")


BODY = b'{"jsonrpc":"2.0","id":1,"method":"sandbox.list","params":{}}'
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"
IN_CHUNKS = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"
NO_BODY = b"0\r\n\r\n"


@pytest.mark.parametrize("data", [
    # Two ways to say where the body ends.
    request(fields=[LENGTH, CHUNKED], body=IN_CHUNKS), request(fields=[CHUNKED, b"Content-Length: 4"], body=IN_CHUNKS),
    request(fields=[CHUNKED, CHUNKED], body=IN_CHUNKS), request(fields=[LENGTH, LENGTH], body=BODY),
    request(fields=[LENGTH, b"Content-Length: 0"], body=BODY),
    request(fields=[b"Content-Length: 0", CHUNKED], body=NO_BODY),
    request(fields=[CHUNKED, b"Transfer-Encoding: identity"], body=NO_BODY),
    request(fields=[CHUNKED], body=IN_CHUNKS, version=b"HTTP/1.0"),
    # One that others may read otherwise.
    *[request(fields=[b"Transfer-Encoding: " + coding], body=IN_CHUNKS) for coding in
      (b"xchunked", b"chunked, identity", b"identity, chunked", b"chunked, chunked", b"identity", b"gzip, chunked",
       b"\x0bchunked", b"chunked\x0c", b'"chunked"', b"chunked;x", b"chu nked", b"", b"chunked,", b"chunked\0")],
    *[request(fields=[b"Content-Length: " + length], body=BODY) for length in
      (b"+60", b"-1", b"0x3c", b"60,60", b"60, 60", b"6 0", b"", b"60;", b"6e1", b"60.0", b"18446744073709551676",
       b"\xd9\xa6\xd9\xa0", b"60\x0b", b"NaN")],
    # Fields that are none.
    request(fields=[b"Content-Length : 60"], body=BODY), request(fields=[b"Transfer-Encoding : chunked"], body=IN_CHUNKS),
    request(fields=[b" Content-Length: 60"], body=BODY), request(fields=[b"X: y", b" Transfer-Encoding: chunked"]),
    request(fields=[b"X: y", b"\tfolded"], body=b""), request(fields=[b"Transfer-Encoding:", b" chunked"], body=NO_BODY),
    request(fields=[b"Content-Length:", b" 60"], body=BODY), request(fields=[b"no colon"]), request(fields=[b": x"]),
    request(fields=[b"Transfer\0Encoding: chunked"], body=IN_CHUNKS), request(fields=[b"X: a\rTransfer-Encoding: chunked"]),
    request(fields=[b"X: a\0b"]), request(fields=[b"X: a\nContent-Length: 60"], body=BODY),
    request(fields=[b"Host: elsewhere"]), request(fields=[b"Host: localhost"]),
    request().replace(b"\r\n", b"\n"), request().replace(b"Host: localhost\r\n", b""), b"\r\n" + request(),
    request().replace(b"\r\n\r\n", b"\r\n\n"), request().replace(b"\r\n\r\n", b"\r\r\n\r\n"),
    # First lines that are none.
    b"GET /\r\n\r\n", b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    request(version=b"HTTP/1.1 "), request(version=b"http/1.1"), request(version=b"HTTP/1.10"),
    request(target=b"/a b"), request(method=b"GE T"), request(method=b""), request(target=b""),
    request(method=b"G\x01T"), request(target=b"/\xff"), b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"x" * 100,
    # Chunks that are none.
    *[request(fields=[CHUNKED], body=body + b"\r\n0\r\n\r\n") for body in
      (b"0x3\r\nabc", b"-1\r\na", b"+3\r\nabc", b" 3\r\nabc", b"3 3\r\nabc", b"\r\nabc", b"g\r\nabc", b"3\nabc",
       b"10000000000000003\r\nabc", b"FFFFFFFFFFFFFFFF\r\nabc", b"2\r\nabc", b"3;a\nb\r\nabc", b"3;\0\r\nabc")],
    request(fields=[CHUNKED], body=b"3\r\nabc\n0\r\n\r\n"),
    request(fields=[CHUNKED], body=b"0\r\nX: y\r\n folded\r\n\r\n"),
    request(fields=[CHUNKED], body=b"0\r\nno colon\r\n\r\n"),
], ids=number)
def test_a_request_that_can_be_read_in_two_ways_is_not_read_at_all(server, data):  # noqa: F811
    got = rest_of(raw(server, data + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert got.count(b"HTTP/1.1 ") == 1 and b"/smuggled" not in got, got
    assert int(got.split()[1]) in (400, 417, 431, 501, 505), got
    assert b"connection: close" in got.lower()


@pytest.mark.parametrize("data", [
    request(fields=[LENGTH], body=BODY), request(fields=[CHUNKED], body=IN_CHUNKS),
    request(fields=[b"tRANSFER-eNCODING:\t CHUNKED \t"], body=IN_CHUNKS),
    request(fields=[b"Content-Length:   %d  " % len(BODY)], body=BODY),
    request(fields=[CHUNKED], body=b'%x;name="a;b"\r\n' % len(BODY) + BODY + b"\r\n000\r\nX: y\r\n\r\n"),
    request(fields=[LENGTH, b"X:", b"Y:\xff\xfe", b"X: again"], body=BODY),
], ids=number)
def test_requests_in_a_row_are_answered_in_a_row(server, data):  # noqa: F811
    got = rest_of(raw(server, data * 3 + HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
    assert got.count(b"HTTP/1.1 200 ") == 4 and got.count(b"HTTP/1.1 ") == 4
    assert got.count(b'"result"') == 3 and got.endswith(b'{"message":"Service is healthy"}')


def test_clients_that_go_at_any_moment_leave_nothing(server):  # noqa: F811
    whole = request(fields=[LENGTH], body=BODY)
    for size in range(0, len(whole), 3):
        raw(server, whole[:size]).close()
    reset = [raw(server, whole) for _ in range(100)]
    for connection in reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    wait_until(lambda: connections(server) == 1, "the ends of all connections")
