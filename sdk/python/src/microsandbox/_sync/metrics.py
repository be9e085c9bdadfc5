# Generated from ../_async/metrics.py by tools/generate_sync.py: edit that.
"""Metrics of one sandbox."""

from __future__ import annotations

from typing import Optional, cast

from ..errors import UnexpectedResponseError
from ..models import MetricsDict
from ._scope import Scope


class Metrics:
    """`sandbox.metrics`: what the sandbox uses. Each call asks the server."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def all(self) -> MetricsDict:
        """All of them, as a dictionary."""
        result = self._scope.call("metrics.get")
        sandboxes = result.get("sandboxes", [])
        if len(sandboxes) == 1:
            return cast(MetricsDict, sandboxes[0])
        if sandboxes:
            raise UnexpectedResponseError(
                f"the server sent metrics of {len(sandboxes)} sandboxes instead of {self._scope.name}'s"
            )
        return {
            "namespace": self._scope.namespace,
            "name": self._scope.name,
            "running": False,
            "cpu_usage": None,
            "memory_usage": None,
            "disk_usage": None,
        }

    def cpu(self) -> Optional[float]:
        """CPU time since the last look, in percent of one CPU of the host; None if unknown."""
        return (self.all())["cpu_usage"]

    def memory(self) -> Optional[int]:
        """Memory that it has on the host, in MiB; None if unknown."""
        return (self.all())["memory_usage"]

    def disk(self) -> Optional[int]:
        """Bytes that its disk takes on the host; None if unknown."""
        return (self.all())["disk_usage"]

    def is_running(self) -> bool:
        """Whether it runs."""
        return (self.all())["running"]
