# Generated from ../_async/sandbox.py by tools/generate_sync.py: edit that.
"""Sandboxes."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any, Iterator, ClassVar, Dict, List, Optional

from typing_extensions import Self

from .. import _wire
from ..errors import MicrosandboxError, NotFoundError
from ..models import Display, LogLine, SandboxInfo, StartOptions, TimeoutInfo, decode
from ._code import CodeEvent, run_code, stream_code
from ._flavour import Callback
from ._scope import Scope
from ._transport import Transport
from .command import Command
from .contexts import Contexts
from .execution import Execution
from .files import Files
from .metrics import Metrics
from .processes import Processes
from .stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Sandbox:
    """A sandbox: a machine of its own, with files, programs and code in any language that its image has.

    `Sandbox.create(...)` starts one for a block and ends it afterwards. An object made directly starts
    nothing: call `start()`, or use the sandbox of that name that runs already; and `close()` it at last.

    Args:
        server_url: URL of the server; None: MSB_SERVER_URL, else http://127.0.0.1:5555.
        namespace: Namespace of the sandbox.
        name: Its name; None: one is made up, and the sandbox is then removed when it is closed.
        api_key: Key of the server; None: MSB_API_KEY, else that of `.env` in the working directory.
        proxy: URL of an HTTP proxy. None: HTTP_PROXY, HTTPS_PROXY and NO_PROXY say, but a server on this
            machine (localhost, 127.0.0.0/8, ::1) is always spoken to directly.
    """

    #: Image that is started if none is given.
    default_image: ClassVar[Optional[str]] = None
    #: Language of code if none is given.
    default_language: ClassVar[Optional[str]] = None

    def __init__(
        self,
        server_url: Optional[str] = None,
        namespace: str = "default",
        name: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        proxy: Optional[str] = None,
    ) -> None:
        self._is_temporary = name is None
        self._was_started = False
        self._transport = Transport(server_url, api_key, proxy)
        self._scope = Scope(
            self._transport,
            namespace,
            name or f"sandbox-{uuid.uuid4().hex[:16]}",
            self.default_language,
        )
        #: Runs programs.
        self.command = Command(self._scope)
        #: Reads and writes files.
        self.files = Files(self._scope)
        #: Starts and finds programs that outlive a call.
        self.processes = Processes(self._scope)
        #: Makes and finds contexts: separate sets of variables.
        self.contexts = Contexts(self._scope)
        #: What the sandbox uses.
        self.metrics = Metrics(self._scope)

    @classmethod
    @contextlib.contextmanager
    def create(
        cls,
        server_url: Optional[str] = None,
        namespace: str = "default",
        name: Optional[str] = None,
        api_key: Optional[str] = None,
        *,
        image: Optional[str] = None,
        memory: Optional[int] = 512,
        cpus: Optional[float] = 1.0,
        timeout: float = 180.0,
        proxy: Optional[str] = None,
        **options: Unpack[StartOptions],
    ) -> Iterator[Self]:
        """A sandbox for a `with` block: it is started, and `close()`d at the block's end.

        Arguments are those of the class and of `start`.
        """
        sandbox = cls(server_url, namespace, name, api_key, proxy=proxy)
        try:
            sandbox.start(image, memory, cpus, timeout, **options)
            yield sandbox
        except BaseException:
            with contextlib.suppress(MicrosandboxError):  # the first error is the one to tell
                sandbox.close()
            raise
        sandbox.close()

    @property
    def name(self) -> str:
        """Its name."""
        return self._scope.name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self._scope.namespace

    @property
    def server_url(self) -> str:
        """URL of its server."""
        return self._transport.url

    def start(
        self,
        image: Optional[str] = None,
        memory: Optional[int] = 512,
        cpus: Optional[float] = 1.0,
        timeout: float = 180.0,
        **options: Unpack[StartOptions],
    ) -> None:
        """Starts it. One that runs already with the same settings is left as it is.

        Args:
            image: Reference of an image that the server has; None: the class's `default_image`. A
                `Sandbox` without an image starts as it was started before, whatever else is given.
            memory: RAM in MiB.
            cpus: Virtual CPUs.
            timeout: How many seconds the server may take to answer.
            **options: See `StartOptions`.

        Raises:
            NotFoundError: The server does not have the image.
            ValidationError: It runs with other settings, or a setting is not possible.
        """
        params: Dict[str, Any] = {}
        config: Dict[str, Any] = {**options}
        reset = config.pop("reset", None)
        image = image or self.default_image
        if image is not None:
            config["envs"] = _wire.environment(config.get("envs"))
            config.update(image=image, memory=memory, cpus=cpus)
            params["config"] = {key: value for key, value in config.items() if value is not None}
        self._was_started = True
        try:
            self._scope.call("start", answer_within=timeout, reset=reset, **params)
        except MicrosandboxError:
            # One that somebody else started under this name is not ours to stop.
            self._was_started = self._is_temporary
            raise

    def stop(self, grace: Optional[float] = None) -> None:
        """Stops it. Its disk stays: started again under its name, it has its files.

        Args:
            grace: Seconds that its programs have to end before they are killed; None: 10.
        """
        self._scope.call("stop", grace=grace)
        self._was_started = self._is_temporary

    def remove(self) -> None:
        """Stops it, if it runs, and removes its disk."""
        self._scope.call("remove")
        self._was_started = False

    def close(self) -> None:
        """Ends what `start` began, and closes the connections.

        One whose name was given is stopped; one whose name was made up is removed. One that this object
        has not started is left alone.
        """
        try:
            if self._was_started:
                with contextlib.suppress(NotFoundError):  # somebody else has ended it
                    if self._is_temporary:
                        self.remove()
                    else:
                        self.stop()
        finally:
            self._transport.close()

    def run(
        self,
        code: str,
        *,
        language: Optional[str] = None,
        timeout: Optional[float] = None,
        context: str = "default",
        on_stdout: Optional[Callback[str]] = None,
        on_stderr: Optional[Callback[str]] = None,
        on_display: Optional[Callback[Display]] = None,
    ) -> Execution:
        """Runs code. Variables stay from one run to the next.

        An exception in the code is not raised here: see the Execution's `has_error()`, `error()` and
        `exception`.

        Args:
            code: The code, at most 4 MiB.
            language: python, node, nodejs or javascript; None: the class's own.
            timeout: Seconds after which the code is interrupted, then killed; None: no limit.
            context: Whose variables are used; it is made when it is first named.
            on_stdout: Called with each piece of output as it comes, which may be part of a line.
            on_stderr: Likewise.
            on_display: Called with each value that the code shows, such as a figure.
        """
        return run_code(
            self._scope, code, language, context, timeout, on_stdout, on_stderr, on_display
        )

    def stream(
        self,
        code: str,
        *,
        language: Optional[str] = None,
        timeout: Optional[float] = None,
        context: str = "default",
    ) -> Stream[CodeEvent, Execution]:
        """Runs code, with what comes of it as it comes: iterate what this returns.

        Leaving the stream before its end interrupts the code.
        """
        return stream_code(self._scope, code, language, context, timeout)

    def info(self) -> SandboxInfo:
        """What the server knows of it.

        Raises:
            NotFoundError: There is none of its name.
        """
        result = self._scope.call("list", sandbox=None)
        for each in result["sandboxes"]:
            if each.get("name") == self.name:
                return decode(SandboxInfo, each)
        raise NotFoundError(
            f"there is no sandbox {self.name} in namespace {self.namespace}; start it", 4001, 404
        )

    def set_timeout(
        self, *, lifetime: Optional[float] = None, idle: Optional[float] = None
    ) -> TimeoutInfo:
        """Changes when it is stopped by itself.

        Args:
            lifetime: Seconds from now; None: as it is; 0: no limit.
            idle: Seconds without a request; None: as it is; 0: no limit.
        """
        result = self._scope.call("timeout", lifetime=lifetime, idle=idle)
        return decode(TimeoutInfo, result)

    def logs(self, tail: int = 1000) -> List[LogLine]:
        """The last lines that its own program (`exec`, or the script `start`) wrote, oldest first."""
        result = self._scope.call("logs", tail=tail)
        return [decode(LogLine, each) for each in result["lines"]]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.namespace}/{self.name} at {self.server_url}>"


class PythonSandbox(Sandbox):
    """A sandbox whose code is Python."""

    default_image = "microsandbox/python"
    default_language = "python"


class NodeSandbox(Sandbox):
    """A sandbox whose code is JavaScript, run by Node."""

    default_image = "microsandbox/node"
    default_language = "node"


#: Former name.
BaseSandbox = Sandbox
