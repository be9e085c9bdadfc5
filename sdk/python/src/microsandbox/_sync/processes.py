# Generated from ../_async/processes.py by tools/generate_sync.py: edit that.
"""Processes: programs that outlive a call."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Union

from .. import _wire
from .._collect import Collector
from ..models import Dropped, Output, ProcessEnd, ProcessInfo, Pty, decode
from ._scope import Scope
from .command import Environment
from .stream import Stream


def _end(answer: Any, _: Collector) -> ProcessEnd:
    return decode(ProcessEnd, answer)


class Process:
    """A process of a sandbox. It runs on if this object goes; `sandbox.processes.get(id)` finds it again."""

    def __init__(self, scope: Scope, id: str, pid: int = 0) -> None:
        self._scope = scope
        #: Its id, for `processes.get`.
        self.id = id
        #: Its number in the sandbox; 0 if that is not known.
        self.pid = pid

    def attach(
        self, stdout_offset: int = 0, stderr_offset: int = 0
    ) -> Stream[Union[Output, Dropped], ProcessEnd]:
        """Its output from an offset on, in bytes since its start, until it ends: iterate what this returns.

        What the server keeps no more is told by a `Dropped` first. Leaving the stream leaves the process
        alone.
        """
        return self._scope.stream(
            "process.attach",
            _end,
            process=self.id,
            stdout_offset=stdout_offset,
            stderr_offset=stderr_offset,
        )

    def __iter__(self) -> Iterator[Union[Output, Dropped]]:
        with self.attach() as stream:
            for event in stream:
                yield event

    def wait(self, timeout: Optional[float] = None) -> ProcessEnd:
        """Waits until it has ended, or for so many seconds; the end's `running` tells which."""
        return decode(ProcessEnd, self._call("wait", timeout=timeout))

    def write(self, data: Union[str, bytes], *, eof: bool = False) -> None:
        """Writes to its stdin, and closes that with eof. It must have been started with stdin or a pty."""
        self._call("write", eof=eof, **_wire.content(data))

    def close_stdin(self) -> None:
        """Closes its stdin: it reads end-of-file."""
        self._call("write", eof=True)

    def signal(self, signal: Union[str, int] = "TERM", *, group: bool = False) -> None:
        """Sends it a signal, by name or number; with group to all of its process group."""
        self._call("signal", signal=str(signal), group=group)

    def kill(self) -> None:
        """Kills it and its process group."""
        self.signal("KILL", group=True)

    def resize(self, columns: int, rows: int) -> None:
        """Tells it the new size of its terminal."""
        self._call("resize", columns=columns, rows=rows)

    def _call(self, what: str, **params: Any) -> Any:
        return self._scope.call(f"process.{what}", process=self.id, **params)

    def __repr__(self) -> str:
        return f"<Process {self.id}>"


class Processes:
    """`sandbox.processes`: starts and finds processes."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def start(
        self,
        command: str,
        args: Optional[List[str]] = None,
        *,
        envs: Environment = None,
        workdir: Optional[str] = None,
        user: Optional[str] = None,
        stdin: bool = False,
        pty: Optional[Pty] = None,
        keep_all_output: bool = False,
    ) -> Process:
        """Starts a program and returns at once.

        Args:
            command: A path, or a name that is found by PATH; there is no shell between.
            args: Its arguments.
            envs: Environment, after the sandbox's.
            workdir: Working directory instead of the sandbox's.
            user: User instead of the sandbox's, as user[:group].
            stdin: Whether `write` will give it input; else its stdin is at its end.
            pty: Gives it a terminal of this size.
            keep_all_output: When 1 MiB of its output was not read: True stops it until it is, False drops
                the oldest.
        """
        started = self._scope.call(
            "process.start",
            command=command,
            args=list(args or []),
            envs=_wire.environment(envs),
            workdir=workdir,
            user=user,
            stdin=stdin,
            pty=None if pty is None else {"columns": pty.columns, "rows": pty.rows},
            keep_all_output=keep_all_output,
        )
        return Process(self._scope, started["process"], started["pid"])

    def get(self, id: str) -> Process:
        """A process by its id. Asks nothing."""
        return Process(self._scope, id)

    def list(self) -> List[ProcessInfo]:
        """Those that `start` made and that were not waited for."""
        result = self._scope.call("process.list")
        return [decode(ProcessInfo, each) for each in result["processes"]]
