"""A shell that is kept, spoken to through its stdin."""

import asyncio

from microsandbox import Output, PythonSandbox


async def main() -> None:
    async with PythonSandbox.create() as sandbox:
        shell = await sandbox.processes.start("sh", stdin=True)
        await shell.write("cd /usr\n")
        await shell.write("pwd; echo done >&2\n")
        await shell.write("exit 7\n", eof=True)
        async with shell.attach() as stream:
            async for event in stream:
                if isinstance(event, Output):
                    print(event.stream, event.text.strip())
            end = await stream.result()
        print("exit code", end.exit_code)


asyncio.run(main())
# The two streams are separate: either may come first.
# -> std* *
# -> std* *
# -> exit code 7
