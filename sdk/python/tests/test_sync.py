"""The synchronous flavour: generated from the other, so one test for each of its parts."""

import threading

import pytest

import microsandbox
from conftest import out, script
from microsandbox import sync
from microsandbox.sync import Client, ConnectionLostError, NotFoundError, PythonSandbox


def test_it_has_the_same_names():
    assert set(sync.__all__) == set(microsandbox.__all__) - {"errors", "models"}


def test_code_runs(fake):
    with PythonSandbox.create() as sandbox:
        assert sandbox.run("hello").output() == "hello"
        seen = []
        execution = sandbox.run(script(out("a"), out("b")), on_stdout=seen.append)
        assert (seen, execution.output()) == (["a", "b"], "ab")
        name = sandbox.name
    assert fake.params("sandbox.remove")["sandbox"] == name


def test_streams_are_iterated_and_left(fake):
    with PythonSandbox.create(name="test") as sandbox:
        stream = sandbox.stream(script(out("1"), out("2")))
        assert [event.text for event in stream] == ["1", "2"]
        assert stream.result().output() == "12"
        with sandbox.stream(script(out("1"), hang=True)) as stream:
            next(stream)
        while not fake.requests("gone"):
            pass
        with pytest.raises(ConnectionLostError):
            sandbox.run(script(cut=True), on_stdout=print)


def test_commands_processes_and_contexts_work(fake):
    with PythonSandbox.create(name="test") as sandbox:
        assert sandbox.command.run("prog", [script(out("x\n"))]).output() == "x"
        process = sandbox.processes.start("cat", stdin=True)
        reader = threading.Thread(target=lambda: read.extend(event.text for event in process))
        read = []
        reader.start()
        process.write("in", eof=True)
        reader.join()
        assert "".join(read) == "in"
        assert process.wait().success
        assert sandbox.contexts.create("c").run("1").output() == "1"
        assert sandbox.metrics.cpu() == 1.5


def test_files_are_copied_and_watched(fake, tmp_path):
    with PythonSandbox.create(name="test") as sandbox:
        (tmp_path / "in").write_bytes(b"x" * 1000000)
        sandbox.files.upload(tmp_path / "in", "/f")
        assert sandbox.files.download("/f", tmp_path / "out") == 1000000
        assert sandbox.files.read_bytes("/f", offset=999999) == b"x"
        with sandbox.files.watch("/") as events:
            sandbox.files.write("/w", "1")
            assert next(events).path == "/w"
        with pytest.raises(NotFoundError):
            sandbox.files.read("/none")


def test_a_server_is_asked_about_all_of_its_sandboxes(fake):
    with PythonSandbox.create(name="test"), Client() as client:
        assert [each.name for each in client.list()] == ["test"]
        assert client.health() == "Service is healthy"
