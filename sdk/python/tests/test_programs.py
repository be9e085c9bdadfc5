"""Commands and processes."""

import asyncio

from conftest import out, script
from microsandbox import Output, Pty, PythonSandbox


async def test_a_command_tells_its_output_and_exit_code(fake):
    sandbox = PythonSandbox(name="test")
    events = script(out("x\n"), out("e\n", "stderr"), result={"exit_code": 3, "success": False, "out_of_memory": True})
    done = await sandbox.command.run("prog", [events], timeout=5, envs={"A": "1"}, user="u")
    assert (await done.output(), await done.error(), done.exit_code) == ("x", "e", 3)
    assert (done.success, done.command, done.args) == (False, "prog", [events])
    assert done.out_of_memory
    params = fake.params("sandbox.command.run")
    assert (params["timeout"], params["envs"], params["user"]) == (5, ["A=1"], "u")


async def test_a_commands_output_is_told_as_it_comes(fake):
    sandbox = PythonSandbox(name="test")
    seen = []
    done = await sandbox.command.run("prog", [script(out("a\nb"))], on_stdout=seen.append)
    assert (seen, await done.output(), done.exit_code) == (["a\nb"], "a\nb", 0)
    stream = sandbox.command.stream("prog", [script(out("1"), out("2"))])
    assert [event.text async for event in stream] == ["1", "2"]
    assert (await stream.result()).success


async def test_a_process_gets_input_and_gives_output_until_it_ends(fake):
    sandbox = PythonSandbox(name="test")
    process = await sandbox.processes.start("cat", stdin=True)
    assert (process.id, process.pid) == ("p1", 100)
    async with process.attach() as stream:
        await process.write("one\n")
        assert await stream.__anext__() == Output("stdout", b"one\n", 0)
        await process.write(b"\xff", eof=True)
        assert [event async for event in stream] == [Output("stdout", b"\xff", 4)]
        assert (await stream.result()).success
    assert [event.text async for event in process] == ["one\n\ufffd"]
    assert (await process.wait()).exit_code == 0


async def test_a_process_is_found_again_at_an_offset(fake):
    sandbox = PythonSandbox(name="test")
    await (await sandbox.processes.start("cat", ["-u"], stdin=True)).write("0123", eof=True)
    (info,) = await sandbox.processes.list()
    assert (info.command, info.pty, info.ended.exit_code) == (["cat", "-u"], False, 0)
    again = sandbox.processes.get(info.process)
    assert [event.text async for event in again.attach(stdout_offset=2)] == ["23"]


async def test_a_process_with_a_terminal_is_resized_signalled_and_killed(fake):
    sandbox = PythonSandbox(name="test")
    process = await sandbox.processes.start("sh", pty=Pty(100, 30), keep_all_output=True)
    assert fake.params("sandbox.process.start")["pty"] == {"columns": 100, "rows": 30}
    await process.resize(120, 40)
    assert (await process.wait(timeout=0)).running
    waiting = asyncio.create_task(process.wait())
    await process.kill()
    end = await waiting
    assert (end.exit_code, end.signal, end.success) == (137, 9, False)
    signal = fake.params("sandbox.process.signal")
    assert (signal["signal"], signal["group"]) == ("KILL", True)
    await process.close_stdin()
