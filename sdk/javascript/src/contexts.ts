/** Contexts: variables that stay from one run of code to the next. */
import type { ProgramOptions } from "./command.js";
import type { Execution } from "./execution.js";
import type { CodeEvent, ContextInfo } from "./models.js";
import type { CodeOptions, CodeRunOptions, Scope } from "./scope.js";
import type { Stream } from "./stream.js";
import { environmentList } from "./wire.js";

/** One context of a sandbox. */
export class Context {
  /** @internal */
  constructor(
    private readonly scope: Scope,
    /** Its name. */
    readonly name: string,
    /** python or node. */
    readonly language: string,
  ) {}

  /** Runs code in it, as `Sandbox.run` does. */
  async run(code: string, options: CodeRunOptions = {}): Promise<Execution> {
    return await this.scope.runCode(code, this.language, this.name, options);
  }

  /** Runs code in it, as `Sandbox.stream` does. */
  stream(code: string, options: CodeOptions = {}): Stream<CodeEvent, Execution> {
    return this.scope.streamCode(code, this.language, this.name, options);
  }

  /** Interrupts the code that it runs, if it runs any. Its variables stay. */
  async interrupt(): Promise<ContextInfo> {
    return await this.call("interrupt");
  }

  /** Ends it and starts it anew, without its variables. */
  async restart(): Promise<ContextInfo> {
    return await this.call("restart");
  }

  /** Ends it. */
  async remove(): Promise<void> {
    await this.call("remove");
  }

  private async call(what: string): Promise<ContextInfo> {
    return await this.scope.call(`context.${what}`, { language: this.language, context: this.name });
  }
}

/** `sandbox.contexts`: makes and finds contexts. */
export class Contexts {
  /** @internal */
  constructor(private readonly scope: Scope) {}

  /**
   * Makes a context.
   *
   * @throws {@link AlreadyExistsError} There is one of this name and language.
   */
  async create(name: string, options: ProgramOptions & { language?: string } = {}): Promise<Context> {
    const { workdir, user } = options;
    const language = this.scope.language(options.language);
    const params = { language, context: name, envs: environmentList(options.envs), workdir, user };
    const info = await this.scope.call<ContextInfo>("context.create", params);
    return new Context(this.scope, name, info.language);
  }

  /** A context by its name. Asks nothing: one that is not there is made when it is used first. */
  get(name = "default", options: { language?: string } = {}): Context {
    return new Context(this.scope, name, this.scope.language(options.language));
  }

  /** All contexts of the sandbox. */
  async list(): Promise<ContextInfo[]> {
    return (await this.scope.call<{ contexts: ContextInfo[] }>("context.list")).contexts;
  }
}
