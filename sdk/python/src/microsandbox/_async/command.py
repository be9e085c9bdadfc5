"""Commands: programs that are run to their end."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Union

from .. import _wire
from ..models import Output
from ._code import dispatch
from ._flavour import Callback
from ._scope import Scope
from .execution import CommandExecution, command_execution
from .stream import Stream

Environment = Union[None, Mapping[str, str], List[str]]


class Command:
    """`sandbox.command`: runs programs. There is no shell between; use `run("sh", ["-c", SCRIPT])` for one."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def run(
        self,
        command: str,
        args: Optional[List[str]] = None,
        timeout: Optional[float] = None,
        *,
        envs: Environment = None,
        workdir: Optional[str] = None,
        user: Optional[str] = None,
        on_stdout: Optional[Callback[str]] = None,
        on_stderr: Optional[Callback[str]] = None,
    ) -> CommandExecution:
        """Runs a program to its end.

        Args:
            command: A path, or a name that is found by PATH.
            args: Its arguments.
            timeout: Seconds after which it is killed and the call fails; None: no limit.
            envs: Environment, after the sandbox's.
            workdir: Working directory instead of the sandbox's.
            user: User instead of the sandbox's, as user[:group].
            on_stdout: Called with each piece of its output as it comes.
            on_stderr: Likewise.

        Raises:
            ApiError: It could not be started, or ran out of time.
        """
        if on_stdout is None and on_stderr is None:
            params = self._params(command, args, timeout, envs, workdir, user)
            return CommandExecution(await self._scope.call("command.run", **params))
        async with self.stream(
            command, args, timeout, envs=envs, workdir=workdir, user=user
        ) as stream:
            async for event in stream:
                await dispatch(event, on_stdout, on_stderr)
            return await stream.result()

    def stream(
        self,
        command: str,
        args: Optional[List[str]] = None,
        timeout: Optional[float] = None,
        *,
        envs: Environment = None,
        workdir: Optional[str] = None,
        user: Optional[str] = None,
    ) -> Stream[Output, CommandExecution]:
        """The same as `run`, with its output as it comes: iterate what this returns."""
        params = self._params(command, args, timeout, envs, workdir, user)
        return self._scope.stream("command.run", command_execution, **params)

    @staticmethod
    def _params(
        command: str,
        args: Optional[List[str]],
        timeout: Optional[float],
        envs: Environment,
        workdir: Optional[str],
        user: Optional[str],
    ) -> "dict[str, Any]":
        return {
            "command": command,
            "args": list(args or []),
            "timeout": timeout,
            "envs": _wire.environment(envs),
            "workdir": workdir,
            "user": user,
        }
