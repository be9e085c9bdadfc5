"""What the two flavours do differently; `_sync/_flavour.py` is its other form, not generated."""

from __future__ import annotations

import inspect
from typing import IO, Any, AsyncIterator, Awaitable, Callable, TypeVar, Union

import anyio.to_thread

_T = TypeVar("_T")

#: A function that is called with each value, or a coroutine function that is awaited.
Callback = Callable[[_T], Union[None, Awaitable[None]]]

CHUNK = 256 * 1024


async def call_back(callback: Callback[_T], value: _T) -> None:
    """Calls it, and waits for it if it is a coroutine function."""
    waiting: Any = callback(value)
    if inspect.isawaitable(waiting):
        await waiting


async def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """The rest of a local file. Read in a thread: a disk must not stop the event loop."""
    while True:
        chunk = await anyio.to_thread.run_sync(file.read, CHUNK)
        if not chunk:
            return
        yield chunk


async def write(file: IO[bytes], chunk: bytes) -> None:
    """Writes to a local file, in a thread."""
    await anyio.to_thread.run_sync(file.write, chunk)
