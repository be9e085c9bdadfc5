/** One sandbox of one server: what all parts of its interface work with. */
import type { Collector } from "./collect.js";
import { Execution } from "./execution.js";
import type { CodeEvent, Display, OutputEvent, StreamEvent } from "./models.js";
import { type Abortable, Stream } from "./stream.js";
import type { CallOptions, Transport } from "./transport.js";
import type { Json } from "./wire.js";

/** Functions that are called with output as it comes; a promise that one returns is waited for. */
export interface OutputCallbacks {
  /** Called with each piece of stdout, which may be part of a line. */
  onStdout?: (text: string) => void | Promise<void>;
  /** Called with each piece of stderr. */
  onStderr?: (text: string) => void | Promise<void>;
}

/** Options of running code in a context. */
export interface CodeOptions extends Abortable {
  /** Seconds after which the code is interrupted, then killed; absent: no limit. */
  timeout?: number;
}

/** Options of running code in a context, with callbacks. */
export interface CodeRunOptions extends CodeOptions, OutputCallbacks {
  /** Called with each value that the code shows, such as a figure. */
  onDisplay?: (display: Display) => void | Promise<void>;
}

/** @internal */
export class Scope {
  constructor(
    readonly transport: Transport,
    readonly namespace: string,
    readonly name: string,
    private readonly ownLanguage: string | undefined,
  ) {}

  /** The language that was given, or else the sandbox's own. */
  language(given: string | undefined): string {
    const language = given ?? this.ownLanguage;
    if (language === undefined) {
      throw new TypeError('a Sandbox has no language of its own: give language: "python" or "node"');
    }
    return language;
  }

  /** The result of `sandbox.METHOD`. */
  async call<Result = Json>(method: string, params: Json = {}, options: CallOptions = {}): Promise<Result> {
    return (await this.transport.call(`sandbox.${method}`, this.params(params), options)) as Result;
  }

  /** The events of `sandbox.METHOD`. */
  stream<Event extends StreamEvent, Result>(
    method: string,
    params: Json,
    finish: (answer: Json, collector: Collector) => Result,
    signal?: AbortSignal,
    saysWhenItStands = false,
  ): Stream<Event, Result> {
    return new Stream(this.transport, `sandbox.${method}`, this.params(params), finish, signal, saysWhenItStands);
  }

  /** The events of running code. */
  streamCode(code: string, language: string, context: string, options: CodeOptions): Stream<CodeEvent, Execution> {
    const params = { language, code, timeout: options.timeout, context };
    return this.stream("repl.run", params, (answer, events) => new Execution(answer, events), options.signal);
  }

  /**
   * Runs code. Always as a stream: fetch gives up on an answer whose first byte takes minutes, and a stream's
   * comments come all the time.
   */
  async runCode(code: string, language: string, context: string, options: CodeRunOptions): Promise<Execution> {
    const stream = this.streamCode(code, language, context, options);
    for await (const event of stream) {
      if (event.type === "output") await dispatch(event, options);
      else if (event.type === "display") await options.onDisplay?.(event.display);
    }
    return await stream.result();
  }

  private params(params: Json): Json {
    return { sandbox: this.name, namespace: this.namespace, ...params };
  }
}

/** @internal Gives output to whoever wants it. */
export async function dispatch(event: OutputEvent, callbacks: OutputCallbacks): Promise<void> {
  await (event.stream === "stderr" ? callbacks.onStderr : callbacks.onStdout)?.(event.text);
}
