"""Disks that outlive their sandboxes, as the server gives them to those in namespaces."""

import json
import os
import shutil
import signal
import subprocess
import threading

import pytest
from conftest import HOME, busybox_tree, command, processes, run
from detached import drive, listed, start, wait_for_end
from detached import name  # noqa: F401 (a fixture)
from server_tools import Server


@pytest.fixture
def disk(name):
    """A directory where the disk of `name` is kept, as the server does it."""
    directory = HOME / "namespaces" / "tests" / name
    yield str(directory)
    run("stop", "-t", "0", name)
    shutil.rmtree(directory, ignore_errors=True)


def sh(name, script):
    done = run("exec", name, "--", "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def stop(name):
    assert run("stop", name).returncode == 0
    wait_for_end(name)
    assert run("rm", name).returncode == 0


def refusal(**request):
    done = drive("start", json.dumps({"image": "busybox", **request}))
    assert done.returncode == 1
    return done.stderr.decode()


def test_what_was_written_is_there_after_a_stop(name, disk):
    start(name, disk=disk)
    sh(name, "echo kept >/data/file; chown user /data/file; rm /etc/group; mkdir -p /new/deep")
    stop(name)
    start(name, disk=disk)
    assert sh(name, "cat /data/file; stat -c %U /data/file; ls -d /etc/group /new/deep 2>/dev/null || :") \
        == "kept\nuser\n/new/deep\n"
    stop(name)


def test_a_stop_without_grace_loses_nothing_either(name, disk):
    start(name, disk=disk)
    sh(name, "echo kept >/data/file")
    assert run("stop", "-t", "0", name).returncode == 0
    wait_for_end(name)
    assert run("rm", name).returncode == 0
    start(name, disk=disk)
    assert sh(name, "cat /data/file") == "kept\n"
    stop(name)


def writer(name):
    """A program that has made some data sure and goes on writing; returns once it has."""
    script = ("dd if=/dev/zero of=/data/sure bs=64k count=16 conv=fsync 2>/dev/null; echo sure; "
              "i=0; while :; do dd if=/dev/zero of=/data/more$((i=(i+1)%8)) bs=64k count=32 2>/dev/null; done")
    program = subprocess.Popen(command("exec", name, "--", "/bin/sh", "-c", script), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    assert program.stdout.readline() == b"sure\n"
    return program


@pytest.mark.parametrize("victims", ["monitor", "all"])
def test_a_kill_in_the_middle_of_writing_keeps_what_was_synced(name, disk, victims):
    for _ in range(3):
        start(name, disk=disk)
        program = writer(name)
        monitor = listed(name)["monitor_pid"]
        for pid in [monitor] if victims == "monitor" else [monitor, *set(processes()) - {monitor}]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it went with the first
        program.wait()
        assert run("rm", name).returncode == 0
        start(name, disk=disk)
        assert sh(name, "stat -c %s /data/sure") == "1048576\n"
        assert sh(name, "echo fine >/data/after && sync && cat /data/after; dmesg | grep -i 'ext4.*error' || :") \
            == "fine\n"
        stop(name)


def test_a_killed_one_starts_again_at_once(name, disk):
    """However quickly: what is left of the killed one is waited for, never written beside."""
    other = name + "-2"
    start(name, disk=disk)
    sh(name, "echo kept >/data/file; sync")
    os.kill(listed(name)["monitor_pid"], signal.SIGKILL)
    start(other, disk=disk)
    assert sh(other, "cat /data/file") == "kept\n"
    stop(other)


def test_a_second_sandbox_on_a_disk_is_refused_and_told_whose_it_is(name, disk):
    start(name, disk=disk)
    assert f"in use by sandbox {name}" in refusal(name=name + "-2", disk=disk)
    assert f"in use by sandbox {name}" in refusal(name=name + "-2", disk=disk, reset=True)
    sh(name, "echo alive >/data/file")
    stop(name)


def test_of_many_starts_on_one_disk_exactly_one_wins(name, disk):
    names = [f"{name}-{i}" for i in range(6)]
    codes = {}

    def attempt(each):
        codes[each] = drive("start", json.dumps({"image": "busybox", "name": each, "disk": disk})).returncode

    threads = [threading.Thread(target=attempt, args=[each]) for each in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [each for each, code in codes.items() if code == 0]
    assert len(winners) == 1, codes
    stop(winners[0])


def test_another_image_needs_a_reset(name, disk):
    start(name, disk=disk)
    sh(name, "echo old >/data/file")
    stop(name)
    why = refusal(name=name, image="noshell", disk=disk)
    assert "made over image busybox" in why and "reset" in why
    start(name, disk=disk, reset=True)
    assert sh(name, "cat /data/file 2>/dev/null || echo empty") == "empty\n"
    stop(name)


def test_an_image_that_a_disk_needs_is_not_removed(name, disk):
    start(name, image="noshell", disk=disk)
    stop(name)
    refused = run("image", "rm", "noshell")
    assert refused.returncode == 1
    assert f"tests/{name}" in refused.stderr.decode()
    assert run("image", "tag", "noshell", "noshell:2").returncode == 0
    assert run("image", "rm", "noshell:2").returncode == 0


@pytest.fixture
def image(tmp_path):
    """image(): imports one under the same name as before, with other content; its digest."""
    tag = f"pinned-{os.getpid()}"
    digests = []

    def make():
        tree = tmp_path / str(len(digests))
        tree.mkdir()
        busybox_tree(tree)
        (tree / "etc/version").write_text(str(len(digests)))
        done = run("image", "import", tree, "--tag", tag, "--cmd", "/bin/sh", "--env", "PATH=/bin", "--json")
        assert done.returncode == 0, done.stderr.decode()
        digests.append(json.loads(done.stdout)[0]["digest"])
        return digests[-1]

    make.tag = tag
    yield make
    for digest in digests:
        run("image", "rm", "--force", digest)


@pytest.mark.parametrize("move", ["import", "tag"])
def test_an_image_that_a_disk_needs_outlives_a_move_of_its_name(name, disk, image, move):
    old = image()
    start(name, image=image.tag, disk=disk)
    sh(name, "echo kept >/data/file")
    stop(name)
    if move == "tag":
        moved = run("image", "tag", "busybox", image.tag)
        assert "stays without a name" in moved.stdout.decode()
    else:
        image()
    # Whatever removes what nothing leads to.
    assert run("image", "tag", "noshell", "noshell:gone").returncode == 0
    assert run("image", "rm", "noshell:gone").returncode == 0
    assert run("image", "check").returncode == 0
    assert run("image", "rm", old).returncode == 1
    assert old in refusal(name=name, image=image.tag, disk=disk)
    start(name, image=old, disk=disk)
    assert sh(name, "cat /etc/version /data/file") == "0kept\n"
    stop(name)
    if move == "tag":
        assert run("image", "rm", image.tag).returncode == 0


def test_an_image_is_kept_for_disks_in_the_directory_that_a_server_was_given_as_well(image, tmp_path):
    digest = image()
    server = Server("--path", str(tmp_path / "disks"))
    try:
        box = server.sandbox(image.tag, memory=64)
        box.call("stop", grace=0)
        server.stop()
        refused = run("image", "rm", digest, env=server.env)
        assert refused.returncode == 1 and f"default/{box.name}" in refused.stderr.decode()
        shutil.rmtree(tmp_path / "disks")
        gone = run("image", "rm", digest, env=server.env)
        assert gone.returncode == 0 and "is not there" in gone.stderr.decode()
    finally:
        server.end()


def test_a_full_disk_is_the_guests_error_and_stays_usable(name, disk):
    start(name, disk=disk)
    assert sh(name, "dd if=/dev/zero of=/data/big bs=1M count=1000 2>/dev/null || echo full") == "full\n"
    stop(name)
    for _ in range(2):  # what the first start needs is there for the next, too
        start(name, disk=disk)
        assert sh(name, "dd if=/dev/zero of=/data/more bs=4k count=1000 2>/dev/null || echo full") == "full\n"
        stop(name)
    start(name, disk=disk)
    assert sh(name, "rm /data/big; echo ok >/data/file; cat /data/file") == "ok\n"
    stop(name)
