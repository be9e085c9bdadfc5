"""Tools that the tests of the SDKs build and install with. What they make is below build/sdk."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SDK = ROOT / "sdk"
TESTS = ROOT / "tests/sdk"
BUILD = ROOT / "build/sdk"
DEADLINE = 600  # seconds until a step is a hang: these machines can be slow


def run(*command, cwd=ROOT, env=None, check=True):
    """A step's output; with all that it said, if it failed."""
    done = subprocess.run([str(each) for each in command], cwd=cwd, env={**os.environ, **(env or {})}, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=DEADLINE)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def fresh(folder):
    """An empty folder below build/sdk."""
    path = BUILD / folder
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


class Venv:
    """A virtual environment of Python."""

    def __init__(self, path, *packages):
        self.bin = path / "bin"
        if not self.bin.exists():
            run(sys.executable, "-m", "venv", path)
        self.install(*packages)

    @classmethod
    def kept(cls, folder, requirements):
        """One that is made anew only when what it needs has changed."""
        stamp = BUILD / folder / "requirements.txt"
        if not stamp.exists() or stamp.read_bytes() != requirements.read_bytes():
            venv = cls(fresh(folder), "-r", requirements)
            shutil.copy(requirements, stamp)
            return venv
        return cls(BUILD / folder)

    def install(self, *packages):
        if packages:
            run(self.bin / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages)

    def python(self, *arguments, **options):
        return run(self.bin / "python", *arguments, **options)


class Node:
    """Node with npm; Debian's npm would bring 400 packages, a wheel from PyPI has both."""

    def __init__(self, venv):
        self._env = {"PATH": f"{venv.bin}:{os.environ['PATH']}"}
        self._bin = venv.bin

    def npm(self, *arguments, cwd):
        options = ["--no-audit", "--no-fund", "--no-update-notifier"]
        return run(self._bin / "npm", *arguments, *options, cwd=cwd, env=self._env)

    def node(self, *arguments, cwd, env=None):
        return run(self._bin / "node", *arguments, cwd=cwd, env=env)
