"""Detached sandboxes, as several test files use them."""

import json
import subprocess
import uuid

import pytest
from conftest import DEADLINE, ROOT, exe, run, wait_until


@pytest.fixture
def name():
    """A name nobody has; whatever it became is gone afterwards."""
    made = f"t-{uuid.uuid4().hex[:12]}"
    yield made
    run("stop", "-t", "0", made)
    run("rm", made)


def detach(name, *arguments, image="busybox", script="sleep 1000", words=(), **options):
    """A detached sandbox of that name that runs a shell script."""
    first, *rest = ["/bin/sh", "-c", script, *words]
    done = exe("-d", "--name", name, *arguments, image, "-e", first, "--", *rest, **options)
    assert (done.returncode, done.stdout) == (0, f"{name}\n".encode()), done.stderr
    return done


def listed(name):
    """Its line of `ps -a --json`, or None."""
    rows = json.loads(run("ps", "-a", "--json").stdout)
    return next((row for row in rows if row["name"] == name), None)


def status(name):
    row = listed(name)
    return row and row["status"]


def wait_for_end(name):
    return wait_until(lambda: status(name) == "ended" and listed(name), f"the end of {name}")


# --- as a server starts them -----------------------------------------------------------------------------

DRIVER = ROOT / "build/release/tests/sandbox_driver"


def drive(command, argument):
    """src/sandbox/testing/driver_main.cc: what no command of msb does."""
    return subprocess.run([DRIVER, command, argument], capture_output=True, timeout=DEADLINE,
                          stdin=subprocess.DEVNULL)


def start(name, image="busybox", **request):
    """A detached sandbox, without a program unless one is given."""
    done = drive("start", json.dumps({"image": image, "name": name, **request}))
    assert (done.returncode, done.stdout) == (0, f"{name}\n".encode()), done.stderr
