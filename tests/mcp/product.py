"""The product as an agent's user has it: a server with keys, and `msb mcp`, configured as docs/mcp.md says."""

import json
import os
import pathlib
import re
import subprocess
import threading

from conftest import ROOT

MSB = pathlib.Path(os.environ.get("MSB", ROOT / "build/release/bin/msb"))
IMAGES = pathlib.Path(os.environ.get("MSB_HOME", ROOT / "build/test-home"))
DOCUMENT = (ROOT / "docs" / "mcp.md").read_text()


def configuration(client):
    """What docs/mcp.md has a user of this client write about the server."""
    text = re.search(rf"^\*\*{client}\*\*.*?^```json\n(.*?)^```", DOCUMENT, re.M | re.S)[1]
    (table,) = json.loads(text).values()
    return table["microsandbox"]


class Product:
    """A home of its own, with the images of the tests; a server in it, with keys unless its options say else."""

    def __init__(self, home, *options):
        home.chmod(0o700)
        (home / "images").symlink_to(IMAGES / "images")
        self.home = home
        self.env = {"MSB_HOME": str(home), "PATH": f"{MSB.parent}:{os.environ['PATH']}"}
        command = [MSB, "server", "start", "--port", "0", *options]
        self.process = subprocess.Popen(command, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        self.url = re.match(r"Listening on (http://127\.0\.0\.1:\d+)$", said)[1]
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.key = json.loads(self.msb("server", "keygen", "--json"))["token"]

    def msb(self, *words):
        done = subprocess.run([MSB, *words], env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def over_http(self):
        server = configuration("Cursor")
        headers = {name: value.replace("${env:MSB_API_KEY}", self.key) for name, value in server["headers"].items()}
        return {"url": server["url"].replace("http://127.0.0.1:5555", self.url), "headers": headers}

    def over_stdio(self):
        return {**configuration("Claude Desktop"), "env": self.env}

    def status(self, sandbox):
        """Of one of its sandboxes."""
        (row,) = [row for row in json.loads(self.msb("server", "list", "--json")) if row["name"] == sandbox]
        return row["status"]

    def end(self):
        for row in json.loads(self.msb("server", "list", "--json")):
            if row["status"] != "stopped" and (self.home / "namespaces" / row["namespace"] / row["name"]).exists():
                self.msb("stop", "-t", "0", f"{row['namespace']}/{row['name']}")
        self.process.terminate()
        assert self.process.wait(60) == 0
