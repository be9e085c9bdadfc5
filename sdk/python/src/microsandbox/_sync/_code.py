# Generated from ../_async/_code.py by tools/generate_sync.py: edit that.
"""Running code, in any context."""

from __future__ import annotations

from typing import Any, Optional, Union

from ..models import Display, ExceptionInfo, Output
from ._flavour import Callback, call_back
from ._scope import Scope
from .execution import Execution, execution
from .stream import Stream

CodeEvent = Union[Output, Display, ExceptionInfo]


def stream_code(
    scope: Scope, code: str, language: Optional[str], context: str, timeout: Optional[float]
) -> Stream[CodeEvent, Execution]:
    """The events of running code."""
    return scope.stream(
        "repl.run",
        execution,
        language=scope.language(language),
        code=code,
        timeout=timeout,
        context=context,
    )


def run_code(
    scope: Scope,
    code: str,
    language: Optional[str],
    context: str,
    timeout: Optional[float],
    on_stdout: Optional[Callback[str]],
    on_stderr: Optional[Callback[str]],
    on_display: Optional[Callback[Display]],
) -> Execution:
    """Runs code; as a stream if somebody wants to hear of its output at once."""
    if on_stdout is None and on_stderr is None and on_display is None:
        result = scope.call(
            "repl.run",
            language=scope.language(language),
            code=code,
            timeout=timeout,
            context=context,
        )
        return Execution(result)
    with stream_code(scope, code, language, context, timeout) as stream:
        for event in stream:
            dispatch(event, on_stdout, on_stderr)
            if on_display is not None and isinstance(event, Display):
                call_back(on_display, event)
        return stream.result()


def dispatch(
    event: Any, on_stdout: Optional[Callback[str]], on_stderr: Optional[Callback[str]]
) -> None:
    """Gives output to whoever wants it."""
    if isinstance(event, Output):
        callback = on_stderr if event.stream == "stderr" else on_stdout
        if callback is not None:
            call_back(callback, event.text)
