"""The commands of the documentation, run as a reader would, and what it says that they print.

A fenced block `sh` is a piece of a script; a comment `# -> TEXT` says what the command above it prints, one line each;
`*` in it is any text. All pieces of a file that are given are one script, for a reader works in one shell.
"""

import os
import re
import shutil
import socket
import subprocess

from conftest import HOME, ROOT, MSB


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Place:
    """A home for a server that the documentation's commands start."""

    def __init__(self, directory):
        directory.mkdir(mode=0o700, exist_ok=True)
        self.directory, self.port = str(directory), free_port()
        directory.chmod(0o700)
        (directory / "images").symlink_to(HOME / "images")
        shutil.copy(HOME / "version", directory)


def blocks(path, language):
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / path).read_text(), re.M | re.S)


def run_script(script, server, **environment):
    """Runs it against a server of the tests'; checks that it prints what it says, and nothing else."""
    script = script.replace("127.0.0.1:5555", f"127.0.0.1:{server.port}")
    script = script.replace("msb server start", f"msb server start --port {server.port}")
    environment = {**os.environ, "MSB_HOME": server.directory, "no_proxy": "*",
                   "PATH": f"{MSB.parent}:{os.environ['PATH']}", **environment}
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
