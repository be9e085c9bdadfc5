"""sdk/python: built to a wheel, installed from it."""

import ast
import re
import sys

import pytest

from snippets import check_output, of_readmes
from tools import BUILD, SDK, Venv, fresh, run

PYTHON = SDK / "python"


@pytest.fixture(scope="module")
def wheel():
    out = fresh("python-wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", out, PYTHON)
    (built,) = out.glob("microsandbox-*.whl")
    return built


@pytest.fixture(scope="module")
def venv(wheel):
    return Venv(fresh("python-venv"), wheel)


def test_the_synchronous_flavour_is_what_the_generator_makes():
    run(sys.executable, PYTHON / "tools/generate_sync.py", "--check")


@pytest.mark.parametrize("file", sorted([*PYTHON.glob("src/**/*.py"), *PYTHON.glob("examples/*.py")]),
                         ids=lambda path: str(path.relative_to(PYTHON)))
def test_it_is_written_in_the_syntax_of_the_oldest_python_that_it_names(file):
    oldest = re.search(r'^requires-python = ">=3\.(\d+)"', (PYTHON / "pyproject.toml").read_text(), re.M)[1]
    assert f"Python 3.{oldest} or newer" in (PYTHON / "README.md").read_text()
    ast.parse(file.read_text(), file, feature_version=(3, int(oldest)))


def test_the_wheel_needs_few_packages(venv):
    listed = venv.python("-m", "pip", "list", "--format=freeze", "--disable-pip-version-check")
    needed = {line.split("==")[0].lower() for line in listed.splitlines()} - {"pip", "setuptools", "wheel"}
    assert "microsandbox" in needed and len(needed) <= 10, needed


def test_the_wheels_version_is_the_products(wheel):
    text = (SDK.parent / "CMakeLists.txt").read_text()
    version = text.split("project(microsandbox VERSION ")[1].split()[0]
    assert wheel.name.startswith(f"microsandbox-{version}-")


@pytest.fixture(scope="module")
def checked(wheel, tools):
    """The tests' own tools beside the wheel."""
    tools.install(wheel)  # with what it needs, if that is not there
    tools.install("--force-reinstall", "--no-deps", wheel)  # also if its version was there
    return tools


def test_its_own_tests_pass_on_the_installed_wheel(checked):
    output = checked.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=PYTHON)
    assert " passed" in output and "failed" not in output


def test_it_is_typed_strictly_for_users_too(checked):
    examples = sorted((PYTHON / "examples").glob("*.py"))
    checked.python("-m", "mypy", "--strict", "--cache-dir", BUILD / "mypy", "-p", "microsandbox", cwd=BUILD)
    for example in examples:  # one by one: all of them are __main__
        checked.python("-m", "mypy", "--strict", "--cache-dir", BUILD / "mypy", example, cwd=BUILD)


@pytest.mark.parametrize("example", sorted((PYTHON / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_print_what_they_say(example, venv, user_env, folder):
    check_output(example.read_text(), venv.python(example, cwd=folder, env=user_env))


@pytest.mark.parametrize("number, program", list(enumerate(of_readmes(PYTHON, "python"))))
def test_snippets_of_the_readme_print_what_they_say(number, program, venv, user_env, folder):
    (folder / "snippet.py").write_text(program)
    check_output(program, venv.python("snippet.py", cwd=folder, env=user_env))
