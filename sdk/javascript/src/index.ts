/**
 * Run untrusted code in sandboxes of a microsandbox server.
 *
 * @example
 * ```ts
 * const sandbox = await PythonSandbox.create();
 * try {
 *   console.log(await (await sandbox.run("print(1 + 1)")).output());
 * } finally {
 *   await sandbox.close();
 * }
 * ```
 *
 * @packageDocumentation
 */
import "./globals.js";

export { Client } from "./client.js";
export { Command, type CommandOptions, type CommandRunOptions, type ProgramOptions } from "./command.js";
export { Context, Contexts } from "./contexts.js";
export type { ConnectionOptions } from "./environment.js";
export {
  AlreadyExistsError,
  ApiError,
  AuthenticationError,
  BusyError,
  ConnectionLostError,
  InternalServerError,
  InvalidRequestError,
  InvalidTokenError,
  LimitExceededError,
  MethodNotFoundError,
  MicrosandboxError,
  NotFoundError,
  ParseError,
  PermissionDeniedError,
  RequestTimeoutError,
  ServerUnreachableError,
  UnexpectedResponseError,
  ValidationError,
} from "./errors.js";
export { CommandExecution, Execution } from "./execution.js";
export { Files, type ReadOptions, type UserOption, type WriteOptions } from "./files.js";
export { Metrics } from "./metrics.js";
export type * from "./models.js";
export { Process, Processes, type ProcessOptions } from "./processes.js";
export { type CreateOptions, type LanguageOptions, NodeSandbox, PythonSandbox, Sandbox, type SandboxOptions } from "./sandbox.js";
export type { CodeOptions, CodeRunOptions, OutputCallbacks } from "./scope.js";
export { type Abortable, Stream } from "./stream.js";
