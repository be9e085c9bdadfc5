// A session of the official TypeScript SDK with the fixture: URL, or a command for stdio. Prints what it saw
// as JSON.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, ...target] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const load = (path) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${path}`)));
const { Client } = await load('client/index.js');
const { StreamableHTTPClientTransport } = await load('client/streamableHttp.js');
const { StdioClientTransport } = await load('client/stdio.js');
const { CreateMessageRequestSchema, LoggingMessageNotificationSchema } = await load('types.js');

const client = new Client({ name: 'test', version: '1' }, { capabilities: { sampling: {} } });
const transport = target[0].startsWith('http')
  ? new StreamableHTTPClientTransport(new URL(target[0]))
  : new StdioClientTransport({ command: target[0], args: target.slice(1) });
const seen = { logs: [], progress: [] };
client.setRequestHandler(CreateMessageRequestSchema, async () => ({
  role: 'assistant', model: 'm', content: { type: 'text', text: 'sampled' },
}));
client.setNotificationHandler(LoggingMessageNotificationSchema, (n) => { seen.logs.push(n.params.data); });
await client.connect(transport);
seen.server = client.getServerVersion().name;
seen.tools = (await client.listTools()).tools.map((tool) => tool.name);
seen.prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name);
seen.resource = (await client.readResource({ uri: 'test://static-text' })).contents[0].text;
seen.text = (await client.callTool({ name: 'test_simple_text' })).content[0].text;
seen.failed = (await client.callTool({ name: 'test_error_handling' })).isError;
seen.sampled = (await client.callTool({ name: 'test_sampling', arguments: { prompt: 'p' } })).content[0].text;
await client.callTool({ name: 'test_tool_with_progress' }, undefined,
  { onprogress: (p) => seen.progress.push(p.message) });
await client.callTool({ name: 'test_tool_with_logging' });
seen.reconnected = (await client.callTool({ name: 'test_reconnection' })).content[0].text;
const abort = new AbortController();
const cancelled = client.callTool({ name: 'test_until_cancelled' }, undefined,
  { signal: abort.signal, onprogress: () => abort.abort('enough') });
seen.cancelled = await cancelled.then(() => 'answered', (error) => String(error));
seen.ping = await client.ping();
await transport.terminateSession?.();
await client.close();
console.log(JSON.stringify(seen));
