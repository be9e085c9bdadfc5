"""Values that calls return and streams deliver."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Type, TypeVar, Union

from typing_extensions import TypedDict

from ._wire import bytes_of
from .errors import UnexpectedResponseError

__all__ = [
    "ContextInfo",
    "Display",
    "Dropped",
    "ExceptionInfo",
    "FileEvent",
    "FileInfo",
    "LogLine",
    "MetricsDict",
    "Output",
    "OutputLine",
    "ProcessEnd",
    "ProcessInfo",
    "Pty",
    "SandboxInfo",
    "StartOptions",
    "TimeoutInfo",
]

_T = TypeVar("_T")


def decode(kind: Type[_T], data: Any) -> _T:
    """A dataclass out of a JSON object. Keys that it does not know are a newer server's: left out."""
    names = {each.name for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{name: value for name, value in data.items() if name in names})
    except (AttributeError, TypeError) as error:
        raise UnexpectedResponseError(
            f"the server sent a {kind.__name__} that is none ({error}): {str(data)[:200]}"
        ) from error


class StartOptions(TypedDict, total=False):
    """Settings of a sandbox, beside image, memory, CPUs and name."""

    #: Size of the writable disk in MiB, a hard limit (8192).
    disk: int
    #: Environment: a mapping, or a list of NAME=VALUE; it comes after the image's.
    envs: Union[Mapping[str, str], List[str]]
    #: Working directory of programs and code; the image's, else `/`.
    workdir: str
    #: User of programs and code as user[:group]; the image's, else root.
    user: str
    #: Shell that runs scripts (`/bin/sh`).
    shell: str
    #: Scripts by name; `start` is run when the sandbox starts, unless exec is given.
    scripts: Dict[str, str]
    #: Program that is started with the sandbox, by its shell.
    exec: str
    #: Seconds after which the sandbox is stopped (no limit).
    lifetime: float
    #: Seconds without a request after which the sandbox is stopped (no limit).
    idle: float
    #: Directories of the host: refused by servers of this version.
    volumes: List[str]
    #: Published ports: refused by servers of this version.
    ports: List[str]
    #: Forget the sandbox's disk first; needed to change its image.
    reset: bool


class MetricsDict(TypedDict):
    """What a sandbox uses; None where that is not known."""

    #: Namespace of the sandbox.
    namespace: str
    #: Name of the sandbox.
    name: str
    #: Whether it runs.
    running: bool
    #: CPU time since the last look, in percent of one CPU of the host.
    cpu_usage: Optional[float]
    #: Memory that it has on the host, in MiB.
    memory_usage: Optional[int]
    #: Bytes that its disk takes on the host.
    disk_usage: Optional[int]


@dataclass(frozen=True)
class OutputLine:
    """One line of output, without its newline."""

    #: stdout or stderr.
    stream: str
    #: The line; what is not UTF-8 is replaced by U+FFFD.
    text: str


@dataclass(frozen=True)
class Output:
    """A piece of output, as it comes."""

    #: stdout or stderr (a process with a terminal: stdout).
    stream: str
    #: The bytes as the program wrote them.
    data: bytes
    #: Of processes: where the piece begins, in bytes since the process started.
    offset: Optional[int] = None

    @property
    def text(self) -> str:
        """The piece as text. A piece is never cut within a character."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True)
class Dropped:
    """Output that a process wrote, and that the server keeps no more."""

    #: stdout or stderr.
    stream: str
    #: How many bytes are lost.
    bytes: int


@dataclass(frozen=True)
class Display:
    """A value that code showed, in one or more MIME types."""

    #: Whether it is the value of the last expression, not something that was displayed.
    result: bool = False
    #: By MIME type: text as it is, binary types in base64, application/json as JSON text.
    data: Dict[str, str] = field(default_factory=dict)
    #: Types that were too large to be sent, with their sizes in bytes.
    omitted: Dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> Optional[str]:
        """Its plain text."""
        return self.data.get("text/plain")

    @property
    def html(self) -> Optional[str]:
        """Its HTML, such as a table of pandas."""
        return self.data.get("text/html")

    @property
    def png(self) -> Optional[bytes]:
        """Its PNG image, such as a figure of matplotlib."""
        image = self.data.get("image/png")
        return None if image is None else base64.b64decode(image)

    @property
    def svg(self) -> Optional[str]:
        """Its SVG image."""
        return self.data.get("image/svg+xml")

    @property
    def json(self) -> Any:
        """Its JSON value, decoded; None if it has none."""
        text = self.data.get("application/json")
        return None if text is None else json.loads(text)


@dataclass(frozen=True)
class ExceptionInfo:
    """An exception that the code did not catch."""

    #: Its type, such as ValueError.
    name: str
    #: Its message.
    value: str
    #: Lines, as the language prints them.
    traceback: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class FileInfo:
    """A file of a sandbox."""

    #: Absolute path.
    path: str
    #: Last component of the path.
    name: str
    #: file, directory, symlink, fifo, socket, character or block.
    type: str
    #: Permission bits, in octal.
    mode: str
    #: Bytes.
    size: int
    #: Owner.
    uid: int
    #: Group.
    gid: int
    #: When its content changed last (RFC 3339).
    modified: str
    #: Of a symbolic link: where it leads.
    target: Optional[str] = None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.type == "directory"


@dataclass(frozen=True)
class FileEvent:
    """A change below a watched path."""

    #: Absolute path.
    path: str
    #: create, write, chmod, remove, rename (its old name is gone) or overflow (some were lost).
    event: str


@dataclass(frozen=True)
class ContextInfo:
    """A context: variables that stay from one run of code to the next."""

    #: Its name.
    context: str
    #: python or node.
    language: str
    #: Such as 3.11.2.
    language_version: str = ""
    #: Whether it runs code now.
    busy: bool = False
    #: How often it has run code.
    runs: int = 0


@dataclass(frozen=True)
class Pty:
    """The size of a terminal."""

    #: Characters a line.
    columns: int = 80
    #: Lines.
    rows: int = 24


@dataclass(frozen=True)
class ProcessEnd:
    """How a process ended, or that it runs still."""

    #: It has not ended.
    running: bool = False
    #: Its exit code; 128 + n if signal n killed it.
    exit_code: int = 0
    #: The signal that killed it, if one did.
    signal: Optional[int] = None
    #: It was killed because the sandbox had no memory left.
    out_of_memory: bool = False

    @property
    def success(self) -> bool:
        """Whether it has ended with exit code 0."""
        return not self.running and self.exit_code == 0


@dataclass(frozen=True)
class ProcessInfo:
    """A process that was started with `processes.start` and was not waited for."""

    #: Id.
    process: str
    #: Its number in the sandbox; 0 if it has ended.
    pid: int
    #: Program and arguments.
    command: List[str]
    #: Whether it has a terminal.
    pty: bool = False
    #: How it ended, if it has.
    ended: Optional[ProcessEnd] = None

    def __post_init__(self) -> None:
        if isinstance(self.ended, dict):
            object.__setattr__(self, "ended", decode(ProcessEnd, self.ended))


@dataclass(frozen=True)
class SandboxInfo:
    """A sandbox of the server."""

    #: Namespace.
    namespace: str
    #: Name.
    name: str
    #: starting, running, paused (the host's disk is full), stopping or stopped.
    status: str
    #: Id of this run; empty if it is stopped.
    id: str = ""
    #: Image that it is made over.
    image: str = ""
    #: RAM in MiB.
    memory: int = 0
    #: Bytes that its disk takes on the host.
    disk: int = 0
    #: When it was started (RFC 3339); None if it is stopped.
    created: Optional[str] = None
    #: When its lifetime is over (RFC 3339); None: never.
    ends: Optional[str] = None
    #: Seconds without a request after which it is stopped; None: never.
    idle: Optional[float] = None
    #: Why it ended last, if that is known and it is stopped.
    last_end: Optional[str] = None


@dataclass(frozen=True)
class TimeoutInfo:
    """When a sandbox is stopped by itself."""

    #: When its lifetime is over (RFC 3339); None: never.
    ends: Optional[str] = None
    #: Seconds without a request after which it is stopped; None: never.
    idle: Optional[float] = None


@dataclass(frozen=True)
class LogLine:
    """A line that a sandbox's own program wrote."""

    #: When (RFC 3339).
    time: str
    #: stdout or stderr.
    stream: str
    #: The line, without its newline.
    text: str


Event = Union[Output, Dropped, Display, ExceptionInfo, FileEvent]


def event_of(name: str, data: Mapping[str, Any]) -> Optional[Event]:
    """A stream's event; None for one that this package does not know, which a newer server sends."""
    if name == "output":
        return Output(str(data.get("stream", "stdout")), bytes_of(data), data.get("offset"))
    kinds: Dict[str, Type[Event]] = {
        "dropped": Dropped,
        "display": Display,
        "exception": ExceptionInfo,
        "file": FileEvent,
    }
    kind = kinds.get(name)
    return None if kind is None else decode(kind, data)
