"""What the tests of images share: msb-image on a store of its own, layouts, volumes, trees."""

import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIBEXEC = pathlib.Path(os.environ.get("MSB_LIBEXEC", ROOT / "build/release/libexec/microsandbox"))
MSB_IMAGE = LIBEXEC / "msb-image"
TIMEOUT = 120


class Images:
    """`msb image` with a home below `directory`."""

    def __init__(self, directory):
        self.home = pathlib.Path(directory) / "home"
        self.store = self.home / "images"

    def environment(self):
        return {**os.environ, "MSB_HOME": str(self.home)}

    def start(self, *arguments):
        return subprocess.Popen([MSB_IMAGE, *map(str, arguments)], env=self.environment(),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *arguments, **options):
        return subprocess.run([MSB_IMAGE, *map(str, arguments)], env=self.environment(), text=True,
                              capture_output=True, timeout=TIMEOUT, **options)

    def ok(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, *arguments, code=1, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert done.stderr.startswith("msb: error: ") or "\nmsb: error: " in done.stderr, done.stderr
        return done.stderr

    def names(self):
        return [image["name"] for image in json.loads(self.ok("ls", "--json"))]

    def check(self):
        return json.loads(self.run("check", "--json").stdout)["problems"]

    def files(self):
        """All files of the store but its locks."""
        return sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*")
                      if path.is_file() and path.suffix != ".lock")

    def volume(self, name, target):
        """The image's disk as one flat file."""
        image = json.loads(self.ok("inspect", name, "--json"))
        converted = self.store / "converted/1"
        parts = [converted / f"{image['uuid']}.erofs"]
        parts += [converted / f"{layer['digest'].removeprefix('sha256:')}.blob" for layer in image["layers"]]
        with open(target, "wb") as out:
            for part in parts:
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, out, 1 << 20)
        return target


def fsck(volume):
    done = subprocess.run(["fsck.erofs", "-d1", str(volume)], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr


class Mounted:
    """A volume as a directory: mounted where the host's kernel can, else extracted by fsck.erofs."""

    def __init__(self, volume, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        mount = subprocess.run(["mount", "-t", "erofs", "-o", "loop,ro", str(volume), str(directory)],
                               capture_output=True, timeout=TIMEOUT)
        self.mounted = mount.returncode == 0
        if not self.mounted:
            subprocess.run(["fsck.erofs", "-d1", f"--extract={directory}", "--overwrite", str(volume)],
                           check=True, timeout=TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.mounted:
            subprocess.run(["umount", str(self.directory)], check=True, timeout=TIMEOUT)


def describe(path, status):
    """What two trees must agree on for one path."""
    facts = {
        "mode": oct(status.st_mode),
        "owner": (status.st_uid, status.st_gid),
        "mtime": status.st_mtime_ns,
        "xattrs": {name: os.getxattr(path, name, follow_symlinks=False)
                   for name in os.listxattr(path, follow_symlinks=False)},
    }
    if stat.S_ISLNK(status.st_mode):
        facts["target"] = os.readlink(path)
        del facts["mtime"]  # not every unpacker sets a link's
    elif stat.S_ISREG(status.st_mode):
        facts["size"] = status.st_size
        with open(path, "rb") as file:
            facts["content"] = hashlib.file_digest(file, "sha256").hexdigest()
        facts["links"] = status.st_nlink
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        facts["device"] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return facts


def tree(directory):
    """{relative path: facts}, paths as bytes; hard links as groups of names."""
    top = os.fsencode(directory)
    facts, inodes = {}, {}
    for parent, directories, files in os.walk(top):
        for name in [b"."] * (parent == top) + directories + files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            relative = os.path.relpath(path, top)
            facts[relative] = describe(path, status)
            if stat.S_ISREG(status.st_mode):
                inodes.setdefault((status.st_dev, status.st_ino), []).append(relative)
    for group in inodes.values():
        for name in group:
            facts[name]["names"] = sorted(group)
    return facts


def differences(left, right):
    """{path: {fact: (left, right)}}; empty if the trees are the same."""
    found = {}
    for path in sorted(left.keys() | right.keys()):
        a, b = left.get(path), right.get(path)
        if a is None or b is None:
            found[path] = {"exists": (a is not None, b is not None)}
        elif a != b:
            found[path] = {key: (a.get(key), b.get(key))
                           for key in a.keys() | b.keys() if a.get(key) != b.get(key)}
    return found


class Layout:
    """An OCI layout made here, so that a test may put anything into it."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory)
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.manifests = []

    def blob(self, data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def add(self, name, layers):
        """An image of uncompressed tars, with a name or without."""
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                  "rootfs": {"type": "layers",
                             "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]}}
        kind = "application/vnd.oci.image."
        manifest = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                    "config": self.blob(json.dumps(config).encode(), kind + "config.v1+json"),
                    "layers": [self.blob(layer, kind + "layer.v1.tar") for layer in layers]}
        descriptor = self.blob(json.dumps(manifest).encode(), kind + "manifest.v1+json")
        if name:
            descriptor["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.manifests.append(descriptor)
        index = {"schemaVersion": 2, "manifests": self.manifests}
        (self.path / "index.json").write_text(json.dumps(index))
        return descriptor["digest"]
