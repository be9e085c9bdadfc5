"""sdk/javascript: packed to a tarball, installed from it and from the checkout."""

import json
import shutil

import pytest

from snippets import check_output, of_readmes
from tools import SDK, TESTS, fresh, run

JAVASCRIPT = SDK / "javascript"


@pytest.fixture(scope="module")
def source(node):
    """A copy of the checkout's folder, as clean as git has it, with what building needs."""
    folder = fresh("javascript-source")
    ignore = shutil.ignore_patterns("node_modules", "dist", "package-lock.json")
    shutil.copytree(JAVASCRIPT, folder / "sdk/javascript", ignore=ignore)
    # Its tests start the fake server, which they look for where it is in the checkout.
    (folder / "tests").symlink_to(SDK.parent / "tests")
    node.npm("install", cwd=folder / "sdk/javascript")
    return folder / "sdk/javascript"


@pytest.fixture(scope="module")
def project(source, node):
    """A user's project, with the package installed from the tarball."""
    folder = fresh("javascript-project")
    node.npm("pack", "--pack-destination", folder, cwd=source)
    (tarball,) = folder.glob("*.tgz")
    (folder / "package.json").write_text('{"private": true}')
    node.npm("install", tarball, cwd=folder)
    return folder


def test_its_own_tests_pass(source, node):
    tests = sorted((source / "test").glob("*.test.mjs"))
    assert "# fail 0" in node.node("--test", *tests, cwd=source)


def test_its_own_tests_pass_on_the_systems_node(source):
    if shutil.which("node") is None:
        pytest.skip("this machine has no node of its own")
    tests = sorted((source / "test").glob("*.test.mjs"))
    assert "fail 0" in run("node", "--test", *tests, cwd=source)


def test_the_tarball_has_no_dependencies_and_the_products_version(project):
    installed = json.loads((project / "node_modules/microsandbox/package.json").read_text())
    assert not installed.get("dependencies")
    assert f"project(microsandbox VERSION {installed['version']} " in (SDK.parent / "CMakeLists.txt").read_text()
    assert [each.name for each in (project / "node_modules").iterdir() if not each.name.startswith(".")] == [
        "microsandbox"]


def test_it_is_imported_and_required(project, node):
    names = "const names = Object.keys(msb); if (!names.includes('PythonSandbox')) throw names;"
    node.node("--input-type=module", "-e", f"import * as msb from 'microsandbox'; {names}", cwd=project)
    node.node("-e", f"const msb = require('microsandbox'); {names}", cwd=project)


def test_its_types_are_those_of_its_documentation(project, source, node):
    """TypeScript programs compile strictly, as ES modules and as CommonJS, and print what they say."""
    tsc = source / "node_modules/typescript/lib/tsc.js"
    for example in (JAVASCRIPT / "examples").glob("*.ts"):
        shutil.copy(example, project)
    programs = [project / example.name for example in (JAVASCRIPT / "examples").glob("*.ts")]
    options = ["--strict", "--noEmit", "--target", "ES2020", "--lib", "ES2021,DOM,ESNext.Disposable"]
    for module, resolution in [("CommonJS", "node10"), ("ES2022", "bundler"), ("Node16", "node16")]:
        kind = ["--module", module, "--moduleResolution", resolution]
        node.node(tsc, *options, *kind, *programs, cwd=project)


@pytest.mark.parametrize("options", [[], ["--strict", "--target", "ES2022", "--module", "NodeNext"]],
                         ids=lambda options: " ".join(options) or "no options")
def test_its_types_bring_what_they_need_of_the_language(options, project, source, node):
    """A program need not name a library, not even for `await using`."""
    (project / "using.ts").write_text(
        'import { PythonSandbox } from "microsandbox";\n'
        "export async function main(): Promise<void> {\n"
        "  await using sandbox = await PythonSandbox.create();\n"
        '  await sandbox.run("1");\n'
        "}\n")
    shutil.copy(JAVASCRIPT / "examples/files.ts", project)
    tsc = source / "node_modules/typescript/lib/tsc.js"
    node.node(tsc, "--noEmit", *options, "using.ts", "files.ts", cwd=project)


def test_everything_that_it_exports_is_documented(project, source, node):
    declarations = project / "node_modules/microsandbox/dist/esm/index.d.ts"
    said = node.node(TESTS / "undocumented.mjs", source / "node_modules/typescript", declarations, cwd=project)
    *missing, count = said.splitlines()
    assert not missing and int(count.split()[0]) > 50, said


def test_the_driver_for_node_is_written_in_the_syntax_of_es2021(source, node):
    """Of newer syntax the compiler would make something else."""
    said = node.node(TESTS / "newer_syntax.mjs", source / "node_modules/typescript", SDK.parent / "guest/repl/node.js",
                     cwd=source)
    assert said == ""


@pytest.mark.parametrize("newer", ["class A { x = 1 }", "class A { #x() {} }", "class A { static { f() } }",
                                   "class A { #x; f(o) { return #x in o } }", "{ using a = f() }"])
def test_newer_syntax_would_be_found(newer, source, node, tmp_path):
    (tmp_path / "driver.js").write_text(f"'use strict';\n{newer}\n")
    assert node.node(TESTS / "newer_syntax.mjs", source / "node_modules/typescript", tmp_path / "driver.js", cwd=source)


@pytest.fixture(scope="module")
def typed(source, node):
    """A TypeScript project for Node, with Node's types, as most are."""
    folder = fresh("javascript-typed")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    node.npm("pack", "--ignore-scripts", "--pack-destination", folder, cwd=source)
    (tarball,) = folder.glob("*.tgz")
    node.npm("install", tarball, "@types/node@18.19.130", cwd=folder)
    return folder


@pytest.mark.parametrize("libraries", [[], ["--lib", "ES2022,DOM"], ["--lib", "ES2022"]],
                         ids=lambda words: " ".join(words) or "default")
def test_its_types_go_with_those_of_node(libraries, typed, source, node):
    """With and without those of browsers. The README's programs are TypeScript, too."""
    for number, program in enumerate(of_readmes(JAVASCRIPT, "javascript")):
        (typed / f"snippet_{number}.ts").write_text(program + "\nexport {};\n")
    tsc = source / "node_modules/typescript/lib/tsc.js"
    options = ["--noEmit", "--target", "ES2022", "--module", "NodeNext", *libraries]
    node.node(tsc, *options, *sorted(typed.glob("snippet_*.ts")), cwd=typed)


@pytest.mark.parametrize("example", sorted((JAVASCRIPT / "examples").iterdir()), ids=lambda path: path.name)
def test_examples_print_what_they_say(example, project, source, node, user_env):
    program = project / example.name
    shutil.copy(example, program)
    if program.suffix == ".ts":
        tsc = source / "node_modules/typescript/lib/tsc.js"
        options = ["--target", "ES2020", "--module", "CommonJS", "--lib", "ES2021,DOM,ESNext.Disposable"]
        node.node(tsc, *options, program, cwd=project)
        program = program.with_suffix(".js")
    check_output(example.read_text(), node.node(program, cwd=project, env=user_env))


@pytest.mark.parametrize("number, program", list(enumerate(of_readmes(JAVASCRIPT, "javascript"))))
def test_snippets_of_the_readme_print_what_they_say(number, program, project, node, user_env):
    (project / "snippet.mjs").write_text(program)
    check_output(program, node.node("snippet.mjs", cwd=project, env=user_env))
