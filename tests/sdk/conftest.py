"""Tests of the SDKs as their users get them: built, installed from what was built, run against a real server."""

import os
import pathlib
import re
import subprocess
import threading

import pytest

from rust_workspace import RustWorkspace
from tools import ROOT, Node, Venv

MSB = pathlib.Path(os.environ.get("MSB", ROOT / "build/release/bin/msb"))
HOME = pathlib.Path(os.environ.get("MSB_HOME", ROOT / "build/test-home"))


def has_server():
    """Whether this build has a server; once it has, no test is skipped."""
    if not MSB.exists():
        return False
    asked = subprocess.run([MSB, "server", "start", "--help"], stdin=subprocess.DEVNULL, capture_output=True)
    return asked.returncode == 0


@pytest.fixture(scope="session")
def server():
    """URL of a real server, which needs no key. Its port is free: others may test at the same time."""
    if not has_server():
        pytest.skip(f"{MSB} has no `server start`")
    command = [MSB, "server", "start", "--dev", "--port", "0"]
    process = subprocess.Popen(command, env={**os.environ, "MSB_HOME": str(HOME)}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        address = re.search(r"^Listening on http://127\.0\.0\.1:(\d+)", line)
        if address:
            break
    else:
        pytest.fail("the server did not say its address:\n" + "".join(said))
    # Somebody has to read what it says, lest it waits for that.
    threading.Thread(target=process.stdout.read, daemon=True).start()
    yield f"http://127.0.0.1:{address[1]}"
    process.terminate()
    process.wait(60)


@pytest.fixture(scope="session")
def user_env(server):
    """The environment of a program that uses the SDK as its README says."""
    return {"MSB_SERVER_URL": server, "MSB_API_KEY": ""}


@pytest.fixture(scope="session")
def tools():
    """A virtual environment with what the tests themselves need. It takes long to make and is kept."""
    return Venv.kept("tools", pathlib.Path(__file__).parent / "requirements.txt")


@pytest.fixture(scope="session")
def node(tools):
    return Node(tools)


@pytest.fixture(scope="session")
def rust():
    """The crate as it is packaged, its programs, and one that uses the published crate: all built."""
    return RustWorkspace()


@pytest.fixture
def folder(tmp_path):
    """An empty working directory with a README.md, as examples expect."""
    (tmp_path / "README.md").write_text("# a file to be copied\n")
    return tmp_path

