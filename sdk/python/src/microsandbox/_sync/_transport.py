# Generated from ../_async/_transport.py by tools/generate_sync.py: edit that.
"""One connection pool to one server, and the calls of its API."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional, Union

import httpx

from .. import _environment, _wire
from .._failures import CONNECT_SECONDS, explained

Content = Union[bytes, Iterator[bytes]]


class Transport:
    """Sends requests. May be used for several calls at once."""

    def __init__(self, server_url: Optional[str], api_key: Optional[str], proxy: Optional[str]) -> None:
        self.url, self._api_key = _environment.resolve(server_url, api_key)
        self._proxy = proxy
        self._http: Optional[httpx.Client] = None

    def call(
        self, method: str, params: Mapping[str, Any], timeout: Optional[float] = None
    ) -> Any:
        """A method's result. `timeout` is how long an answer may take, in seconds."""
        with explained(self.url):
            response = self._client().post(
                _wire.RPC_PATH,
                json=_wire.request_body(method, params),
                timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
            )
        return _wire.result_of(response.status_code, response.content, self.url)

    def open_stream(self, method: str, params: Mapping[str, Any]) -> httpx.Response:
        """The answer to a call whose events are to come as they happen. The caller closes it."""
        return self._open(
            "POST",
            _wire.RPC_PATH,
            json=_wire.request_body(method, params),
            headers={"Accept": "text/event-stream"},
        )

    def get_file(self, params: Mapping[str, str], byte_range: Optional[str]) -> httpx.Response:
        """A file's content. The caller closes it."""
        headers = {} if byte_range is None else {"Range": byte_range}
        response = self._open("GET", _wire.FILES_PATH, params=params, headers=headers)
        if response.status_code >= 400:
            self.raise_error(response)
        return response

    def put_file(self, params: Mapping[str, str], content: Content) -> Any:
        """Writes a file; what the server says of it then."""
        with explained(self.url):
            response = self._client().put(
                _wire.FILES_PATH,
                params=dict(params),
                content=content,
                headers={"Content-Type": "application/octet-stream"},
            )
        return _wire.result_of_file(response.status_code, response.content, self.url)

    def health(self) -> str:
        """What the server says of itself."""
        with explained(self.url):
            response = self._client().get(
                "/api/v1/health", timeout=httpx.Timeout(CONNECT_SECONDS)
            )
        answer = _wire.result_of_file(response.status_code, response.content, self.url)
        return str(answer.get("message", ""))

    def raise_error(self, response: httpx.Response) -> None:
        """Raises what an answer that is an error tells; closes it."""
        try:
            with explained(self.url):
                body = response.read()
        finally:
            response.close()
        _wire.result_of(response.status_code, body, self.url)

    def close(self) -> None:
        """Closes the connections. They are opened again when they are needed."""
        if self._http is not None:
            http, self._http = self._http, None
            http.close()

    def _open(self, verb: str, path: str, **request: Any) -> httpx.Response:
        client = self._client()
        with explained(self.url):
            return client.send(client.build_request(verb, path, **request), stream=True)

    def _client(self) -> httpx.Client:
        if self._http is None:
            direct = self._proxy is None and _environment.is_loopback(self.url)
            self._http = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {self._api_key}"} if self._api_key else {},
                proxy=self._proxy,
                trust_env=not direct,
                # Reading certificates takes longer than a whole sandbox; without TLS none are needed.
                verify=not (direct and self.url.startswith("http:")),
                timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),  # code may run for hours
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            )
        return self._http
