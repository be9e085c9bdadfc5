// A client of the official TypeScript SDK that does what it is told, as an agent would: as agent.py, with
// node_modules as its first argument.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, told] = process.argv.slice(2);
const { server, steps } = JSON.parse(told);
const require = createRequire(pathToFileURL(`${modules}/`));
const load = (path) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${path}`)));
const { Client } = await load('client/index.js');
const { StreamableHTTPClientTransport } = await load('client/streamableHttp.js');
const { StdioClientTransport } = await load('client/stdio.js');

const seenOf = (result) => ({
  text: result.content.filter((part) => part.type === 'text').map((part) => part.text).join(''),
  images: result.content.filter((part) => part.type === 'image').map((part) => [part.mimeType, part.data]),
  structured: result.structuredContent,
  failed: result.isError === true,
});
const callOf = ([name, args]) => ({ name, arguments: args });

async function step(client, { call, when, then }) {
  const seen = { progress: [], cancelled: false };
  const abort = new AbortController();
  let followed;
  const onprogress = ({ message }) => {
    seen.progress.push(message);
    if (when === undefined || followed || !message?.includes(when)) return;
    followed = then === 'cancel' ? Promise.resolve(abort.abort('enough')) : client.callTool(callOf(then));
  };
  try {
    Object.assign(seen, seenOf(await client.callTool(callOf(call), undefined, { onprogress, signal: abort.signal })));
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    seen.cancelled = true;
  }
  const after = await followed;
  return after ? { ...seen, then: seenOf(after) } : seen;
}

const client = new Client({ name: 'test', version: '1' });
const transport = server.url
  ? new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers: server.headers } })
  : new StdioClientTransport(server);
await client.connect(transport);
const prompt = await client.getPrompt({ name: 'create_python_sandbox', arguments: { sandbox_name: 'box' } });
const seen = {
  server: client.getServerVersion().name,
  version: transport.protocolVersion,
  instructions: client.getInstructions(),
  tools: (await client.listTools()).tools.map((tool) => tool.name),
  prompt: prompt.messages[0].content.text,
  steps: [],
};
for (const each of steps) seen.steps.push(await step(client, each));
await transport.terminateSession?.();
await client.close();
console.log(JSON.stringify(seen));
