/** Requests and answers of the protocol, without any I/O. */
import { type ApiError, apiError, UnexpectedResponseError } from "./errors.js";
import type { Display, Environment, ExceptionInfo, StreamEvent } from "./models.js";

/** @internal */
export type Json = Record<string, unknown>;

let lastId = 0;

/** @internal A JSON-RPC request. What is undefined was not given, and JSON leaves it out. */
export function requestBody(method: string, params: Json): string {
  lastId += 1;
  return JSON.stringify({ jsonrpc: "2.0", method, params, id: String(lastId) });
}

/** @internal */
export function parseObject(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** @internal The result in an answer; throws the error that it tells. */
export function resultOf(status: number, body: string, url: string): unknown {
  const answer = objectOf(status, body, url);
  if (!("result" in answer)) throw notOurs(status, body, url);
  return answer["result"];
}

/** @internal The object that a route answers; throws the error that it tells. */
export function objectOf(status: number, body: string, url: string): Json {
  const answer = parseObject(body);
  if (answer === undefined) throw notOurs(status, body, url);
  if ("error" in answer) throw errorOf(answer, status);
  if (status >= 400) throw notOurs(status, body, url);
  return answer;
}

/** @internal Either form: {"error": MESSAGE, "code": N} or JSON-RPC's {"error": {"code", "message"}}. */
export function errorOf(answer: Json, status: number): ApiError {
  const error = answer["error"];
  if (typeof error === "object" && error !== null) {
    const { message, code } = error as Json;
    return apiError(String(message ?? ""), number(code), status);
  }
  return apiError(String(error), number(answer["code"]), number(answer["status"]) ?? status);
}

function notOurs(status: number, body: string, url: string): UnexpectedResponseError {
  const start = JSON.stringify(body.slice(0, 200).trim());
  return new UnexpectedResponseError(
    `${url} answered HTTP ${status} with what is no answer of a microsandbox server: ${start}. ` +
      "Check MSB_SERVER_URL, and whether a proxy stands between.",
  );
}

function number(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

/** @internal Text or bytes as the API takes them. */
export function content(data: string | Uint8Array): Json {
  return typeof data === "string" ? { text: data } : { base64: toBase64(data) };
}

function toBase64(data: Uint8Array): string {
  let text = "";
  for (let at = 0; at < data.length; at += 0x8000) {
    text += String.fromCharCode(...data.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/** @internal */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** @internal Variables as the API takes them: NAME=VALUE. */
export function environmentList(envs: Environment | undefined): string[] | undefined {
  if (envs === undefined || Array.isArray(envs)) return envs;
  return Object.entries(envs).map(([name, value]) => `${name}=${value}`);
}

/** @internal */
export interface ServerEvent {
  name: string;
  data: string;
}

/** @internal Splits the text of a text/event-stream into events. Lines end with LF, CRLF or CR. */
export class EventParser {
  private pieces: string[] = []; // of a line whose end has not come: joined once, not each time
  private name = "";
  private data: string[] = [];

  feed(text: string): ServerEvent[] {
    this.pieces.push(text);
    if (!/[\r\n]/.test(text)) return [];
    let joined = this.pieces.join("");
    const held = joined.endsWith("\r") ? "\r" : ""; // perhaps half of a CRLF
    if (held) joined = joined.slice(0, -1);
    const lines = joined.split(/\r\n|\n|\r/);
    this.pieces = [lines.pop()! + held];
    return lines.map((line) => this.line(line)).filter((event): event is ServerEvent => event !== undefined);
  }

  private line(line: string): ServerEvent | undefined {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    return undefined; // a comment (empty field), or a field that means nothing here
  }

  private dispatch(): ServerEvent | undefined {
    const event = { name: this.name || "message", data: this.data.join("\n") };
    const isEmpty = this.data.length === 0;
    this.name = "";
    this.data = [];
    return isEmpty ? undefined : event;
  }
}

/** @internal An event's data, which is always an object. */
export function eventData(event: ServerEvent): Json {
  const data = parseObject(event.data);
  if (data === undefined) {
    throw new UnexpectedResponseError(
      `the server sent an event "${event.name}" whose data is no JSON object: ${event.data.slice(0, 200)}`,
    );
  }
  return data;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** @internal A stream's event; undefined for one that this package does not know, which a newer server sends. */
export function streamEvent(name: string, data: Json): StreamEvent | undefined {
  const stream = String(data["stream"] ?? "stdout");
  switch (name) {
    case "output": {
      const text = data["text"];
      const bytes = typeof text === "string" ? encoder.encode(text) : fromBase64(String(data["base64"] ?? ""));
      const offset = number(data["offset"]);
      const base = { type: name, stream, text: typeof text === "string" ? text : decoder.decode(bytes), data: bytes } as const;
      return offset === undefined ? base : { ...base, offset };
    }
    case "dropped":
      return { type: name, stream, bytes: number(data["bytes"]) ?? 0 };
    case "display":
      return { type: name, display: display(data) };
    case "exception":
      return { type: name, exception: exception(data) };
    case "file":
      return { type: name, path: String(data["path"]), event: String(data["event"]) };
    default:
      return undefined;
  }
}

function display(data: Json): Display {
  return {
    result: data["result"] === true,
    data: (data["data"] as Record<string, string> | undefined) ?? {},
    omitted: (data["omitted"] as Record<string, number> | undefined) ?? {},
  };
}

/** @internal */
export function exception(data: Json): ExceptionInfo {
  const traceback = data["traceback"];
  return {
    name: String(data["name"] ?? ""),
    value: String(data["value"] ?? ""),
    traceback: Array.isArray(traceback) ? traceback.map(String) : [],
  };
}
