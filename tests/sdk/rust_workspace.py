"""The workspace in which the Rust crates are built, below build/sdk/rust: a copy of tests/sdk/rust and what is
packaged of sdk/rust."""

import shutil
import tarfile

from snippets import of_readmes
from tools import BUILD, SDK, TESTS, run

RUST = SDK / "rust"


def own_programs():
    """{name: source} of the crate's examples and of its README's snippets."""
    found = {path.stem: path.read_text() for path in sorted((RUST / "examples").glob("*.rs"))}
    for number, program in enumerate(of_readmes(RUST, "rust")):
        found[f"readme_{number}"] = program
    return found


class RustWorkspace:
    # Kept from run to run: cargo knows what is stale.
    path = BUILD / "rust"
    env = {"CARGO_TARGET_DIR": str(BUILD / "rust-target"), "CARGO_TERM_COLOR": "never"}

    def __init__(self):
        for old in ("microsandbox", "current", "published"):
            shutil.rmtree(self.path / old, ignore_errors=True)
        shutil.copytree(TESTS / "rust", self.path, dirs_exist_ok=True)
        self._unpack()
        sources = self.path / "current/src/bin"
        sources.mkdir(parents=True)
        for name, program in own_programs().items():
            (sources / f"{name}.rs").write_text(program)
        # Its tests look for the fake server where it is in the checkout.
        link = BUILD / "tests"
        link.unlink(missing_ok=True)
        link.symlink_to(TESTS.parent)
        # All at once: for other choices of packages cargo would build their dependencies again, with other features.
        # (`cargo test --no-run` would leave the programs out, unless an earlier run has left them.)
        self.cargo("build", "--workspace", "--locked", "--all-targets")

    def cargo(self, *arguments, env=None):
        return run("cargo", *arguments, cwd=self.path, env={**self.env, **(env or {})})

    def program(self, name, cwd, env=None):
        """A program's output."""
        return run(BUILD / "rust-target/debug" / name, cwd=cwd, env=env)

    def _unpack(self):
        run("cargo", "package", "--no-verify", "--allow-dirty", cwd=RUST, env=self.env)
        (crate,) = (BUILD / "rust-target/package").glob("microsandbox-*.crate")
        with tarfile.open(crate) as archive:
            archive.extractall(self.path)
        (self.path / crate.stem).rename(self.path / "microsandbox")
        crate.unlink()
