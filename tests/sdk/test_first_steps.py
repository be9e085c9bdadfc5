"""The READMEs of the SDKs from their beginning: a server is started, the SDK installed out of the checkout, and the
first program run."""

import os
import re
import shutil
import subprocess

import pytest

from conftest import HOME, MSB
from snippets import check_output, first_steps
from tools import SDK, Venv, fresh, run


class Reader:
    """Whoever types the commands: in a checkout, with a home of their own and programs first in PATH."""

    def __init__(self, sdk, *programs):
        self.commands, self.program = first_steps(SDK / sdk)
        self.place = fresh(f"first-steps-{sdk}")
        self.home = self.place / "home"
        self.home.mkdir(mode=0o700)
        (self.home / "images").symlink_to(HOME / "images")
        # Nobody's node_modules and no build of before: as clean as git has it.
        ignore = shutil.ignore_patterns("node_modules", "dist", "target", "package-lock.json", "Cargo.lock")
        shutil.copytree(SDK / sdk, self.place / "sdk" / sdk, ignore=ignore)
        self.env = {"MSB_HOME": str(self.home), "PATH": ":".join(map(str, [MSB.parent, *programs, os.environ["PATH"]]))}
        self.url = None

    def type_commands(self):
        script = self.commands.replace("msb server start", "msb server start --port 0")
        output = run("bash", "-euxo", "pipefail", "-c", script, cwd=self.place, env=self.env)
        self.url = re.search(r"^Listening on (http://\S+)", output, re.M)[1]

    def run_program(self, *command):
        """As it is in the README, saved to the last word of the command."""
        (self.place / command[-1]).write_text(self.program)
        check_output(self.program, run(*command, cwd=self.place, env={**self.env, "MSB_SERVER_URL": self.url}))

    def leave(self):
        subprocess.run([MSB, "server", "stop"], env={**os.environ, **self.env}, capture_output=True)


@pytest.fixture
def reader():
    readers = []

    def begin(*arguments):
        readers.append(Reader(*arguments))
        return readers[-1]

    yield begin
    for one in readers:
        one.leave()


def test_python(reader):
    one = reader("python", Venv(fresh("first-steps-venv")).bin)
    one.type_commands()
    one.run_program("python", "start.py")


def test_javascript(reader, tools):
    one = reader("javascript", tools.bin)
    (one.place / "package.json").write_text('{"private": true}')  # npm would look above for one
    one.type_commands()
    one.run_program("node", "start.mjs")
    run("node", "-e", "new (require('microsandbox').PythonSandbox)()", cwd=one.place, env=one.env)


def test_rust(reader):
    """Its program is built and run in test_rust.py, with the same two dependencies: building anew takes a minute."""
    one = reader("rust")
    run("cargo", "init", "-q", "--name", "first", cwd=one.place)
    one.type_commands()
    tree = run("cargo", "tree", "--depth", "1", "--prefix", "none", "-f", "{p} {f}", cwd=one.place)
    assert re.search(r"^microsandbox v\S+ \(\S+/sdk/rust\) default,tls$", tree, re.M), tree
    assert re.search(r"^tokio v1\S* .*\bfull\b", tree, re.M), tree
