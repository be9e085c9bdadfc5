// What a page does with the SDK (browser.mjs).
import * as msb from "microsandbox";

// What was thrown, for a page that is refused.
const outcome = (promise) => promise.then((value) => ({ value }), (error) => ({ name: error.name, message: error.message }));

async function files(sandbox) {
  await sandbox.files.write("/tmp/page/a.txt", "text");
  await sandbox.files.upload(new Blob([new Uint8Array(300000)]), "/tmp/page/big");
  const part = await sandbox.files.readBytes("/tmp/page/big", { offset: 10, length: 5 });
  const whole = await new Response(await sandbox.files.download("/tmp/page/big")).arrayBuffer();
  const names = (await sandbox.files.list("/tmp/page")).map((file) => file.name);
  return { text: await sandbox.files.read("/tmp/page/a.txt"), part: part.length, whole: whole.byteLength, names };
}

async function streams(sandbox) {
  const stream = sandbox.stream("print('x'); 6 * 7");
  const types = [];
  for await (const event of stream) types.push(event.type);
  const abort = new AbortController();
  const run = sandbox.run("kept = 1; print('on', flush=True); import time; time.sleep(1000)", {
    signal: abort.signal, onStdout: () => abort.abort(),
  });
  const aborted = (await outcome(run)).name;
  return { types, aborted, kept: await (await sandbox.run("kept")).output() };
}

async function processes(sandbox) {
  const child = await sandbox.processes.start("cat", [], { stdin: true });
  await child.write("to and fro\n", { eof: true });
  let text = "";
  for await (const event of child) if (event.type === "output") text += event.text;
  return { text, code: (await child.wait()).exit_code };
}

// What clients of MCP send: with a session, and without.
async function mcp({ serverUrl, apiKey }) {
  const ask = (method, params, headers) => fetch(`${serverUrl}/mcp`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${apiKey}`, "content-type": "application/json",
      accept: "application/json, text/event-stream", ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const clientInfo = { name: "page", version: "1" };
  const begun = await ask("initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo }, {});
  const id = begun.headers.get("mcp-session-id");
  const session = { "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" };
  const ended = await fetch(`${serverUrl}/mcp`, { method: "DELETE", headers: { ...session, authorization: `Bearer ${apiKey}` } });
  const meta = (name) => `io.modelcontextprotocol/${name}`;
  const _meta = {
    [meta("protocolVersion")]: "2026-07-28", [meta("clientInfo")]: clientInfo, [meta("clientCapabilities")]: {},
  };
  const call = { name: "sandbox_list", arguments: {}, _meta };
  const stateless = await ask("tools/call", call, {
    "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "sandbox_list",
  });
  return { session: typeof id, ended: ended.status, stateless: (await stateless.text()).includes("structuredContent") };
}

export default async function page(options) {
  const globals = ["process", "Buffer", "require", "global", "setImmediate"].filter((name) => name in globalThis);
  const begun = await outcome(msb.PythonSandbox.create({ ...options, image: "microsandbox/python" }));
  if (begun.name) return { globals, refused: begun };
  const sandbox = begun.value;
  try {
    return {
      globals,
      output: await (await sandbox.run("print('from the page')")).output(),
      files: await files(sandbox),
      streams: await streams(sandbox),
      processes: await processes(sandbox),
      mcp: await mcp(options),
      missing: await outcome(sandbox.files.read("/tmp/absent")),
    };
  } finally {
    await sandbox.close();
  }
}
