"""What came of running code or a command."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional

from .. import models
from .._collect import Collector
from ..models import Display, ExceptionInfo, OutputLine


def _lines(output: List[Any]) -> List[OutputLine]:
    return [line if isinstance(line, OutputLine) else models.decode(OutputLine, line) for line in output]


def _text(lines: List[OutputLine], stream: str) -> str:
    return "\n".join(line.text for line in lines if line.stream == stream)


class Execution:
    """What came of running code."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        #: Output in order of arrival across streams; values shown and tracebacks are in it as text.
        self.lines: List[OutputLine] = _lines(result.get("output", []))
        #: `success`: the code was run, whatever came of it (see `end`).
        self.status: str = str(result.get("status", "success"))
        #: python or node.
        self.language: str = str(result.get("language", ""))
        #: ok, error (an exception that nobody caught), interrupted, timeout, or exited (the context ended;
        #: the next run starts a new one).
        self.end: str = str(result.get("end", "error" if self._has_stderr() else "ok"))
        #: Values that the code showed, by MIME type.
        self.displays: List[Display] = [
            each if isinstance(each, Display) else models.decode(Display, each)
            for each in result.get("displays", [])
        ]
        exception = result.get("exception")
        #: The exception that nobody caught, if there was one.
        self.exception: Optional[ExceptionInfo] = (
            models.decode(ExceptionInfo, exception) if isinstance(exception, dict) else exception
        )
        #: There was more output than a result holds (8 MiB).
        self.truncated: bool = bool(result.get("truncated", False))

    def _has_stderr(self) -> bool:
        return any(line.stream == "stderr" and line.text for line in self.lines)

    async def output(self) -> str:
        """What the code wrote to stdout, and the values it showed as text."""
        return _text(self.lines, "stdout")

    async def error(self) -> str:
        """What the code wrote to stderr, tracebacks included."""
        return _text(self.lines, "stderr")

    def has_error(self) -> bool:
        """Whether the code did not come to its end: an exception, an interrupt, a timeout, an exit."""
        return self.end != "ok"

    @property
    def result(self) -> Optional[Display]:
        """The value of the last expression, if it had one."""
        return next((each for each in reversed(self.displays) if each.result), None)

    def __repr__(self) -> str:
        return f"<Execution {self.language} {self.end}, {len(self.lines)} lines>"


class CommandExecution:
    """What came of running a command."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        #: Output in order of arrival across streams.
        self.lines: List[OutputLine] = _lines(result.get("output", []))
        #: The program, as it was given.
        self.command: str = str(result.get("command", ""))
        #: Its arguments, as they were given.
        self.args: List[str] = list(result.get("args", []))
        #: Its exit code; 128 + n if signal n killed it.
        self.exit_code: int = int(result.get("exit_code", -1))
        #: Whether the exit code is 0.
        self.success: bool = bool(result.get("success", False))
        #: It was killed because the sandbox had no memory left.
        self.out_of_memory: bool = bool(result.get("out_of_memory", False))
        #: There was more output than a result holds (8 MiB).
        self.truncated: bool = bool(result.get("truncated", False))

    async def output(self) -> str:
        """What the command wrote to stdout."""
        return _text(self.lines, "stdout")

    async def error(self) -> str:
        """What the command wrote to stderr."""
        return _text(self.lines, "stderr")

    def __repr__(self) -> str:
        return f"<CommandExecution {self.command!r} exit code {self.exit_code}>"


def execution(answer: Mapping[str, Any], events: Collector) -> Execution:
    """Of a stream."""
    return Execution(events.result(dict(answer)))


def command_execution(answer: Mapping[str, Any], events: Collector) -> CommandExecution:
    """Of a stream."""
    return CommandExecution(events.result(dict(answer)))
