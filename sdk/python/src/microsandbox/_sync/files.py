# Generated from ../_async/files.py by tools/generate_sync.py: edit that.
"""Files of a sandbox."""

from __future__ import annotations

import os
from types import TracebackType
from typing import IO, Any, Iterator, Dict, List, Optional, Type, Union

import httpx
from typing_extensions import Self

from .._collect import Collector
from .._failures import explained
from ..errors import NotFoundError
from ..models import FileEvent, FileInfo, decode
from ._flavour import chunks, write
from ._scope import Scope
from .stream import Stream

LocalFile = Union[str, "os.PathLike[str]", IO[bytes]]


def _nothing(_: Any, __: Collector) -> None:
    return None


class FileReader:
    """The content of a file, piece by piece: iterate it. Not all of it is in memory at once."""

    def __init__(self, scope: Scope, query: Dict[str, str], byte_range: Optional[str]) -> None:
        self._scope = scope
        self._query = query
        self._range = byte_range
        self._response: Optional[httpx.Response] = None

    def __enter__(self) -> Self:
        if self._response is None:
            self._response = self._scope.transport.get_file(self._query, self._range)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        with self:
            if self._response is None:
                return
            with explained(self._scope.transport.url):
                for chunk in self._response.iter_bytes():
                    yield chunk

    def close(self) -> None:
        """Closes the connection, if the content was not read to its end."""
        response, self._response = self._response, None
        if response is not None:
            response.close()


class Files:
    """`sandbox.files`: reads and writes files. Paths are absolute.

    Each method takes `user`: whose rights in the sandbox are used; None: those of the sandbox's user.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def read(self, path: str, *, user: Optional[str] = None) -> str:
        """The content of a text file.

        Raises:
            UnicodeDecodeError: It is not UTF-8; `read_bytes` reads any.
        """
        return (self.read_bytes(path, user=user)).decode("utf-8")

    def read_bytes(
        self,
        path: str,
        *,
        offset: int = 0,
        length: Optional[int] = None,
        user: Optional[str] = None,
    ) -> bytes:
        """The content of a file, or `length` bytes of it from `offset` on."""
        content = bytearray()
        if length != 0:
            for chunk in self.open(path, offset=offset, length=length, user=user):
                content += chunk
        return bytes(content)

    def open(
        self,
        path: str,
        *,
        offset: int = 0,
        length: Optional[int] = None,
        user: Optional[str] = None,
    ) -> FileReader:
        """The content of a file of any size, to be iterated piece by piece."""
        byte_range = None
        if offset or length is not None:
            end = "" if length is None else str(offset + length - 1)
            byte_range = f"bytes={offset}-{end}"
        return FileReader(self._scope, self._query(path, user), byte_range)

    def download(
        self, path: str, target: LocalFile, *, user: Optional[str] = None
    ) -> int:
        """Copies a file of any size from the sandbox to a local path or open file; how many bytes it had.

        A local file that was there is replaced only once the sandbox's file was opened.
        """
        size = 0
        with self.open(path, user=user) as content:
            file, is_ours = _opened(target, "wb")
            try:
                for chunk in content:
                    write(file, chunk)
                    size += len(chunk)
            finally:
                if is_ours:
                    file.close()
        return size

    def write(
        self,
        path: str,
        content: Union[str, bytes],
        *,
        mode: Optional[str] = None,
        parents: bool = True,
        user: Optional[str] = None,
    ) -> FileInfo:
        """Writes a file: a new one, or in the place of what was there.

        Args:
            path: Absolute path in the sandbox.
            content: What is in it afterwards.
            mode: Permission bits of a new file, in octal, such as "755"; None: 644.
            parents: Make directories that are missing.
            user: See `Files`.
        """
        data = content.encode("utf-8") if isinstance(content, str) else content
        query = self._query(path, user, mode, parents)
        return decode(FileInfo, self._scope.transport.put_file(query, data))

    def upload(
        self,
        source: LocalFile,
        path: str,
        *,
        mode: Optional[str] = None,
        parents: bool = True,
        user: Optional[str] = None,
    ) -> FileInfo:
        """Copies a local path or open file of any size into the sandbox."""
        file, is_ours = _opened(source, "rb")
        try:
            query = self._query(path, user, mode, parents)
            return decode(FileInfo, self._scope.transport.put_file(query, chunks(file)))
        finally:
            if is_ours:
                file.close()

    def stat(self, path: str, *, user: Optional[str] = None) -> FileInfo:
        """What a file is. Links are not followed."""
        return decode(FileInfo, self._scope.call("files.stat", path=path, user=user))

    def exists(self, path: str, *, user: Optional[str] = None) -> bool:
        """Whether there is a file, of whatever kind. A sandbox that is not there is an error."""
        try:
            self.stat(path, user=user)
        except NotFoundError:
            # It may be the sandbox that is missing: its root directory never is.
            self.stat("/", user=user)
            return False
        return True

    def list(
        self, path: str, *, depth: int = 1, user: Optional[str] = None
    ) -> List[FileInfo]:
        """What is in a directory; with depth 2 also what is in directories in it, and so on.

        A server lists 100000 files at most.
        """
        result = self._scope.call("files.list", path=path, depth=depth, user=user)
        return [decode(FileInfo, each) for each in result["entries"]]

    def mkdir(
        self,
        path: str,
        *,
        parents: bool = True,
        mode: Optional[str] = None,
        user: Optional[str] = None,
    ) -> FileInfo:
        """Makes a directory; with parents also those above it, and one that is there is no error."""
        return decode(
            FileInfo,
            self._scope.call("files.mkdir", path=path, parents=parents, mode=mode, user=user),
        )

    def move(
        self, source: str, target: str, *, replace: bool = False, user: Optional[str] = None
    ) -> FileInfo:
        """Renames a file or directory.

        Raises:
            AlreadyExistsError: The target is there, and replace was not given.
        """
        params: Dict[str, Any] = {"from": source, "to": target, "replace": replace, "user": user}
        return decode(FileInfo, self._scope.call("files.move", **params))

    def remove(
        self, path: str, *, recursive: bool = False, user: Optional[str] = None
    ) -> None:
        """Removes a file or an empty directory; with recursive also a full one."""
        self._scope.call("files.remove", path=path, recursive=recursive, user=user)

    def watch(
        self, path: str, *, recursive: bool = False, user: Optional[str] = None
    ) -> Stream[FileEvent, None]:
        """Changes of a file or directory, as they happen: iterate what this returns, until you leave it.

        With `with`, what changes inside the block is seen.
        """
        return self._scope.watch(
            "files.watch", _nothing, path=path, recursive=recursive, user=user
        )

    def _query(
        self,
        path: str,
        user: Optional[str],
        mode: Optional[str] = None,
        parents: Optional[bool] = None,
    ) -> Dict[str, str]:
        query = {"namespace": self._scope.namespace, "sandbox": self._scope.name, "path": path}
        if user is not None:
            query["user"] = user
        if mode is not None:
            query["mode"] = mode
        if parents is not None:
            query["parents"] = "true" if parents else "false"
        return query


def _opened(file: LocalFile, mode: str) -> "tuple[IO[bytes], bool]":
    """An open file, and whether it was opened here."""
    if isinstance(file, (str, os.PathLike)):
        return open(file, mode), True
    return file, False
