"""The distribution, on systems that have nothing of what building it needs: unpacked, installed, used,
upgraded under a running sandbox, and removed, by root and by an ordinary user.

The bare Debian is the stock image microsandbox/base, which mmdebstrap made; the other system has busybox
and nothing else.
"""

import ctypes
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import HOME, MSB, ROOT, busybox_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="enters root file systems")

USER = 1000
TIMEOUT = 300
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH, SYS_PIVOT_ROOT = 0x20000, 4096, 16384, 1 << 18, 2, 155


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, flags):
    checked(LIBC.mount(source, target, None, flags, None))


class System:
    """A root file system and who is in it. Commands see nothing of this one but /proc and /dev; chroot
    would not do, since the kernel refuses user namespaces there."""

    def __init__(self, root, user):
        self.root = pathlib.Path(root)
        self.user = user
        self.home = "/root" if user == 0 else "/home/user"
        for directory in ("proc", "dev", "tmp", self.home.strip("/")):
            (self.root / directory).mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        os.chown(self.root / self.home.strip("/"), user, user)

    def enter(self):
        root = os.fsencode(self.root)
        checked(LIBC.unshare(CLONE_NEWNS))
        mount(b"none", b"/", MS_REC | MS_PRIVATE)
        mount(root, root, MS_BIND)
        for shared in (b"proc", b"dev"):
            mount(b"/" + shared, root + b"/" + shared, MS_BIND | MS_REC)
        os.chdir(root)
        checked(LIBC.syscall(SYS_PIVOT_ROOT, b".", b"."))
        checked(LIBC.umount2(b".", MNT_DETACH))
        os.setgroups([])
        os.setgid(self.user)
        os.setuid(self.user)
        os.chdir(self.home)

    def options(self):
        path = f"{self.home}/.local/bin:/usr/local/bin:/usr/bin:/bin"
        return {"preexec_fn": self.enter, "env": {"PATH": path, "HOME": self.home}}

    def start(self, *arguments):
        return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **self.options())

    def run(self, *arguments):
        return subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT,
                              **self.options())

    def ok(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def unpack(self, tarball):
        target = self.root / self.home.strip("/") / "dist.tar.gz"
        shutil.copy(tarball, target)
        target.chmod(0o644)
        self.ok("tar", "xzf", "dist.tar.gz")
        return f"{self.home}/{tarball.name.removesuffix('.tar.gz')}"

    def files(self):
        """Everything but /proc, /dev, and what is the user's own."""
        found = set()
        for parent, directories, names in os.walk(self.root):
            relative = "/" + os.path.relpath(parent, self.root).strip(".")
            if relative in ("/proc", "/dev", "/run"):
                directories.clear()
                continue
            directories[:] = [d for d in directories if d != ".microsandbox"]
            found.update(f"{relative}/{name}" for name in directories + names)
        return found


def dist(directory):
    subprocess.run([ROOT / "scripts/dist", MSB.parent.parent, directory], check=True, stdout=subprocess.DEVNULL)
    (tarball,) = pathlib.Path(directory).iterdir()
    return tarball


@pytest.fixture(scope="module")
def tarball(tmp_path_factory):
    return dist(tmp_path_factory.mktemp("dist"))


@pytest.fixture(params=["root", "user"])
def debian(request, tmp_path_factory):
    store = HOME / "images"
    index = json.loads((store / "index.json").read_text())
    (digest,) = {entry["digest"] for entry in index["manifests"]
                 if entry["annotations"]["io.containerd.image.name"] == "docker.io/microsandbox/base:latest"}
    manifest = json.loads((store / "blobs/sha256" / digest.removeprefix("sha256:")).read_text())
    (layer,) = manifest["layers"]
    root = tmp_path_factory.mktemp("debian")
    root.chmod(0o755)
    for parent in (root.parent, root.parent.parent):
        assert parent.stat().st_mode & 0o700
    subprocess.run(["tar", "-xf", store / "blobs/sha256" / layer["digest"].removeprefix("sha256:"), "-C", root],
                   check=True, timeout=TIMEOUT)
    yield System(root, 0 if request.param == "root" else USER)
    shutil.rmtree(root)


def test_the_same_build_gives_the_same_tarball(tarball, tmp_path):
    assert dist(tmp_path).read_bytes() == tarball.read_bytes()
    listing = subprocess.run(["tar", "tzf", tarball], check=True, capture_output=True, text=True).stdout.split()
    top = tarball.name.removesuffix(".tar.gz")
    assert all(name.startswith(top + "/") for name in listing)
    for part in ("install.sh", "bin/msb", "images/base.tar.zst", "images/python.tar.zst",
                 "share/doc/microsandbox/copyright/linux", "share/doc/microsandbox/copyright/libc6-dev",
                 "share/doc/microsandbox/kernel/uml.config"):
        assert f"{top}/{part}" in listing


def test_no_program_of_it_knows_where_it_was_built(tarball, tmp_path):
    subprocess.run(["tar", "xzf", tarball, "-C", tmp_path], check=True)
    for program in [*tmp_path.glob("*/bin/msb"), *tmp_path.glob("*/libexec/microsandbox/msb-*")]:
        assert os.fsencode(str(ROOT)) not in program.read_bytes(), program


def test_it_is_installed_used_upgraded_and_removed_on_a_bare_system(debian, tarball):
    before = debian.files()
    unpacked = debian.unpack(tarball)
    said = debian.ok(f"{unpacked}/install.sh")
    prefix = "/usr/local" if debian.user == 0 else "/home/user/.local"
    assert f"{prefix}/bin/msb" in said and "msb doctor" in said
    debian.ok("msb", "doctor")
    assert debian.ok("msx", "python", "--", "-c", "print(1)") == "1\n"
    assert debian.ok("msx", "microsandbox/base", "-e", "echo", "--", "hello") == "hello\n"

    running = debian.start("msx", "microsandbox/base", "-e", "/bin/sh", "--", "-c",
                           "echo up; read line; echo got $line")
    try:
        assert running.stdout.readline() == b"up\n"
        for _ in range(2):  # the second one removes the version that is running
            debian.ok(f"{unpacked}/install.sh", "--no-images")
        assert debian.ok("msx", "microsandbox/base", "-e", "echo", "--", "new") == "new\n"
        versions = debian.ok("ls", f"{prefix}/libexec/microsandbox").split()
        assert len([version for version in versions if version != "created"]) == 2
        output, _ = running.communicate(b"through\n", timeout=TIMEOUT)
        assert output == b"got through\n" and running.returncode == 0
    finally:
        running.kill()
        running.wait()

    installed = next(line for line in said.splitlines() if line.startswith("To remove it: "))
    debian.ok("rm", "-r", unpacked, "dist.tar.gz")
    version = sorted(v for v in versions if v != "created")[-1]
    debian.ok(f"{prefix}/libexec/microsandbox/{version}/install.sh", *installed.split()[4:])
    assert debian.files() == before | ({"/home/user"} & debian.files())
    assert (debian.root / debian.home.strip("/") / ".microsandbox/images/index.json").exists()


def test_it_runs_where_it_was_unpacked(debian, tarball):
    unpacked = debian.unpack(tarball)
    debian.ok(f"{unpacked}/bin/msb", "image", "load", f"{unpacked}/images/base.tar.zst")
    assert debian.ok(f"{unpacked}/bin/msx", "microsandbox/base", "-e", "echo", "--", "hello") == "hello\n"


@pytest.fixture
def busybox(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    busybox_tree(root)
    yield System(root, USER)
    shutil.rmtree(root)


def test_busybox_is_enough_to_install_it(busybox, tarball):
    before = busybox.files()
    unpacked = busybox.unpack(tarball)
    busybox.ok(f"{unpacked}/install.sh", "--prefix", "some where/else")
    assert "ok    installation" in busybox.run("some where/else/bin/msb", "doctor").stdout
    assert busybox.ok("some where/else/bin/msx", "microsandbox/base", "-e", "echo", "--", "hello") == "hello\n"
    busybox.ok(f"{unpacked}/install.sh", "--uninstall", "--prefix=some where/else")
    busybox.ok("rm", "-r", unpacked, "dist.tar.gz")
    assert busybox.files() == before


def test_what_goes_wrong_is_said_with_what_to_do(busybox, tarball):
    unpacked = busybox.unpack(tarball)
    for arguments, message in ((["--prefix", "/usr"], "another place with --prefix"),
                               (["--frobnicate"], "what is --frobnicate?"),
                               (["--uninstall"], "there is no microsandbox in /home/user/.local")):
        done = busybox.run(f"{unpacked}/install.sh", *arguments)
        assert done.returncode == 1 and message in done.stderr, done
    busybox.ok("mkdir", "-p", "other/bin")
    busybox.ok("touch", "other/bin/msb")
    done = busybox.run(f"{unpacked}/install.sh", "--prefix", f"{busybox.home}/other")
    assert done.returncode == 1 and "bin/msb is not microsandbox's" in done.stderr, done
    busybox.ok("cp", f"{unpacked}/install.sh", "install.sh")
    assert "no unpacked microsandbox" in busybox.run("./install.sh").stderr
