"""Starting, stopping and running code."""

import asyncio

import pytest

from conftest import out, script
from microsandbox import (
    Client,
    Display,
    NodeSandbox,
    NotFoundError,
    Output,
    PythonSandbox,
    Sandbox,
)


async def test_code_runs_and_its_output_is_told_by_stream(fake):
    async with PythonSandbox.create(name="test") as sandbox:
        execution = await sandbox.run(script(out("a\n\nb\n"), out("bad\n", "stderr")))
    assert await execution.output() == "a\n\nb"
    assert await execution.error() == "bad"
    assert not execution.has_error()
    assert (execution.status, execution.language, execution.end) == ("success", "python", "ok")
    assert fake.params("sandbox.start") == {
        "sandbox": "test",
        "namespace": "default",
        "config": {"image": "microsandbox/python", "memory": 512, "cpus": 1.0},
    }
    run = fake.params("sandbox.repl.run")
    assert (run["language"], run["context"]) == ("python", "default")
    assert "timeout" not in run


async def test_a_sandbox_that_was_named_is_stopped_and_one_that_was_not_is_removed(fake):
    async with NodeSandbox.create(name="kept"):
        pass
    assert fake.params("sandbox.stop")["sandbox"] == "kept"
    assert not fake.requests("sandbox.remove")
    async with NodeSandbox.create() as sandbox:
        name = sandbox.name
    assert fake.params("sandbox.remove")["sandbox"] == name


async def test_a_sandbox_is_ended_when_its_block_fails_and_the_blocks_error_is_told(fake):
    with pytest.raises(ZeroDivisionError):
        async with PythonSandbox.create(name="test"):
            raise ZeroDivisionError
    assert len(fake.requests("sandbox.stop")) == 1


async def test_a_named_sandbox_that_could_not_be_started_is_not_stopped(fake):
    with pytest.raises(NotFoundError):
        async with PythonSandbox.create(name="error-4001-404"):
            pass
    assert not fake.requests("sandbox.stop")


async def test_a_sandbox_that_somebody_else_started_is_left_alone(fake):
    sandbox = PythonSandbox(name="theirs")
    assert await (await sandbox.run("hello")).output() == "hello"
    await sandbox.close()
    assert [each["method"] for each in fake.requests()] == ["sandbox.repl.run"]


async def test_settings_are_sent_as_the_api_names_them(fake):
    async with Sandbox.create(
        image="i", memory=None, envs={"A": "1"}, idle=5, reset=True, workdir="/w"
    ):
        pass
    start = fake.params("sandbox.start")
    assert start["reset"] is True
    assert start["config"] == {
        "image": "i", "cpus": 1.0, "envs": ["A=1"], "idle": 5, "workdir": "/w"
    }  # fmt: skip


async def test_a_sandbox_without_an_image_starts_as_before(fake):
    async with Sandbox.create(name="test"):
        pass
    assert fake.params("sandbox.start") == {"sandbox": "test", "namespace": "default"}


async def test_several_languages_run_in_one_sandbox(fake):
    async with Sandbox.create(image="i") as sandbox:
        assert (await sandbox.run("1", language="python")).language == "python"
        assert (await sandbox.run("1", language="javascript")).language == "node"
        with pytest.raises(ValueError, match="language"):
            await sandbox.run("1")


async def test_callbacks_get_output_as_it_comes_and_the_execution_has_all_of_it(fake):
    seen = []

    async def on_stderr(text):
        seen.append(("err", text))

    figure = {"result": True, "data": {"text/plain": "f", "image/png": "iVA="}, "omitted": {}}
    code = script(
        out("a"),
        out("b\nc"),
        out("oops\n", "stderr"),
        ["a-newer-event", {}],
        ["display", figure],
        ["exception", {"name": "E", "value": "v", "traceback": ["t"]}],
        result={"end": "error"},
    )
    async with PythonSandbox.create() as sandbox:
        execution = await sandbox.run(
            code,
            on_stdout=lambda text: seen.append(("out", text)),
            on_stderr=on_stderr,
            on_display=lambda display: seen.append(("display", display.png)),
        )
    assert seen == [("out", "a"), ("out", "b\nc"), ("err", "oops\n"), ("display", b"\x89P")]
    assert await execution.output() == "ab\nc\nf"
    assert await execution.error() == "oops\nt"
    assert execution.has_error()
    assert execution.exception.name == "E"
    assert execution.result.text == "f"


async def test_an_answer_without_a_stream_has_displays_and_the_exception_too(fake):
    code = script(
        ["display", {"result": False, "data": {"application/json": "[1]"}, "omitted": {}}],
        ["exception", {"name": "E", "value": "v", "traceback": []}],
        result={"end": "error"},
    )
    async with PythonSandbox.create() as sandbox:
        execution = await sandbox.run(code)
    assert execution.displays[0].json == [1]
    assert execution.result is None
    assert execution.exception.value == "v"


async def test_a_stream_is_iterated_and_then_gives_its_result(fake):
    code = script(out("é"), ["output", {"stream": "stdout", "base64": "/w=="}])
    async with PythonSandbox.create() as sandbox:
        stream = sandbox.stream(code)
        events = [event async for event in stream]
        assert [event.data for event in events if isinstance(event, Output)] == ["é".encode(), b"\xff"]
        assert await (await stream.result()).output() == "é\ufffd"
        assert not any(isinstance(event, Display) for event in events)


async def test_leaving_a_stream_closes_its_connection(fake):
    async with PythonSandbox.create() as sandbox:
        async with sandbox.stream(script(out("1"), hang=True)) as stream:
            async for _ in stream:
                break
        while not fake.requests("gone"):
            await asyncio.sleep(0)


async def test_a_cancelled_run_closes_its_connection(fake):
    started = asyncio.Event()
    async with PythonSandbox.create() as sandbox:
        code = script(out("1"), hang=True)
        task = asyncio.create_task(sandbox.run(code, on_stdout=lambda _: started.set()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not fake.requests("gone"):
            await asyncio.sleep(0)


async def test_many_runs_at_once_use_one_sandbox(fake):
    async with PythonSandbox.create() as sandbox:
        runs = await asyncio.gather(*(sandbox.run(f"n{n}") for n in range(30)))
        assert [await run.output() for run in runs] == [f"n{n}" for n in range(30)]


async def test_contexts_are_made_used_and_ended(fake):
    async with PythonSandbox.create() as sandbox:
        context = await sandbox.contexts.create("other", workdir="/w")
        assert await (await context.run("hello")).output() == "hello"
        assert fake.params("sandbox.repl.run")["context"] == "other"
        assert [each.context for each in await sandbox.contexts.list()] == ["other"]
        assert (await context.interrupt()).language_version == "1.2"
        assert (await context.restart()).runs == 0
        await context.remove()
        assert await sandbox.contexts.list() == []


async def test_metrics_are_a_dictionary_and_single_values(fake):
    async with PythonSandbox.create(name="test") as sandbox:
        assert (await sandbox.metrics.all())["name"] == "test"
        assert await sandbox.metrics.cpu() == 1.5
        assert await sandbox.metrics.memory() == 120
        assert await sandbox.metrics.disk() is None
        assert await sandbox.metrics.is_running() is True
    assert await PythonSandbox(name="other").metrics.is_running() is False


async def test_a_sandbox_tells_its_state_its_end_and_its_log(fake):
    async with PythonSandbox.create(name="test") as sandbox:
        info = await sandbox.info()
        assert (info.name, info.status, info.memory) == ("test", "running", 512)
        assert (await sandbox.set_timeout(idle=3)).idle == 3
        assert [line.text for line in await sandbox.logs(5)] == ["line"]
        async with Client() as client:
            assert await client.health() == "Service is healthy"
            assert [each.name for each in await client.list()] == ["test"]
            assert [each["name"] for each in await client.metrics()] == ["test"]
            await client.remove("test")
            assert await client.list() == []
        with pytest.raises(NotFoundError, match="test"):
            await sandbox.info()
