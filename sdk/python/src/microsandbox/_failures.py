"""Failures of the connection, in the words of this package's errors."""

from __future__ import annotations

import contextlib
from typing import Iterator

import httpx

from ._environment import proxy_hint
from .errors import ConnectionLostError, RequestTimeoutError, ServerUnreachableError

CONNECT_SECONDS = 10.0


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__  # several of httpx's have no text


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Around whatever speaks to the server at url."""
    try:
        yield
    except httpx.ProxyError as error:
        raise ServerUnreachableError(
            f"the proxy does not connect to {url}: {_reason(error)}.{proxy_hint(url)}"
        ) from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ServerUnreachableError(
            f"no microsandbox server answers at {url}: {_reason(error)}. Start one with "
            "`msb server start --dev`, or set MSB_SERVER_URL to the address of yours."
            f"{proxy_hint(url)}"
        ) from error
    except httpx.TimeoutException as error:
        raise RequestTimeoutError(f"{url} did not answer in time: {type(error).__name__}") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise ValueError(f"{url!r} is no URL of a server, such as http://127.0.0.1:5555: {error}") from error
    except httpx.TransportError as error:
        raise ConnectionLostError(
            f"the connection to {url} ended before the answer was complete: {_reason(error)}. "
            "The server may have been stopped; what was asked for may have happened."
        ) from error
