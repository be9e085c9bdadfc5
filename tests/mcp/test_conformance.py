"""The official conformance suite: what conformance.tsv says of each scenario is so."""

import json
import subprocess

import pytest

from conftest import HERE

# Each scenario is "pass", or names the optional feature of the protocol that is not offered.
TABLE = dict(line.split("\t") for line in (HERE / "conformance.tsv").read_text().splitlines())


@pytest.fixture(scope="module")
def suite(npm, node):
    def run(*arguments):
        program = npm / "@modelcontextprotocol/conformance/dist/index.js"
        return subprocess.run([node, program, *arguments], capture_output=True, text=True)

    return run


def test_the_table_has_every_scenario_of_the_suite(suite):
    listed = [line.split()[1] for line in suite("list", "--server").stdout.splitlines() if line.startswith("  - ")]
    assert sorted(listed) == sorted(TABLE)
    assert len(listed) == 32


@pytest.mark.parametrize("scenario", TABLE)
def test_scenario(suite, url, tmp_path, scenario):
    ran = suite("server", "--url", url, "--scenario", scenario, "--output-dir", str(tmp_path))
    (checks,) = tmp_path.rglob("checks.json")
    outcomes = {check["status"] for check in json.loads(checks.read_text())}
    passed = ran.returncode == 0 and "SUCCESS" in outcomes and not outcomes & {"FAILURE", "WARNING"}
    assert passed == (TABLE[scenario] == "pass"), ran.stdout + ran.stderr
