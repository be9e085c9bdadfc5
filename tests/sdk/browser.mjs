// A browser as far as the SDK's ES modules can tell: `node --experimental-vm-modules browser.mjs ENTRY ARGUMENTS`.
// ARGUMENTS, JSON: `origin` of the page, `serverUrl`, `apiKey`. The modules have what every browser has, and nothing
// of Node's: no process, no Buffer, no require, no import of what they do not have. Their fetch obeys the server by
// CORS (https://fetch.spec.whatwg.org/#http-cors-protocol). Prints what the page saw as JSON.
import { readFile } from "node:fs/promises";
import { SourceTextModule, createContext } from "node:vm";

const [entry, given] = process.argv.slice(2);
const { origin, ...given_to_page } = JSON.parse(given);

const SAFE_METHODS = ["GET", "HEAD", "POST"];
const SAFE_TYPES = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
const SAFE_ANSWERS = [
  "cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma",
];
const preflights = new Set();

const listed = (headers, name) => (headers.get(name) ?? "").toLowerCase().split(",").map((each) => each.trim());
// All that a browser tells a page, whatever the reason.
const refuse = () => { throw new TypeError("Failed to fetch"); };

function isSafe([name, value]) {
  if (name === "content-type") return SAFE_TYPES.includes(value.split(";")[0].trim().toLowerCase());
  if (name === "range") return /^bytes=\d+-\d*$/.test(value);
  return ["accept", "accept-language", "content-language"].includes(name);
}

async function preflight(url, method, names) {
  const asked = { origin, "access-control-request-method": method };
  if (names.length > 0) asked["access-control-request-headers"] = names.sort().join(",");
  const answer = await fetch(url, { method: "OPTIONS", headers: asked });
  const { headers } = answer;
  if (!answer.ok || headers.get("access-control-allow-origin") !== origin) refuse();
  const methods = listed(headers, "access-control-allow-methods");
  if (!SAFE_METHODS.includes(method) && !methods.includes(method.toLowerCase())) refuse();
  const allowed = listed(headers, "access-control-allow-headers");
  if (!names.every((name) => allowed.includes(name))) refuse();
  preflights.add(`${method} ${names.join(",")}`);
}

async function browserFetch(url, init = {}) {
  const request = new Request(url, init);
  const foreign = new URL(request.url).origin !== origin;
  const unsafe = [...request.headers].filter((header) => !isSafe(header)).map(([name]) => name);
  if (foreign && (unsafe.length > 0 || !SAFE_METHODS.includes(request.method))) {
    await preflight(request.url, request.method, unsafe);
  }
  const headers = new Headers(request.headers);
  headers.set("origin", origin);
  const answer = await fetch(request, { headers }).catch((error) => (error.name === "AbortError" ? Promise.reject(error) : refuse()));
  if (foreign && answer.headers.get("access-control-allow-origin") !== origin) refuse();
  const shown = [...SAFE_ANSWERS, ...listed(answer.headers, "access-control-expose-headers")];
  const visible = [...answer.headers].filter(([name]) => !foreign || shown.includes(name));
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers: visible });
}

const names = [
  "AbortController", "AbortSignal", "Blob", "DOMException", "Event", "EventTarget", "Headers", "ReadableStream",
  "Request", "Response", "TextDecoder", "TextEncoder", "URL", "URLSearchParams", "atob", "btoa", "clearTimeout",
  "console", "queueMicrotask", "setTimeout",
];
const page = createContext({ ...Object.fromEntries(names.map((name) => [name, globalThis[name]])), fetch: browserFetch });
page.window = page.self = page;
page.location = new URL(`${origin}/page.html`);

const modules = new Map();

async function load(url) {
  if (!modules.has(url.href)) {
    const source = await readFile(url, "utf8");
    const importModuleDynamically = (name) => { throw new TypeError(`Failed to resolve module specifier "${name}"`); };
    modules.set(url.href, new SourceTextModule(source, { context: page, identifier: url.href, importModuleDynamically }));
  }
  return modules.get(url.href);
}

const link = (name, from) => load(name === "microsandbox" ? new URL(`file://${entry}`) : new URL(name, from.identifier));
const program = await load(new URL("page.mjs", import.meta.url));
await program.link(link);
await program.evaluate();
const seen = await program.namespace.default(given_to_page);
console.log(JSON.stringify({ ...seen, preflights: [...preflights] }));
