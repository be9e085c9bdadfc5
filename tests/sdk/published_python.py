"""What programs of that time do, with the client of that time. Prints what it gets; test_published.py judges."""

import asyncio

from microsandbox import NodeSandbox, PythonSandbox


async def python():
    async with PythonSandbox.create(name="published-python") as sandbox:
        await sandbox.run("x = 20")
        execution = await sandbox.run("print(x + 1)\nx + 22")
        print(f"output: {await execution.output()!r}")
        print("status:", execution.status, execution.language, execution.has_error())
        failed = await sandbox.run("1/0")
        print("error:", (await failed.error()).splitlines()[-1])
        print("has_error:", failed.has_error())
        done = await sandbox.command.run("sh", ["-c", "echo out; echo err >&2; exit 3"], 10)
        print(f"command: {await done.output()!r} {await done.error()!r}", done.exit_code, done.success, done.command)
        metrics = await sandbox.metrics.all()
        print("metrics:", await sandbox.metrics.is_running(), metrics["name"], metrics["namespace"])
        print("memory:", await sandbox.metrics.memory() > 0)
        try:
            await sandbox.command.run("/no/such/program")
        except RuntimeError as error:
            print("refused:", "/no/such/program" in str(error))


async def node():
    async with NodeSandbox.create(name="published-python-node") as sandbox:
        execution = await sandbox.run("console.log(await Promise.resolve('node'))\n1 + 1")
        print(f"node: {await execution.output()!r}", execution.language)


async def again():
    """Starting without a block, as its README shows, and a disk that is there the next time."""
    async with PythonSandbox.create(name="published-python-kept") as sandbox:
        await sandbox.run("open('/kept', 'w').write('x')")
    async with PythonSandbox.create(name="published-python-kept") as sandbox:
        execution = await sandbox.run("print(open('/kept').read() == 'x')")
        print("again:", await execution.output())


for part in (python, node, again):
    asyncio.run(part())
