"""A host for the REPL drivers: starts one as the guest's agent does, and speaks PROTOCOL.md to it."""

import base64
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DRIVERS = ROOT / "guest/repl"
DEADLINE = 60  # seconds until a wait is a hang
MAX_FRAME = 8 << 20
MAX_DATA = 128 << 10


def to_bytes(value):
    return (
        base64.b64decode(value["b"], validate=True) if isinstance(value, dict) else value.encode()
    )


class Run:
    """What one run has sent."""

    def __init__(self):
        self.outputs = []  # (stream, bytes)
        self.displays = []
        self.errors = []
        self.status = None
        self.exit_code = None
        self.order = []  # kinds of messages; outputs that follow each other count as one
        self.largest = 0

    def take(self, kind, message):
        if kind != "output" or self.order[-1:] != ["output"]:
            self.order.append(kind)
        if kind == "output":
            data = to_bytes(message["data"])
            self.largest = max(self.largest, len(data))
            self.outputs.append((message["stream"], data))
        elif kind == "display":
            self.displays.append(message)
        elif kind == "error":
            self.errors.append(message)
        elif kind == "done":
            self.status = message["status"]
        elif kind == "exit":
            self.exit_code = message["code"]

    def data(self, *streams):
        return b"".join(
            data for stream, data in self.outputs if stream in (streams or ("stdout", "stderr"))
        )

    @property
    def stdout(self):
        return self.data("stdout").decode()

    @property
    def stderr(self):
        return self.data("stderr").decode()

    @property
    def text(self):
        """Both streams in the order of arrival."""
        return self.data().decode()

    @property
    def value(self):
        """The echo, as text."""
        results = [shown["data"]["text/plain"] for shown in self.displays if shown.get("result")]
        assert len(results) <= 1
        return results[0] if results else None

    @property
    def traceback(self):
        return "\n".join(line for error in self.errors for line in error["traceback"])


class Driver:
    """One context: a driver's process."""

    def __init__(self, command, cwd, env=None):
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(DEADLINE)
        number = theirs.fileno()
        # descriptor 3, whatever it is here
        script = (
            f"import os, sys; os.dup2({number}, 3); {number} == 3 or os.close({number}); "
            "os.execvp(sys.argv[1], sys.argv[1:])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, command)],
            pass_fds=[number],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        theirs.close()
        self._received = b""
        self._runs = 0
        self.between = Run()  # what belongs to no run
        self.hello = None

    def start(self):
        kind, self.hello = self.receive()
        assert kind == "hello", (kind, self.hello)
        return self

    # --- frames
    def send_raw(self, data):
        self._socket.sendall(data)

    def send(self, message):
        payload = json.dumps(message).encode()
        self.send_raw(struct.pack("<I", len(payload)) + payload)

    def _take(self, size):
        while len(self._received) < size:
            chunk = self._socket.recv(1 << 20)
            if not chunk:
                return None
            self._received += chunk
        data, self._received = self._received[:size], self._received[size:]
        return data

    def receive(self):
        """(kind, message), or (None, None) at the channel's end."""
        try:
            header = self._take(4)
        except ConnectionResetError:
            header = None
        if header is None:
            return None, None
        (length,) = struct.unpack("<I", header)
        assert 0 < length <= MAX_FRAME
        message = json.loads(self._take(length))
        assert len(message) == 1, message
        return next(iter(message.items()))

    # --- runs
    def begin(self, code, **options):
        self._runs += 1
        if isinstance(code, bytes):
            code = {"b": base64.b64encode(code).decode()}
        self.send({"run": {"id": self._runs, "code": code, **options}})
        return Run()

    def step(self, run):
        """Takes one message; false once the run is over."""
        kind, message = self.receive()
        if kind is None:
            run.status = "died"
        elif "id" not in message:
            self.between.take(kind, message)
        else:
            assert message["id"] == self._runs
            run.take(kind, message)
        return run.status is None and run.exit_code is None

    def finish(self, run):
        while self.step(run):
            pass
        return run

    def run(self, code, **options):
        return self.finish(self.begin(code, **options))

    def until(self, run, text):
        """Takes messages until the run has written text."""
        while text.encode() not in run.data():
            assert self.step(run), f"the run ended with {run.text!r} before it wrote {text!r}"

    def until_between(self, text):
        while text.encode() not in self.between.data():
            kind, message = self.receive()
            assert kind is not None and "id" not in message, (kind, message)
            self.between.take(kind, message)

    def interrupt(self, group=True):
        if self.hello["interrupt"] == "message":
            self.send({"interrupt": {"id": self._runs}})
        else:
            (os.killpg if group else os.kill)(self.process.pid, signal.SIGINT)

    def interrupted(self, code, ready="ready\n", group=True):
        """Runs code, and interrupts it once it has written `ready`."""
        run = self.begin(code)
        self.until(run, ready)
        self.interrupt(group)
        return self.finish(run)

    def end(self):
        """Waits for the process: (exit code or -signal, its own output)."""
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out + err

    def hang_up(self):
        self._socket.shutdown(socket.SHUT_WR)
        return self.end()

    def close(self):
        self._socket.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=DEADLINE)
