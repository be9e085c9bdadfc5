/** Where the server is, out of arguments, environment and `.env`. In browsers there are only arguments. */

/** How a server is reached. */
export interface ConnectionOptions {
  /** URL of the server; absent: MSB_SERVER_URL, else http://127.0.0.1:5555. */
  serverUrl?: string;
  /** Key of the server; absent: MSB_API_KEY, else that of `.env` in the working directory. */
  apiKey?: string;
  /** A fetch to be used instead of the global one, such as one that goes through a proxy. */
  fetch?: typeof fetch;
}

/** @internal */
export interface Connection {
  url: string;
  apiKey: string | undefined;
}

declare const process: { env?: Record<string, string | undefined>; versions?: { node?: string } } | undefined;

const DEFAULT_URL = "http://127.0.0.1:5555";

/**
 * The NAME=VALUE lines of a file; `export` and quotes are allowed.
 * @internal
 */
export function parseDotenv(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line);
    if (match) found[match[1]!] = unquote(match[2]!);
  }
  return found;
}

function unquote(value: string): string {
  const quoted = /^(["'])(.*?)\1/.exec(value);
  return quoted ? quoted[2]! : value.replace(/\s+#.*$/, "");
}

function environment(): Record<string, string | undefined> {
  return (typeof process !== "undefined" && process?.env) || {};
}

async function readDotenv(): Promise<Record<string, string>> {
  if (typeof process === "undefined" || !process?.versions?.node) return {};
  try {
    const name = "node:fs/promises"; // not a literal: bundlers for browsers must not look for it
    const fs = await import(/* webpackIgnore: true */ /* @vite-ignore */ name);
    return parseDotenv(await fs.readFile(".env", "utf8"));
  } catch {
    return {}; // there is none, mostly
  }
}

/**
 * An argument wins over the environment, that over `.env`, which is read only if MSB_API_KEY is unset.
 * @internal
 */
export async function resolve(options: ConnectionOptions): Promise<Connection> {
  const given = environment();
  const settings = given["MSB_API_KEY"] === undefined ? { ...(await readDotenv()), ...given } : given;
  return {
    url: (options.serverUrl || settings["MSB_SERVER_URL"] || DEFAULT_URL).replace(/\/+$/, ""),
    apiKey: options.apiKey || settings["MSB_API_KEY"] || undefined,
  };
}
