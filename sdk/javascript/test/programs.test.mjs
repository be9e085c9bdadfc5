// Commands, processes and files.
import assert from "node:assert/strict";
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { AlreadyExistsError, NotFoundError, PythonSandbox } from "microsandbox";
import { fake, out, script } from "./fake.mjs";

const BIG = new Uint8Array(5_000_000).map((_, at) => at % 251); // many pieces

test("a command tells its output and exit code", async (t) => {
  const server = await fake(t);
  const sandbox = new PythonSandbox({ name: "test" });
  const code = script([out("x\n"), out("e\n", "stderr")], { result: { exit_code: 3, success: false, out_of_memory: true } });
  const seen = [];
  const options = { timeout: 5, envs: { A: "1" }, onStdout: (text) => void seen.push(text) };
  const done = await sandbox.command.run("prog", [code], options);
  assert.deepEqual([await done.output(), await done.error(), done.exitCode, done.success], ["x", "e", 3, false]);
  assert.deepEqual([done.command, done.args, seen, done.outOfMemory], ["prog", [code], ["x\n"], true]);
  const params = await server.params("sandbox.command.run");
  assert.deepEqual([params.timeout, params.envs], [5, ["A=1"]]);
  assert.equal((await sandbox.command.run("prog", [], 7)).success, true);
});

test("a process gets input and gives output until it ends", async (t) => {
  await fake(t);
  const sandbox = new PythonSandbox({ name: "test" });
  const process = await sandbox.processes.start("cat", [], { stdin: true });
  assert.deepEqual([process.id, process.pid], ["p1", 100]);
  const stream = process.attach();
  await stream.open();
  await process.write("one\n");
  const { value } = await stream.next();
  assert.deepEqual([value.text, value.offset], ["one\n", 0]);
  await process.write(new Uint8Array([0xff]), { eof: true });
  assert.deepEqual([...(await stream.next()).value.data], [0xff]);
  assert.equal((await stream.result()).exit_code, 0);
  const texts = [];
  for await (const event of sandbox.processes.get("p1").attach({ stdoutOffset: 2 })) texts.push(event.text);
  assert.deepEqual(texts, ["e\n\ufffd"]);
  assert.equal((await process.wait()).running, false);
  assert.equal((await sandbox.processes.list())[0].ended.exit_code, 0);
});

test("a process with a terminal is resized, waited for and killed", async (t) => {
  const server = await fake(t);
  const process = await new PythonSandbox({ name: "test" }).processes.start("sh", [], { pty: { columns: 100, rows: 30 } });
  assert.deepEqual((await server.params("sandbox.process.start")).pty, { columns: 100, rows: 30 });
  await process.resize(120, 40);
  assert.equal((await process.wait({ timeout: 0 })).running, true);
  const waiting = process.wait();
  await process.kill();
  assert.equal((await waiting).signal, 9);
  await process.closeStdin();
});

test("files are written, read in part, listed, moved and removed", async (t) => {
  const server = await fake(t);
  const { files } = new PythonSandbox({ name: "test", namespace: "ns" });
  assert.equal((await files.write("/d/a", "grüße", { mode: "600", user: "u" })).size, 7);
  const query = { namespace: "ns", sandbox: "test", path: "/d/a", user: "u", mode: "600", parents: "true" };
  assert.deepEqual(await server.params("PUT"), query);
  assert.equal(await files.read("/d/a"), "grüße");
  await files.write("/d/b", new Uint8Array([0, 255, 1, 2]));
  assert.deepEqual([...(await files.readBytes("/d/b", { offset: 1, length: 2 }))], [255, 1]);
  assert.deepEqual([...(await files.readBytes("/d/b", { offset: 3 }))], [2]);
  assert.equal((await files.readBytes("/d/b", { length: 0 })).length, 0);
  await assert.rejects(files.read("/d/b"), TypeError);
  assert.equal((await files.mkdir("/d")).type, "directory");
  await files.mkdir("/");
  assert.deepEqual((await files.list("/d")).map((each) => each.name), ["a", "b"]);
  await assert.rejects(files.move("/d/a", "/d/b"), AlreadyExistsError);
  await files.move("/d/a", "/d/b", { replace: true });
  await files.remove("/d/b");
  assert.equal(await files.exists("/d/b"), false);
  await assert.rejects(files.read("/d/b"), NotFoundError);
});

test("files of any size are copied both ways", async (t) => {
  await fake(t);
  const { files } = new PythonSandbox({ name: "test" });
  assert.equal((await files.upload(new Blob([BIG]), "/blob")).size, BIG.length);
  assert.equal((await files.upload(new Blob([BIG]).stream(), "/stream")).size, BIG.length);
  let size = 0;
  const reader = (await files.download("/stream")).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) size += piece.value.length;
  assert.equal(size, BIG.length);
  assert.deepEqual(Buffer.compare(await files.readBytes("/blob"), BIG), 0);
});

test("files of Node's are copied both ways", async (t) => {
  await fake(t);
  const { files } = new PythonSandbox({ name: "test" });
  const folder = mkdtempSync(join(tmpdir(), "microsandbox-"));
  writeFileSync(join(folder, "big"), BIG);
  const file = () => createReadStream(join(folder, "big"));
  for (const source of [file(), Readable.toWeb(file())]) {
    assert.equal((await files.upload(source, "/big")).size, BIG.length);
  }
  const copied = async (stream) => {
    await pipeline(stream, createWriteStream(join(folder, "copy")));
    assert.equal(Buffer.compare(readFileSync(join(folder, "copy")), BIG), 0);
  };
  await copied(await files.download("/big"));
  await copied(Readable.fromWeb(await files.download("/big")));
});

test("what a stream fails with while it is sent is thrown, not that the server is missing", async (t) => {
  await fake(t);
  const { files } = new PythonSandbox({ name: "test" });
  for (const missing of [createReadStream("/nowhere/at/all"), Readable.toWeb(createReadStream("/nowhere/at/all"))]) {
    await assert.rejects(files.upload(missing, "/missing"), { code: "ENOENT", path: "/nowhere/at/all" });
  }
  const reason = new Error("the disk is gone");
  async function* begun() {
    yield BIG;
    throw reason;
  }
  await assert.rejects(files.upload(begun(), "/begun"), (error) => error === reason);
});

test("changes after a watch was opened are seen", async (t) => {
  const server = await fake(t);
  const { files } = new PythonSandbox({ name: "test" });
  const events = files.watch("/w", { recursive: true });
  await events.open();
  await files.write("/w/a", "1");
  for await (const event of events) {
    assert.deepEqual([event.path, event.event], ["/w/a", "write"]);
    break;
  }
  await server.untilGone();
});
