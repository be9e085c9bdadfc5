/** Commands: programs that are run to their end. */
import { CommandExecution } from "./execution.js";
import type { Environment, OutputEvent } from "./models.js";
import { dispatch, type OutputCallbacks, type Scope } from "./scope.js";
import type { Abortable, Stream } from "./stream.js";
import { environmentList } from "./wire.js";

/** How a program is started. */
export interface ProgramOptions {
  /** Environment, after the sandbox's. */
  envs?: Environment;
  /** Working directory instead of the sandbox's. */
  workdir?: string;
  /** User instead of the sandbox's, as user[:group]. */
  user?: string;
}

/** Options of `command.stream`. */
export interface CommandOptions extends ProgramOptions, Abortable {
  /** Seconds after which it is killed and the call fails; absent: no limit. */
  timeout?: number;
}

/** Options of `command.run`. */
export interface CommandRunOptions extends CommandOptions, OutputCallbacks {}

/** `sandbox.command`: runs programs. There is no shell between; use `run("sh", ["-c", SCRIPT])` for one. */
export class Command {
  /** @internal */
  constructor(private readonly scope: Scope) {}

  /**
   * Runs a program to its end.
   *
   * @param command A path, or a name that is found by PATH.
   * @param args Its arguments.
   * @param options Options, or just the timeout in seconds.
   * @throws {@link ApiError} It could not be started, or ran out of time.
   */
  async run(
    command: string,
    args: readonly string[] = [],
    options: CommandRunOptions | number = {},
  ): Promise<CommandExecution> {
    const given = typeof options === "number" ? { timeout: options } : options;
    const stream = this.stream(command, args, given);
    for await (const event of stream) await dispatch(event, given);
    return await stream.result();
  }

  /** The same as `run`, with its output as it comes: iterate what this returns. */
  stream(
    command: string,
    args: readonly string[] = [],
    options: CommandOptions = {},
  ): Stream<OutputEvent, CommandExecution> {
    const { timeout, workdir, user, signal } = options;
    const params = { command, args, timeout, envs: environmentList(options.envs), workdir, user };
    return this.scope.stream("command.run", params, (answer, events) => new CommandExecution(answer, events), signal);
  }
}
