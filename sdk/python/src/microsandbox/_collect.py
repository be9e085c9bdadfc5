"""Puts a stream's events together to what the same call without a stream returns."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from .models import Display, Event, ExceptionInfo, Output, OutputLine

#: What a result holds of output at most, as the server's own do.
LIMIT = 8 * 1024 * 1024


class Lines:
    """Lines of both streams, each where its first byte arrived."""

    def __init__(self) -> None:
        self._lines: List[Tuple[str, List[str]]] = []
        self._open: Dict[str, List[str]] = {}  # of each stream the line that has not ended

    def add(self, stream: str, text: str) -> None:
        """A piece of output, cut anywhere."""
        *ended, rest = text.split("\n")
        for part in ended:
            self._line(stream).append(part)
            del self._open[stream]
        if rest:
            self._line(stream).append(rest)

    def add_paragraph(self, stream: str, text: str) -> None:
        """A text of its own: it begins a line, and ends it."""
        self._open.pop(stream, None)
        self.add(stream, text if text.endswith("\n") else text + "\n")

    def all(self) -> List[OutputLine]:
        """All of them, also those whose newline never came."""
        return [OutputLine(stream, "".join(parts)) for stream, parts in self._lines]

    def _line(self, stream: str) -> List[str]:
        if stream not in self._open:
            self._open[stream] = []
            self._lines.append((stream, self._open[stream]))
        return self._open[stream]


class Collector:
    """Output, values shown, and the exception."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._displays: List[Display] = []
        self._exception: Optional[ExceptionInfo] = None
        self._truncated = False
        self._size = 0

    def add(self, event: Event) -> None:
        """Takes one event."""
        if isinstance(event, ExceptionInfo):
            self._exception = event
        elif isinstance(event, Display):
            if self._fits(sum(map(len, event.data.values()))):
                self._displays.append(event)
                if event.text is not None:
                    self._lines.add_paragraph("stdout", event.text)
        elif isinstance(event, Output) and self._fits(len(event.data)):
            self._lines.add(event.stream, event.text)

    def result(self, answer: Dict[str, Any]) -> Dict[str, Any]:
        """The call's result, with what came before it."""
        if self._exception is not None:
            # As the languages' own interpreters do: Node's writes it to stdout.
            stream = "stdout" if answer.get("language") == "node" else "stderr"
            for line in self._exception.traceback:
                self._lines.add_paragraph(stream, line)
        return {
            **answer,
            "output": self._lines.all(),
            "displays": self._displays,
            "exception": answer.get("exception") or self._exception,
            "truncated": bool(answer.get("truncated")) or self._truncated,
        }

    def _fits(self, size: int) -> bool:
        self._size += size
        if self._size > LIMIT:
            self._truncated = True
        return not self._truncated
