/** What a file's content is sent from, piece by piece. */
export type Pieces = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * A stream that is sent, and how it failed, if it did: a file of the caller's that cannot be read. Of that fetch says
 * no more than that it failed itself, as if the server could not be reached.
 *
 * @internal
 */
export class Source {
  /** The stream's own error. */
  failure: { reason: unknown } | undefined;
  /** What is to be sent in the stream's place. */
  readonly stream: ReadableStream<Uint8Array>;

  constructor(from: Pieces) {
    const pieces = from instanceof ReadableStream ? piecesOf(from) : from[Symbol.asyncIterator]();
    this.stream = new ReadableStream({
      pull: async (controller) => {
        try {
          const { done, value } = await pieces.next();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          this.failure = { reason: error };
          throw error;
        }
      },
      cancel: async () => void (await pieces.return?.()),
    });
  }
}

/**
 * The stream, with a way to iterate it where the language's own has none (in some browsers).
 *
 * @internal
 */
export function iterable(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> & AsyncIterable<Uint8Array> {
  if (!(Symbol.asyncIterator in stream)) {
    Object.defineProperty(stream, Symbol.asyncIterator, { value: () => piecesOf(stream) });
  }
  return stream as ReadableStream<Uint8Array> & AsyncIterable<Uint8Array>;
}

async function* piecesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      ended = done;
      if (done) return;
      yield value;
    }
  } catch (error) {
    ended = true;
    throw error;
  } finally {
    if (!ended) await reader.cancel();
    reader.releaseLock();
  }
}
