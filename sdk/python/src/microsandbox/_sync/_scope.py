# Generated from ../_async/_scope.py by tools/generate_sync.py: edit that.
"""One sandbox of one server: what all parts of its interface work with."""

from __future__ import annotations

from typing import Any, Callable, Optional, TypeVar

from .._collect import Collector
from ._transport import Transport
from .stream import Stream

_Result = TypeVar("_Result")


class Scope:
    """Makes calls whose sandbox and namespace are given."""

    def __init__(
        self, transport: Transport, namespace: str, name: str, language: Optional[str]
    ) -> None:
        self.transport = transport
        self.namespace = namespace
        self.name = name
        self._language = language

    def language(self, given: Optional[str]) -> str:
        """The language that was given, or else the sandbox's own."""
        language = given or self._language
        if language is None:
            raise ValueError('a Sandbox has no language of its own: give language="python" or "node"')
        return language

    def call(self, method: str, *, answer_within: Optional[float] = None, **params: Any) -> Any:
        """The result of `sandbox.METHOD`."""
        return self.transport.call(f"sandbox.{method}", self._params(params), answer_within)

    def stream(
        self, method: str, finish: Callable[[Any, Collector], _Result], **params: Any
    ) -> Stream[Any, _Result]:
        """The events of `sandbox.METHOD`."""
        return Stream(self.transport, f"sandbox.{method}", self._params(params), finish)

    def watch(
        self, method: str, finish: Callable[[Any, Collector], _Result], **params: Any
    ) -> Stream[Any, _Result]:
        """The same, of a method that says when it has begun to look: opening it waits for that."""
        name = f"sandbox.{method}"
        return Stream(self.transport, name, self._params(params), finish, says_when_it_stands=True)

    def _params(self, params: "dict[str, Any]") -> "dict[str, Any]":
        return {"sandbox": self.name, "namespace": self.namespace, **params}
