"""What can go wrong: one class for each code of the server, and those that arise on the way to it.

All of them are `MicrosandboxError`, which is a `RuntimeError`.
"""

from __future__ import annotations

from typing import Optional

__all__ = [
    "AlreadyExistsError",
    "ApiError",
    "AuthenticationError",
    "BusyError",
    "ConnectionLostError",
    "InternalServerError",
    "InvalidRequestError",
    "InvalidTokenError",
    "LimitExceededError",
    "MethodNotFoundError",
    "MicrosandboxError",
    "NotFoundError",
    "ParseError",
    "PermissionDeniedError",
    "RequestTimeoutError",
    "ServerUnreachableError",
    "UnexpectedResponseError",
    "ValidationError",
]


class MicrosandboxError(RuntimeError):
    """Whatever this package raises about the server or what it answered."""


class ServerUnreachableError(MicrosandboxError):
    """No connection to the server: it does not run, or its address is another."""


class ConnectionLostError(MicrosandboxError):
    """The connection ended before the answer was complete. What was asked for may have happened."""


class RequestTimeoutError(MicrosandboxError, TimeoutError):
    """The server did not answer within the time that the caller gave."""


class UnexpectedResponseError(MicrosandboxError):
    """The answer is not one of a microsandbox server: a proxy's, perhaps, or another program's."""


class ApiError(MicrosandboxError):
    """The server refused a call, or could not do it. Its message says why, and what to do."""

    def __init__(self, message: str, code: Optional[int], status: int) -> None:
        super().__init__(message)
        #: What the server says: what happened, to which thing, and what to do.
        self.message = message
        #: Code of the error in the API, such as 4001; None if the answer had none.
        self.code = code
        #: HTTP status of the answer, such as 404.
        self.status = status


class ParseError(ApiError):
    """The request was no JSON (code -32700)."""


class InvalidRequestError(ApiError):
    """The request was no JSON-RPC 2.0 (code -32600)."""


class MethodNotFoundError(ApiError):
    """The server does not know the method: it is older than this package (code -32601)."""


class AuthenticationError(ApiError):
    """No key was given, and the server wants one (code 1001)."""


class InvalidTokenError(AuthenticationError):
    """The key is malformed, another server's, or has expired (code 1004)."""


class ValidationError(ApiError):
    """A parameter is not what it must be (code 2001)."""


class PermissionDeniedError(ApiError):
    """The key does not allow this namespace or image (code 3001)."""


class LimitExceededError(ApiError):
    """A limit of the key is reached (code 3002)."""


class NotFoundError(ApiError):
    """There is no such sandbox, image, file, process or context (code 4001)."""


class AlreadyExistsError(ApiError):
    """What should be made is there already (code 4002)."""


class BusyError(ApiError):
    """Something else uses the thing at the moment (code 4003)."""


class InternalServerError(ApiError):
    """The server could not do it, through no fault of the caller (code 5002)."""


_BY_CODE = {
    -32700: ParseError,
    -32600: InvalidRequestError,
    -32601: MethodNotFoundError,
    1001: AuthenticationError,
    1004: InvalidTokenError,
    2001: ValidationError,
    3001: PermissionDeniedError,
    3002: LimitExceededError,
    4001: NotFoundError,
    4002: AlreadyExistsError,
    4003: BusyError,
    5002: InternalServerError,
}


def api_error(message: str, code: Optional[int], status: int) -> ApiError:
    """The error of a code; a code that this package does not know is a plain `ApiError`."""
    kind = _BY_CODE.get(code, ApiError) if code is not None else ApiError
    return kind(message, code, status)
