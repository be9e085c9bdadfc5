"""Tests of the REPL drivers, run by the host's own python3 and node (or REPL_PYTHON, REPL_NODE)."""

import os
import sys

import pytest

from driver import DRIVERS, Driver

PYTHON = os.environ.get("REPL_PYTHON", sys.executable)
NODE = os.environ.get("REPL_NODE", "node")


@pytest.fixture
def start(request, tmp_path):
    """Starts contexts; the folder they start in is tmp_path."""
    started = []
    command = {
        "test_python": [PYTHON, DRIVERS / "python.py"],
        "test_node": [NODE, DRIVERS / "node.js"],
    }[request.module.__name__]

    def starter(**options):
        started.append(Driver(command, tmp_path, **options))
        return started[-1]

    yield starter
    for driver in started:
        driver.close()


@pytest.fixture
def context(start):
    return start().start()
