"""The file systems that images become, against what other programs unpack from the same bytes."""

import os
import pathlib
import socket
import subprocess
import tarfile
import io

import pytest

from image_tools import Images, Layout, Mounted, TIMEOUT, differences, fsck, tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def make_root(root):
    """A root file system with one of everything."""
    (root / "d/e").mkdir(parents=True)
    (root / "d/file").write_bytes(os.urandom(10000))
    (root / "d/empty").touch()
    os.link(root / "d/file", root / "d/e/hard")
    os.symlink("../d/file", root / "d/e/relative")
    os.symlink("/etc/passwd", root / "absolute")
    os.symlink("t" * 4000, root / "long-link")
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "char", 0o600 | 0o020000, os.makedev(1, 259))
    os.mknod(root / "block", 0o600 | 0o060000, os.makedev(259, 1))
    with open(root / "sparse", "wb") as file:
        file.truncate(50 << 20)
        file.seek(30 << 20)
        file.write(b"data")
    (root / "set").write_text("#!/bin/sh\n")
    os.chown(root / "set", 100000, 4000000000)
    os.chmod(root / "set", 0o6755)
    (root / os.fsdecode(b"umlaut-\xc3\xa4")).touch()
    (root / os.fsdecode(b"latin-\xe4")).touch()
    (root / "new\nline").touch()
    (root / ("n" * 255)).touch()
    (root / "sticky").mkdir()
    os.chmod(root / "sticky", 0o1777)
    os.setxattr(root / "d", "user.directory", b"x" * 300)
    os.setxattr(root / "d/file", "user.a", b"\0binary\xff")
    os.setxattr(root / "d/file", "security.capability", bytes.fromhex("0100000200200000" + "00" * 12))
    os.setxattr(root / "d/empty", "trusted.thing", b"1")
    (root / "many").mkdir()
    for i in range(700):
        (root / "many" / f"a-file-with-a-name-{i}").write_text(str(i))
    for path, seconds in (("d/empty", -1.25), ("char", 1.5), ("d/e", 5e9)):
        os.utime(root / path, ns=(0, int(seconds * 10**9)))


def pack(root, target, *options):
    subprocess.run(["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--format=pax", *options, "-C",
                    root, "-cf", target, "."], check=True, timeout=TIMEOUT)


def unpack(archive, directory):
    directory.mkdir()
    subprocess.run(["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", archive, "-C",
                    directory], check=True, timeout=TIMEOUT)


def mounted_tree(images, name, directory):
    volume = images.volume(name, directory / "volume")
    fsck(volume)
    with Mounted(volume, directory / "mounted") as mounted:
        return tree(mounted.directory)


@pytest.mark.parametrize("options", [(), ("--sparse",), ("-z",), ("--zstd",)])
def test_an_imported_tar_is_what_tar_unpacks(tmp_path, options):
    root = tmp_path / "root"
    root.mkdir()
    make_root(root)
    archive = tmp_path / "rootfs.tar"
    pack(root, archive, *options)
    unpack(archive, tmp_path / "unpacked")
    images = Images(tmp_path)
    images.ok("import", archive, "--tag", "a")
    found = mounted_tree(images, "a", tmp_path)
    assert differences(found, tree(tmp_path / "unpacked")) == {}
    assert len(found) > 700


def test_an_imported_directory_is_that_directory(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    make_root(root)
    with socket.socket(socket.AF_UNIX) as listener:  # left out
        listener.bind(str(root / "socket"))
    images = Images(tmp_path)
    images.ok("import", root, "--tag", "a")
    (root / "socket").unlink()
    found = mounted_tree(images, "a", tmp_path)
    expected = tree(root)
    for facts in (found, expected):  # removing the socket has changed the directory's time
        del facts[b"."]["mtime"]
    assert differences(found, expected) == {}


def test_a_sparse_file_keeps_its_holes(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    make_root(root)
    images = Images(tmp_path)
    images.ok("import", root, "--tag", "a")
    with Mounted(images.volume("a", tmp_path / "volume"), tmp_path / "mounted") as mounted:
        if not mounted.mounted:
            pytest.skip("this host's kernel cannot mount EROFS")
        with open(mounted.directory / "sparse", "rb") as file:
            data = os.lseek(file.fileno(), 0, os.SEEK_DATA)
            assert 29 << 20 < data <= 30 << 20
            assert os.lseek(file.fileno(), data, os.SEEK_HOLE) < 31 << 20
    assert (tmp_path / "volume").stat().st_size < 20 << 20


def umoci(*arguments):
    subprocess.run(["umoci", *map(str, arguments)], check=True, capture_output=True, timeout=TIMEOUT)


def test_layers_made_by_umoci_are_what_umoci_unpacks(tmp_path):
    layout = tmp_path / "layout"
    image = f"{layout}:three"
    umoci("init", "--layout", layout)
    umoci("new", "--image", image)

    def layer(number, change):
        bundle = tmp_path / f"bundle{number}"
        umoci("unpack", "--image", image, bundle)
        change(bundle / "rootfs")
        umoci("repack", "--image", image, bundle)

    def second(root):
        (root / "d/file").unlink()  # a whiteout; its other name stays
        subprocess.run(["rm", "-r", root / "many"], check=True)
        (root / "many").write_text("a file now")
        (root / "d/empty").write_text("no longer")
        (root / "d/new").mkdir()
        os.chmod(root / "d", 0o711)

    def third(root):
        (root / "many").unlink()
        (root / "many").mkdir()  # and a directory again
        (root / "many/one").write_text("one")
        os.symlink("many/one", root / "d/new/link")
        (root / "fifo").unlink()

    for number, change in enumerate((make_root, second, third)):
        layer(number, change)
    umoci("unpack", "--image", image, tmp_path / "oracle")
    images = Images(tmp_path)
    images.ok("load", layout)
    found = mounted_tree(images, "three", tmp_path)
    assert differences(found, tree(tmp_path / "oracle/rootfs")) == {}


def make_layer(*members):
    """(name, type, content or target) as a tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            member.mtime = 1000
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname = text
                archive.addfile(member)
            else:
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


F, D, S, L = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

ODD_LAYERS = {
    "whiteout-before-its-file": [[("./", D, ""), ("a", F, "1")], [(".wh.a", F, ""), ("a", F, "2")]],
    "whiteout-after-its-file": [[("./", D, ""), ("a", F, "1")], [("a", F, "2"), (".wh.a", F, "")]],
    "opaque": [[("./", D, ""), ("d/", D, ""), ("d/old", F, "1")],
               [("d/", D, ""), ("d/.wh..wh..opq", F, ""), ("d/new", F, "2")]],
    "opaque-after-its-files": [[("./", D, ""), ("d/", D, ""), ("d/old", F, "1")],
                               [("d/", D, ""), ("d/new", F, "2"), ("d/.wh..wh..opq", F, "")]],
    "duplicates": [[("./", D, ""), ("a", F, "1"), ("a", F, "2"), ("a", S, "x"), ("a", F, "3")]],
    "hard-link-to-an-earlier-layer": [[("./", D, ""), ("a", F, "1")], [("b", L, "a")]],
    "hard-link-then-replaced": [[("./", D, ""), ("a", F, "1"), ("b", L, "a"), ("a", F, "2")]],
    "directory-to-file-and-back": [[("./", D, ""), ("x/", D, ""), ("x/a", F, "1")], [("x", F, "2")],
                                   [("x/", D, ""), ("x/b", F, "3")]],
    "parent-is-a-link": [[("./", D, ""), ("usr/", D, ""), ("usr/lib/", D, ""), ("lib", S, "usr/lib")],
                         [("lib/a", F, "1")]],
    "parent-is-a-link-out": [[("./", D, ""), ("etc/", D, ""), ("out", S, "/../../etc")], [("out/a", F, "1")]],
    "absolute-names": [[("./", D, ""), ("/a", F, "1"), ("/d/", D, ""), ("/d/b", F, "2")]],
}


@pytest.mark.parametrize("case", ODD_LAYERS)
def test_odd_layers_are_what_umoci_unpacks(tmp_path, case):
    layout = Layout(tmp_path / "layout")
    layout.add("odd", [make_layer(*layer) for layer in ODD_LAYERS[case]])
    umoci("unpack", "--image", f"{layout.path}:odd", tmp_path / "oracle")
    images = Images(tmp_path)
    images.ok("load", layout.path)
    found, oracle = mounted_tree(images, "odd", tmp_path), tree(tmp_path / "oracle/rootfs")
    for facts in (found, oracle):  # an unpacker's own work changes directories that no entry describes
        for path in facts:
            if facts[path]["mode"].startswith("0o4"):
                facts[path].pop("mtime")
    assert differences(found, oracle) == {}


@pytest.mark.skipif("SOAK" not in os.environ, reason="writes 9 GiB; merge_test.cc has the addresses")
def test_a_volume_larger_than_four_gibibytes_is_read_to_its_end(tmp_path):
    layout = Layout(tmp_path / "layout")
    for name in ("one", "two"):
        root = tmp_path / name
        root.mkdir()
        with open(root / name, "wb") as file:
            file.truncate(5 << 29)
            file.seek((5 << 29) - 10)
            file.write(name.encode())
    archives = []
    for name in ("one", "two"):
        archives.append(tmp_path / f"{name}.tar")
        pack(tmp_path / name, archives[-1])
    layout.add("big", [archive.read_bytes() for archive in archives])
    images = Images(tmp_path)
    images.ok("load", layout.path)
    found = mounted_tree(images, "big", tmp_path)
    assert (tmp_path / "volume").stat().st_size > 4 << 30
    for name in ("one", "two"):
        expected = tree(tmp_path / name)
        assert found[name.encode()]["content"] == expected[name.encode()]["content"]


def test_a_tree_of_this_machine_is_what_tar_unpacks(tmp_path):
    source = pathlib.Path("/usr/lib/python3")
    archive = tmp_path / "rootfs.tar"
    pack(source, archive)
    unpack(archive, tmp_path / "unpacked")
    images = Images(tmp_path)
    images.ok("import", archive, "--tag", "a")
    assert differences(mounted_tree(images, "a", tmp_path), tree(tmp_path / "unpacked")) == {}
