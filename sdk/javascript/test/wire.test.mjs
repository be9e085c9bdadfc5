// The parser of event streams, which needs no server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../dist/esm/wire.js";

const TEXT = ": hello\r\n\r\nevent: output\r\ndata: {\r\ndata:  1}\r\n\r\ndata: x\rid: 1\r\revent: e\n\ndata:é\n\n";
const EVENTS = [
  { name: "output", data: "{\n 1}" },
  { name: "message", data: "x" },
  { name: "message", data: "é" },
];

test("events are found however their text is cut", () => {
  for (let size = 1; size <= TEXT.length; size++) {
    const parser = new EventParser();
    const found = [];
    for (let at = 0; at < TEXT.length; at += size) found.push(...parser.feed(TEXT.slice(at, at + size)));
    assert.deepEqual(found, EVENTS);
  }
});
