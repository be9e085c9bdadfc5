/** What came of running code or a command. */
import type { Collector } from "./collect.js";
import type { Display, ExceptionInfo, OutputLine } from "./models.js";
import { exception, type Json } from "./wire.js";

function textOf(lines: readonly OutputLine[], stream: string): string {
  return lines
    .filter((line) => line.stream === stream)
    .map((line) => line.text)
    .join("\n");
}

/** What came of running code. */
export class Execution {
  /** Output in order of arrival across streams; values shown and tracebacks are in it as text. */
  readonly lines: readonly OutputLine[];
  /** `success`: the code was run, whatever came of it (see `end`). */
  readonly status: string;
  /** python or node. */
  readonly language: string;
  /** ok, error (an exception that nobody caught), interrupted, timeout, or exited (the context ended). */
  readonly end: string;
  /** Values that the code showed, by MIME type. */
  readonly displays: readonly Display[];
  /** The exception that nobody caught, if there was one. */
  readonly exception: ExceptionInfo | undefined;
  /** There was more output than a result holds (8 MiB). */
  readonly truncated: boolean;

  /** @internal */
  constructor(answer: Json, collector: Collector) {
    this.lines = linesOf(answer, collector);
    this.status = String(answer["status"] ?? "success");
    this.language = String(answer["language"] ?? "");
    this.end = String(answer["end"] ?? (this.lines.some((line) => line.stream === "stderr") ? "error" : "ok"));
    const own = (answer["displays"] as Display[] | undefined) ?? [];
    this.displays = [...collector.displays, ...own];
    const thrown = answer["exception"] as Json | undefined;
    this.exception = thrown ? exception(thrown) : collector.exception;
    this.truncated = answer["truncated"] === true || collector.truncated;
  }

  /** What the code wrote to stdout, and the values it showed as text. */
  async output(): Promise<string> {
    return textOf(this.lines, "stdout");
  }

  /** What the code wrote to stderr, tracebacks included. */
  async error(): Promise<string> {
    return textOf(this.lines, "stderr");
  }

  /** Whether the code did not come to its end: an exception, an interrupt, a timeout, an exit. */
  hasError(): boolean {
    return this.end !== "ok";
  }

  /** The value of the last expression, if it had one. */
  get result(): Display | undefined {
    return [...this.displays].reverse().find((each) => each.result);
  }
}

/** What came of running a command. */
export class CommandExecution {
  /** Output in order of arrival across streams. */
  readonly lines: readonly OutputLine[];
  /** The program, as it was given. */
  readonly command: string;
  /** Its arguments, as they were given. */
  readonly args: readonly string[];
  /** Its exit code; 128 + n if signal n killed it. */
  readonly exitCode: number;
  /** Whether the exit code is 0. */
  readonly success: boolean;
  /** It was killed because the sandbox had no memory left. */
  readonly outOfMemory: boolean;
  /** There was more output than a result holds (8 MiB). */
  readonly truncated: boolean;

  /** @internal */
  constructor(answer: Json, collector: Collector) {
    this.lines = linesOf(answer, collector);
    this.command = String(answer["command"] ?? "");
    this.args = (answer["args"] as string[] | undefined) ?? [];
    this.exitCode = Number(answer["exit_code"] ?? -1);
    this.success = answer["success"] === true;
    this.outOfMemory = answer["out_of_memory"] === true;
    this.truncated = answer["truncated"] === true || collector.truncated;
  }

  /** What the command wrote to stdout. */
  async output(): Promise<string> {
    return textOf(this.lines, "stdout");
  }

  /** What the command wrote to stderr. */
  async error(): Promise<string> {
    return textOf(this.lines, "stderr");
  }
}

function linesOf(answer: Json, collector: Collector): OutputLine[] {
  return [...collector.lines(answer["language"]), ...((answer["output"] as OutputLine[] | undefined) ?? [])];
}
