"""The peers that bench/run measures against."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

POWER_OFF = r"""
#include <sys/reboot.h>
#include <unistd.h>
int main(void) { return reboot(RB_POWER_OFF); }
"""


def raw_kernel(kernel, memory):
    """Runs the guest kernel with nothing but an init that powers off; returns a function that times it."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="msb-floor-", dir="/dev/shm"))
    (scratch / "tree").mkdir()
    subprocess.run(["gcc", "-O2", "-static", "-x", "c", "-o", scratch / "tree/init", "-"], input=POWER_OFF.encode(),
                   check=True)
    subprocess.run("find . | cpio -o -H newc > ../initramfs", shell=True, cwd=scratch / "tree", check=True,
                   stderr=subprocess.DEVNULL)
    command = [kernel, f"mem={memory}M", f"initrd={scratch}/initramfs", "con=null", "seccomp=on", "quiet",
               "stub_keep_fd", "thp_anon=16K-64K:always", f"uml_dir={scratch}"]
    environment = {**os.environ, "TMPDIR": str(scratch)}

    def timed():
        start = time.monotonic()
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env=environment, check=False)
        return (time.monotonic() - start) * 1e3

    return timed


class Runsc:
    """gVisor's runsc with its own platform, systrap, no network, on a root file system."""

    name = "runsc"

    def __init__(self, program, rootfs):
        self.program, self.rootfs = program, pathlib.Path(rootfs)
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="msb-runsc-"))
        self.count = 0
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        print(f"peer: {version.splitlines()[0]} (systrap)", file=sys.stderr)

    @staticmethod
    def find(rootfs):
        """The one on the PATH, else the newest that Debian has, fetched into the cache."""
        program = shutil.which("runsc") or Runsc.fetch()
        if not program:
            print("peer: runsc cannot be had, its figures are left out", file=sys.stderr)
            return None
        return Runsc(program, rootfs)

    @staticmethod
    def fetch():
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "microsandbox/peers"
        program = cache / "runsc/usr/bin/runsc"
        if program.exists():
            return program
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([ROOT / "guest/kernel/fetch-source", cache, "runsc"], capture_output=True, text=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return None
        subprocess.run(["dpkg-deb", "-x", done.stdout.strip(), cache / "runsc"], check=True)
        return program if program.exists() else None

    def command(self, argv):
        """A command line that runs argv in a fresh container."""
        self.count += 1
        bundle = make_bundle(self.scratch / f"bundle{self.count}", self.rootfs, argv)
        return [*self.options(), "run", "--bundle", bundle, f"bench{self.count}"]

    def options(self):
        return [self.program, "--root", self.scratch / "state", "--platform=systrap", "--network=none",
                "--ignore-cgroups"]

    def start(self, tries=5):
        """A container that stays, and takes programs; its name. None if there is none to be had."""
        for _ in range(tries):
            self.count += 1
            name = f"bench{self.count}"
            bundle = make_bundle(self.scratch / name, self.rootfs, ["sleep", "1000"])
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            for command in ([*self.options(), "run", "--detach", "--bundle", bundle, name],
                            self.exec_command(name, ["/bin/true"])):
                if subprocess.run(command, **quiet).returncode:
                    break
            else:
                return name
            self.stop(name)
        print(f"peer: {self.name} cannot keep a container here, its figures are left out", file=sys.stderr)
        return None

    def exec_command(self, name, argv):
        return [*self.options(), "exec", name, *argv]

    def stop(self, name):
        for last in (["kill", name, "KILL"], ["delete", "--force", name]):
            subprocess.run([*self.options(), *last], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Runc(Runsc):
    """runc: namespaces on the host's own kernel, no isolation of the kernel at all; the lower bound."""

    name = "runc"

    def __init__(self, program, rootfs):
        self.program, self.rootfs = program, pathlib.Path(rootfs)
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="msb-runc-"))
        self.count = 0

    @staticmethod
    def find(rootfs):
        program = shutil.which("runc")
        return Runc(program, rootfs) if program else None

    def options(self):
        return [self.program, "--root", self.scratch / "state"]


def make_bundle(path, rootfs, argv):
    """An OCI bundle around the root file system."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({
        "ociVersion": "1.0.2",
        "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": list(argv), "cwd": "/",
                    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "root": {"path": str(rootfs), "readonly": False},
        "hostname": "sandbox",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }))
    return path
