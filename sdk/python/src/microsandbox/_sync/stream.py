# Generated from ../_async/stream.py by tools/generate_sync.py: edit that.
"""Calls whose events come as they happen."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Iterator, Callable, Deque, Generic, Mapping, Optional, Type, TypeVar, cast
from collections import deque

import httpx
from typing_extensions import Self

from .. import _wire
from .._collect import Collector
from .._failures import explained
from ..errors import ConnectionLostError
from ..models import event_of
from ._transport import Transport

_Event = TypeVar("_Event")
_Result = TypeVar("_Result")


class Stream(Generic[_Event, _Result]):
    """Events of a call, in order, and then its result.

    Iterate it; afterwards (or without iterating) `stream.result()`. The call begins with the first
    event that is asked for, or with `with`. Leaving the `with` block early, or `close()`,
    closes the connection: the server then interrupts the code or kills the command.
    """

    def __init__(
        self,
        transport: Transport,
        method: str,
        params: Mapping[str, Any],
        finish: Callable[[Any, Collector], _Result],
        says_when_it_stands: bool = False,
    ) -> None:
        self._says_when_it_stands = says_when_it_stands
        self._transport = transport
        self._method = method
        self._params = params
        self._finish = finish
        self._response: Optional[httpx.Response] = None
        self._chunks: Optional[Iterator[bytes]] = None
        self._parser = _wire.EventParser()
        self._events: Deque[_wire.ServerEvent] = deque()
        self._collector = Collector()
        self._answer: Any = None
        self._ended = False

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _Event:
        try:
            self._open()
            while True:
                event = self._next()
                if event is None:
                    raise StopIteration
                if event.name in ("response", "error"):
                    self._end(event)
                    raise StopIteration
                known = event_of(event.name, _wire.event_data(event))
                if known is not None:
                    self._collector.add(known)
                    return cast(_Event, known)
        except BaseException:
            self.close()
            raise

    def result(self) -> _Result:
        """The call's result, when it has ended. Events that nobody asked for are read until then."""
        for _ in self:
            pass
        if self._answer is None:
            raise ConnectionLostError("the stream was closed before the call had ended; it has no result")
        return self._finish(self._answer[0], self._collector)

    def close(self) -> None:
        """Closes the connection. What still runs is interrupted."""
        self._ended = True
        response, self._response, self._chunks = self._response, None, None
        if response is not None:
            response.close()

    def _open(self) -> None:
        if self._response is not None or self._ended:
            return
        self._response = self._transport.open_stream(self._method, self._params)
        kind = self._response.headers.get("content-type", "")
        if self._response.status_code != 200 or not kind.startswith("text/event-stream"):
            response, self._response, self._ended = self._response, None, True
            self._transport.raise_error(response)
            raise _wire.not_ours(response.status_code, response.content, self._transport.url)
        self._chunks = self._response.iter_bytes()
        if self._says_when_it_stands:  # by whatever the server sends first
            self._events.extend(self._parser.feed(self._read(self._chunks)))

    def _next(self) -> Optional[_wire.ServerEvent]:
        while not self._events:
            if self._ended or self._chunks is None:
                return None
            self._events.extend(self._parser.feed(self._read(self._chunks)))
        return self._events.popleft()

    def _read(self, chunks: Iterator[bytes]) -> bytes:
        with explained(self._transport.url):
            try:
                return chunks.__next__()
            except StopIteration:
                raise ConnectionLostError(
                    f"{self._transport.url} ended the stream of {self._method} without a result. "
                    "The server may have been stopped."
                ) from None

    def _end(self, event: _wire.ServerEvent) -> None:
        data = _wire.event_data(event)
        self.close()
        if event.name == "error" or "error" in data:
            raise _wire.error_of(data, 200)
        self._answer = (data.get("result"),)
