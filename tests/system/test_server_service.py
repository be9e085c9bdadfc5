"""The server as a service: its unit, the commands of docs/self-hosting.md that install it, and what the unit promises.

What of systemd these need is a small stand-in for systemctl, so that they need no systemd."""

import configparser
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import MSB, ROOT, run, wait_until
from docs_tools import Place, blocks
from server_tools import unique

HOSTING = "docs/self-hosting.md"
UNIT = ROOT / "packaging/microsandbox.service"

# Notes what it was told; starts what `enable --now` would: the last ExecStart of the unit and of what is dropped in.
SYSTEMCTL = """#!{python}
import pathlib, re, subprocess, sys
here = pathlib.Path(__file__).parent
with open(here / "told", "a") as told:
    print(*sys.argv[1:], file=told)
if sys.argv[1:4] == ["--user", "enable", "--now"]:
    units = pathlib.Path.home() / ".config/systemd/user"
    name = sys.argv[4] + ".service"
    files = [units / name, *sorted((units / (name + ".d")).glob("*.conf"))]
    lines = re.findall("^ExecStart=(.*)$", "".join(file.read_text() for file in files), re.M)
    command = lines[-1].replace("%h", str(pathlib.Path.home())).split() + ["--port", "{port}"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=open(here / "log", "w"), start_new_session=True)
    (here / "pid").write_text(str(server.pid))
    print(server.stdout.readline().decode(), end="")
"""


class Host:
    """A user's home directory with an installed product, and stand-ins for the programs of systemd."""

    def __init__(self, home):
        self.home = home
        self.place = Place(home / ".microsandbox")
        (home / ".local/bin").mkdir(parents=True)
        (home / ".local/bin/msb").symlink_to(MSB)
        self.programs = home / "programs"
        self.programs.mkdir()
        for name in ("systemctl", "loginctl"):
            (self.programs / name).write_text(SYSTEMCTL.format(python=sys.executable, port=self.place.port))
            (self.programs / name).chmod(0o755)
        self.env = {"HOME": str(home), "MSB_HOME": self.place.directory,
                    "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def type(self, script):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env={**os.environ, **self.env},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end_server(self):
        """As systemd ends it by KillMode=process: the main process alone is told."""
        pid = int((self.programs / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: ended(pid), "the server's end")

    def call(self, method, host=None, **params):
        """The status and the result, of whom has a key."""
        token = json.loads(run("server", "keygen", "--json", env=self.env).stdout)["token"]
        connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=60)
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection.request("POST", "/api/v1/rpc", body, {"Content-Type": "application/json", "Authorization": token,
                                                         **({"Host": host} if host else {})})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()).get("result")


def ended(pid):
    """Nobody waits for it here: it may stay a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def host(tmp_path):
    one = Host(tmp_path)
    yield one
    run("server", "stop", env=one.env)


def installation():
    """The commands that install the unit."""
    [commands] = [block for block in blocks(HOSTING, "shell") if "systemctl" in block]
    return commands


def drop_in(home):
    """Where docs/self-hosting.md has the settings written."""
    assert "`~/.config/systemd/user/microsandbox.service.d/local.conf`" in (ROOT / HOSTING).read_text()
    folder = home / ".config/systemd/user/microsandbox.service.d"
    folder.mkdir(parents=True)
    [settings] = blocks(HOSTING, "ini")
    (folder / "local.conf").write_text(settings)


def test_the_unit_lets_sandboxes_and_requests_live():
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    service = dict(unit["Service"])
    assert service.pop("ExecStart") == "%h/.local/bin/msb server start"  # in the foreground, with keys
    assert service.pop("KillMode") == "process"  # with any other a restart kills the sandboxes
    assert service.pop("Restart") == "on-failure"
    assert int(service.pop("TimeoutStopSec")) > 10  # what running requests are given
    assert int(service.pop("LimitNOFILE")) >= 524288
    assert not service  # nothing else: each setting has its reason
    assert unit["Install"]["WantedBy"] == "default.target"


def test_the_commands_that_install_the_unit_start_a_server_and_sandboxes_outlive_it(host):
    (host.home / ".config").mkdir()
    said = host.type(installation())
    assert said == f"Listening on http://127.0.0.1:{host.place.port}\n"
    assert (host.programs / "told").read_text().splitlines() == [
        "--user daemon-reload", "--user enable --now microsandbox", "enable-linger"]
    assert (host.home / ".config/systemd/user/microsandbox.service").read_bytes() == UNIT.read_bytes()
    name = unique("t-service")
    config = {"image": "busybox", "memory": 64}
    assert host.call("sandbox.start", sandbox=name, config=config)[0] == 200
    host.end_server()
    said = host.type("systemctl --user enable --now microsandbox")
    [listed] = host.call("sandbox.list")[1]["sandboxes"]
    assert (listed["name"], listed["status"]) == (name, "running")
    assert host.call("sandbox.remove", sandbox=name)[0] == 200


def test_the_settings_that_are_shown_add_to_the_units(host):
    drop_in(host.home)
    host.type(installation())
    assert host.call("sandbox.list", host="sandbox.example.com") == (200, {"sandboxes": []})
    assert host.call("sandbox.list", host="evil.example")[0] == 403


def test_its_log_is_asked_for_by_the_units_name():
    assert f"`journalctl --user -u {UNIT.stem}` has its log" in (ROOT / HOSTING).read_text()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_takes_the_unit_with_the_settings_that_are_shown(tmp_path):
    drop_in(tmp_path)
    unit = tmp_path / ".config/systemd/user/microsandbox.service"
    shutil.copy(UNIT, unit)
    (tmp_path / ".local/bin").mkdir(parents=True)
    (tmp_path / ".local/bin/msb").symlink_to(MSB)
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(["systemd-analyze", "verify", "--user", "--man=no", unit], env=environment,
                          capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "microsandbox" in line]
    assert not complaints and done.returncode == 0, done.stderr
