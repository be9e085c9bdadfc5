"""sdk/rust: packaged to a crate, used from it."""

import re

import pytest

from rust_workspace import own_programs
from snippets import check_output
from tools import SDK


def test_its_own_tests_pass(rust):
    output = rust.cargo("test", "--locked", "--workspace")
    assert "test result: ok. 20 passed" in output


def test_its_version_is_the_products():
    (version,) = re.findall(r'^version = "(.*)"$', (SDK / "rust/Cargo.toml").read_text(), re.M)
    assert f"project(microsandbox VERSION {version} " in (SDK.parent / "CMakeLists.txt").read_text()


def test_it_needs_no_openssl(rust):
    assert "openssl-sys" not in rust.cargo("tree", "--locked", "-p", "current", "-e", "normal,build")


@pytest.mark.parametrize("name, program", own_programs().items(), ids=lambda value: value[:20])
def test_examples_and_snippets_of_the_readme_print_what_they_say(name, program, rust, user_env, folder):
    check_output(program, rust.program(name, cwd=folder, env=user_env))
