"""The same as `microsandbox`, without asyncio.

    from microsandbox.sync import PythonSandbox

    with PythonSandbox.create() as sandbox:
        print(sandbox.run("print(1 + 1)").output())

A sandbox object may be used by several threads, a stream by one.
"""

from ._sync._flavour import Callback
from ._sync.client import Client
from ._sync.command import Command
from ._sync.contexts import Context, Contexts
from ._sync.execution import CommandExecution, Execution
from ._sync.files import FileReader, Files
from ._sync.metrics import Metrics
from ._sync.processes import Process, Processes
from ._sync.sandbox import BaseSandbox, NodeSandbox, PythonSandbox, Sandbox
from ._sync.stream import Stream
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .models import *  # noqa: F403
from .models import __all__ as _models

__all__ = [
    "BaseSandbox",
    "Callback",
    "Client",
    "Command",
    "CommandExecution",
    "Context",
    "Contexts",
    "Execution",
    "FileReader",
    "Files",
    "Metrics",
    "NodeSandbox",
    "Process",
    "Processes",
    "PythonSandbox",
    "Sandbox",
    "Stream",
]
__all__ += _errors
__all__ += _models
