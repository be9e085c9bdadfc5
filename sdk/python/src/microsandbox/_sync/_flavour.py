"""What the two flavours do differently; `_async/_flavour.py` is its other form."""

from __future__ import annotations

from typing import IO, Callable, Iterator, TypeVar

_T = TypeVar("_T")

#: A function that is called with each value.
Callback = Callable[[_T], None]

CHUNK = 256 * 1024


def call_back(callback: Callback[_T], value: _T) -> None:
    """Calls it."""
    callback(value)


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of a local file."""
    while True:
        chunk = file.read(CHUNK)
        if not chunk:
            return
        yield chunk


def write(file: IO[bytes], chunk: bytes) -> None:
    """Writes to a local file."""
    file.write(chunk)
