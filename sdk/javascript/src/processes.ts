/** Processes: programs that outlive a call. */
import type { ProgramOptions } from "./command.js";
import type { ProcessEnd, ProcessEvent, ProcessInfo } from "./models.js";
import type { Scope } from "./scope.js";
import type { Abortable, Stream } from "./stream.js";
import { content, environmentList, type Json } from "./wire.js";

/** How `processes.start` starts a program. */
export interface ProcessOptions extends ProgramOptions {
  /** Whether `write` will give it input; else its stdin is at its end. */
  stdin?: boolean;
  /** Gives it a terminal of this size. */
  pty?: { columns: number; rows: number };
  /** When 1 MiB of its output was not read: true stops it until it is, false (default) drops the oldest. */
  keepAllOutput?: boolean;
}

const WAIT_SECONDS = 60; // one request; fetch gives up on answers that take minutes

/** A process of a sandbox. It runs on if this object goes; `sandbox.processes.get(id)` finds it again. */
export class Process implements AsyncIterable<ProcessEvent> {
  /** @internal */
  constructor(
    private readonly scope: Scope,
    /** Its id, for `processes.get`. */
    readonly id: string,
    /** Its number in the sandbox; 0 if that is not known. */
    readonly pid: number,
  ) {}

  /**
   * Its output from an offset on, in bytes since its start, until it ends: iterate what this returns. What the server
   * keeps no more is told by a `dropped` event first. Leaving the stream leaves the process alone.
   */
  attach(
    options: { stdoutOffset?: number; stderrOffset?: number } & Abortable = {},
  ): Stream<ProcessEvent, ProcessEnd> {
    const params = {
      process: this.id,
      stdout_offset: options.stdoutOffset ?? 0,
      stderr_offset: options.stderrOffset ?? 0,
    };
    return this.scope.stream("process.attach", params, (answer) => answer as unknown as ProcessEnd, options.signal);
  }

  /** Its output from its start on. */
  [Symbol.asyncIterator](): AsyncIterator<ProcessEvent> {
    return this.attach();
  }

  /** Waits until it has ended, or for so many seconds; the end's `running` tells which. */
  async wait(options: { timeout?: number } & Abortable = {}): Promise<ProcessEnd> {
    let left = options.timeout ?? Infinity;
    for (;;) {
      const timeout = Math.min(left, WAIT_SECONDS);
      left -= timeout;
      const params = { process: this.id, timeout };
      const end = await this.scope.call<ProcessEnd>("process.wait", params, { signal: options.signal });
      if (!end.running || left <= 0) return end;
    }
  }

  /** Writes to its stdin, and closes that with eof. It must have been started with stdin or a pty. */
  async write(data: string | Uint8Array, options: { eof?: boolean } = {}): Promise<void> {
    await this.call("write", { ...content(data), eof: options.eof ?? false });
  }

  /** Closes its stdin: it reads end-of-file. */
  async closeStdin(): Promise<void> {
    await this.call("write", { eof: true });
  }

  /** Sends it a signal, by name or number; with group to all of its process group. */
  async signal(signal: string | number = "TERM", options: { group?: boolean } = {}): Promise<void> {
    await this.call("signal", { signal: String(signal), group: options.group ?? false });
  }

  /** Kills it and its process group. */
  async kill(): Promise<void> {
    await this.signal("KILL", { group: true });
  }

  /** Tells it the new size of its terminal. */
  async resize(columns: number, rows: number): Promise<void> {
    await this.call("resize", { columns, rows });
  }

  private async call(what: string, params: Json): Promise<void> {
    await this.scope.call(`process.${what}`, { process: this.id, ...params });
  }
}

/** `sandbox.processes`: starts and finds processes. */
export class Processes {
  /** @internal */
  constructor(private readonly scope: Scope) {}

  /**
   * Starts a program and returns at once.
   *
   * @param command A path, or a name that is found by PATH; there is no shell between.
   * @param args Its arguments.
   */
  async start(command: string, args: readonly string[] = [], options: ProcessOptions = {}): Promise<Process> {
    const { workdir, user, pty } = options;
    const started = await this.scope.call<{ process: string; pid: number }>("process.start", {
      command,
      args,
      envs: environmentList(options.envs),
      workdir,
      user,
      pty,
      stdin: options.stdin ?? false,
      keep_all_output: options.keepAllOutput ?? false,
    });
    return new Process(this.scope, started.process, started.pid);
  }

  /** A process by its id. Asks nothing. */
  get(id: string): Process {
    return new Process(this.scope, id, 0);
  }

  /** Those that `start` made and that were not waited for. */
  async list(): Promise<ProcessInfo[]> {
    return (await this.scope.call<{ processes: ProcessInfo[] }>("process.list")).processes;
  }
}
