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


def test_every_command_of_image_is_known_to_completion():
    listed = run("image", "--help").stdout.decode().split("Subcommands:")[1]
    commands = {line.split()[0] for line in listed.splitlines() if re.match(r"  [a-z]", line)} - {"help"}
    assert commands == set(Bash().complete("msb image "))


def test_an_unknown_shell_is_refused():
    done = run("completion", "tcsh")
    assert done.returncode == 2 and b"SHELL" in done.stderr
