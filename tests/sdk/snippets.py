"""Programs of examples and READMEs, and what they are to print.

A comment `# -> TEXT` or `// -> TEXT` says what the line before it (or it itself, or a line above) prints; `*` in it is
any text. All of them, in order, are the program's whole output.

A fenced block that does not import the SDK is a fragment: the README says inside of what it stands, and WRAPPERS says
it here; what it imports else stands before that.
"""

import re
import textwrap

from tools import ROOT

WRAPPERS = {
    "python": (
        "import asyncio\nfrom microsandbox import *\n\n\nasync def main():\n"
        '    async with Sandbox.create(image="microsandbox/python") as sandbox:\n',
        "\n\nasyncio.run(main())\n",
        " " * 8,
    ),
    "javascript": (
        'import { Sandbox } from "microsandbox";\n'
        'const sandbox = await Sandbox.create({ image: "microsandbox/python" });\ntry {\n',
        "\n} finally {\n  await sandbox.close();\n}\n",
        "  ",
    ),
    "rust": (
        "#[allow(unused_imports)]\nuse microsandbox::*;\n\n#[tokio::main]\nasync fn main() -> Result<()> {\n"
        '    let options = SandboxOptions::builder().image("microsandbox/python").build();\n'
        "    let sandbox = Sandbox::create(options).await?;\n",
        "\n    sandbox.close().await\n}\n",
        "    ",
    ),
}
STARTS = {"python": r"^(import|from) ", "javascript": r'^import .* from "microsandbox"', "rust": r"^use "}


def first_steps(folder):
    """The commands at the beginning of the SDK's README, and the program that follows them."""
    text = (folder / "README.md").read_text()
    (commands,) = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    return commands, next(programs(folder / "README.md", folder.name))


def of_readmes(folder, language):
    """Those of the SDK's README and of the product's."""
    return [program for readme in (folder, ROOT) for program in programs(readme / "README.md", language)]


def programs(readme, language):
    """The README's programs in a language, whole ones and fragments in their wrapper."""
    for code in re.findall(rf"^```{language}\n(.*?)^```", readme.read_text(), re.M | re.S):
        if not re.search(STARTS[language], code, re.M):
            before, after, indent = WRAPPERS[language]
            imports = "".join(re.findall(r"^import .*\n", code, re.M))
            code = imports + before + textwrap.indent(re.sub(r"^import .*\n", "", code, flags=re.M), indent) + after
        yield code


def check_output(program, output):
    """That a program printed what its comments say, and nothing else."""
    expected = re.findall(r"(?:#|//) -> (.*)$", program, re.M)
    assert expected, "the program does not say what it prints"
    lines = output.rstrip("\n").split("\n")
    matches = len(lines) == len(expected) and all(map(_matches, expected, lines))
    assert matches, f"it printed\n{output}\nand should have printed\n" + "\n".join(expected) + f"\n--- {program}"


def _matches(pattern, line):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), line.rstrip())
