"""The commands of the documentation, run as a reader would, and what it says that they print.

A fenced block `sh` is a piece of a script; a comment `# -> TEXT` says what the command above it prints, one line each;
`*` in it is any text. All pieces of a file that are given are one script, for a reader works in one shell.
"""

import base64
import json
import os
import re
import struct
import subprocess

from conftest import ROOT, MSB


def blocks(path, language):
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / path).read_text(), re.M | re.S)


def run_script(script, server, **environment):
    """Runs it against a server of the tests'; checks that it prints what it says, and nothing else."""
    script = script.replace("127.0.0.1:5555", f"127.0.0.1:{server.port}")
    script = script.replace("msb server start", f"msb server start --port {server.port}")
    environment = {**os.environ, "MSB_HOME": server.directory, "PATH": f"{MSB.parent}:{os.environ['PATH']}", "no_proxy": "*",
                   **environment}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=server.directory, env=environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    check_output(script, done.stdout)
    return done.stdout


def check_output(script, output):
    expected = re.findall(r"^# -> ?(.*)$", script, re.M)
    lines = output.removesuffix("\n").split("\n") if output else []
    assert len(lines) == len(expected) and all(map(matches, expected, lines)), \
        f"it printed\n{output}\nand should have printed\n" + "\n".join(expected)


def matches(pattern, line):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), line)


class WebSocket:
    """The little of RFC 6455 that a conversation of short texts needs, over a connection that is there."""

    def __init__(self, connection, host, path, headers=()):
        self.socket = connection
        fields = {"Host": host, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                  "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **dict(headers)}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        self.reader = self.socket.makefile("rb")
        assert b" 101 " in self.reader.readline()
        while self.reader.readline() != b"\r\n":
            pass

    def send(self, message):
        payload = json.dumps(message).encode()
        mask = os.urandom(4)
        self.socket.sendall(struct.pack("!BBH", 0x81, 0x80 | 126, len(payload)) + mask +
                            bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    def receive(self):
        """The next message; without pings, for nothing here takes that long."""
        kind, length = self.reader.read(2)
        assert kind == 0x81
        if length == 126:
            (length,) = struct.unpack("!H", self.reader.read(2))
        return json.loads(self.reader.read(length))

    def close(self):
        self.reader.close()
        self.socket.close()
