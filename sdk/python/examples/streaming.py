"""Output as it comes, and code that is interrupted."""

import asyncio

from microsandbox import Output, PythonSandbox

FOREVER = """
import itertools
for n in itertools.count():
    print(n)
"""


async def main() -> None:
    async with PythonSandbox.create() as sandbox:
        async with sandbox.stream(FOREVER) as stream:
            async for event in stream:
                if isinstance(event, Output) and "100" in event.text:
                    break  # leaving the block interrupts the code

        # The context has survived: its variables are there.
        execution = await sandbox.run("n >= 100")
        print(await execution.output())  # -> True

        slow = await sandbox.run("while True: pass", timeout=0.5)
        print(slow.end)  # -> timeout


asyncio.run(main())
