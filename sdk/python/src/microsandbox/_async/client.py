"""A server, apart from any one sandbox."""

from __future__ import annotations

from types import TracebackType
from typing import List, Optional, Type

from typing_extensions import Self

from ..models import MetricsDict, SandboxInfo, decode
from ._transport import Transport


class Client:
    """Asks a server about all of its sandboxes. Use it in an `async with` block, or `close()` it.

    Args:
        server_url: As for `Sandbox`.
        api_key: As for `Sandbox`.
        proxy: As for `Sandbox`.
    """

    def __init__(
        self,
        server_url: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        proxy: Optional[str] = None,
    ) -> None:
        self._transport = Transport(server_url, api_key, proxy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.close()

    @property
    def server_url(self) -> str:
        """URL of the server."""
        return self._transport.url

    async def health(self) -> str:
        """What the server says of itself; an error if it does not answer. Needs no key."""
        return await self._transport.health()

    async def list(self, namespace: str = "*", *, stopped: bool = True) -> List[SandboxInfo]:
        """Sandboxes, with stopped also those that have but a disk. `*` is all that the key allows."""
        params = {"namespace": namespace, "stopped": stopped}
        result = await self._transport.call("sandbox.list", params)
        return [decode(SandboxInfo, each) for each in result["sandboxes"]]

    async def metrics(self, namespace: str = "*") -> List[MetricsDict]:
        """What the running sandboxes use."""
        result = await self._transport.call("sandbox.metrics.get", {"namespace": namespace})
        found: List[MetricsDict] = result["sandboxes"]
        return found

    async def remove(self, name: str, namespace: str = "default") -> None:
        """Removes a sandbox and its disk."""
        await self._transport.call("sandbox.remove", {"namespace": namespace, "sandbox": name})

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()
