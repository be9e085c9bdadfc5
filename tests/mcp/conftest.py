"""Tests of MCP with the official conformance suite and the official SDKs as clients, against the fixture
(src/server/mcp/fixture). What they need is fetched once, in exact versions, into build/mcp."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FETCHED = ROOT / "build" / "mcp"
UNIT_TEST = ROOT / "src/server/mcp/tools_test.cc"
FIXTURE = pathlib.Path(os.environ.get("MCP_FIXTURE", ROOT / "build/release/tests/mcp_fixture"))

# Those that the unit tests find in tools/list (src/server/mcp/tools_test.cc).
TABLE_OF_TOOLS = re.findall(
    r'"(sandbox_\w+)"', re.search(r"ElementsAre\(\"sandbox_start.*?\)\)", UNIT_TEST.read_text(), re.S)[0]
)


def fetched(name, sources, fetch):
    """The folder that fetch(folder) fills, made anew when one of its sources has changed."""
    folder = FETCHED / name
    wanted = hashlib.sha256(b"".join((HERE / source).read_bytes() for source in sources)).hexdigest()
    stamp = folder / ".fetched"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fetch(folder)
        stamp.write_text(wanted)
    return folder


@pytest.fixture(scope="session")
def npm(sdk_python):
    """node_modules."""
    sources = ["package.json", "package-lock.json", ".npmrc"]

    def fetch(folder):
        for source in sources:
            shutil.copy(HERE / source, folder)
        programs = sdk_python.parent
        subprocess.run(
            [programs / "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder, check=True, env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        )

    return fetched("npm", sources, fetch) / "node_modules"


@pytest.fixture(scope="session")
def node(sdk_python):
    """Of a version that the suite needs: 22."""
    return sdk_python.parent / "node"


@pytest.fixture(scope="session")
def sdk_python():
    """A Python that has the official SDK; beside it are node and npm."""

    def fetch(folder):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)

    return fetched("venv", ["requirements.txt"], fetch) / "bin" / "python"


@pytest.fixture(scope="session")
def url():
    """Where the fixture listens."""
    server = subprocess.Popen([FIXTURE], stdout=subprocess.PIPE, text=True)
    yield server.stdout.readline().strip()
    server.terminate()
    assert server.wait() == 0
