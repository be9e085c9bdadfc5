/** Puts a stream's events together to what the same call without a stream returns. */
import type { Display, ExceptionInfo, OutputLine, StreamEvent } from "./models.js";

/** What a result holds of output at most, as the server's own do. */
const LIMIT = 8 * 1024 * 1024;

/** @internal Lines in order of arrival across streams, values shown, and the exception. */
export class Collector {
  readonly displays: Display[] = [];
  exception: ExceptionInfo | undefined;
  truncated = false;
  private readonly complete: OutputLine[] = [];
  private readonly partial = new Map<string, string[]>();
  private size = 0;

  add(event: StreamEvent): void {
    if (event.type === "exception") {
      this.exception = event.exception;
    } else if (event.type === "display") {
      const size = Object.values(event.display.data).reduce((sum, text) => sum + text.length, 0);
      if (this.fits(size)) this.displays.push(event.display);
    } else if (event.type === "output" && this.fits(event.data.length)) {
      this.addText(event.stream, event.text);
    }
  }

  /** All lines, also those whose newline never came. */
  lines(): OutputLine[] {
    const rest = [...this.partial].filter(([, pieces]) => pieces.length > 0);
    return [...this.complete, ...rest.map(([stream, pieces]) => ({ stream, text: pieces.join("") }))];
  }

  private fits(size: number): boolean {
    this.size += size;
    if (this.size > LIMIT) this.truncated = true;
    return !this.truncated;
  }

  private addText(stream: string, text: string): void {
    let pieces = this.partial.get(stream);
    if (pieces === undefined) this.partial.set(stream, (pieces = []));
    const ends = text.split("\n");
    const rest = ends.pop()!;
    for (const end of ends) {
      this.complete.push({ stream, text: pieces.join("") + end });
      pieces.length = 0;
    }
    if (rest !== "") pieces.push(rest);
  }
}
