# Generated from ../_async/contexts.py by tools/generate_sync.py: edit that.
"""Contexts: variables that stay from one run of code to the next."""

from __future__ import annotations

from typing import List, Optional

from .. import _wire
from ..models import ContextInfo, Display, decode
from ._code import CodeEvent, run_code, stream_code
from ._flavour import Callback
from ._scope import Scope
from .command import Environment
from .execution import Execution
from .stream import Stream


class Context:
    """One context of a sandbox. It has a name and a language."""

    def __init__(self, scope: Scope, name: str, language: str) -> None:
        self._scope = scope
        #: Its name.
        self.name = name
        #: python or node.
        self.language = language

    def run(
        self,
        code: str,
        *,
        timeout: Optional[float] = None,
        on_stdout: Optional[Callback[str]] = None,
        on_stderr: Optional[Callback[str]] = None,
        on_display: Optional[Callback[Display]] = None,
    ) -> Execution:
        """Runs code in it, as `Sandbox.run` does."""
        return run_code(
            self._scope,
            code,
            self.language,
            self.name,
            timeout,
            on_stdout,
            on_stderr,
            on_display,
        )

    def stream(
        self, code: str, *, timeout: Optional[float] = None
    ) -> Stream[CodeEvent, Execution]:
        """Runs code in it, as `Sandbox.stream` does."""
        return stream_code(self._scope, code, self.language, self.name, timeout)

    def interrupt(self) -> ContextInfo:
        """Interrupts the code that it runs, if it runs any. Its variables stay."""
        return decode(ContextInfo, self._call("interrupt"))

    def restart(self) -> ContextInfo:
        """Ends it and starts it anew, without its variables."""
        return decode(ContextInfo, self._call("restart"))

    def remove(self) -> None:
        """Ends it."""
        self._call("remove")

    def _call(self, what: str) -> object:
        return self._scope.call(
            f"context.{what}", language=self.language, context=self.name
        )

    def __repr__(self) -> str:
        return f"<Context {self.language} {self.name!r}>"


class Contexts:
    """`sandbox.contexts`: makes and finds contexts."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def create(
        self,
        name: str,
        *,
        language: Optional[str] = None,
        envs: Environment = None,
        workdir: Optional[str] = None,
        user: Optional[str] = None,
    ) -> Context:
        """Makes a context.

        Args:
            name: How it is to be named.
            language: python or node; None: the sandbox's own.
            envs: Environment, after the sandbox's.
            workdir: Working directory instead of the sandbox's.
            user: User instead of the sandbox's, as user[:group].

        Raises:
            AlreadyExistsError: There is one of this name and language.
        """
        info = self._scope.call(
            "context.create",
            language=self._scope.language(language),
            context=name,
            envs=_wire.environment(envs),
            workdir=workdir,
            user=user,
        )
        return Context(self._scope, name, decode(ContextInfo, info).language)

    def get(self, name: str = "default", *, language: Optional[str] = None) -> Context:
        """A context by its name. Asks nothing: one that is not there is made when it is used first."""
        return Context(self._scope, name, self._scope.language(language))

    def list(self) -> List[ContextInfo]:
        """All contexts of the sandbox."""
        result = self._scope.call("context.list")
        return [decode(ContextInfo, each) for each in result["contexts"]]
