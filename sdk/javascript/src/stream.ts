/** Calls whose events come as they happen. */
import { Collector } from "./collect.js";
import { ConnectionLostError } from "./errors.js";
import type { StreamEvent } from "./models.js";
import type { Transport } from "./transport.js";
import { errorOf, EventParser, eventData, type Json, resultOf, type ServerEvent, streamEvent } from "./wire.js";

/** Options of calls that can be ended early. */
export interface Abortable {
  /** Ends the call: the server then interrupts the code or kills the command. */
  signal?: AbortSignal;
}

/**
 * Events of a call, in order, and then its result.
 *
 * Iterate it with `for await`; afterwards (or without iterating) `await stream.result()`. The call begins with the
 * first event that is asked for, or with `open()`. Leaving the loop early, or `close()`, closes the connection: the
 * server then interrupts the code or kills the command.
 */
export class Stream<Event extends StreamEvent, Result> implements AsyncIterableIterator<Event> {
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  private readonly decoder = new TextDecoder();
  private readonly parser = new EventParser();
  private readonly events: ServerEvent[] = [];
  private readonly collector = new Collector();
  private readonly controller = new AbortController();
  private opening: Promise<void> | undefined;
  private answer: Json | undefined;
  private ended = false;

  /** @internal */
  constructor(
    private readonly transport: Transport,
    private readonly method: string,
    private readonly params: Json,
    private readonly finish: (answer: Json, collector: Collector) => Result,
    private readonly signal?: AbortSignal,
    /** The server says when it has begun, by whatever it sends first: opening waits for that. */
    private readonly saysWhenItStands = false,
  ) {}

  /** Begins the call; returns when the server has taken it. */
  open(): Promise<void> {
    this.opening ??= this.begin();
    return this.opening;
  }

  /** The call's result, when it has ended. Events that nobody asked for are read until then. */
  async result(): Promise<Result> {
    while (!(await this.next()).done);
    if (this.answer === undefined) {
      throw new ConnectionLostError("the stream was closed before the call had ended; it has no result");
    }
    return this.finish(this.answer, this.collector);
  }

  /** Closes the connection. What still runs is interrupted. */
  async close(): Promise<void> {
    this.ended = true;
    this.signal?.removeEventListener("abort", this.abort);
    const reader = this.reader;
    this.reader = undefined;
    this.controller.abort();
    await reader?.cancel().catch(() => undefined); // it is gone already
  }

  /** The next event. */
  async next(): Promise<IteratorResult<Event, undefined>> {
    try {
      await this.open();
      for (;;) {
        const event = await this.nextEvent();
        if (event === undefined) return { done: true, value: undefined };
        if (event.name === "response" || event.name === "error") {
          await this.end(event);
          return { done: true, value: undefined };
        }
        const known = streamEvent(event.name, eventData(event));
        if (known !== undefined) {
          this.collector.add(known);
          return { done: false, value: known as Event };
        }
      }
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Called when a `for await` loop is left early. */
  async return(): Promise<IteratorResult<Event, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** The stream itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Closes it, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private readonly abort = (): void => this.controller.abort(this.signal?.reason);

  private async begin(): Promise<void> {
    if (this.ended) return;
    if (this.signal?.aborted) this.abort();
    this.signal?.addEventListener("abort", this.abort);
    const response = await this.transport.openStream(this.method, this.params, this.controller.signal);
    const kind = response.headers.get("content-type") ?? "";
    if (response.status !== 200 || !kind.startsWith("text/event-stream") || response.body === null) {
      // An error, or a server that streams nothing here: then the whole answer is there.
      const result = resultOf(response.status, await this.transport.text(response), await this.transport.url());
      this.answer = result as Json;
      this.ended = true;
      return;
    }
    this.reader = response.body.getReader();
    if (this.saysWhenItStands) await this.readInto(this.reader);
  }

  private async nextEvent(): Promise<ServerEvent | undefined> {
    while (this.events.length === 0) {
      if (this.ended || this.reader === undefined) return undefined;
      await this.readInto(this.reader);
    }
    return this.events.shift();
  }

  private async readInto(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    const { done, value } = await this.read(reader);
    if (done) {
      const url = await this.transport.url();
      throw new ConnectionLostError(
        `${url} ended the stream of ${this.method} without a result. The server may have been stopped.`,
      );
    }
    this.events.push(...this.parser.feed(this.decoder.decode(value, { stream: true })));
  }

  private async read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<ReadableStreamReadResult<Uint8Array>> {
    try {
      return await reader.read();
    } catch (error) {
      throw this.controller.signal.aborted ? error : await this.transport.lost(error);
    }
  }

  private async end(event: ServerEvent): Promise<void> {
    const data = eventData(event);
    await this.close();
    if (event.name === "error" || "error" in data) throw errorOf(data, 200);
    this.answer = (data["result"] as Json | undefined) ?? {};
  }
}
