// What is thrown when something goes wrong, and where the server is found.
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as msb from "microsandbox";
import { fake, out, script } from "./fake.mjs";

const CODES = [
  [2001, 400, msb.ValidationError],
  [1001, 401, msb.AuthenticationError],
  [1004, 401, msb.InvalidTokenError],
  [3001, 403, msb.PermissionDeniedError],
  [4001, 404, msb.NotFoundError],
  [4002, 409, msb.AlreadyExistsError],
  [4003, 409, msb.BusyError],
  [3002, 429, msb.LimitExceededError],
  [5002, 500, msb.InternalServerError],
  [-32600, 400, msb.InvalidRequestError],
  [-32601, 404, msb.MethodNotFoundError],
  [-32700, 400, msb.ParseError],
  [9999, 418, msb.ApiError],
];

test("each code has a class", async (t) => {
  await fake(t);
  for (const [code, status, Kind] of CODES) {
    const sandbox = new msb.PythonSandbox({ name: `error-${code}-${status}` });
    for (const call of [() => sandbox.run("1"), () => sandbox.metrics.all()]) {
      await assert.rejects(call(), (error) => {
        assert.equal(error.constructor, Kind);
        assert.deepEqual([error.code, error.status, error.name], [code, status, Kind.name]);
        assert.match(error.message, /do that/);
        assert.ok(error instanceof msb.MicrosandboxError);
        return true;
      });
    }
  }
});

test("an error in a stream is thrown after what came before", async (t) => {
  await fake(t);
  const seen = [];
  const code = script([out("1")], { error: [409, 4003, "the server drains"] });
  const run = new msb.PythonSandbox({ name: "test" }).run(code, { onStdout: (text) => void seen.push(text) });
  await assert.rejects(run, (error) => error instanceof msb.BusyError && error.status === 409);
  assert.deepEqual(seen, ["1"]);
});

test("a stream that is cut is an error, not a result", async (t) => {
  await fake(t);
  const run = new msb.PythonSandbox({ name: "test" }).run(script([out("1")], { cut: true }));
  await assert.rejects(run, msb.ConnectionLostError);
});

test("a server that is not there is named, with how to start one", async () => {
  const sandbox = new msb.PythonSandbox({ serverUrl: "http://127.0.0.1:9", name: "test", fetch: refuse });
  await assert.rejects(sandbox.run("1"), (error) => {
    assert.ok(error instanceof msb.ServerUnreachableError);
    assert.match(error.message, /http:\/\/127\.0\.0\.1:9.*ECONNREFUSED.*msb server start --dev/);
    return true;
  });
});

// The global fetch refuses port 9 by itself; this one says what it says of a port that nobody listens on.
async function refuse() {
  throw Object.assign(new TypeError("fetch failed"), { cause: { code: "ECONNREFUSED" } });
}

test("a port that nobody listens on is unreachable", async () => {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const serverUrl = `http://127.0.0.1:${listener.address().port}`;
  listener.close();
  await once(listener, "close");
  await assert.rejects(new msb.Client({ serverUrl }).health(), msb.ServerUnreachableError);
});

test("an answer that is not the server's is shown", async (t) => {
  await fake(t);
  const sandbox = new msb.PythonSandbox({ name: "garbage" });
  for (const call of [() => sandbox.run("1"), () => sandbox.metrics.all()]) {
    await assert.rejects(call, (error) => error instanceof msb.UnexpectedResponseError && /502.*Bad Gateway/.test(error.message));
  }
});

test("a start that takes too long is a timeout, and a URL that is none is a TypeError", async (t) => {
  const silent = createServer(() => undefined).listen(0, "127.0.0.1");
  await once(silent, "listening");
  t.after(() => (silent.closeAllConnections(), silent.close()));
  const serverUrl = `http://127.0.0.1:${silent.address().port}`;
  await assert.rejects(msb.PythonSandbox.create({ serverUrl, name: "test", timeout: 0.1 }), msb.RequestTimeoutError);
  await assert.rejects(new msb.Client({ serverUrl: "nonsense" }).health(), TypeError);
});

test("the key comes from the argument, the environment or .env", async (t) => {
  const server = await fake(t);
  const before = process.cwd();
  process.chdir(mkdtempSync(join(tmpdir(), "msb-")));
  t.after(() => (process.chdir(before), delete process.env.MSB_API_KEY));
  delete process.env.MSB_API_KEY;
  await new msb.PythonSandbox({ name: "test" }).run("1");
  writeFileSync(".env", "# keys\nexport MSB_API_KEY='msb_file' # mine\nOTHER\n");
  await new msb.PythonSandbox({ name: "test" }).run("1");
  process.env.MSB_API_KEY = "msb_environment";
  await new msb.PythonSandbox({ name: "test" }).run("1");
  await new msb.PythonSandbox({ name: "test", apiKey: "msb_argument" }).run("1");
  assert.deepEqual(
    (await server.requests()).map((each) => each.authorization),
    [null, "Bearer msb_file", "Bearer msb_environment", "Bearer msb_argument"],
  );
});
