"""Sandboxes as the server starts them: without a program, or one that they outlive."""

import json
import os
import pathlib
import re
import subprocess
import time

import pytest
from conftest import run, wait_until
from detached import DRIVER, drive, listed, name, start, wait_for_end  # noqa: F401 (name is a fixture)


def test_a_sandbox_needs_no_program(name):
    start(name, env=["GIVEN=1"])
    done = run("exec", name, "--", "/bin/sh", "-c", "echo $FROM_IMAGE $GIVEN $(hostname); pwd")
    assert (done.returncode, done.stdout) == (0, f"yes 1 {name}\n/\n".encode())
    row = listed(name)
    assert (row["status"], row["command"]) == ("running", [])


def test_what_needs_a_program_says_that_there_is_none(name):
    start(name)
    attach = run("attach", name)
    assert attach.returncode == 125
    assert f"msb exec {name} -- PROGRAM" in attach.stderr.decode()
    logs = run("logs", name)
    assert logs.returncode == 1
    assert "no program of its own" in logs.stderr.decode()


def test_one_without_a_program_that_is_stopped_has_ended_well(name):
    start(name)
    assert run("stop", name).returncode == 0
    row = wait_for_end(name)
    assert (row["exit_code"], row["end"]) == (0, "stopped")


def test_a_sandbox_can_outlive_its_program(name):
    start(name, program=["/bin/sh", "-c", "echo said; exit 3"], ends_with_program=False)
    row = wait_until(lambda: "program_exit_code" in listed(name) and listed(name), "the program's end")
    assert (row["status"], row["program_exit_code"]) == ("running", 3)
    assert run("exec", name, "--", "/bin/true").returncode == 0
    assert run("logs", name).stdout == b"said\n"
    assert run("logs", "-f", name).stdout == b"said\n"
    attach = run("attach", name)
    assert attach.returncode == 125
    assert "has ended" in attach.stderr.decode()


def test_whoever_follows_or_joins_such_a_program_leaves_with_it(name):
    start(name, program=["/bin/sh", "-c", "read line; echo got $line; exit 4"], ends_with_program=False,
          input=True)
    joined = run("attach", name, input=b"it\n")
    assert (joined.returncode, joined.stdout) == (4, b"got it\n")
    assert run("logs", "-f", name).stdout == b"got it\n"
    assert listed(name)["status"] == "running"


def test_a_monitor_has_nothing_of_its_starter(name):
    start(name)
    monitor = listed(name)["monitor_pid"]
    status = dict(line.split(":\t", 1) for line in
                  pathlib.Path(f"/proc/{monitor}/status").read_text().splitlines() if ":\t" in line)
    assert int(status["SigIgn"], 16) == 0
    files = {os.readlink(f"/proc/{monitor}/fd/{fd}") for fd in os.listdir(f"/proc/{monitor}/fd")}
    assert not any("/images/" in file or "(deleted)" in file for file in files), files


def test_a_client_that_only_watches_does_not_keep_a_sandbox_from_being_idle(name):
    start(name, idle_ms=300)
    done = drive("watch", json.dumps({"name": name, "in_use": False}))
    assert done.returncode == 0
    assert done.stdout.startswith(b"it was idle for")


def test_a_client_that_uses_a_sandbox_keeps_it(name):
    start(name, idle_ms=300)
    user = subprocess.Popen([DRIVER, "watch", json.dumps({"name": name})], stdout=subprocess.PIPE)
    other = f"{name}-idle"
    start(other, idle_ms=900)
    wait_for_end(other)  # by then the used one would have ended three times over
    run("rm", other)
    assert listed(name)["status"] == "running"
    user.kill()
    user.wait()
    assert wait_for_end(name)["end"].startswith("it was idle")


def set_limits(name, **limits):
    done = drive("limits", json.dumps({"name": name, "limits": limits}))
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_lifetime_can_be_set_while_it_runs_and_counts_from_then(name):
    start(name)
    assert listed(name)["limits"] == {}
    before = time.time() * 1000
    limits = set_limits(name, lifetime_ms=3_600_000)
    assert before + 3_590_000 < limits["lifetime_ends_ms"] < time.time() * 1000 + 3_610_000
    assert listed(name)["limits"] == limits
    set_limits(name, lifetime_ms=1)
    row = wait_for_end(name)
    assert row["end"].startswith("its lifetime") and row["exit_code"] == 124


def test_a_limit_can_be_taken_away_and_the_others_stay(name):
    start(name, lifetime_ms=3_600_000, idle_ms=7_200_000)
    assert set(listed(name)["limits"]) == {"lifetime_ms", "lifetime_ends_ms", "idle_ms"}
    assert set_limits(name, lifetime_ms=0) == {"idle_ms": 7_200_000}
    assert set_limits(name, idle_ms=0) == {}
    set_limits(name, idle_ms=1)
    assert wait_for_end(name)["end"].startswith("it was idle")


def test_a_limit_beyond_all_reason_is_refused(name):
    start(name)
    done = drive("limits", json.dumps({"name": name, "limits": {"lifetime_ms": 2**63}}))
    assert done.returncode == 1
    assert b"at most 36500 days" in done.stderr


def usage(name):
    done = drive("usage", name)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_usage_counts_what_the_guest_does_whoever_does_it(name):
    start(name)
    before = usage(name)
    # Many processes that end, and one that goes on.
    burn = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
    done = run("exec", name, "--", "/bin/sh", "-c",
               f"for n in 1 2 3 4 5 6 7 8; do sh -c '{burn}'; done; dd if=/dev/zero of=/tmp/x bs=1M count=32; times")
    assert done.returncode == 0, done.stderr.decode()
    after = usage(name)
    minutes, seconds = re.findall(rb"(\d+)m([\d.]+)s", done.stdout)[2]  # of children: user
    spent_us = (int(minutes) * 60 + float(seconds)) * 1e6
    assert after["cpu_us"] - before["cpu_us"] >= spent_us / 2
    grown = after["memory_bytes"] - before["memory_bytes"]
    assert 32 << 20 <= grown <= 128 << 20
    assert after["disk_bytes"] == -1


def test_changes_in_a_tree_of_the_image_are_told(name):
    start(name)
    watcher = subprocess.Popen([DRIVER, "changes", json.dumps(
        {"name": name, "watch": {"path": "/home", "recursive": True}})], stdout=subprocess.PIPE, text=True)
    assert watcher.stdout.readline() == "watching\n"
    script = "cd /home; echo x >user/file; mkdir -p new/deep; echo y >new/deep/file; mv new moved; rm -r /home"
    assert run("exec", name, "--", "/bin/sh", "-c", script).returncode == 0
    *changes, end = watcher.stdout.read().splitlines()
    seen = {(change["kind"], change.get("name", "")) for change in map(json.loads, changes)}
    assert {("created", "user/file"), ("written", "user/file"), ("created", "new"), ("created", "moved/deep/file"),
            ("renamed_from", "new"), ("renamed_to", "moved"), ("removed", "user")} <= seen, seen
    assert end == "the watched directory is gone"
    assert watcher.wait() == 0


def test_a_program_that_is_not_there_fails_the_start(name):
    done = drive("start", json.dumps({"image": "busybox", "name": name, "program": ["/no/such"],
                                      "ends_with_program": False}))
    assert done.returncode == 1
    assert b"/no/such" in done.stderr
    assert listed(name) is None


@pytest.fixture
def full_name(name):
    yield f"space/{name}"
    run("stop", "-t", "0", f"space/{name}")
    run("rm", f"space/{name}")


def test_every_command_takes_a_name_in_a_namespace(full_name, name, tmp_path):
    start(full_name, program=["/bin/sh", "-c", "echo said; sleep 1000"])
    assert listed(full_name)["status"] == "running"
    assert listed(name) is None
    done = run("exec", full_name, "--", "hostname")
    assert (done.returncode, done.stdout) == (0, f"{name}\n".encode())
    wait_until(lambda: run("logs", full_name).stdout == b"said\n", "its output")
    assert run("cp", f"{full_name}:/etc/group", tmp_path).returncode == 0
    assert (tmp_path / "group").read_text().startswith("root:")
    assert run("cp", tmp_path / "group", f"{full_name}:/tmp/copy").returncode == 0
    assert run("rm", full_name).returncode == 1
    assert run("stop", "-t", "0", full_name).stdout == f"{full_name}\n".encode()
    wait_for_end(full_name)
    assert run("rm", full_name).stdout == f"{full_name}\n".encode()
    assert listed(full_name) is None
