"""Every `msb` and `msx` command line of the documentation is one that the program takes: its commands and options
are in the help. That those of scripts do what is said is tested where they run (test_server_docs.py, tests/sdk,
tests/mcp).
"""

import functools
import re
import shlex

import pytest
from conftest import ROOT, run

DOCUMENTS = ["README.md", "ARCHITECTURE.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")),
             *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("sdk/*/README.md"))]


@functools.cache
def helped(path):
    """(commands with their aliases, options) that the help of a command names."""
    done = run(*path, "--help")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    listed = text.split("Subcommands:")[1] if "Subcommands:" in text else ""
    commands = re.findall(r"^  ([a-z]+(?:, [a-z]+)*)", listed, re.M)
    options = re.findall(r"^  (-\S+)", text, re.M)
    return ({name for names in commands for name in names.split(", ")},
            {name for names in options for name in names.split(",")})


def whole_lines(block):
    """The lines of a piece of shell, those together between which a quotation goes on."""
    line = ""
    for more in block.splitlines():
        line += more.removeprefix("$ ") + "\n"
        try:
            shlex.split(line, comments=True)
        except ValueError:
            continue
        yield line
        line = ""
    assert not line, line


def simple_commands(text):
    """The words of each command of a line of shell, without what surrounds it."""
    lexer = shlex.shlex(text.replace("[", "").replace("]", ""), posix=True, punctuation_chars=";|&()<>")
    lexer.whitespace_split = True
    found = [[]]
    for word in lexer:
        found[-1].append(word) if not set(word) <= set(";|&()<>") else found.append([])
    return [words for words in found if words and words[0] in ("msb", "msx")]


def complaint(words):
    """What the program would not take of a command, or None. Names in capitals stand for something else."""
    path = ("exe",) if words[0] == "msx" else ()
    for word in words[1:]:
        commands, options = helped(path)
        if word in ("--", "…"):
            break
        if re.fullmatch(r"-[a-zA-Z]{2,}", word):  # several in one word
            unknown = {f"-{letter}" for letter in word[1:]} - options
        elif re.fullmatch(r"--?[a-zA-Z].*", word):
            unknown = {word.split("=")[0]} - options
        elif commands and word.isupper():
            break
        elif commands:
            unknown = {word} - commands
            path = (*path, word)
        else:
            continue
        if unknown:
            return f"{shlex.join(words)}: no {', '.join(unknown)}"
    return None


def documented():
    """(document, command), of code spans and of blocks that are no script."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        blocks = re.findall(r"^```(?:\w*)\n(.*?)^```", text, re.M | re.S)
        shown = re.findall(r"^```(?:shell|sh)?\n(.*?)^```", text, re.M | re.S)
        for block in blocks:
            text = text.replace(block, "")
        pieces = [line for block in shown
                  if re.search(r"(^|[$|;&] *)ms[bx] ", block, re.M) for line in whole_lines(block)]
        pieces += re.findall(r"(?<!`)`((?:msb|msx) [^`]*)`(?!`)", text)
        for piece in pieces:
            if re.search(r"\bms[bx] ", piece):
                yield from ((document, words) for words in simple_commands(piece))


@pytest.mark.parametrize("document, words", list(documented()),
                         ids=lambda value: value if isinstance(value, str) else shlex.join(value))
def test_a_documented_command_is_one_that_there_is(document, words):
    assert complaint(words) is None


@pytest.mark.parametrize("line", ["msb image list", "msb nothing", "msb server start --nothing", "msx --nothing python",
                                  "msb ps -aX", "msb server nothing -f", "msb exe -e sh --nothing busybox -- -c"])
def test_one_that_there_is_not_would_be_found(line):
    assert complaint(shlex.split(line)) is not None


def test_those_of_the_documents_are_found():
    found = [shlex.join(words) for _, words in documented()]
    assert len(found) > 60 and {"msb image ls", "msb server log -f", "msb server start --reset-key"} <= set(found)
