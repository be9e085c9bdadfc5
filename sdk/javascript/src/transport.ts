/** Requests to one server. */
import { type Connection, type ConnectionOptions, resolve } from "./environment.js";
import { ConnectionLostError, MicrosandboxError, RequestTimeoutError, ServerUnreachableError } from "./errors.js";
import { type Pieces, Source } from "./source.js";
import { type Json, objectOf, requestBody, resultOf } from "./wire.js";

/** @internal */
export const RPC_PATH = "/api/v1/rpc";
const FILES_PATH = "/api/v1/files";

/** Of a file. */
export type Content = string | Uint8Array | Blob | Pieces;

/** @internal */
export interface CallOptions {
  /** Ends the call. */
  signal?: AbortSignal | undefined;
  /** How long an answer may take, in seconds. */
  timeout?: number | undefined;
}

/** @internal */
export class Transport {
  private connection: Promise<Connection> | undefined;

  constructor(private readonly options: ConnectionOptions) {}

  /** The server's URL, with environment and `.env` looked at. */
  async url(): Promise<string> {
    return (await this.resolved()).url;
  }

  /** A method's result. */
  async call(method: string, params: Json, options: CallOptions = {}): Promise<unknown> {
    const timer = options.timeout === undefined ? undefined : new Deadline(options.timeout, options.signal);
    try {
      const request = this.rpc(requestBody(method, params), { accept: "application/json" });
      const response = await this.send(RPC_PATH, request, timer?.signal ?? options.signal);
      return resultOf(response.status, await this.text(response), await this.url());
    } catch (error) {
      if (timer?.expired) {
        const message = `${await this.url()} did not answer ${method} within ${options.timeout} s`;
        throw new RequestTimeoutError(message, error);
      }
      throw error;
    } finally {
      timer?.clear();
    }
  }

  /** The answer to a call whose events are to come as they happen. */
  async openStream(method: string, params: Json, signal: AbortSignal): Promise<Response> {
    return await this.send(RPC_PATH, this.rpc(requestBody(method, params), { accept: "text/event-stream" }), signal);
  }

  /** A file's content. */
  async getFile(query: Record<string, string>, range: string | undefined, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = range === undefined ? {} : { range };
    const response = await this.send(this.filesPath(query), { method: "GET", headers }, signal);
    if (response.status >= 400) objectOf(response.status, await this.text(response), await this.url());
    return response;
  }

  /** Writes a file; what the server says of it then. What a stream fails with is thrown as it is. */
  async putFile(query: Record<string, string>, content: Content, signal?: AbortSignal): Promise<Json> {
    const whole = typeof content === "string" || content instanceof Uint8Array || content instanceof Blob;
    const source = whole ? undefined : new Source(content);
    const request: RequestInit & { duplex?: string } = {
      method: "PUT",
      headers: { "content-type": "application/octet-stream" },
      body: source?.stream ?? (content as string | Blob),
    };
    if (source) request.duplex = "half"; // fetch wants to be told
    try {
      const response = await this.send(this.filesPath(query), request, signal);
      return objectOf(response.status, await this.text(response), await this.url());
    } catch (error) {
      throw source?.failure ? source.failure.reason : error;
    }
  }

  /** What the server says of itself. */
  async health(): Promise<string> {
    const response = await this.send("/api/v1/health", { method: "GET" });
    const answer = objectOf(response.status, await this.text(response), await this.url());
    return String(answer["message"] ?? "");
  }

  /** The rest of an answer. */
  async text(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (error) {
      throw await this.lost(error);
    }
  }

  /** What is to be thrown when a connection failed in the middle. The caller's own abort stays what it is. */
  async lost(error: unknown): Promise<unknown> {
    if (isAbort(error) || error instanceof MicrosandboxError) return error;
    return new ConnectionLostError(
      `the connection to ${await this.url()} ended before the answer was complete: ${reason(error)}. ` +
        "The server may have been stopped; what was asked for may have happened.",
      error,
    );
  }

  private async resolved(): Promise<Connection> {
    this.connection ??= resolve(this.options);
    return await this.connection;
  }

  private rpc(body: string, headers: Record<string, string>): RequestInit {
    return { method: "POST", headers: { "content-type": "application/json", ...headers }, body };
  }

  private filesPath(query: Record<string, string>): string {
    return `${FILES_PATH}?${new URLSearchParams(query).toString()}`;
  }

  private async send(path: string, request: RequestInit, signal?: AbortSignal): Promise<Response> {
    const { url, apiKey } = await this.resolved();
    if (!/^https?:\/\/[^/]/.test(url)) {
      throw new TypeError(`"${url}" is no URL of a server, such as http://127.0.0.1:5555`);
    }
    const headers: Record<string, string> = { ...(request.headers as Record<string, string>) };
    if (apiKey !== undefined) headers["authorization"] = `Bearer ${apiKey}`;
    const send = this.options.fetch ?? fetch;
    try {
      return await send(url + path, { ...request, headers, ...(signal ? { signal } : {}) });
    } catch (error) {
      if (isAbort(error) || signal?.aborted) throw error;
      throw wasRefused(error) ? unreachable(url, error) : await this.lost(error);
    }
  }
}

function unreachable(url: string, error: unknown): ServerUnreachableError {
  return new ServerUnreachableError(
    `no microsandbox server answers at ${url}: ${reason(error)}. Start one with ` +
      `\`msb server start --dev\`, or set MSB_SERVER_URL to the address of yours.${hintForPage(url)}`,
    error,
  );
}

/** A browser does not tell a page whether a server is not there, or does not let it in. */
function hintForPage(url: string): string {
  const origin = typeof location === "undefined" ? undefined : location.origin;
  if (!origin || url.startsWith(`${origin}/`) || url === origin) return "";
  return ` If it runs, it has to let this page in: \`msb server start --cors-origin ${origin}\`.`;
}

/** fetch says nothing but "fetch failed"; its cause has the reason. A browser tells none. */
function reason(error: unknown): string {
  const cause = (error as { cause?: { message?: string; code?: string } }).cause;
  return cause?.message || cause?.code || (error as Error).message || String(error);
}

/** Whether there was no connection at all. Node tells; where nothing is told, that is the likely case. */
function wasRefused(error: unknown): boolean {
  const code = (error as { cause?: { code?: string } }).cause?.code;
  return code === undefined || !["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"].includes(code);
}

function isAbort(error: unknown): boolean {
  return (error as { name?: string } | undefined)?.name === "AbortError";
}

/** Aborts after so many seconds, or when the caller's own signal does. */
class Deadline {
  expired = false;
  private readonly controller = new AbortController();
  private readonly timer: ReturnType<typeof setTimeout>;
  private readonly forward = (): void => this.controller.abort(this.outer?.reason);

  constructor(seconds: number, private readonly outer: AbortSignal | undefined) {
    this.timer = setTimeout(() => {
      this.expired = true;
      this.controller.abort();
    }, seconds * 1000);
    if (outer?.aborted) this.forward();
    outer?.addEventListener("abort", this.forward);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  clear(): void {
    clearTimeout(this.timer);
    this.outer?.removeEventListener("abort", this.forward);
  }
}
