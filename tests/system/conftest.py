"""System tests: real sandboxes through the command line, as a user starts them.

MSB_HOME is a store of the tests' own (build/test-home, filled by `make system`); a small busybox image is
imported here. Nothing sleeps for a fixed time: waits have a condition and a generous deadline.
"""

import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MSB = ROOT / "build/release/bin/msb"
HOME = pathlib.Path(os.environ.get("MSB_HOME", ROOT / "build/test-home"))
SOAK = "SOAK" in os.environ
DEADLINE = 60  # seconds until a wait is a hang: these machines can be slow


def pytest_configure():
    os.environ["MSB_HOME"] = str(HOME)


def wait_until(condition, what, seconds=DEADLINE):
    """Returns the first true value of condition()."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds} s")
        time.sleep(0.01)


def command(*arguments):
    return [str(MSB), *map(str, arguments)]


def run(*arguments, input=None, timeout=DEADLINE, env=None, **options):
    """Runs msb to its end; output as bytes."""
    stdin = {} if input is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(command(*arguments), input=input, capture_output=True, timeout=timeout,
                          env={**os.environ, **(env or {})}, **stdin, **options)


def exe(*arguments, **options):
    return run("exe", *arguments, **options)


def sh(script, *options, image="busybox", **rest):
    """A shell script in a sandbox."""
    return exe(image, *options, "-e", "/bin/sh", "--", "-c", script, **rest)


# --- processes of sandboxes on the host ---------------------------------------------------------------

HELPERS = ("msb-monitor", "msb-vmm", "msb-jail-init", "msb-convert", "linux")


def is_ours(pid, name):
    """Of this build, that is, and not somebody else's on the same machine."""
    if name == "linux":  # its executable is the cached one; its parent is ours, or it is a guest's process
        pid = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
        if pathlib.Path(f"/proc/{pid}/comm").read_text() != "msb-jail-init\n":
            return False
    return os.readlink(f"/proc/{pid}/exe").startswith(f"{ROOT}/")


def processes():
    """{pid: name} of all processes that belong to sandboxes. (Guest processes live in the pid namespace of
    msb-jail-init and end with it.)"""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            name = pathlib.Path(f"/proc/{entry}/comm").read_text().strip()
            state = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[0]
            if name in HELPERS and state != "Z" and is_ours(entry, name):
                found[int(entry)] = name
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def pids(name):
    return [pid for pid, other in processes().items() if other == name]


def pss_kib(pid):
    """Proportional set size without the guest's RAM, which is shared memory from the jail's tmpfs."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = dict(re.findall(r"^(Pss(?:_Anon|_File)?):\s+(\d+) kB", text, re.M))
    return int(fields["Pss_Anon"]) + int(fields["Pss_File"])


def mounts():
    return set(pathlib.Path("/proc/self/mountinfo").read_text().splitlines())


def run_directories():
    parent = pathlib.Path("/run/msb") if os.geteuid() == 0 else HOME / "run"
    if not parent.exists():
        return []
    return [e.name for e in parent.iterdir() if re.fullmatch("[0-9a-f]{32}", e.name)]


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """After each test: no process of a sandbox, no mount, no run directory that a next start keeps."""
    before = mounts()
    yield
    wait_until(lambda: not processes(), f"processes are left: {processes()}", 10)
    assert mounts() <= before


# --- images ---------------------------------------------------------------------------------------------

def busybox_tree(path):
    path.chmod(0o755)
    for directory in ("bin", "etc", "tmp", "root", "home/user", "data"):
        (path / directory).mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", path / "bin/busybox")
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            (path / "bin" / applet).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1234:1234::/home/user:/bin/sh\n"
                                     "nobody:x:65534:65534::/:/bin/false\n")
    (path / "etc/group").write_text("root:x:0:\nuser:x:1234:\nextra:x:4321:user\nnogroup:x:65534:\n")
    (path / "bin/notexecutable").write_text("text\n")
    (path / "bin/badformat").write_text("\x7fnot a program\n")
    (path / "bin/badformat").chmod(0o755)


@pytest.fixture(scope="session", autouse=True)
def images(tmp_path_factory):
    HOME.mkdir(parents=True, exist_ok=True)
    HOME.chmod(0o700)
    tree = tmp_path_factory.mktemp("busybox")
    busybox_tree(tree)
    done = run("image", "import", tree, "--tag", "busybox", "--cmd", "/bin/sh", "--env", "FROM_IMAGE=yes",
               "--env", "PATH=/bin")
    assert done.returncode == 0, done.stderr.decode()
    bare = tmp_path_factory.mktemp("bare")
    bare.chmod(0o755)
    shutil.copy("/bin/busybox", bare / "busybox")
    done = run("image", "import", bare, "--tag", "noshell", "--entrypoint", "/busybox")
    assert done.returncode == 0, done.stderr.decode()


# --- an installation ----------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def installation():
    """What `make install` installs, where every user can read it."""
    prefix = pathlib.Path(f"/tmp/msb-install-{os.getpid()}")
    subprocess.run(["make", "-C", ROOT, "-o", "all", "install", f"PREFIX={prefix}"], check=True,
                   stdout=subprocess.DEVNULL)
    yield prefix / "bin"
    shutil.rmtree(prefix)


# --- terminals --------------------------------------------------------------------------------------------

class Terminal:
    """msb on a pseudo terminal, as a person has it."""

    def __init__(self, *arguments, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGQUIT):  # ignored by what a shell runs in the background
                signal.signal(number, signal.SIG_DFL)
            os.execve(MSB, command(*arguments), {**os.environ, **(env or {})})
        self.seen = b""

    def send(self, data):
        os.write(self.fd, data)

    def expect(self, pattern, seconds=DEADLINE):
        """Reads until the pattern appears; returns the match and forgets what came before its end."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.seen)
            if match:
                self.seen = self.seen[match.end():]
                return match
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                pytest.fail(f"{pattern!r} not seen within {seconds} s, but {self.seen!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                pytest.fail(f"{pattern!r} not seen before the end, but {self.seen!r}")
            self.seen += data

    def code(self):
        """Reads to the end; the exit code as a shell has it."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], 1)
            if not ready:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            self.seen += data
        else:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            pytest.fail(f"no end within {DEADLINE} s, but {self.seen!r}")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        self.pid = None
        return os.waitstatus_to_exitcode(status)

    def close(self):
        """The terminal goes away."""
        os.close(self.fd)
        os.waitpid(self.pid, 0)
        self.pid = None


@pytest.fixture
def terminal():
    """Starts msb on a terminal; whatever is left is killed."""
    opened = []

    def begin(*arguments, **options):
        opened.append(Terminal(*arguments, **options))
        return opened[-1]

    yield begin
    for one in opened:
        if one.pid:
            os.kill(one.pid, signal.SIGKILL)
            one.close()


@pytest.fixture
def start():
    """Starts msb in the background; whatever is left is killed."""
    started = []

    def begin(*arguments, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0,
                   **options}
        process = subprocess.Popen(command(*arguments), **options)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()
