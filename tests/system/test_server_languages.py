"""Python and Node in one sandbox, of an image that has both."""

import hashlib
import json
import os
import shutil
import threading

import pytest
from conftest import HOME, run
from server_tools import lines_of, nothing_left_behind, server  # noqa: F401

STORE = HOME / "images"
NAME = "python-and-node"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """An OCI image layout of what the store has."""

    def __init__(self, directory):
        self.blobs = directory / "blobs/sha256"
        self.blobs.mkdir(parents=True)
        self.index = directory / "index.json"
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def take(self, descriptor):
        name = descriptor["digest"].removeprefix("sha256:")
        try:
            os.link(STORE / "blobs/sha256" / name, self.blobs / name)
        except OSError:  # another file system
            shutil.copyfile(STORE / "blobs/sha256" / name, self.blobs / name)

    def add(self, kind, document):
        data = json.dumps(document).encode()
        (self.blobs / digest_of(data).removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}.v1+json", "digest": digest_of(data), "size": len(data)}


def blob(descriptor):
    return json.loads((STORE / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_text())


def parts_of(image):
    """(layers, configuration) of an image of the store."""
    [descriptor] = [one for one in json.loads((STORE / "index.json").read_text())["manifests"]
                    if one["annotations"]["org.opencontainers.image.ref.name"] == f"docker.io/{image}:latest"]
    manifest = blob(descriptor)
    return manifest["layers"], blob(manifest["config"])


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The stock images, one over the other: both are Debian of one release."""
    directory = tmp_path_factory.mktemp("both")
    layout = Layout(directory)
    layers, configuration = parts_of("microsandbox/node")
    more, other = parts_of("microsandbox/python")
    layers += [layer for layer in more if layer not in layers]
    configuration["rootfs"]["diff_ids"] += other["rootfs"]["diff_ids"]
    configuration.pop("history", None)
    for layer in layers:
        layout.take(layer)
    manifest = layout.add("manifest", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": layout.add("config", configuration), "layers": layers})
    annotations = {"org.opencontainers.image.ref.name": NAME}
    layout.index.write_text(json.dumps({"schemaVersion": 2, "manifests": [{**manifest, "annotations": annotations}]}))
    loaded = run("image", "load", directory)
    assert loaded.returncode == 0, loaded.stderr.decode()
    yield NAME
    assert run("image", "rm", NAME).returncode == 0


@pytest.fixture(scope="module")
def sandbox(server, image):  # noqa: F811
    one = server.sandbox(image)
    yield one
    one.call("remove")  # its disk keeps the image


def test_each_language_has_variables_of_its_own(sandbox):
    assert sandbox.output("x = 'of python'\nx") == "'of python'\n"
    assert sandbox.output("typeof x", "node") == "'undefined'\n"
    assert sandbox.output("var x = 'of node'; x", "node") == "'of node'\n"
    assert sandbox.output("x") == "'of python'\n"
    assert sandbox.code("y", "python")["exception"]["name"] == "NameError"


def test_both_contexts_are_listed_and_end_apart(sandbox):
    for language in ("python", "node"):
        sandbox.code("var kept = 1" if language == "node" else "kept = 1", language)
    listed = {one["language"]: one for one in sandbox.call("context.list")["contexts"]}
    assert set(listed) == {"python", "node"}
    assert all(one["context"] == "default" and one["runs"] > 0 and not one["busy"] for one in listed.values())
    assert listed["python"]["language_version"] != listed["node"]["language_version"]
    sandbox.call("context.restart", language="python", context="default")
    assert sandbox.code("kept")["exception"]["name"] == "NameError"
    assert sandbox.output("kept", "node") == "1\n"


# Each writes only when the other has: what both write is as mixed as it can be.
PYTHON = """
import sys
for i in range(50):
    print('python out', i, flush=True)
    print('python err', i, file=sys.stderr, flush=True)
    open('/tmp/to-node', 'w').write('x')
    open('/tmp/to-python').read()
"""
NODE = """
for (let i = 0; i < 50; i++) {
  fs.readFileSync('/tmp/to-node');
  console.log('node out', i);
  console.error('node err', i);
  fs.writeFileSync('/tmp/to-python', 'x');
}
"""


def test_what_both_write_at_the_same_time_is_not_mixed(sandbox):
    assert sandbox.sh("mkfifo /tmp/to-node /tmp/to-python")["success"]
    results = {}

    def run_code(language, code):
        results[language] = sandbox.code(code, language)

    threads = [threading.Thread(target=run_code, args=one) for one in (("python", PYTHON), ("node", NODE))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for language, result in results.items():
        for stream, short in (("stdout", "out"), ("stderr", "err")):
            expected = "".join(f"{language} {short} {i}\n" for i in range(50))
            assert lines_of(result, stream) == expected, (language, stream)
