/** Sandboxes. */
import { Command } from "./command.js";
import { Contexts } from "./contexts.js";
import type { ConnectionOptions } from "./environment.js";
import { NotFoundError } from "./errors.js";
import type { Execution } from "./execution.js";
import { Files } from "./files.js";
import { Metrics } from "./metrics.js";
import type { CodeEvent, LogLine, SandboxInfo, StartOptions, TimeoutInfo } from "./models.js";
import { Processes } from "./processes.js";
import { type CodeOptions, type CodeRunOptions, Scope } from "./scope.js";
import type { Stream } from "./stream.js";
import { Transport } from "./transport.js";
import { environmentList, type Json } from "./wire.js";

/** Which sandbox, of which server. */
export interface SandboxOptions extends ConnectionOptions {
  /** Namespace of the sandbox ("default"). */
  namespace?: string;
  /** Its name; absent: one is made up, and the sandbox is then removed when it is closed. */
  name?: string;
}

/** Options of `create`. */
export interface CreateOptions extends SandboxOptions, StartOptions {}

/** Which language, and which context of it. */
export interface LanguageOptions {
  /** python, node, nodejs or javascript; absent: the class's own. */
  language?: string;
  /** Whose variables are used ("default"); it is made when it is first named. */
  context?: string;
}

/**
 * A sandbox: a machine of its own, with files, programs and code in any language that its image has.
 *
 * `await Sandbox.create(…)` starts one; `close()` it at last, or declare it with `await using`. An object made with
 * `new` starts nothing: call `start()`, or use the sandbox of that name that runs already.
 */
export class Sandbox {
  /** Image that is started if none is given. */
  protected static readonly defaultImage: string | undefined = undefined;
  /** Language of code if none is given. */
  protected static readonly defaultLanguage: string | undefined = undefined;

  /** Runs programs. */
  readonly command: Command;
  /** Reads and writes files. */
  readonly files: Files;
  /** Starts and finds programs that outlive a call. */
  readonly processes: Processes;
  /** Makes and finds contexts: separate sets of variables. */
  readonly contexts: Contexts;
  /** What the sandbox uses. */
  readonly metrics: Metrics;

  private readonly scope: Scope;
  private readonly isTemporary: boolean;
  private wasStarted = false;

  constructor(options: SandboxOptions = {}) {
    this.isTemporary = options.name === undefined;
    const name = options.name ?? `sandbox-${randomName()}`;
    const namespace = options.namespace ?? "default";
    this.scope = new Scope(new Transport(options), namespace, name, this.kind.defaultLanguage);
    this.command = new Command(this.scope);
    this.files = new Files(this.scope);
    this.processes = new Processes(this.scope);
    this.contexts = new Contexts(this.scope);
    this.metrics = new Metrics(this.scope);
  }

  /** Makes and starts a sandbox. */
  static async create<Kind extends Sandbox>(
    this: new (options?: SandboxOptions) => Kind,
    options: CreateOptions = {},
  ): Promise<Kind> {
    const sandbox = new this(options);
    try {
      await sandbox.start(options);
    } catch (error) {
      await sandbox.close().catch(() => undefined); // the first error is the one to tell
      throw error;
    }
    return sandbox;
  }

  /** Its name. */
  get name(): string {
    return this.scope.name;
  }

  /** Its namespace. */
  get namespace(): string {
    return this.scope.namespace;
  }

  /**
   * Starts it. One that runs already with the same settings is left as it is.
   *
   * @throws {@link NotFoundError} The server does not have the image.
   * @throws {@link ValidationError} It runs with other settings, or a setting is not possible.
   */
  async start(options: StartOptions = {}): Promise<void> {
    const image = options.image ?? this.kind.defaultImage;
    const params: Json = { reset: options.reset };
    if (image !== undefined) params["config"] = config(image, options);
    this.wasStarted = true;
    try {
      await this.scope.call("start", params, { timeout: options.timeout ?? 180 });
    } catch (error) {
      this.wasStarted = this.isTemporary; // one that somebody else started under this name is not ours to stop
      throw error;
    }
  }

  /**
   * Stops it. Its disk stays: started again under its name, it has its files.
   *
   * @param grace Seconds that its programs have to end before they are killed (10).
   */
  async stop(grace?: number): Promise<void> {
    await this.scope.call("stop", { grace });
    this.wasStarted = this.isTemporary;
  }

  /** Stops it, if it runs, and removes its disk. */
  async remove(): Promise<void> {
    await this.scope.call("remove");
    this.wasStarted = false;
  }

  /**
   * Ends what `start` began: one whose name was given is stopped; one whose name was made up is removed. One that this
   * object has not started is left alone.
   */
  async close(): Promise<void> {
    if (!this.wasStarted) return;
    try {
      await (this.isTemporary ? this.remove() : this.stop());
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error; // somebody else has ended it
      this.wasStarted = false;
    }
  }

  /** `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Runs code. Variables stay from one run to the next.
   *
   * An exception in the code is not thrown here: see the Execution's `hasError()`, `error()` and `exception`.
   */
  async run(code: string, options: CodeRunOptions & LanguageOptions = {}): Promise<Execution> {
    return await this.scope.runCode(code, this.scope.language(options.language), options.context ?? "default", options);
  }

  /**
   * Runs code, with what comes of it as it comes: iterate what this returns. Leaving the stream before its end
   * interrupts the code.
   */
  stream(code: string, options: CodeOptions & LanguageOptions = {}): Stream<CodeEvent, Execution> {
    return this.scope.streamCode(code, this.scope.language(options.language), options.context ?? "default", options);
  }

  /**
   * What the server knows of it.
   *
   * @throws {@link NotFoundError} There is none of its name.
   */
  async info(): Promise<SandboxInfo> {
    const { sandboxes } = await this.scope.call<{ sandboxes: SandboxInfo[] }>("list", { sandbox: undefined });
    const found = sandboxes.find((each) => each.name === this.name);
    if (found === undefined) {
      throw new NotFoundError(`there is no sandbox ${this.name} in namespace ${this.namespace}; start it`, 4001, 404);
    }
    return found;
  }

  /** Changes after how many seconds (from now; without a request) it is stopped by itself; 0: no limit. */
  async setTimeout(options: { lifetime?: number; idle?: number }): Promise<TimeoutInfo> {
    return await this.scope.call("timeout", { lifetime: options.lifetime, idle: options.idle });
  }

  /** The last lines that its own program (`exec`, or the script `start`) wrote, oldest first. */
  async logs(tail = 1000): Promise<LogLine[]> {
    return (await this.scope.call<{ lines: LogLine[] }>("logs", { tail })).lines;
  }

  private get kind(): typeof Sandbox {
    return this.constructor as typeof Sandbox;
  }
}

/** A sandbox whose code is Python. */
export class PythonSandbox extends Sandbox {
  protected static override readonly defaultImage: string = "microsandbox/python";
  protected static override readonly defaultLanguage: string = "python";
}

/** A sandbox whose code is JavaScript, run by Node. */
export class NodeSandbox extends Sandbox {
  protected static override readonly defaultImage: string = "microsandbox/node";
  protected static override readonly defaultLanguage: string = "node";
}

function config(image: string, options: StartOptions): Json {
  const { memory = 512, cpus = 1, disk, workdir, user, shell, scripts, exec, lifetime, idle } = options;
  const { volumes, ports } = options;
  const envs = environmentList(options.envs);
  return { image, memory, cpus, disk, envs, workdir, user, shell, scripts, exec, lifetime, idle, volumes, ports };
}

/** Need not be secret, only new: Node 18 has no global crypto. */
function randomName(): string {
  const parts = [Date.now(), Math.random() * 2 ** 40, Math.random() * 2 ** 40];
  return parts.map((part) => Math.floor(part).toString(36)).join("");
}
