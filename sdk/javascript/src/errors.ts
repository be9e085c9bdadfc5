/**
 * What can go wrong: one class for each code of the server, and those that arise on the way to it.
 */

/** Whatever this package throws about the server or what it answered. */
export class MicrosandboxError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message);
    this.name = new.target.name;
    if (cause !== undefined) Object.defineProperty(this, "cause", { value: cause, configurable: true });
  }
}

/** No connection to the server: it does not run, or its address is another. */
export class ServerUnreachableError extends MicrosandboxError {}

/** The connection ended before the answer was complete. What was asked for may have happened. */
export class ConnectionLostError extends MicrosandboxError {}

/** The server did not answer within the time that the caller gave. */
export class RequestTimeoutError extends MicrosandboxError {}

/** The answer is not one of a microsandbox server: a proxy's, perhaps, or another program's. */
export class UnexpectedResponseError extends MicrosandboxError {}

/** The server refused a call, or could not do it. Its message says why, and what to do. */
export class ApiError extends MicrosandboxError {
  constructor(
    message: string,
    /** Code of the error in the API, such as 4001; undefined if the answer had none. */
    readonly code: number | undefined,
    /** HTTP status of the answer, such as 404. */
    readonly status: number,
  ) {
    super(message);
  }
}

/** The request was no JSON (code -32700). */
export class ParseError extends ApiError {}

/** The request was no JSON-RPC 2.0 (code -32600). */
export class InvalidRequestError extends ApiError {}

/** The server does not know the method: it is older than this package (code -32601). */
export class MethodNotFoundError extends ApiError {}

/** No key was given, and the server wants one (code 1001). */
export class AuthenticationError extends ApiError {}

/** The key is malformed, another server's, or has expired (code 1004). */
export class InvalidTokenError extends AuthenticationError {}

/** A parameter is not what it must be (code 2001). */
export class ValidationError extends ApiError {}

/** The key does not allow this namespace or image (code 3001). */
export class PermissionDeniedError extends ApiError {}

/** A limit of the key is reached (code 3002). */
export class LimitExceededError extends ApiError {}

/** There is no such sandbox, image, file, process or context (code 4001). */
export class NotFoundError extends ApiError {}

/** What should be made is there already (code 4002). */
export class AlreadyExistsError extends ApiError {}

/** Something else uses the thing at the moment (code 4003). */
export class BusyError extends ApiError {}

/** The server could not do it, through no fault of the caller (code 5002). */
export class InternalServerError extends ApiError {}

const BY_CODE = new Map<number, typeof ApiError>([
  [-32700, ParseError],
  [-32600, InvalidRequestError],
  [-32601, MethodNotFoundError],
  [1001, AuthenticationError],
  [1004, InvalidTokenError],
  [2001, ValidationError],
  [3001, PermissionDeniedError],
  [3002, LimitExceededError],
  [4001, NotFoundError],
  [4002, AlreadyExistsError],
  [4003, BusyError],
  [5002, InternalServerError],
]);

/**
 * The error of a code; a code that this package does not know is a plain ApiError.
 * @internal
 */
export function apiError(message: string, code: number | undefined, status: number): ApiError {
  const kind = (code !== undefined && BY_CODE.get(code)) || ApiError;
  return new kind(message, code, status);
}
