// Starts tests/sdk/fake_server.py, which does what a test tells it in the request.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("../../../tests/sdk/fake_server.py", import.meta.url));

/** A server of the test's own, ended with it; MSB_SERVER_URL is its URL. */
export async function fake(t) {
  const server = spawn("python3", [SCRIPT], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(server.stdout, "data");
  const url = String(line).trim();
  process.env.MSB_SERVER_URL = url;
  t.after(async () => {
    server.stdin.end();
    await once(server, "exit");
  });
  const requests = async (method) => {
    const all = await (await fetch(`${url}/recorded`)).json();
    return all.filter((each) => method === undefined || each.method === method);
  };
  return {
    url,
    requests,
    params: async (method) => (await requests(method))[0].params,
    async untilGone() {
      while ((await requests("gone")).length === 0);
    },
  };
}

/** Code that makes the fake server answer these events. */
export function script(events, more = {}) {
  return JSON.stringify({ events, ...more });
}

export function out(text, stream = "stdout") {
  return ["output", { stream, text }];
}
