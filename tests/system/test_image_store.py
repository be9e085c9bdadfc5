"""msb-image as its user sees it: output, errors, two at once, killed at any moment, a full disk."""

import hashlib
import io
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import tarfile
import time

import pytest

from image_tools import LIBEXEC, MSB_IMAGE, Images, Layout, TIMEOUT

SEED = int(os.environ.get("SEED", "7"))


def layer(names, size=10):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = size
            archive.addfile(member, io.BytesIO(random.Random(name).randbytes(size)))
    return data.getvalue()


@pytest.fixture
def images(tmp_path):
    return Images(tmp_path)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "layout")


def converters():
    """Processes of this build's msb-convert."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{entry}/exe") == str(LIBEXEC / "msb-convert"):
                found.append(int(entry))
        except OSError:
            pass
    return found


def wait_until(condition, what):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_loading_prints_names_and_listing_shows_them(images, layout):
    digest = layout.add("app:1", [layer(["a"])])
    assert images.ok("load", layout.path) == f"loaded app:1 ({digest})\n"
    assert "app:1" in images.ok("ls")
    (image,) = json.loads(images.ok("ls", "--json"))
    assert image["name"] == "docker.io/library/app:1" and image["digest"] == digest and image["runnable"]
    assert json.loads(images.ok("inspect", "app:1", "--json"))["config"]["cmd"] == ["sh"]
    assert "no problem" in images.ok("check")
    assert images.ok("rm", "app:1") == "removed app:1\n"
    assert images.names() == []
    assert images.files() == ["index.json", "oci-layout"]


def test_the_store_is_a_layout_that_other_programs_read(images, layout, tmp_path):
    digest = layout.add("app:1", [layer(["a"]), layer(["b"])])
    images.ok("load", layout.path)
    name = "docker.io/library/app:1"
    raw = subprocess.run(["skopeo", "inspect", "--raw", f"oci:{images.store}:{name}"], check=True,
                         capture_output=True, timeout=TIMEOUT).stdout
    assert "sha256:" + hashlib.sha256(raw).hexdigest() == digest
    subprocess.run(["skopeo", "copy", f"oci:{images.store}:{name}", f"oci-archive:{tmp_path}/copy.tar:again"],
                   check=True, capture_output=True, timeout=TIMEOUT)
    assert images.ok("load", tmp_path / "copy.tar").startswith("loaded again ")


@pytest.mark.parametrize("compress", [None, "gzip", "zstd"])
def test_archives_by_file_and_by_pipe(images, layout, tmp_path, compress):
    digest = layout.add("app", [layer(["a"])])
    archive = tmp_path / "archive"
    options = [f"--use-compress-program={compress}"] if compress else []
    subprocess.run(["tar", *options, "-C", layout.path, "-cf", archive, "."], check=True, timeout=TIMEOUT)
    assert digest in images.ok("load", archive)
    images.ok("rm", "app")
    with open(archive, "rb") as stream:
        assert digest in images.ok("load", "-", "--tag", "other", stdin=stream)
    assert sorted(images.names()) == ["docker.io/library/app:latest", "docker.io/library/other:latest"]


def test_import_takes_the_whole_configuration(images, tmp_path):
    (tmp_path / "rootfs.tar").write_bytes(layer(["a"]))
    images.ok("import", tmp_path / "rootfs.tar", "--tag", "a", "--tag", "b:2", "--entrypoint", '["/bin/x", "-y"]',
              "--cmd", "one", "--cmd", "two", "--env", "A=1", "--env", "B=", "--workdir", "/w", "--user", "u:g")
    for name in ("a", "b:2"):
        config = json.loads(images.ok("inspect", name, "--json"))["config"]
        assert (config["entrypoint"], config["cmd"]) == (["/bin/x", "-y"], ["one", "two"])
        assert (config["env"], config["workdir"], config["user"]) == (["A=1", "B="], "/w", "u:g")


@pytest.mark.parametrize("arguments, message", [
    (["load", "/nonexistent"], "cannot open /nonexistent"),
    (["load", "/etc"], "not an OCI image layout"),
    (["load", "/etc/passwd"], "not a tar archive"),
    (["import", "/etc/passwd", "--tag", "a"], "not a tar archive"),
    (["import", "/etc", "--tag", "A"], "capital letters"),
    (["import", "/etc", "--tag", "a", "--env", "novalue"], "--env novalue"),
    (["import", "/etc", "--tag", "a", "--workdir", "relative"], "--workdir relative"),
    (["import", "/etc", "--tag", "a", "--cmd", "[1"], "--cmd"),
    (["import", "/etc"], "--tag is required"),
    (["inspect", "nothing"], "msb image load"),
    (["rm", "nothing"], "'nothing' is not in the store"),
    (["ls", "--bad"], "--bad"),
    (["frobnicate"], "frobnicate"),
    ([], "which command"),
])
def test_wrong_use_is_one_clear_error(images, arguments, message):
    assert message in images.fails(*arguments)
    assert images.names() == []


def test_help_names_the_command_as_users_call_it(images):
    assert "Usage: msb image" in images.ok("--help")
    assert "--entrypoint" in images.ok("import", "--help")


def test_a_home_of_somebody_else_is_refused(images):
    if os.geteuid() != 0:
        pytest.skip("needs another user's directory")
    images.home.mkdir()
    os.chown(images.home, 12345, 12345)
    for command in (["ls"], ["check"], ["import", "/etc", "--tag", "a"]):
        assert "belongs to user 12345" in images.fails(*command)


def test_a_wrong_digest_keeps_nothing(images, layout):
    layout.add("app", [layer(["a"], 1 << 20), layer(["b"], 1 << 20)])
    for blob in sorted((layout.path / "blobs/sha256").iterdir()):
        content = blob.read_bytes()
        blob.write_bytes(content[:-600] + bytes([content[-600] ^ 1]) + content[-599:] if len(content) > 600
                         else content[:-1] + b" ")
        assert "digest" in images.fails("load", layout.path)
        assert images.files() in ([], ["oci-layout"])
        blob.write_bytes(content)


def test_check_names_what_is_damaged_and_what_to_do(images, layout):
    layout.add("app", [layer(["a"])])
    images.ok("load", layout.path)
    (blob,) = images.store.glob("converted/1/*.blob")
    blob.chmod(0o600)
    blob.write_bytes(b"x" * blob.stat().st_size)
    done = images.run("check")
    assert done.returncode == 1
    assert blob.name in done.stdout and "msb image rm app" in done.stdout
    images.ok("rm", "app")
    images.ok("load", layout.path)
    images.ok("check")


def test_a_full_disk_is_said_and_leaves_nothing(images, layout):
    if os.geteuid() != 0:
        pytest.skip("mounts a small file system")
    layout.add("big", [layer(["a"], 30 << 20)])
    images.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "none", images.home], check=True)
    try:
        assert "No space left" in images.fails("load", layout.path)
        assert images.names() == [] and images.check() == []
        assert images.files() == ["oci-layout"]
    finally:
        subprocess.run(["umount", images.home], check=True)


def test_two_loads_at_once_of_the_same_and_of_different_images(images, tmp_path):
    shared = layer(["shared"], 20 << 20)
    layouts = []
    for name in ("one", "two"):
        layouts.append(Layout(tmp_path / name))
        layouts[-1].add(name, [shared, layer([name])])
    commands = [images.start("load", layouts[i % 2].path) for i in range(6)]
    for command in commands:
        _, errors = command.communicate(timeout=TIMEOUT)
        assert command.returncode == 0, errors
    assert images.names() == ["docker.io/library/one:latest", "docker.io/library/two:latest"]
    assert images.check() == []


def test_loading_and_removing_at_once_leaves_the_store_whole(images, layout):
    layout.add("app", [layer(["a"], 1 << 20)])
    for _ in range(5):
        commands = [images.start("load", layout.path) for _ in range(2)] + [images.start("rm", "app")]
        for command in commands:
            command.communicate(timeout=TIMEOUT)
        assert commands[0].returncode == commands[1].returncode == 0
        assert images.check() == []


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_load_that_dies_at_any_moment_leaves_the_store_whole(images, layout, death):
    layout.add("kept", [layer(["kept"])])
    images.ok("load", layout.path)
    layout.add("big", [layer([f"big{i}" for i in range(50)], 1 << 19), layer(["more"], 1 << 20)])
    moments = random.Random(SEED)
    start = time.monotonic()
    images.ok("load", layout.path)
    duration = time.monotonic() - start
    interrupted = 0
    for _ in range(10 if death == signal.SIGKILL else 3):
        images.run("rm", "big")
        command = images.start("load", layout.path)
        try:
            command.wait(moments.uniform(0, duration))
        except subprocess.TimeoutExpired:
            interrupted += 1
        command.send_signal(death)
        command.communicate(timeout=TIMEOUT)
        wait_until(lambda: not converters(), "a converter has outlived its parent")
        assert images.check() == []
        assert images.names()[-1] == "docker.io/library/kept:latest"
    assert interrupted > 0
    images.ok("load", layout.path)
    assert images.check() == []
    # What the killed commands had left is gone, too.
    referenced = set(re.findall(r"[0-9a-f]{64}", " ".join(images.files())))
    assert len(images.files()) == 2 + len({f for f in images.files() if "/" in f})
    assert len(referenced) == len(json.loads(images.ok("ls", "--json"))) * 2 + 3
    assert not list(images.store.glob(".index*"))


def test_progress_is_silent_when_asked_and_plain_in_a_pipe(images, layout):
    layout.add("app", [layer(["a"])])
    plain = images.run("load", layout.path)
    assert re.match(r"layer 1/1 [0-9a-f]{12}: ", plain.stderr) and "\033" not in plain.stderr
    assert images.run("load", layout.path, "--quiet").stderr == ""


def test_the_converter_accepts_no_other_use():
    done = subprocess.run([LIBEXEC / "msb-convert"], capture_output=True, timeout=TIMEOUT)
    assert done.returncode == 1 and MSB_IMAGE.exists() and pathlib.Path(LIBEXEC).is_dir()
