"""What the stock images are for, each once. microsandbox/base and python are used by most other tests."""

import json
import subprocess

import pytest

from conftest import MSB, exe

PLOT = """
import io
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot
import numpy
import pandas
import PIL.Image
table = pandas.DataFrame({"x": numpy.arange(5), "y": numpy.arange(5) ** 2})
table.plot(x="x", y="y")
picture = io.BytesIO()
matplotlib.pyplot.savefig(picture, dpi=100)
print(int(table["y"].sum()), PIL.Image.open(picture).size)
"""


@pytest.mark.parametrize("image", ["base", "python", "node", "python-data"])
def test_an_image_has_its_program_and_no_entrypoint(image):
    done = subprocess.run([MSB, "image", "inspect", f"microsandbox/{image}", "--json"], check=True, capture_output=True)
    config = json.loads(done.stdout)["config"]
    program = {"base": "bash", "node": "node"}.get(image, "python3")
    assert (config["entrypoint"], config["cmd"]) == ([], [program])


def test_node_runs_a_script():
    done = exe("node", "--", "-e", "console.log('hello', [1, 2, 3].map(n => n * n).join())")
    assert (done.returncode, done.stdout) == (0, b"hello 1,4,9\n"), done.stderr


def test_tables_are_computed_and_drawn():
    done = exe("microsandbox/python-data", "--", "-c", PLOT, timeout=120)
    assert (done.returncode, done.stdout) == (0, b"30 (640, 480)\n"), done.stderr
