"""The server as a client sees it: round trips, requests a second, throughput, memory.

The peers: `runsc exec`, whole command, where it does something comparable; and the former design, which looked for
output every 50 ms: a client that looks at its connection only that often.

The clients are Python with bare sockets on the same CPUs, so requests a second are also theirs.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

from measure import HOME, IMAGE, MEMORY, MSB, in_turn, median, pss_mib, report
from staying import Kept

POLL_S = 0.050
LARGE_BYTES = 100_000_000
# Lines of 63 characters, in large writes: what is measured is the way out, not the program.
LINES = ["python3", "-c", """
import os
block = (b"0123456789abcdefghijklmnopqrstuvwxyz-0123456789abcdefghijklmnop" + b"\\n") * 1000
left = %d
while left > 0:
    left -= os.write(1, block[:left])
""" % LARGE_BYTES]
RATE_SECONDS = 2
SANDBOXES = 100
SANDBOX_MIB = 64


class Server:
    """One without keys, in a home of its own with the benchmark's images."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="msb-bench-")
        os.symlink(HOME / "images", f"{self.home}/images")
        shutil.copy(HOME / "version", self.home)
        self.environment = {**os.environ, "MSB_HOME": self.home}
        said = subprocess.run([MSB, "server", "start", "--dev", "--detach", "--port", "0"], env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
        self.port = int(re.search(r":(\d+)$", said, re.M)[1])
        self.pid = json.loads(pathlib.Path(self.home, "server.pid").read_text())["pid"]
        self.started = []

    def end(self):
        with Connection(self.port) as connection:
            for name in self.started:
                with contextlib.suppress(RuntimeError):
                    connection.call("sandbox.remove", sandbox=name)
        subprocess.run([MSB, "server", "stop"], env=self.environment, check=True)
        shutil.rmtree(self.home)

    def start(self, connection, memory=int(MEMORY)):
        name = f"bench-{os.getpid()}-{len(self.started)}"
        self.started.append(name)
        connection.call("sandbox.start", sandbox=name, config={"image": IMAGE, "memory": memory})
        return name


class Connection:
    """HTTP/1.1 with as little of the client's own as Python allows."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.socket.close()

    def send(self, request):
        self.socket.sendall(request)

    def receive(self):
        """The body of an answer that has a length."""
        status = self.reader.readline()
        length = 0
        while (line := self.reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = self.reader.read(length)
        if b" 200 " not in status:
            raise RuntimeError(f"{status} {body}")
        return body

    def round_trip(self, request):
        self.send(request)
        return self.receive()

    def call(self, method, **params):
        return json.loads(self.round_trip(rpc(method, **params)))["result"]


HEALTH = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(body, fields=""):
    return (f"POST /api/v1/rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def rpc(method, fields="", **params):
    return post(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode(), fields)


def code(sandbox, text="1+1", **params):
    return rpc("sandbox.repl.run", sandbox=sandbox, language="python", code=text, **params)


def timed(action):
    begin = time.monotonic()
    action()
    return (time.monotonic() - begin) * 1e3


def repeated(action, times=20):
    """Of a short one the median of some in a row: the first ones meet caches that the contender before has filled."""
    return median([timed(action) for _ in range(times)])


def polled(connection, request):
    """As a client of the former design: output is looked for every 50 ms."""
    connection.send(request)
    while True:
        time.sleep(POLL_S)
        if select.select([connection.socket], [], [], 0)[0]:
            return connection.receive()


def on_new_connection(server, request):
    with Connection(server.port) as connection:
        connection.round_trip(request)


# --- round trips ------------------------------------------------------------------------------------------

def round_trips(rounds, server, runsc, results):
    with Connection(server.port) as kept:
        sandbox = server.start(kept)
        kept.round_trip(code(sandbox))  # starts the context
        request = code(sandbox)
        report_turns("A round trip of 1+1 (goal 2 ms, on a new connection 4 ms)", "repl_ms", rounds, {
            "kept connection": lambda: repeated(lambda: kept.round_trip(request)),
            "new connection": lambda: repeated(lambda: on_new_connection(server, request)),
            "polled every 50 ms": lambda: timed(lambda: polled(kept, request)),
            **peer(runsc, ["python3", "-c", "print(1+1)"]),
        }, results)
        true = rpc("sandbox.command.run", sandbox=sandbox, command="/bin/true")
        report_turns("A program's round trip: /bin/true", "exec_ms", rounds, {
            "kept connection": lambda: repeated(lambda: kept.round_trip(true)),
            "polled every 50 ms": lambda: timed(lambda: polled(kept, true)),
            **peer(runsc, ["/bin/true"]),
        }, results)


def peer(runsc, argv):
    """As a contender, if there is one that keeps a container."""
    if not runsc:
        return {}
    kept = Kept(runsc, argv)
    return {f"{runsc.name} exec": kept.timed} if kept.at else {}


def report_turns(title, name, rounds, contenders, results):
    times = in_turn(rounds, contenders)
    first = next(iter(contenders))
    whole = [row for row in zip(*times.values()) if None not in row]  # a peer may have failed
    times = dict(zip(times, map(list, zip(*whole)))) if whole else {first: times[first]}
    report(title, times, first)
    results[name] = {key: median(values) for key, values in times.items()}


def first_output(rounds, server, runsc, results):
    """A sandbox that was not there: started, and its first line of Python's."""
    with Connection(server.port) as connection:
        def cold():
            def start():
                name.append(server.start(connection))
                connection.round_trip(code(name[0], "print(1)"))

            name = []
            elapsed = timed(start)
            connection.call("sandbox.remove", sandbox=name[0])
            server.started.remove(name[0])
            return elapsed

        def run_peer():
            begin = time.monotonic()
            with subprocess.Popen(runsc.command(["python3", "-c", "print(1)"]), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                came = process.stdout.readline()
                elapsed = (time.monotonic() - begin) * 1e3
            return elapsed if came else None

        contenders = {"start and run": cold, **({"runsc run": run_peer} if runsc else {})}
        report_turns("Start until the first output, cold", "first_output_ms", rounds, contenders, results)


# --- requests a second --------------------------------------------------------------------------------------

def rate_of(port, request, barrier_s):
    """Requests a second of one client, from a moment that all clients know."""
    with Connection(port) as connection:
        connection.round_trip(request)  # starts its context, if it has one
        time.sleep(max(0, barrier_s - time.monotonic()))
        count = 0
        while time.monotonic() < barrier_s + RATE_SECONDS:
            connection.round_trip(request)
            count += 1
    return count / RATE_SECONDS


def rates(server, results):
    results["requests_per_second"] = {}
    print("\n## Requests a second")
    with Connection(server.port) as connection:
        sandbox = server.start(connection, 1024)
    for what, request in (("health", lambda i: HEALTH), ("1+1", lambda i: code(sandbox, context=f"c{i}"))):
        for clients in (1, 16):
            with concurrent.futures.ProcessPoolExecutor(clients) as pool:
                barrier = time.monotonic() + 3
                jobs = [pool.submit(rate_of, server.port, request(i), barrier) for i in range(clients)]
                total = sum(job.result() for job in jobs)
            results["requests_per_second"][f"{what}, {clients}"] = total
            print(f"  {what:8s} {clients:3d} clients {total:12.0f} /s")


# --- throughput -----------------------------------------------------------------------------------------------

def throughput(rounds, server, runsc, results):
    data = os.urandom(1 << 20) * (LARGE_BYTES // (1 << 20) + 1)
    data = data[:LARGE_BYTES]
    contenders = {}
    with Connection(server.port) as connection:
        sandbox = server.start(connection)
        full_name = f"default/{sandbox}"
        files = f"/api/v1/files?sandbox={sandbox}&path=/root/large"

        def upload():
            head = f"PUT {files} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.send(head.encode())
            connection.send(data)
            connection.receive()

        def download():
            got = connection.round_trip(f"GET {files} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            if got != data:
                raise SystemExit("the file came back another")

        # What is compared is the whole way: the server's stream is JSON, a command's output bare.
        for name, action in {
            "stdout, event stream": lambda: stream_lines(server.port, sandbox),
            "stdout, msb exec": lambda: read_all([MSB, "exec", full_name, "--", *LINES]),
            "upload": upload,
            "download": download,
        }.items():
            contenders[name] = lambda action=action: timed(action)
        if runsc:
            contenders["stdout, runsc exec"] = lambda: peer_output(runsc)
        times = in_turn(rounds, contenders)
    print("\n## 100 MB")
    results["megabytes_per_second"] = {}
    for name, values in times.items():
        values = [value for value in values if value]
        if not values:
            continue
        rate = LARGE_BYTES / 1e6 / (median(values) / 1e3)
        results["megabytes_per_second"][name] = rate
        print(f"  {name:28s} {rate:8.0f} MB/s")


def stream_lines(port, sandbox):
    request = rpc("sandbox.command.run", "Accept: text/event-stream\r\nConnection: close\r\n", sandbox=sandbox,
                  command=LINES[0], args=LINES[1:])
    received = 0
    with Connection(port) as connection:
        connection.send(request)
        last = b""
        while piece := connection.socket.recv(1 << 20):
            received += len(piece)
            last = (last + piece)[-4096:]
    if received < LARGE_BYTES or b'"exit_code":0' not in last:
        raise SystemExit(f"the stream ended early: {last[-500:]}")


def peer_output(runsc, tries=3):
    """Milliseconds in a container of its own; None if the peer fails, which it does now and then."""
    for _ in range(tries):
        name = runsc.start()
        if not name:
            break
        begin = time.monotonic()
        received = count_bytes(runsc.exec_command(name, LINES))
        elapsed = (time.monotonic() - begin) * 1e3
        runsc.stop(name)
        if received == LARGE_BYTES:
            return elapsed
    return None


def read_all(command):
    received = count_bytes(command)
    if received != LARGE_BYTES:
        raise SystemExit(f"{command}: {received} bytes, not {LARGE_BYTES}")


def count_bytes(command):
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        received = 0
        while piece := os.read(process.stdout.fileno(), 1 << 20):
            received += len(piece)
    return received


# --- memory -----------------------------------------------------------------------------------------------------

def available_mib():
    return int(re.search(r"^MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) // 1024


def memory(results):
    """The server's own, idle, with none and with many sandboxes of which each has run a program."""
    server = Server()
    try:
        before = pss_mib(server.pid)[0]
        count = min(SANDBOXES, available_mib() // (2 * SANDBOX_MIB))
        with Connection(server.port) as connection:
            for _ in range(count):
                name = server.start(connection, SANDBOX_MIB)
                connection.call("sandbox.command.run", sandbox=name, command="/bin/true")
        after = pss_mib(server.pid)[0]
    finally:
        server.end()
    print(f"\n## The server's memory (PSS)\n  with no sandbox {before:.1f} MiB, with {count} {after:.1f} MiB, "
          f"each {(after - before) / max(count, 1) * 1024:.0f} KiB")
    results["server_mib"] = {"0": before, str(count): after}


def measure(rounds, runsc, results):
    results = results.setdefault("server", {})
    server = Server()
    try:
        round_trips(rounds, server, runsc, results)
        first_output(rounds, server, runsc, results)
        rates(server, results)
        throughput(min(rounds, 5), server, runsc, results)
    finally:
        server.end()
    memory(results)
