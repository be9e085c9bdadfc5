// Starting, stopping and running code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, ConnectionLostError, NodeSandbox, NotFoundError, PythonSandbox, Sandbox } from "microsandbox";
import { fake, out, script } from "./fake.mjs";

test("code runs and its output is told by stream", async (t) => {
  const server = await fake(t);
  const sandbox = await PythonSandbox.create({ name: "test" });
  const execution = await sandbox.run(script([out("a\n\nb\n"), out("bad\n", "stderr")]));
  assert.equal(await execution.output(), "a\n\nb");
  assert.equal(await execution.error(), "bad");
  assert.deepEqual([execution.status, execution.language, execution.end], ["success", "python", "ok"]);
  assert.equal(execution.hasError(), false);
  assert.deepEqual(await server.params("sandbox.start"), {
    sandbox: "test",
    namespace: "default",
    config: { image: "microsandbox/python", memory: 512, cpus: 1 },
  });
  assert.equal("timeout" in (await server.params("sandbox.repl.run")), false);
  await sandbox.close();
});

test("a sandbox that was named is stopped, and one that was not is removed", async (t) => {
  const server = await fake(t);
  await (await NodeSandbox.create({ name: "kept" })).close();
  assert.equal((await server.params("sandbox.stop")).sandbox, "kept");
  assert.deepEqual(await server.requests("sandbox.remove"), []);
  const sandbox = await NodeSandbox.create();
  await sandbox[Symbol.asyncDispose]();
  assert.equal((await server.params("sandbox.remove")).sandbox, sandbox.name);
});

test("a named sandbox that could not be started is not stopped", async (t) => {
  const server = await fake(t);
  await assert.rejects(PythonSandbox.create({ name: "error-4001-404" }), NotFoundError);
  assert.deepEqual(await server.requests("sandbox.stop"), []);
});

test("a sandbox that somebody else started is left alone", async (t) => {
  const server = await fake(t);
  const sandbox = new PythonSandbox({ name: "theirs" });
  assert.equal(await (await sandbox.run("hello")).output(), "hello");
  await sandbox.close();
  assert.deepEqual((await server.requests()).map((each) => each.method), ["sandbox.repl.run"]);
});

test("settings are sent as the API names them, and none without an image", async (t) => {
  const server = await fake(t);
  await (await Sandbox.create({ image: "i", cpus: 2, envs: { A: "1" }, idle: 5, reset: true })).close();
  await (await Sandbox.create({ name: "again" })).close();
  const [first, second] = await server.requests("sandbox.start");
  assert.equal(first.params.reset, true);
  assert.deepEqual(first.params.config, { image: "i", memory: 512, cpus: 2, envs: ["A=1"], idle: 5 });
  assert.deepEqual(second.params, { sandbox: "again", namespace: "default" });
});

test("several languages run in one sandbox", async (t) => {
  await fake(t);
  const sandbox = new Sandbox({ name: "test" });
  assert.equal((await sandbox.run("1", { language: "python" })).language, "python");
  assert.equal((await sandbox.run("1", { language: "javascript" })).language, "node");
  await assert.rejects(sandbox.run("1"), /language/);
});

test("callbacks get output as it comes, and the execution has all of it", async (t) => {
  await fake(t);
  const seen = [];
  const figure = { result: true, data: { "text/plain": "f", "image/png": "iVA=" }, omitted: {} };
  const exception = { name: "E", value: "v", traceback: ["t"] };
  const events = [out("a"), out("b\nc"), out("oops\n", "stderr"), ["newer", {}], ["display", figure]];
  const code = script([...events, ["exception", exception]], { result: { end: "error" } });
  const execution = await new PythonSandbox({ name: "test" }).run(code, {
    onStdout: (text) => void seen.push(["out", text]),
    onStderr: async (text) => void seen.push(["err", text]),
    onDisplay: (display) => void seen.push(["display", display.data["image/png"]]),
  });
  assert.deepEqual(seen, [["out", "a"], ["out", "b\nc"], ["err", "oops\n"], ["display", "iVA="]]);
  assert.equal(await execution.output(), "ab\nc\nf");
  assert.equal(await execution.error(), "oops\nt");
  assert.equal(execution.hasError(), true);
  assert.deepEqual(execution.exception, exception);
  assert.equal(execution.result.data["text/plain"], "f");
});

test("a stream is iterated and then gives its result", async (t) => {
  await fake(t);
  const stream = new PythonSandbox({ name: "test" }).stream(
    script([out("é"), ["output", { stream: "stdout", base64: "/w==" }]]),
  );
  const pieces = [];
  for await (const event of stream) pieces.push([...event.data]);
  assert.deepEqual(pieces, [[0xc3, 0xa9], [0xff]]);
  assert.equal(await (await stream.result()).output(), "é\ufffd");
});

test("leaving a stream, or aborting, closes its connection", async (t) => {
  const server = await fake(t);
  const sandbox = new PythonSandbox({ name: "test" });
  const code = script([out("1")], { hang: true });
  const stream = sandbox.stream(code);
  for await (const _ of stream) break;
  await server.untilGone();
  await assert.rejects(stream.result(), ConnectionLostError);
  const controller = new AbortController();
  const run = sandbox.run(code, { signal: controller.signal, onStdout: () => controller.abort() });
  await assert.rejects(run, { name: "AbortError" });
  while ((await server.requests("gone")).length < 2);
});

test("contexts are made, used and ended", async (t) => {
  const server = await fake(t);
  const sandbox = new PythonSandbox({ name: "test" });
  const context = await sandbox.contexts.create("other", { workdir: "/w" });
  assert.equal(await (await context.run("hello")).output(), "hello");
  assert.equal((await server.params("sandbox.repl.run")).context, "other");
  assert.deepEqual((await sandbox.contexts.list()).map((each) => each.context), ["other"]);
  assert.equal((await context.interrupt()).language_version, "1.2");
  assert.equal((await context.restart()).runs, 0);
  await context.remove();
  assert.deepEqual(await sandbox.contexts.list(), []);
});

test("a sandbox tells its metrics, state, end and log", async (t) => {
  await fake(t);
  const sandbox = await PythonSandbox.create({ name: "test" });
  assert.equal((await sandbox.metrics.all()).name, "test");
  assert.equal(await sandbox.metrics.cpu(), 1.5);
  assert.equal(await sandbox.metrics.memory(), 120);
  assert.equal(await sandbox.metrics.disk(), null);
  assert.equal(await sandbox.metrics.isRunning(), true);
  assert.equal((await sandbox.info()).status, "running");
  assert.equal((await sandbox.setTimeout({ idle: 3 })).idle, 3);
  assert.equal((await sandbox.logs(5))[0].text, "line");
  const client = new Client();
  assert.equal(await client.health(), "Service is healthy");
  assert.deepEqual((await client.list()).map((each) => each.name), ["test"]);
  assert.equal((await client.metrics()).length, 1);
  await client.remove("test");
  await assert.rejects(sandbox.info(), NotFoundError);
  assert.equal(await sandbox.metrics.isRunning(), false);
});
