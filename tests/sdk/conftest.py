"""Tests of the SDKs as their users get them: built, installed from what was built, run against a real server."""

import json
import os
import pathlib
import re
import subprocess
import threading
import urllib.request

import pytest

from rust_workspace import RustWorkspace
from tools import ROOT, Node, Venv, fresh

MSB = pathlib.Path(os.environ.get("MSB", ROOT / "build/release/bin/msb"))
HOME = pathlib.Path(os.environ.get("MSB_HOME", ROOT / "build/test-home"))


def has_server():
    """Whether this build has a server; once it has, no test is skipped."""
    if not MSB.exists():
        return False
    asked = subprocess.run([MSB, "server", "start", "--help"], stdin=subprocess.DEVNULL, capture_output=True)
    return asked.returncode == 0


@pytest.fixture(scope="session")
def home():
    """A home of the tests' own, with the images of the system tests: other servers may run at the same time."""
    folder = fresh("home")
    folder.chmod(0o700)
    (folder / "images").symlink_to(HOME / "images")
    return folder


@pytest.fixture(scope="session")
def server(home):
    """URL of a real server, which needs no key. All of its sandboxes are gone afterwards."""
    if not has_server():
        pytest.skip(f"{MSB} has no `server start`")
    command = [MSB, "server", "start", "--dev", "--port", "0"]
    process = subprocess.Popen(command, env={**os.environ, "MSB_HOME": str(home)}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        address = re.search(r"^Listening on (http://127\.0\.0\.1:\d+)", line)
        if address:
            break
    else:
        pytest.fail("the server did not say its address:\n" + "".join(said))
    # Somebody has to read what it says, lest it waits for that.
    threading.Thread(target=process.stdout.read, daemon=True).start()
    yield address[1]
    # By their disks: what runs is listed by all servers of this user.
    for disk in sorted(home.glob("namespaces/*/*")):
        call(address[1], "remove", namespace=disk.parent.name, sandbox=disk.name)
    process.terminate()
    process.wait(60)


def call(url, method, **params):
    """Calls a method of the server's API."""
    body = json.dumps({"jsonrpc": "2.0", "method": f"sandbox.{method}", "params": params, "id": 1}).encode()
    request = urllib.request.Request(f"{url}/api/v1/rpc", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()


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

