"""Requests and answers of the protocol, without any I/O: what both flavours share."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Union

from .errors import ApiError, UnexpectedResponseError, api_error

RPC_PATH = "/api/v1/rpc"
FILES_PATH = "/api/v1/files"

Json = Any


def request_body(method: str, params: Mapping[str, Json]) -> Dict[str, Json]:
    """A JSON-RPC request. What is None was not given and is left out."""
    given = {name: value for name, value in params.items() if value is not None}
    return {"jsonrpc": "2.0", "method": method, "params": given, "id": str(uuid.uuid4())}


def result_of(status: int, body: bytes, url: str) -> Json:
    """The result in an answer, or the error it tells."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise not_ours(status, body, url)
    if "error" in answer:
        raise error_of(answer, status)
    if status >= 400 or "result" not in answer:
        raise not_ours(status, body, url)
    return answer["result"]


def result_of_file(status: int, body: bytes, url: str) -> Dict[str, Json]:
    """The object that a route other than JSON-RPC answers, or the error it tells."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise not_ours(status, body, url)
    if status >= 400:
        raise error_of(answer, status) if "error" in answer else not_ours(status, body, url)
    return answer


def error_of(answer: Mapping[str, Json], status: int) -> ApiError:
    """Either form: {"error": MESSAGE, "code": N} or JSON-RPC's {"error": {"code", "message"}}."""
    error = answer.get("error")
    if isinstance(error, dict):
        return api_error(str(error.get("message", "")), _integer(error.get("code")), status)
    own_status = _integer(answer.get("status"))
    return api_error(str(error), _integer(answer.get("code")), own_status or status)


def not_ours(status: int, body: bytes, url: str) -> UnexpectedResponseError:
    """An answer that no microsandbox server gives."""
    start = body[:200].decode("utf-8", "replace").strip()
    return UnexpectedResponseError(
        f"{url} answered HTTP {status} with what is no answer of a microsandbox server: {start!r}. "
        "Check MSB_SERVER_URL, and NO_PROXY if a proxy stands between."
    )


def _integer(value: Json) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def content(data: Union[str, bytes]) -> Dict[str, str]:
    """Text or bytes as the API takes them."""
    if isinstance(data, str):
        return {"text": data}
    return {"base64": base64.b64encode(data).decode("ascii")}


def bytes_of(message: Mapping[str, Json]) -> bytes:
    """What an event's text or base64 holds."""
    text = message.get("text")
    if text is not None:
        return str(text).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(str(message.get("base64", "")))
    except binascii.Error as error:
        raise UnexpectedResponseError(f"the server sent bad base64: {error}") from error


def environment(envs: Union[None, Mapping[str, str], List[str]]) -> Optional[List[str]]:
    """Variables as the API takes them: NAME=VALUE."""
    if envs is None:
        return None
    if isinstance(envs, Mapping):
        return [f"{name}={value}" for name, value in envs.items()]
    return list(envs)


class ServerEvent(NamedTuple):
    """One server-sent event."""

    name: str
    data: str


class EventParser:
    """Splits the bytes of a text/event-stream into events. Lines end with LF, CRLF or CR."""

    def __init__(self) -> None:
        self._pieces: List[bytes] = []  # of a line whose end has not come: joined once, not each time
        self._name = ""
        self._data: List[str] = []

    def feed(self, chunk: bytes) -> List[ServerEvent]:
        """The events that this piece completes."""
        self._pieces.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            return []
        *lines, rest = self._lines(b"".join(self._pieces))
        self._pieces = [rest]
        events = (self._line(line.decode("utf-8", "replace")) for line in lines)
        return [event for event in events if event is not None]

    @staticmethod
    def _lines(text: bytes) -> List[bytes]:
        held = b""
        if text.endswith(b"\r"):  # perhaps half of a CRLF
            text, held = text[:-1], b"\r"
        lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        lines[-1] += held
        return lines

    def _line(self, line: str) -> Optional[ServerEvent]:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        return None  # a comment (empty field), or a field that means nothing here

    def _dispatch(self) -> Optional[ServerEvent]:
        event = ServerEvent(self._name or "message", "\n".join(self._data)) if self._data else None
        self._name, self._data = "", []
        return event


def event_data(event: ServerEvent) -> Dict[str, Json]:
    """An event's data, which is always an object."""
    try:
        data = json.loads(event.data)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise UnexpectedResponseError(
            f"the server sent an event {event.name!r} whose data is no JSON object: {event.data[:200]!r}"
        )
    return data
