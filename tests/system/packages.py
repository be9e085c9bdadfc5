"""Packages of other people's that check what the server says: exact versions (requirements.txt), fetched once into
build/system."""

import hashlib
import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")


@pytest.fixture(scope="session")
def packages():
    """From here on they can be imported."""
    folder = ROOT / "build/system/venv"
    stamp = folder / ".fetched"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", "-r", REQUIREMENTS], check=True)
        stamp.write_text(wanted)
    [libraries] = folder.glob("lib/python*/site-packages")
    sys.path.insert(0, str(libraries))
