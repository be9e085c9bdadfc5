"""Puts a stream's events together to what the same call without a stream returns."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from .models import Display, Event, ExceptionInfo, Output, OutputLine

#: What a result holds of output at most, as the server's own do.
LIMIT = 8 * 1024 * 1024


class Collector:
    """Lines in order of arrival across streams, values shown, and the exception."""

    def __init__(self) -> None:
        self.lines: List[OutputLine] = []
        self.displays: List[Display] = []
        self.exception: Optional[ExceptionInfo] = None
        self.truncated = False
        self._size = 0
        self._partial: Dict[str, List[str]] = {}

    def add(self, event: Event) -> None:
        """Takes one event."""
        if isinstance(event, ExceptionInfo):
            self.exception = event
        elif isinstance(event, Display):
            if self._fits(sum(map(len, event.data.values()))):
                self.displays.append(event)
        elif isinstance(event, Output) and self._fits(len(event.data)):
            self._add_text(event.stream, event.text)

    def result(self, answer: Dict[str, Any]) -> Dict[str, Any]:
        """The call's result, with what came before it."""
        for stream, pieces in self._partial.items():
            if pieces:
                self.lines.append(OutputLine(stream, "".join(pieces)))
        self._partial.clear()
        return {
            **answer,
            "output": self.lines,
            "displays": self.displays,
            "exception": answer.get("exception") or self.exception,
            "truncated": bool(answer.get("truncated")) or self.truncated,
        }

    def _fits(self, size: int) -> bool:
        self._size += size
        if self._size > LIMIT:
            self.truncated = True
        return not self.truncated

    def _add_text(self, stream: str, text: str) -> None:
        *ends, rest = text.split("\n")
        pieces = self._partial.setdefault(stream, [])
        for end in ends:
            self.lines.append(OutputLine(stream, "".join(pieces) + end))
            pieces.clear()
        if rest:
            pieces.append(rest)
