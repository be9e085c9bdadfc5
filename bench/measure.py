"""How things are timed and printed: what the parts of the benchmark share."""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MSB = ROOT / "build/release/bin/msb"
LIBEXEC = ROOT / "build/release/libexec/microsandbox"
HOME = pathlib.Path(os.environ.get("MSB_HOME", ROOT / "build/test-home"))
MEMORY = "512"
IMAGE = "microsandbox/python"


def milliseconds(command, **options):
    start = time.monotonic()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, **options)
    return (time.monotonic() - start) * 1e3


def peer_milliseconds(make_command, tries=5):
    """Of a peer, which may fail now and then for reasons of its own: its next success counts."""
    for _ in range(tries):
        try:
            return milliseconds(make_command(), stderr=subprocess.DEVNULL)
        except subprocess.CalledProcessError as error:
            print(f"peer: failed with {error.returncode}, again", file=sys.stderr)
    raise SystemExit("peer: it keeps failing")


def in_turn(rounds, contenders):
    """{name: [ms]}: the contenders one after the other, round by round, so that drift hits all alike."""
    times = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, action in contenders.items():
            elapsed = action()
            if number:  # the first is a warm-up
                times[name].append(elapsed)
    return times


def median(values):
    return statistics.median(values)


def report(title, times, base=None):
    print(f"\n## {title}")
    for name, values in times.items():
        ratio = ""
        if base and name != base:
            pairs = [a / b for a, b in zip(values, times[base])]
            ratio = f"   {median(pairs):5.2f} x {base}"
        digits = 1 if median(values) >= 10 else 2
        print(f"  {name:28s} {median(values):8.{digits}f} ms   "
              f"(min {min(values):.{digits}f}, max {max(values):.{digits}f}){ratio}")


def pss_mib(pid):
    """Proportional set size without and with the guest's RAM, which is shared memory from the jail's tmpfs."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = {key: int(value) for key, value in re.findall(r"^(Pss_\w+):\s+(\d+) kB", text, re.M)}
    return (fields["Pss_Anon"] + fields["Pss_File"]) / 1024, fields["Pss_Shmem"] / 1024
