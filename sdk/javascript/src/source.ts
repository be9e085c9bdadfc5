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

  constructor(from: ReadableStream<Uint8Array>) {
    const reader = from.getReader();
    this.stream = new ReadableStream({
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          this.failure = { reason: error };
          throw error;
        }
      },
      cancel: async (reason) => await reader.cancel(reason),
    });
  }
}
