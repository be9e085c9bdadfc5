"""Copies between host and sandbox: one large file, and many small ones, both ways.

The peers: a tar through a program in a container (tar | runc exec tar), which shares the host's kernel and so is
the lower bound of going through a program, and plain cp -a. The host's side is in memory, so that its disk is not
what is measured; the sandbox's and the container's side is on the disk.
"""

import os
import pathlib
import shlex
import subprocess
import tempfile

from measure import MSB, in_turn, median, milliseconds, report
from staying import end, start

LARGE_BYTES = 1 << 30
SMALL_FILES = 10_000


def make_sources(top):
    block = os.urandom(1 << 20)
    (top / "large").mkdir()
    with open(top / "large/file", "wb") as file:
        for _ in range(LARGE_BYTES >> 20):
            file.write(block)
    for i in range(SMALL_FILES):
        path = top / f"small/{i // 100}/{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(block[:100 + i % 4000])


def shell(script):
    return ["sh", "-c", f"set -e; {script}"]


def contenders(name, container, what, host):
    """{direction: {who: script}} for the directory `what` of the host's side; each removes what was there before."""
    source, back = shlex.quote(str(host / what)), shlex.quote(str(host / "back"))
    msb = shlex.quote(str(MSB))
    into = {"msb cp": f"{msb} exec {name} -- rm -rf /root/{what}; {msb} cp -r {source} {name}:/root"}
    out = {"msb cp": f"rm -rf {back}; {msb} cp -r {name}:/root/{what} {back}"}
    if container:
        runc, at = container
        run = shlex.join(str(word) for word in runc.exec_command(at, []))
        into["tar | runc exec tar"] = f"{run} rm -rf /root/{what}; tar c -C {host} {what} | {run} tar x -C /root"
        out["runc exec tar | tar"] = f"rm -rf {back}; mkdir {back}; {run} tar c -C /root {what} | tar x -C {back}"
        there = shlex.quote(str(runc.rootfs / "root/plain"))
        into["cp -a"] = f"rm -rf {there}; cp -a {source} {there}"
        out["cp -a"] = f"rm -rf {back}; cp -a {there} {back}"
    return {"into": into, "out of": out}


def measure(rounds, runc, results):
    name = f"bench-{os.getpid()}"
    start(name)
    at = runc.start() if runc else None
    try:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
            host = pathlib.Path(scratch)
            make_sources(host)
            for what, title in (("large", "a 1 GiB file"), ("small", f"{SMALL_FILES:,} small files")):
                for direction, scripts in contenders(name, at and (runc, at), what, host).items():
                    compare(rounds, f"A copy of {title} {direction} a sandbox", scripts, results)
    finally:
        if at:
            runc.stop(at)
        end(name)


def compare(rounds, title, scripts, results):
    times = in_turn(rounds, {who: lambda script=script: milliseconds(shell(script))
                             for who, script in scripts.items()})
    report(title, times, "msb cp")
    if "1 GiB" in title:
        print(f"  msb cp: {LARGE_BYTES / 1e3 / median(times['msb cp']):.0f} MB/s")
    results[title] = {who: median(values) for who, values in times.items()}
