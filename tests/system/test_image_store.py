"""msb-image as its user sees it: output, errors, two at once, killed at any moment, a full disk."""

import hashlib
import io
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import tarfile
import time

import pytest

from image_tools import LIBEXEC, MSB_IMAGE, Images, Layout, Mounted, TIMEOUT

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
    assert images.ok("rm", "app:1") == f"removed app:1 ({digest})\n"
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
    (["load", "/etc"], "neither an OCI image layout nor a docker-archive"),
    (["load", "/etc/passwd"], "not a tar archive"),
    (["import", "/etc/passwd", "--tag", "a"], "not a tar archive"),
    (["inspect", "nothing"], "msb image load"),
    (["rm", "nothing"], "'nothing' is not in the store"),
    (["tag", "nothing", "b"], "'nothing' is not in the store"),
    (["save", "nothing", "-o", "/tmp/never"], "'nothing' is not in the store"),
])
def test_what_cannot_be_done_is_one_clear_error(images, arguments, message):
    assert message in images.fails(*arguments)
    assert images.names() == []


def test_a_stock_image_that_is_missing_can_be_made_in_a_source_tree(images):
    recipes = list((pathlib.Path(__file__).parents[2] / "images").glob("*/recipe"))
    tags = [tag for recipe in recipes for tag in re.search(r'^tags="(.*)"$', recipe.read_text(), re.M)[1].split()]
    assert "microsandbox/python" in tags
    for tag in tags:
        assert "make images" in images.fails("inspect", tag), tag
    assert "make images" not in images.fails("inspect", "alpine")


@pytest.mark.parametrize("arguments, message", [
    (["import", "/etc", "--tag", "A"], "capital letters"),
    (["load", "/etc", "--tag", "a@sha256:" + 64 * "0"], "cannot have a digest"),
    (["import", "/etc", "--tag", "a", "--env", "novalue"], "--env novalue"),
    (["import", "/etc", "--tag", "a", "--workdir", "relative"], "--workdir relative"),
    (["import", "/etc", "--tag", "a", "--cmd", "[1"], "--cmd"),
    (["import", "/etc"], "--tag is required"),
    (["tag", "a", "B"], "capital letters"),
    (["tag", "a"], "NAME"),
    (["save", "a"], "--output is required"),
    (["ls", "--bad"], "--bad"),
    (["frobnicate"], "frobnicate"),
    ([], "which command"),
])
def test_a_wrong_command_line_is_code_2_and_says_where_help_is(images, arguments, message):
    error = images.fails(*arguments, code=2)
    assert message in error
    known = arguments and arguments[0] != "frobnicate"
    assert error.endswith(f"\nTry: msb image {arguments[0] + ' ' if known else ''}--help\n")
    assert images.names() == []


def test_help_names_the_command_as_users_call_it(images):
    assert "Usage: msb image" in images.ok("--help")
    assert images.ok("help") == images.ok("--help")
    assert images.ok("help", "import") == images.ok("import", "--help")
    assert "--entrypoint" in images.ok("import", "--help")


def test_listing_counts_each_image_once_in_an_order_that_stays(images, layout):
    base = layer(["base"], 1 << 20)
    layout.add("z/app", [base, layer(["app"], 1 << 16)])
    layout.add("other", [base])
    digest = layout.add(None, [layer(["unnamed"])])
    images.ok("load", layout.path)
    images.ok("tag", "z/app", "app")
    listed = json.loads(images.ok("ls", "--json"))
    assert [image["name"] for image in listed] == [
        "docker.io/library/app:latest", "docker.io/library/other:latest", "docker.io/z/app:latest", ""]
    assert listed[0]["bytes"] == listed[2]["bytes"] > 1 << 20
    assert 1 << 16 < listed[0]["unique_bytes"] < 1 << 20 and listed[2]["unique_bytes"] == 0
    rows = [line.split() for line in images.ok("ls").splitlines()]
    assert rows[3][0] == "z/app" and rows[3][-1] == "same"
    assert images.ok("ls", "-q").splitlines() == ["app", "other", "z/app", digest]


def test_the_digest_that_ls_prints_names_the_image_everywhere(images, layout, tmp_path):
    digest = layout.add("app", [layer(["a"])])
    images.ok("load", layout.path)
    short = images.ok("ls").splitlines()[1].split()[1]
    assert digest.startswith("sha256:" + short)
    assert f"digest      {digest}" in images.ok("inspect", short)
    assert images.ok("tag", short, "b:2") == f"b:2 is now {digest}\n"
    images.ok("save", short, "-o", tmp_path / "saved.tar")
    assert images.ok("rm", short) == f"removed app ({digest})\nremoved b:2 ({digest})\n"


def test_a_tag_that_moves_says_from_where(images, layout):
    old, new = layout.add("a", [layer(["old"])]), layout.add("b", [layer(["new"])])
    images.ok("load", layout.path)
    assert images.ok("tag", "b", "a") == (
        f"a is now {new}\nit was {old}, which had no other name and is removed\n")
    assert images.check() == []
    assert json.loads(images.ok("tag", "b", "a", "--json"))["moved_from"] == ""


def test_saved_images_are_what_other_programs_read(images, layout, tmp_path):
    layout.add("one", [layer(["shared"]), layer(["one"])])
    layout.add("two:2", [layer(["shared"])])
    images.ok("load", layout.path)
    archive = tmp_path / "saved.tar"
    images.ok("save", "one", "two:2", "-o", archive)
    for name in ("docker.io/library/one:latest", "docker.io/library/two:2"):
        subprocess.run(["skopeo", "copy", f"oci-archive:{archive}:{name}", f"dir:{tmp_path}/copy"], check=True,
                       capture_output=True, timeout=TIMEOUT)
    assert images.run("save", "one", "-o", tmp_path / "no/where.tar").returncode == 1
    assert images.ok("rm", "one", "two:2")
    images.ok("load", archive)
    assert images.names() == ["docker.io/library/one:latest", "docker.io/library/two:2"]


@pytest.mark.parametrize("compress", [None, "gzip", "zstd"])
def test_archives_that_skopeo_writes_for_docker_are_loaded(images, layout, tmp_path, compress):
    layout.add("app:1", [layer(["a"]), layer(["b"]), layer(["a"])])
    archive = tmp_path / "docker.tar"
    subprocess.run(["skopeo", "copy", f"oci:{layout.path}:app:1", f"docker-archive:{archive}:from/docker:7",
                    "--additional-tag", "second:8"], check=True, capture_output=True, timeout=TIMEOUT)
    if compress:
        subprocess.run([compress, "-q", archive], check=True, timeout=TIMEOUT)
        archive = next(tmp_path.glob("docker.tar.*"))
    images.ok("load", archive)
    assert images.names() == ["docker.io/from/docker:7", "docker.io/library/second:8"]
    (tree,) = {json.dumps(json.loads(images.ok("inspect", name, "--json"))["layers"]) for name in
               ("from/docker:7", "second:8")}
    assert len(json.loads(tree)) == 3
    assert images.check() == []
    error = images.fails("import", archive, "--tag", "useless")
    assert f"msb image load {archive}" in error


def test_layers_that_umoci_inserts_are_loaded(images, layout, tmp_path):
    layout.add("app", [layer(["a"])])
    (tmp_path / "file").write_text("inserted\n")
    subprocess.run(["umoci", "insert", "--image", f"{layout.path}:app", tmp_path / "file", "/inserted"],
                   check=True, capture_output=True, timeout=TIMEOUT)
    images.ok("load", layout.path)
    with Mounted(images.volume("app", tmp_path / "volume"), tmp_path / "mounted") as mounted:
        assert (mounted.directory / "inserted").read_text() == "inserted\n"


def test_a_file_size_limit_is_an_error_that_names_it(images, layout):
    layout.add("big", [layer(["a"], 4 << 20)])
    error = images.fails("load", layout.path, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    assert "ulimit -f" in error, error
    assert images.names() == []


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
