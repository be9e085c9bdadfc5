"""Code whose variables stay from one run to the next."""

import asyncio

from microsandbox import PythonSandbox


async def main() -> None:
    async with PythonSandbox.create() as sandbox:
        await sandbox.run("total = 0")
        for number in (1, 2, 3):
            await sandbox.run(f"total += {number}")
        execution = await sandbox.run("total")
        print(await execution.output())  # -> 6


asyncio.run(main())
