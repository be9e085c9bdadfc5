"""Completion, in the shells themselves."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from conftest import DEADLINE, MSB, exe, run
from server_tools import Server, unique

ENVIRONMENT = {**os.environ, "PATH": f"{MSB.parent}:{os.environ['PATH']}"}


def script(shell):
    done = run("completion", shell)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


class Bash:
    def complete(self, line):
        program = line.split()[0]
        code = script("bash") + f"""
COMP_LINE={shell_quote(line)} COMP_POINT=${{#COMP_LINE}}
_msb {program} 2>&1
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
        done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, env=ENVIRONMENT,
                              timeout=DEADLINE)
        assert done.stderr == "", done.stderr
        return done.stdout.split()


class Fish:
    def complete(self, line):
        code = f"msb completion fish | source; complete -C {shell_quote(line)}"
        done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, env=ENVIRONMENT,
                              timeout=DEADLINE)
        assert done.stderr == "", done.stderr
        return [candidate.split("\t")[0] for candidate in done.stdout.splitlines()]


class Zsh:
    """An interactive one on a terminal, which completes and lists; there is no other way."""

    def complete(self, line):
        pid, fd = pty.fork()
        if pid == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**ENVIRONMENT, "TERM": "dumb", "PS1": "PROMPT ", "COLUMNS": "500"})
        try:
            os.write(fd, b"autoload -Uz compinit; compinit -D -u; source <(msb completion zsh); "
                         b"setopt no_always_last_prompt; LISTMAX=1000; echo re''ady\n")
            self.read(fd, rb"\nready")
            # With a mark on either side, since a single candidate is inserted and several are listed.
            os.write(fd, line.encode() + b"\t\t")
            os.write(fd, b"\x01echo \x05 do''ne\n")
            seen = self.read(fd, rb"\n[^\n]*done\r?\n")
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(fd)
        return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", seen).decode().split()

    @staticmethod
    def read(fd, until):
        seen, end = b"", time.monotonic() + DEADLINE
        while not re.search(until, seen):
            ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
            assert ready, seen
            seen += os.read(fd, 65536)
        return seen


def shell_quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.fixture(params=[Bash, Zsh, Fish])
def shell(request):
    name = request.param.__name__.lower()
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    return request.param()


@pytest.fixture
def box():
    name = "completed-box"
    assert exe("-d", "--name", name, "busybox", "-e", "sleep", "--", "1000").returncode == 0
    yield name
    run("stop", "-t", "0", name)
    run("rm", name)


def test_commands_and_options_are_completed(shell):
    assert {"exe", "exec", "image", "doctor", "completion"} <= set(shell.complete("msb "))
    assert "exec" in shell.complete("msb ex")
    assert "--json" in shell.complete("msb ps --j")
    assert {"--memory", "--lifetime"} <= set(shell.complete("msb exe --"))
    assert "fish" in shell.complete("msb completion fi")


def test_images_are_completed_where_an_image_is_meant(shell):
    for line in ("msb exe ", "msx ", "msb image rm ", "msb image inspect ", "msb exe --image "):
        assert {"busybox", "noshell"} <= set(shell.complete(line)), line
    assert "microsandbox/base" in shell.complete("msb exe microsandbox/b")


def test_commands_of_image_are_completed(shell):
    assert {"load", "import", "save", "tag", "ls", "rm", "check", "inspect"} <= set(shell.complete("msb image "))


def test_sandboxes_are_completed_where_one_is_meant(shell, box):
    for line in ("msb exec ", "msb stop ", "msb logs ", "msb attach comp"):
        assert box in shell.complete(line), line


def test_names_with_a_tag_are_completed_behind_the_colon_where_bash_breaks_words():
    assert run("image", "tag", "busybox", "completed:one").returncode == 0
    try:
        assert Bash().complete("msb exe completed:o") == ["one"]
    finally:
        run("image", "rm", "completed:one")


def helped(*path):
    """(commands, long options) that its help names."""
    text = run(*path, "--help").stdout.decode()
    commands = text.split("Subcommands:")[1] if "Subcommands:" in text else ""
    return ({line.split()[0] for line in commands.splitlines() if re.match(r"  [a-z]", line)},
            set(re.findall(r"^ .*?(--[a-z-]+)", text, re.M)))


@pytest.mark.parametrize("program", ["image", "server"])
def test_every_command_and_option_that_help_names_is_completed(shell, program):
    commands, _ = helped(program)
    assert {"help", "rm" if program == "image" else "keygen"} < commands
    assert set(shell.complete(f"msb {program} ")) >= commands
    for command in commands - {"help"}:
        _, options = helped(program, command)
        assert set(shell.complete(f"msb {program} {command} --")) >= options, command


def test_options_of_mcp_are_completed(shell):
    assert {"--path", "--help"} <= set(shell.complete("msb mcp --"))


def test_commands_of_the_server_are_not_taken_for_those_of_msb(shell, box):
    assert box not in shell.complete("msb server stop ")
    assert box not in shell.complete("msb server log ")


@pytest.fixture
def served(monkeypatch):
    """(home's own sandbox that runs, one that is stopped, another's of namespace elsewhere)"""
    server = Server()
    monkeypatch.setitem(ENVIRONMENT, "MSB_HOME", server.directory)
    running, stopped = server.sandbox("busybox", memory=64).name, server.sandbox("busybox", memory=64).name
    server.call("sandbox.stop", sandbox=stopped, grace=0)
    other = unique("t")
    server.call("sandbox.start", namespace="elsewhere", sandbox=other, config={"image": "busybox", "memory": 64})
    yield running, stopped, other
    server.end()


def test_sandboxes_of_the_server_are_completed_with_those_of_their_namespace(shell, served):
    running, stopped, other = served

    def offered(line):
        return set(shell.complete(line)) & set(served)

    assert offered("msb server ssh ") == {running}
    assert offered("msb server log ") == {running, stopped}
    assert offered("msb server status ") == {running, other}
    for option in ("-n elsewhere", "--namespace elsewhere", "--namespace=elsewhere"):
        assert offered(f"msb server ssh {option} ") == {other}, option
    assert {"default", "elsewhere"} <= set(shell.complete("msb server list -n "))


def test_values_of_options_are_completed(shell):
    assert "busybox" in shell.complete("msb server keygen --allow-image bu")
    assert "uml" in shell.complete("msb exe --engine ")


def test_an_unknown_shell_is_refused():
    done = run("completion", "tcsh")
    assert done.returncode == 2 and b"SHELL" in done.stderr
