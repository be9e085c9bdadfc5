/** Puts a stream's events together to what the same call without a stream returns. */
import type { Display, ExceptionInfo, OutputLine, StreamEvent } from "./models.js";

/** What a result holds of output at most, as the server's own do. */
const LIMIT = 8 * 1024 * 1024;

interface Line {
  stream: string;
  parts: string[];
}

/** Lines of both streams, each where its first byte arrived. */
class Lines {
  private readonly lines: Line[] = [];
  private readonly open = new Map<string, Line>(); // of each stream the line that has not ended

  /** A piece of output, cut anywhere. */
  add(stream: string, text: string): void {
    const ended = text.split("\n");
    const rest = ended.pop()!;
    for (const part of ended) {
      this.line(stream).parts.push(part);
      this.open.delete(stream);
    }
    if (rest !== "") this.line(stream).parts.push(rest);
  }

  /** A text of its own: it begins a line, and ends it. */
  addParagraph(stream: string, text: string): void {
    this.open.delete(stream);
    this.add(stream, text.endsWith("\n") ? text : text + "\n");
  }

  /** All of them, also those whose newline never came. */
  all(): OutputLine[] {
    return this.lines.map(({ stream, parts }) => ({ stream, text: parts.join("") }));
  }

  private line(stream: string): Line {
    let line = this.open.get(stream);
    if (line === undefined) {
      line = { stream, parts: [] };
      this.open.set(stream, line);
      this.lines.push(line);
    }
    return line;
  }
}

/** @internal Output, values shown, and the exception. */
export class Collector {
  readonly displays: Display[] = [];
  exception: ExceptionInfo | undefined;
  truncated = false;
  private readonly text = new Lines();
  private size = 0;

  add(event: StreamEvent): void {
    if (event.type === "exception") {
      this.exception = event.exception;
    } else if (event.type === "display") {
      this.addDisplay(event.display);
    } else if (event.type === "output" && this.fits(event.data.length)) {
      this.text.add(event.stream, event.text);
    }
  }

  /** All lines. An exception is printed as the languages' own interpreters do: Node's writes it to stdout. */
  lines(language: unknown): OutputLine[] {
    const stream = language === "node" ? "stdout" : "stderr";
    for (const line of this.exception?.traceback ?? []) this.text.addParagraph(stream, line);
    return this.text.all();
  }

  private addDisplay(display: Display): void {
    if (!this.fits(Object.values(display.data).reduce((sum, text) => sum + text.length, 0))) return;
    this.displays.push(display);
    const plain = display.data["text/plain"];
    if (plain !== undefined) this.text.addParagraph("stdout", plain);
  }

  private fits(size: number): boolean {
    this.size += size;
    if (this.size > LIMIT) this.truncated = true;
    return !this.truncated;
  }
}
