"""A session with each of the official SDKs as a client, over both transports."""

import json
import subprocess

import pytest

from conftest import FIXTURE, HERE

TEXT = "This is a simple text response for testing."


def seen_by(*command):
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(params=["http", "stdio"])
def target(request):
    return [request.getfixturevalue("url")] if request.param == "http" else [FIXTURE, "--stdio"]


def check(seen):
    assert seen["server"] == "microsandbox-fixture"
    assert "test_simple_text" in seen["tools"]
    assert "test_simple_prompt" in seen["prompts"]
    assert seen["resource"] == "This is the content of the static text resource."
    assert seen["text"] == TEXT
    assert seen["failed"] is True
    # The SDKs drop progress that they have read together with the result, as a slow client may.
    assert seen["progress"] and ["0 of 100", "50 of 100", "100 of 100"][: len(seen["progress"])] == seen["progress"]


def test_the_typescript_sdk_has_a_whole_session(npm, node, target):
    seen = seen_by(node, HERE / "client.mjs", npm, *target)
    check(seen)
    assert "sampled" in seen["sampled"]
    assert len(seen["logs"]) == 3
    assert seen["reconnected"] == "The client came back"
    assert "enough" in seen["cancelled"]


@pytest.mark.parametrize("mode, version", [("legacy", "2025-11-25"), ("auto", "2026-07-28")])
def test_the_python_sdk_works_with_and_without_a_session(sdk_python, target, mode, version):
    seen = seen_by(sdk_python, HERE / "client.py", mode, *target)
    check(seen)
    assert seen["version"] == version
    assert seen["cancelled"] is True
    assert seen["after"] == TEXT
