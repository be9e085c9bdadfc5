"""Run untrusted code in sandboxes of a microsandbox server.

    from microsandbox import PythonSandbox

    async with PythonSandbox.create() as sandbox:
        execution = await sandbox.run("print(1 + 1)")
        print(await execution.output())

`microsandbox.sync` has the same without asyncio.
"""

from . import errors, models
from ._async._flavour import Callback
from ._async.client import Client
from ._async.command import Command
from ._async.contexts import Context, Contexts
from ._async.execution import CommandExecution, Execution
from ._async.files import FileReader, Files
from ._async.metrics import Metrics
from ._async.processes import Process, Processes
from ._async.sandbox import BaseSandbox, NodeSandbox, PythonSandbox, Sandbox
from ._async.stream import Stream
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .models import *  # noqa: F403
from .models import __all__ as _models

__version__ = "0.3.0"

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
    "errors",
    "models",
]
__all__ += _errors
__all__ += _models
