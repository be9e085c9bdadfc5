"""Sandboxes that stay: what a further program, an attachment, and a twentieth sandbox cost."""

import concurrent.futures
import json
import os
import subprocess
import time

from measure import IMAGE, MEMORY, MSB, in_turn, median, milliseconds, pss_mib, report


def start(name, *options):
    subprocess.run([MSB, "exe", "-d", "--name", name, "--memory", MEMORY, *options, IMAGE, "-e", "sleep", "--", "1000"],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def end(*names):
    subprocess.run([MSB, "stop", "-t", "0", *names], stdout=subprocess.DEVNULL, check=True)
    subprocess.run([MSB, "rm", *names], stdout=subprocess.DEVNULL, check=True)


class Kept:
    """A peer's container that stays; another one when it has died of something of its own."""

    def __init__(self, peer, argv=("/bin/true",)):
        self.peer, self.argv, self.at = peer, argv, peer.start()

    def timed(self):
        """Milliseconds of one program; None if there is none to be had."""
        for _ in range(3):
            try:
                return milliseconds(self.peer.exec_command(self.at, self.argv), stderr=subprocess.DEVNULL)
            except subprocess.CalledProcessError:
                self.peer.stop(self.at)
                self.at = self.peer.start() or self.at
        return None


def execs(rounds, peers, results):
    """One /bin/true in a sandbox that runs, whole command."""
    name = f"bench-{os.getpid()}"
    start(name)
    contenders = {"msb exec true": lambda: milliseconds([MSB, "exec", name, "--", "/bin/true"])}
    started = [Kept(peer) for peer in peers]
    started = [kept for kept in started if kept.at]
    for kept in started:
        contenders[f"{kept.peer.name} exec true"] = kept.timed
    times = in_turn(rounds, contenders)
    for kept in started:
        name_of = f"{kept.peer.name} exec true"
        pairs = [(a, b) for a, b in zip(times["msb exec true"], times[name_of]) if b]
        times[name_of] = [b for _, b in pairs]
        if pairs:
            print(f"  against {kept.peer.name}: {median([a / b for a, b in pairs]):.2f}")
    times = {key: values for key, values in times.items() if values}
    report("A further program in a running sandbox (goal 6 ms)", times)
    results["exec_ms"] = {key: median(values) for key, values in times.items()}

    attach = [milliseconds(["sh", "-c", f"echo exit | '{MSB}' exec -i {name} -- sh"]) for _ in range(rounds)]
    print(f"  a shell, told to exit        {median(attach):8.1f} ms")

    results["execs_per_second"] = {"msb": saturate(lambda: [MSB, "exec", name, "--", "/bin/true"])}
    print(f"  at saturation                {results['execs_per_second']['msb']:8.0f} programs a second")
    for kept in started:
        rate = saturate(lambda: kept.peer.exec_command(kept.at, ["/bin/true"]))
        results["execs_per_second"][kept.peer.name] = rate
        print(f"  at saturation, {kept.peer.name:5s}         {rate:8.0f} programs a second")
        kept.peer.stop(kept.at)
    end(name)


def saturate(command, seconds=3, threads=4):
    """Successes a second with as many at once."""
    begin = time.monotonic()

    def loop():
        count = 0
        while time.monotonic() < begin + seconds:
            done = subprocess.run(command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
            count += done.returncode == 0
        return count

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(lambda _: loop(), range(threads)))
    return total / (time.monotonic() - begin)


def attach(rounds, results):
    """From the start of `msb attach` until the program's next line."""
    name = f"bench-{os.getpid()}"
    subprocess.run([MSB, "exe", "-d", "--name", name, "--memory", MEMORY, IMAGE, "-e", "cat"], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    times = []
    for _ in range(rounds):
        begin = time.monotonic()
        with subprocess.Popen([MSB, "attach", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(b"x\n")
            process.stdin.flush()
            process.stdout.readline()
            times.append((time.monotonic() - begin) * 1e3)
            process.kill()
    report("Attach, until the program has answered a line", {"msb attach": times})
    results["attach_ms"] = median(times)
    end(name)


def many(results):
    """Twenty sandboxes: what each costs to start, and to have."""
    names = [f"bench-{os.getpid()}-{i}" for i in range(20)]
    # Memory that a virtual machine has never touched costs its first user far more than a start: all of it once.
    for name in names:
        start(name)
    end(*names)
    starts = []
    for number, name in enumerate(names, 1):
        begin = time.monotonic()
        start(name)
        starts.append((time.monotonic() - begin) * 1e3)
        if number in (1, 20):
            print_memory(number, results)
    print(f"  start of the first {starts[0]:.1f} ms, of the twentieth {starts[-1]:.1f} ms "
          f"({starts[-1] / starts[0]:.2f} x), median of all {median(starts):.1f} ms")
    results["start_ms_of_20"] = starts
    end(*names)


def print_memory(count, results):
    rows = json.loads(subprocess.run([MSB, "ps", "--json"], capture_output=True, check=True).stdout)
    pids = [row["monitor_pid"] for row in rows if row["name"].startswith(f"bench-{os.getpid()}-")]
    usage = {}
    for monitor in pids:
        for pid, name in [(monitor, "monitor"), *descendants(monitor)]:
            own, shared = pss_mib(pid)
            usage[name] = usage.get(name, 0) + own / count
            usage["guest RAM"] = usage.get("guest RAM", 0) + shared / count
    text = ", ".join(f"{name} {mib:.2f}" for name, mib in sorted(usage.items()))
    print(f"\n## Memory of each of {count} idle sandboxes (PSS, MiB)\n  {text}")
    results[f"pss_mib_of_{count}"] = usage


def descendants(pid):
    """The jails' processes; of the guest, its kernel with all its processes together."""
    for child in map(int, open(f"/proc/{pid}/task/{pid}/children").read().split()):
        name = open(f"/proc/{child}/comm").read().strip()
        yield child, name
        yield from descendants(child)


def measure(rounds, peers, results):
    execs(rounds, peers, results)
    attach(rounds, results)
    many(results)
