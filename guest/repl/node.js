'use strict';
// The Node driver: runs code in one context for the host. Protocol: PROTOCOL.md beside this file.
//
// One file, no packages, for Node 16 and newer; older ones must still be able to parse it, to be
// told that they are too old (hence no `?.`, no class fields).
//
// Two threads. The main one runs the user's code and may be busy for as long as it likes. The
// *courier*, a worker, has the channel and the reading ends of two pipes: it reads requests, and
// sends what comes through the pipes. Descriptors 1 and 2 are their writing ends, so what children
// and native code write is in order with what JavaScript prints to the same stream; before the main
// thread prints to the other stream, it waits until the courier has emptied the pipes.
//
// Code runs through the inspector's Runtime.evaluate in REPL mode: V8's own semantics for top-level
// await, completion values and let in later runs. See `Evaluator` for what it lacks.

if (Number(process.versions.node.split('.')[0]) < 16) {
  process.stderr.write(
      'node.js: Node ' + process.versions.node + ' is too old to run code here: ' +
      '16 or newer is needed. Use an image with a newer node.\n');
  process.exit(78);
}

const fs = require('fs');
const path = require('path');
const {performance} = require('perf_hooks');
const {isMainThread, parentPort, workerData, Worker} = require('worker_threads');

const VERSION = 1;
const CHANNEL = 3;
const EXIT_UNUSABLE = 78;
const MAX_FRAME = 8 << 20;
const MAX_DISPLAY = MAX_FRAME - (64 << 10);  // encoded
const MAX_DATA = 128 << 10;
const MAX_BUFFERED = 256 << 10;
const MAX_TYPES = 32;
const MAX_TYPE_NAME = 127;
const MAX_NAME = 1 << 10;
const MAX_VALUE = 64 << 10;
const MAX_TRACE_LINES = 1000;
const MAX_TRACE_BYTES = 256 << 10;
const READ_BYTES = 64 << 10;
const MAX_DRAIN = 2 << 20;  // about twice the most that a pipe holds
const GATHER_MS = 4;        // small outputs that follow each other are gathered so long
const BURST = 32;           // but so many are sent at once first
const SMALL = 16 << 10;
const PAUSE_MS = 0.5;    // after it, what is in the pipes is older than what is written now
const REACTION_MS = 40;  // to an interrupt
const STDOUT = 1;
const STDERR = 2;
const STREAM_NAMES = {
  1: 'stdout',
  2: 'stderr'
};

// By name, so that code that replaces them does not replace ours.
const {stringify} = JSON;
const bufferFrom = Buffer.from;
const {writeSync, openSync, closeSync, fstatSync} = fs;
const {load, wait} = Atomics;

// --- JSON ---------------------------------------------------------------------------------------
const isUtf8 = require('buffer').isUtf8 || (data => {
                 try {
                   new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(data);
                   return true;
                 } catch (error) {
                   return false;
                 }
               });

// Bytes of the protocol: a string, or base64 where it is not UTF-8 or has U+0000.
function jsonBytes(data) {
  if (!data.includes(0) && isUtf8(data)) return stringify(data.toString('utf8'));
  return jsonBinary(data);
}

function jsonBinary(data) {
  return '{"b":"' + data.toString('base64') + '"}';
}

function jsonText(text) {
  return jsonBytes(bufferFrom(text, 'utf8'));  // half a surrogate pair becomes U+FFFD
}

// fields: [name, encoded value] pairs; an undefined value is left out.
function frame(kind, fields) {
  const body =
      fields.filter(field => field[1] !== undefined).map(field => '"' + field[0] + '":' + field[1]);
  const payload = bufferFrom('{"' + kind + '":{' + body.join(',') + '}}', 'utf8');
  const header = Buffer.alloc(4);
  header.writeUInt32LE(payload.length);
  return Buffer.concat([header, payload]);
}

// The greatest number <= end at which no UTF-8 character is cut, if data is UTF-8.
function charBoundary(data, end) {
  for (let back = 0; back < 4 && back < end; ++back) {
    if ((data[end - back] & 0xc0) !== 0x80) return end - back;
  }
  return end;
}

// How many bytes at the end of data begin a UTF-8 character that is not complete.
function incompleteTail(data) {
  for (let back = 1; back <= 3 && back <= data.length; ++back) {
    const byte = data[data.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needed > back ? back : 0;
  }
  return 0;
}

// === the courier ================================================================================
// What the main thread posts is answered by counting `acknowledged` up, once the channel has room.
class Courier {
  constructor(port, data) {
    const net = require('net');
    this.port = port;
    this.acknowledged = new Int32Array(data.acknowledged);
    this.received = Buffer.alloc(0);
    this.waiting = [];  // runs that came while another was active
    this.run = undefined;
    this.signalled = false;
    this.toAcknowledge = 0;
    this.pending = [];
    this.scheduled = false;
    this.carry = {1: Buffer.alloc(0), 2: Buffer.alloc(0)};
    this.scratch = Buffer.alloc(READ_BYTES);
    this.channel =
        new net.Socket({fd: CHANNEL, readable: true, writable: true, allowHalfOpen: true});
    this.channel.on('data', chunk => this.receive(chunk));
    this.channel.on('end', () => this.port.postMessage({hangup: true}));
    this.channel.on('error', () => process.kill(process.pid, 'SIGKILL'));  // as if by SIGPIPE
    this.channel.on('drain', () => this.roomAgain());
    this.budget = BURST;
    this.lastArrival = 0;
    this.gathering = false;
    // With a buffer of its own a socket stops reading at once when it is paused: what `drain` then
    // reads is not overtaken by what the socket has read before.
    this.sources = data.sources.map((fd, index) => {
      const source = {fd, stream: index + 1};
      const callback = (size, buffer) => this.readable(source, buffer.subarray(0, size));
      source.socket = new net.Socket({
        fd,
        readable: true,
        writable: false,
        onread: {buffer: Buffer.alloc(READ_BYTES), callback}
      });
      return source;
    });
    port.on('message', message => this.command(message));
  }

  // --- requests
  receive(chunk) {
    this.received = this.received.length ? Buffer.concat([this.received, chunk]) : chunk;
    while (this.received.length >= 4) {
      const length = this.received.readUInt32LE(0);
      if (length === 0 || length > MAX_FRAME) {
        return this.refuse(
            'the host sent a frame of ' + length + ' bytes, of at most ' + MAX_FRAME);
      }
      if (this.received.length < 4 + length) return;
      const payload = this.received.subarray(4, 4 + length);
      this.received = this.received.subarray(4 + length);
      this.request(payload);
    }
  }

  request(payload) {
    let message;
    try {
      message = JSON.parse(payload.toString('utf8'));
    } catch (error) {
      return this.refuse('the host sent what is not JSON: ' + error.message);
    }
    if (message === null || typeof message !== 'object') {
      return this.refuse('the host sent a message that is not an object');
    }
    const run = message.run;
    const interrupt = message.interrupt;
    if (interrupt && interrupt.id === this.run) this.interrupt();
    if (run === null || typeof run !== 'object') return;  // a message of a later version
    if (!Number.isSafeInteger(run.id) || run.id < 1) {
      return this.refuse('a run needs an id from 1 to 2^53 - 1');
    }
    if (run.code && typeof run.code.b === 'string')
      run.code = bufferFrom(run.code.b, 'base64').toString();
    if (typeof run.code !== 'string') return this.refuse('a run needs code');
    this.waiting.push(run);
    if (this.run === undefined) this.startNext();
  }

  // The main thread is told, and if it does not react, it is running code: SIGINT breaks that, and
  // ends children that it waits for. Not at once: a SIGINT kills the process if it comes while the
  // vm module exchanges signal handlers, before and after the synchronous part of a run.
  interrupt() {
    const run = this.run;
    this.port.postMessage({interrupt: run});
    setTimeout(() => {
      if (this.run !== run) return;
      this.signalled = true;
      process.kill(0, 'SIGINT');  // the process group
    }, REACTION_MS);
  }

  startNext() {
    if (this.signalled) {  // it may still be on its way, and must not meet the next run
      setTimeout(() => {
        this.signalled = false;
        if (this.run === undefined) this.startNext();
      }, REACTION_MS);
      return;
    }
    const run = this.waiting.shift();
    if (run === undefined) return;
    this.drain(true);
    this.run = run.id;
    this.port.postMessage({run: {id: run.id, code: run.code, echo: run.echo !== false}});
  }

  refuse(why) {
    this.port.postMessage({refuse: why});
    this.channel.destroy();
  }

  // --- output
  readable(source, chunk) {
    this.arrived(source.stream, chunk);
    const now = Date.now();
    if (now < this.lastArrival || now - this.lastArrival > 5 * GATHER_MS) this.budget = BURST;
    this.lastArrival = now;
    if (chunk.length < SMALL && !this.gathering) {
      if (this.budget > 0) {
        --this.budget;
      } else {
        this.gathering = true;
        this.setReading();
        setTimeout(() => {
          this.gathering = false;
          this.setReading();
        }, GATHER_MS);
      }
    }
    return true;
  }

  setReading() {
    const stop = this.gathering || this.congested();
    for (const source of this.sources) {
      if (stop) {
        source.socket.pause();
      } else {
        source.socket.resume();
      }
    }
  }

  arrived(stream, chunk) {
    if (this.carry[stream].length) chunk = Buffer.concat([this.carry[stream], chunk]);
    const begun = incompleteTail(chunk);
    this.carry[stream] = bufferFrom(chunk.subarray(chunk.length - begun));
    this.output(stream, chunk.subarray(0, chunk.length - begun));
  }

  output(stream, data) {
    for (let begin = 0; begin < data.length;) {
      let end = begin + MAX_DATA;
      end = end >= data.length ? data.length : charBoundary(data, end);
      this.message('output', [
        ['stream', '"' + STREAM_NAMES[stream] + '"'], ['data', jsonBytes(data.subarray(begin, end))]
      ]);
      begin = end;
    }
  }

  message(kind, fields) {
    this.pending.push(frame(
        kind, [['id', this.run === undefined ? undefined : String(this.run)]].concat(fields)));
    if (!this.scheduled) {
      this.scheduled = true;
      setImmediate(() => this.flush());
    }
  }

  // All that happened in one turn of the loop is one write.
  flush(done) {
    this.scheduled = false;
    if (this.pending.length) {
      this.channel.write(
          this.pending.length === 1 ? this.pending[0] : Buffer.concat(this.pending), done);
      this.pending = [];
    } else if (done) {
      this.channel.write('', done);
    }
    if (this.congested()) this.setReading();
  }

  congested() {
    return !this.channel.destroyed && this.channel.writableLength > MAX_BUFFERED;
  }

  roomAgain() {
    this.setReading();
    if (this.toAcknowledge) this.acknowledge(this.toAcknowledge);
  }

  // Takes what is in the pipes now; with `last` also characters that were begun. What the main
  // thread printed last, to the stream `first`, is older than what its children have written since.
  drain(last, first) {
    const sources = first === STDERR ? this.sources.slice().reverse() : this.sources;
    for (const source of sources) {
      for (let taken = 0; taken < MAX_DRAIN;) {
        const size = this.readNow(source.fd);
        if (size > 0) this.arrived(source.stream, this.scratch.subarray(0, size));
        taken += size;
        if (size < READ_BYTES) break;
      }
      if (last && this.carry[source.stream].length) {
        this.output(source.stream, this.carry[source.stream]);
        this.carry[source.stream] = Buffer.alloc(0);
      }
    }
  }

  readNow(fd) {
    try {
      return fs.readSync(fd, this.scratch, 0, READ_BYTES, null);
    } catch (error) {
      return 0;  // EAGAIN: empty
    }
  }

  // --- what the main thread asks for
  // {sequence, stream, data} output | {sequence, kind, fields} a message | {sequence} nothing more
  command(message) {
    this.drain(message.kind === 'done' || message.kind === 'exit', message.last);
    if (message.data) this.output(message.stream, bufferFrom(message.data));
    if (message.kind) this.message(message.kind, message.fields);
    if (message.kind === 'exit') {
      this.flush(() => this.acknowledge(message.sequence));
      return;
    }
    if (message.kind === 'done') {
      this.flush();
      this.run = undefined;
      this.startNext();
    }
    if (message.leaving) {
      this.flush(() => this.acknowledge(message.sequence));
    } else if (this.congested()) {
      this.toAcknowledge = message.sequence;
    } else {
      this.acknowledge(message.sequence);
    }
  }

  acknowledge(sequence) {
    this.toAcknowledge = 0;
    Atomics.store(this.acknowledged, 0, sequence);
    Atomics.notify(this.acknowledged, 0);
  }
}

// === the main thread ============================================================================
function refuse(why) {
  try {
    fs.writeSync(STDERR, 'node.js: ' + why + '\n');
  } finally {
    process.reallyExit(EXIT_UNUSABLE);
  }
}

// A pipe of which descriptor 1 and 2 each become the writing end. Node can neither make nor
// duplicate descriptors, so: a FIFO, opened when the number is the lowest that is free. Without a
// mkfifo program, undefined: then what is written below the language stays where it was.
function makePipes() {
  const names = ['1', '2'];
  let folder;
  for (const place of [__dirname, require('os').tmpdir()]) {
    try {
      folder = fs.mkdtempSync(path.join(place, 'output-'));
      break;
    } catch (error) {
      continue;  // not writable for this user
    }
  }
  if (folder === undefined) return undefined;
  try {
    const files = names.map(name => path.join(folder, name));
    const made = require('child_process').spawnSync('mkfifo', ['-m', '600'].concat(files), {
      stdio: 'ignore'
    });
    if (made.status !== 0) return undefined;
    return files.map((file, index) => openPipe(file, index + 1));
  } finally {
    fs.rmSync(folder, {recursive: true, force: true});
  }
}

// {source, target}: target is a writing end of our own, since a child may make the one that it
// inherits non-blocking.
function openPipe(file, number) {
  const source = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const target = fs.openSync(file, fs.constants.O_WRONLY);
  replaceDescriptor(number, file, fs.constants.O_WRONLY);
  return {source, target, inode: fstatSync(target).ino};
}

function isOpen(number) {
  try {
    fstatSync(number);
    return true;
  } catch (error) {
    return false;
  }
}

function replaceDescriptor(number, file, flags) {
  try {
    closeSync(number);
  } catch (error) {
    // It is closed already.
  }
  const got = openSync(file, flags);
  if (got !== number) refuse('descriptor ' + number + ' cannot be replaced: got ' + got);
}

// The main thread's side of the courier.
class Output {
  constructor() {
    this.pipes = makePipes();
    this.acknowledged = new Int32Array(new SharedArrayBuffer(4));
    this.sequence = 0;
    this.last = 0;  // the stream that was written to last, and when
    this.lastTime = 0;
    this.leaving = false;
    this.worker = new Worker(__filename, {
      workerData: {
        acknowledged: this.acknowledged.buffer,
        sources: this.pipes === undefined ? [] : this.pipes.map(pipe => pipe.source),
      },
      env: {},
      execArgv: [],
    });
    this.post = this.worker.postMessage.bind(this.worker);
  }

  write(stream, data) {
    if (this.pipes === undefined) return this.wait({stream, data});
    const now = performance.now();
    // In a pause a child may have written to the other stream.
    if (this.last !== 0 && (this.last !== stream || now - this.lastTime > PAUSE_MS)) this.wait({});
    this.last = stream;
    this.lastTime = now;
    for (let begin = 0; begin < data.length;) {
      begin += writeSync(this.pipes[stream - 1].target, data, begin);
    }
    if (this.leaving) this.wait({});
  }

  // Descriptors 1 and 2 are the pipes again, whatever code has done to them.
  repair() {
    if (!isOpen(0)) replaceDescriptor(0, '/dev/null', fs.constants.O_RDONLY);
    for (const [index, pipe] of (this.pipes || []).entries()) {
      const number = index + 1;
      if (!isOpen(number) || fstatSync(number).ino !== pipe.inode) {
        replaceDescriptor(number, '/proc/self/fd/' + pipe.target, fs.constants.O_WRONLY);
      }
    }
  }

  // A message behind all output so far.
  message(kind, fields) {
    this.wait({kind, fields});
    this.last = 0;
  }

  // The same, when nothing but `done` may follow: it need not wait.
  lastMessage(kind, fields) {
    this.send({kind, fields});
  }

  done(fields) {
    this.send({kind: 'done', fields});
    this.last = 0;
  }

  leave(code) {
    if (this.leaving) return;
    this.leaving = true;
    this.wait({kind: 'exit', fields: [['code', String(code)]]});
  }

  flush() {
    this.leaving = true;
    this.wait({});
  }

  send(message) {
    message.sequence = ++this.sequence;
    message.leaving = this.leaving;
    message.last = this.last;
    this.post(message);
    return message.sequence;
  }

  // Blocks the thread until the courier has dealt with it.
  wait(message) {
    const sequence = this.send(message);
    for (;;) {
      const now = load(this.acknowledged, 0);
      if (now >= sequence) return;
      wait(this.acknowledged, 0, now);
    }
  }
}

// process.stdout, process.stderr: synchronous, and without the state of a Writable, in which an
// interrupt may fall. Ending or destroying them does nothing.
function makeStream(output, number) {
  const {Writable} = require('stream');
  const stream = new Writable({write() {}});
  stream.ownWrite = (chunk, encoding, callback) => {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) {
      throw new TypeError('The chunk has to be a string, a Buffer or a Uint8Array');
    }
    const data = typeof chunk === 'string' ?
        bufferFrom(chunk, typeof encoding === 'string' ? encoding : 'utf8') :
        chunk;
    if (data.length) output.write(number, data);
    const done = [callback, encoding].find(argument => typeof argument === 'function');
    if (done) process.nextTick(done);
    return true;
  };
  stream.fd = number;
  stream._type = 'pipe';
  stream._isStdio = true;
  stream.end = (chunk, encoding, callback) => {
    if (chunk !== undefined && chunk !== null && typeof chunk !== 'function')
      stream.ownWrite(chunk, encoding);
    const done = [callback, encoding, chunk].find(argument => typeof argument === 'function');
    if (done) process.nextTick(done);
    return stream;
  };
  stream.destroy = stream.destroySoon = () => stream;
  stream.setMaxListeners(0);
  return stream;
}

// --- scanning code ------------------------------------------------------------------------------
// Finds, outside of strings, comments, templates and regular expressions: const, let and var at the
// top level, and import. Not a parser: where it cannot know (is `) /` a division?) it takes what is
// common; the worst that follows is an error that V8 reports.
const WORD = /[\w$\u0080-\uffff]+/y;
const BEFORE_REGEXP = new Set([
  'return', 'typeof', 'case', 'in', 'of', 'delete', 'void', 'throw', 'new', 'do', 'else', 'await',
  'yield', 'instanceof'
]);

class Scanner {
  constructor(code) {
    this.code = code;
    this.at = 0;
    this.open = [];  // brackets and template expressions
    this.previous = '';
    this.found = [];  // {word, at}
  }

  scan() {
    while (this.at < this.code.length) this.step();
    return this.found;
  }

  step() {
    const code = this.code;
    const char = code[this.at];
    if (/\s/.test(char)) {
      ++this.at;
    } else if (code.startsWith('//', this.at) || (this.at === 0 && code.startsWith('#!'))) {
      this.skipTo('\n');
    } else if (code.startsWith('/*', this.at)) {
      this.at += 2;
      this.skipTo('*/');
    } else if (char === '"' || char === '\'') {
      this.string(char);
    } else if (char === '`') {
      ++this.at;
      this.template();
    } else if (char === '/' && this.regexpMayFollow()) {
      this.regexp();
    } else if (this.word()) {
      return;
    } else {
      this.punctuation(char);
    }
  }

  skipTo(end) {
    const found = this.code.indexOf(end, this.at);
    this.at = found < 0 ? this.code.length : found + end.length;
  }

  string(quote) {
    for (++this.at; this.at < this.code.length && this.code[this.at] !== quote; ++this.at) {
      if (this.code[this.at] === '\\') ++this.at;
    }
    ++this.at;
    this.previous = 'string';
  }

  template() {
    for (; this.at < this.code.length; ++this.at) {
      if (this.code[this.at] === '\\') {
        ++this.at;
      } else if (this.code[this.at] === '`') {
        ++this.at;
        this.previous = 'string';
        return;
      } else if (this.code.startsWith('${', this.at)) {
        this.at += 2;
        this.open.push('`');
        this.previous = '{';
        return;
      }
    }
  }

  regexpMayFollow() {
    return BEFORE_REGEXP.has(this.previous) ||
        !/^(?:[\w$\u0080-\uffff]+|\)|\])$/.test(this.previous);
  }

  regexp() {
    let inClass = false;
    for (++this.at; this.at < this.code.length; ++this.at) {
      const char = this.code[this.at];
      if (char === '\n' || (char === '/' && !inClass)) break;
      if (char === '\\') ++this.at;
      if (char === '[') inClass = true;
      if (char === ']') inClass = false;
    }
    ++this.at;
    this.previous = 'string';
  }

  word() {
    WORD.lastIndex = this.at;
    const match = WORD.exec(this.code);
    if (match === null) return false;
    const word = match[0];
    if (this.previous !== '.') this.note(word);
    this.at += word.length;
    this.previous = word;
    return true;
  }

  note(word) {
    const top = this.open.length === 0;
    if (word === 'import' || (top && (word === 'const' || word === 'var'))) {
      this.found.push({word, at: this.at, top});
    } else if (
        top && word === 'let' &&
        /^let\s*[\w$\u0080-\uffff[{]/.test(this.code.slice(this.at, this.at + 200))) {
      this.found.push({word, at: this.at, top});
    }
  }

  punctuation(char) {
    ++this.at;
    if ('([{'.includes(char)) this.open.push(char);
    if (')]}'.includes(char) && this.open.pop() === '`') return this.template();
    this.previous = char;
  }
}

const STATIC_IMPORT =
    /import\s*(?:([\w$]+)\s*,?\s*)?(?:\*\s*as\s+([\w$]+)\s+|\{([^}]*)\}\s*)?(?:from\s*)?(["'])([^"'\n]+)\4/y;

// import a, {b as c} from 'm'  ->  let {default: a, b: c} = await $mport("m")
function importStatement(match) {
  const loading = 'await $mport(' + stringify(match[5]) + ')';
  const names =
      match[3] === undefined ? '' : match[3].replace(/\s+as\s+/g, ': ').replace(/\s+/g, ' ');
  const parts = [];
  if (match[1] !== undefined) parts.push('default: ' + match[1]);
  if (names.trim()) parts.push(names);
  let text =
      match[1] === undefined && match[3] === undefined && match[2] === undefined ? loading : '';
  if (match[2] !== undefined) text = 'let ' + match[2] + ' = ' + loading;
  if (parts.length) text += (text ? ', ' : 'let ') + '{' + parts.join(', ') + '} = ' + loading;
  return text + '\n'.repeat(match[0].split('\n').length - 1);
}

// The code with its top-level keywords replaced: {const: 'let  '} keeps every column.
function rewrite(code, found, keywords) {
  let text = '';
  let from = 0;
  for (const {word, at, top} of found) {
    if (at < from) continue;
    let replacement = keywords[word];
    let length = word.length;
    if (word === 'import') {
      STATIC_IMPORT.lastIndex = at;
      const statement = top ? STATIC_IMPORT.exec(code) : null;
      if (statement !== null) {
        replacement = importStatement(statement);
        length = statement[0].length;
      } else if (/^\s*\(/.test(code.slice(at + 6, at + 100))) {
        replacement = '$mport';
      }
    }
    if (replacement === undefined) continue;
    text += code.slice(from, at) + replacement;
    from = at + length;
  }
  return text + code.slice(from);
}

// --- running code -------------------------------------------------------------------------------
// Runtime.evaluate in REPL mode, and around it what it lacks:
// - import() and import statements: rewritten to a function of ours;
// - const can be redeclared as const, let as let, but not one as the other: const becomes let at
// the
//   top level; let against an earlier var or function becomes var, var against an earlier let, let;
// - {a: 1} is an object, not a block, as in Node's REPL;
// - interrupts: the call is made by a script that SIGINT breaks.
class Evaluator {
  constructor() {
    const inspector = require('inspector');
    this.vm = require('vm');
    this.session = new inspector.Session();
    this.session.connect();
    this.taken = undefined;
    this.takerId = this.remember(value => {
      this.taken = value;
    });
  }

  // The inspector's id of a value of ours.
  remember(value) {
    const name = 'driver' + process.hrtime.bigint();
    Object.defineProperty(globalThis, name, {value, configurable: true});
    let id;
    this.session.post(
        'Runtime.evaluate', {expression: name, objectGroup: 'driver'}, (error, reply) => {
          id = reply.result.objectId;
        });
    delete globalThis[name];
    return id;
  }

  // The value that the inspector describes.
  valueOf(remote) {
    if ('value' in remote) return remote.value;
    if (remote.type === 'undefined') return undefined;
    const argument = remote.objectId === undefined ?
        {unserializableValue: remote.unserializableValue} :
        {objectId: remote.objectId};
    this.taken = undefined;
    this.session.post(
        'Runtime.callFunctionOn', {
          functionDeclaration: 'function(value) { this(value); }',
          objectId: this.takerId,
          arguments: [argument],
          silent: true,
        },
        () => {});
    const value = this.taken;
    this.taken = undefined;
    return value;
  }

  // Calls back once with {value}, {error} or {interrupted}; synchronously or later.
  evaluate(code, callback) {
    const found = new Scanner(code).scan();
    const attempts = [
      {const : 'let  '}, {const : 'var  ', let : 'var'}, {const : 'let  ', var : 'let'}
    ].map(keywords => rewrite(this.asExpression(code), this.shifted(code, found), keywords));
    const next = () => this.attempt(attempts.shift(), outcome => {
      if (attempts.length && this.isRedeclaration(outcome, code)) {
        next();
      } else {
        callback(outcome);
      }
    });
    next();
  }

  // {a: 1} -> ({a: 1})
  asExpression(code) {
    return this.isObjectLiteral(code) ? '(' + code + '\n)' : code;
  }

  shifted(code, found) {
    return this.isObjectLiteral(code) ?
        found.filter(entry => entry.word === 'import')
            .map(entry => ({word: entry.word, at: entry.at + 1, top: false})) :
        found;
  }

  isObjectLiteral(code) {
    return /^\s*\{/.test(code) && !/;\s*$/.test(code) && this.parses('(' + code + '\n)');
  }

  parses(code) {
    try {
      new this.vm.Script(code, {filename: '<stdin>'});
      return true;
    } catch (error) {
      return false;
    }
  }

  // Thrown before anything of the code has run, and because of an earlier run.
  isRedeclaration(outcome, code) {
    const error = outcome.error;
    if (!('error' in outcome) || !(error instanceof SyntaxError)) return false;
    if (!/^Identifier '.*' has already been declared$/.test(error.message)) return false;
    if (/<stdin>:\d/.test(String(error.stack).replace('<stdin>:1:1', ''))) return false;
    const syntax = syntaxErrorOf(this.vm, code);
    return syntax === undefined || syntax.message !== error.message;
  }

  attempt(code, callback) {
    let answered = false;
    const answer = outcome => {
      if (answered) return;
      answered = true;
      callback(outcome);
    };
    const post = () => this.session.post(
        'Runtime.evaluate', {
          expression: code + '\n//# sourceURL=<stdin>',
          replMode: true,
          silent: true,
          objectGroup: 'run',
        },
        (error, reply) => {
          if (!error) return answer(this.outcomeOf(reply));
          if (/terminated/.test(error.message)) return answer({interrupted: true});
          if (!/destroyed/.test(error.message)) answer({error});  // the process is about to die
        });
    Object.defineProperty(globalThis, '$driver', {value: post, configurable: true});
    try {
      const script = new this.vm.Script(
          '{ const call = $driver; delete globalThis.$driver; call(); }', {filename: 'driver'});
      script.runInThisContext({breakOnSigint: true, displayErrors: false});
    } catch (error) {
      answer(
          error && error.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED' ? {interrupted: true} :
                                                                       {error});
    }
  }

  outcomeOf(reply) {
    const details = reply.exceptionDetails;
    const outcome = details === undefined ?
        {value: this.valueOf(reply.result)} :
        {error: this.valueOf(details.exception || reply.result)};
    this.session.post('Runtime.releaseObjectGroup', {objectGroup: 'run'}, () => {});
    return outcome;
  }
}

function syntaxErrorOf(vm, code) {
  try {
    new vm.Script(code, {filename: '<stdin>'});
    return undefined;
  } catch (error) {
    return error;
  }
}

// --- errors -------------------------------------------------------------------------------------
// In every stack, also one that code itself prints, the frames below the user's are left out: they
// are the driver's and the inspector's.
function prepareStackTrace(error, frames) {
  const isDriver = frame => ['node:inspector', __filename].includes(String(frame.getFileName()));
  const end = frames.findIndex(isDriver);
  let text;
  try {
    text = errorToString.call(error);
  } catch (failure) {
    text = 'Error';
  }
  for (const frame of end < 0 ? frames : frames.slice(0, end)) text += '\n    at ' + frame;
  return text;
}
const errorToString = Error.prototype.toString;

function boundedLines(lines) {
  const half = MAX_TRACE_LINES / 2 - 1;
  if (lines.length > MAX_TRACE_LINES) {
    lines = lines.slice(0, half).concat(
        '... ' + (lines.length - 2 * half) + ' lines are left out ...', lines.slice(-half));
  }
  const size = lines.reduce((sum, line) => sum + line.length, 0);
  if (size <= MAX_TRACE_BYTES / 8) return lines;
  const longest = Math.max(200, Math.floor(MAX_TRACE_BYTES / 8 / lines.length));
  return lines.map(line => line.length <= longest ? line : line.slice(0, longest) + ' ...');
}

// Where a syntax error is: `<stdin>:1`, the line, and a caret.
function syntaxErrorPlace(vm, error, code) {
  if (!(error instanceof SyntaxError) || code === undefined ||
      /<stdin>:\d/.test(String(error.stack)))
    return [];
  const found = syntaxErrorOf(vm, code);
  if (found === undefined || found.message !== error.message) return [];
  const lines = String(found.stack).split('\n');
  const end = lines.indexOf('');
  return end > 0 && lines[0].startsWith('<stdin>:') ? lines.slice(0, end + 1) : [];
}

function errorFields(error, inspect, vm, code) {
  let name = 'Error';
  let value;
  let lines;
  try {
    const isError = error instanceof Error || require('util').types.isNativeError(error);
    name = isError ? String(error.name) : 'Uncaught';
    value = isError ? String(error.message) : inspect(error);
    // An error without frames is shown in brackets.
    const text = inspect(error).replace(/^\[([^\n]*)\](?= \{|$)/, isError ? '$1' : '$&');
    lines = syntaxErrorPlace(vm, error, code).concat(('Uncaught ' + text).split('\n'));
  } catch (failure) {
    value = value === undefined ? '<its text cannot be had>' : value;
    lines = ['Uncaught ' + name + ': ' + value];
  }
  return [
    ['name', jsonText(name.slice(0, MAX_NAME / 4))],
    ['value', jsonText(value.slice(0, MAX_VALUE / 4))],
    ['traceback', '[' + boundedLines(lines).map(jsonText).join(',') + ']'],
    ['stream', '"stdout"'],
  ];
}

// --- rich values --------------------------------------------------------------------------------
const TYPE_NAME = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$/;
const DISPLAY = Symbol.for('Jupyter.display');

function isBinary(mime) {
  return mime === 'application/pdf' || (mime.startsWith('image/') && !mime.endsWith('+xml'));
}

function toData(mime, value) {
  if (ArrayBuffer.isView(value))
    return bufferFrom(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer) return bufferFrom(value);
  if (mime === 'application/json' || mime.endsWith('+json')) {
    return bufferFrom(typeof value === 'string' ? value : String(stringify(value)));
  }
  // By convention base64 where it is text.
  if (isBinary(mime) && /^[A-Za-z0-9+/\s]+=*\s*$/.test(String(value)))
    return bufferFrom(String(value), 'base64');
  return bufferFrom(String(value));
}

// {MIME type: value}, text/plain first.
function representations(value, inspect) {
  const found = {'text/plain': inspect(value)};
  const isObject = value !== null && (typeof value === 'object' || typeof value === 'function');
  try {
    if (isObject && typeof value[DISPLAY] === 'function') Object.assign(found, value[DISPLAY]());
  } catch (error) {
    return {'text/plain': found['text/plain']};  // one that is broken does not hide the value
  }
  return found;
}

function displayFields(found, isResult) {
  const data = [];
  const omitted = [];
  let room = MAX_DISPLAY;
  for (const mime of Object.keys(found).slice(0, MAX_TYPES)) {
    if (mime.length > MAX_TYPE_NAME || !TYPE_NAME.test(mime)) continue;
    const content = toData(mime, found[mime]);
    const encoded = isBinary(mime) ? jsonBinary(content) : jsonBytes(content);
    const size = Buffer.byteLength(encoded);
    if (size <= room) {
      room -= size;
      data.push('"' + mime + '":' + encoded);
    } else {
      omitted.push('"' + mime + '":' + content.length);
    }
  }
  return [
    ['result', isResult ? 'true' : undefined],
    ['data', '{' + data.join(',') + '}'],
    ['omitted', omitted.length ? '{' + omitted.join(',') + '}' : undefined],
  ];
}

// --- the driver ---------------------------------------------------------------------------------
class Driver {
  constructor() {
    const {inspect} = require('util');
    this.inspect = value => inspect(value);
    this.output = new Output();
    this.active = undefined;  // {finish}: the run that goes on
    this.setUpProcess();
    this.evaluator = new Evaluator();
    this.setUpGlobals();
    this.listeners = {
      SIGINT: () => this.interrupt(),
      uncaughtException: error => this.uncaught(error),
      unhandledRejection: error => this.uncaught(error),
      exit: code => this.output.leave(code),
    };
    this.output.worker.on('message', message => this.message(message));
    this.output.worker.on('error', error => refuse('its second thread failed: ' + error.stack));
    this.prepare();
  }

  // What a run relies on is there again, whatever the last one has done to it.
  prepare() {
    this.output.repair();
    this.useStreams();
    for (const event of Object.keys(this.listeners)) {
      if (!process.listeners(event).includes(this.listeners[event]))
        process.on(event, this.listeners[event]);
    }
  }

  setUpProcess() {
    this.streams = {
      stdout: makeStream(this.output, STDOUT),
      stderr: makeStream(this.output, STDERR)
    };
    // Node's own console also tells the inspector, which keeps what was logged.
    this.console = new (require('console').Console)(this.streams);
    this.useStreams();
    const abort = process.abort;
    process.abort = () => {
      this.output.flush();
      abort.call(process);
    };
    process.argv.length = 1;
    Error.prepareStackTrace = prepareStackTrace;
  }

  useStreams() {
    for (const name of ['stdout', 'stderr']) {
      const value = this.streams[name];
      value.write = value.ownWrite;
      Object.defineProperty(
          process, name, {value, configurable: true, enumerable: true, writable: true});
    }
    Object.defineProperty(
        globalThis, 'console', {value: this.console, configurable: true, writable: true});
  }

  // As in Node's REPL: require, module, and the built-in modules by name.
  setUpGlobals() {
    const Module = require('module');
    const file = path.join(process.cwd(), '[stdin]');
    const module = new Module(file, null);
    module.filename = file;
    module.paths = Module._nodeModulePaths(process.cwd());
    const require_ = Module.createRequire(file);
    const from = new Module(file, null);  // what gives import() the working directory
    from.filename = file;
    from.paths = module.paths;
    from._compile('module.exports = name => import(name)', file);
    const define = (name, value) => Object.defineProperty(
        globalThis, name, {value, configurable: true, writable: true, enumerable: false});
    define('require', require_);
    define('module', module);
    define('exports', module.exports);
    define('$mport', from.exports);
    define('display', this.makeDisplay());
    for (const name of Module.builtinModules) {
      if (/^[a-z]\w*$/.test(name) && !(name in globalThis)) this.defineModule(name, require_);
    }
  }

  defineModule(name, require_) {
    const set = value => Object.defineProperty(
        globalThis, name, {value, configurable: true, writable: true, enumerable: true});
    Object.defineProperty(globalThis, name, {
      configurable: true,
      enumerable: false,
      get: () => {
        const value = require_(name);
        Object.defineProperty(
            globalThis, name, {value, configurable: true, writable: true, enumerable: false});
        return value;
      },
      set,
    });
  }

  makeDisplay() {
    const show = found => this.show(found, false);
    const display = (value, options) => {
      if (options && options.raw) {
        show(Object.assign({'text/plain': '<' + Object.keys(value).join(', ') + '>'}, value));
      } else {
        show(representations(value, this.inspect));
      }
    };
    const types = {
      html: 'text/html',
      markdown: 'text/markdown',
      latex: 'text/latex',
      svg: 'image/svg+xml',
      png: 'image/png',
      jpeg: 'image/jpeg',
      json: 'application/json',
    };
    for (const name of Object.keys(types))
      display[name] = value => display({[types[name]]: value}, {raw: true});
    return display;
  }

  show(found, isResult, send = this.output.message) {
    const text = bufferFrom(String(found['text/plain']));
    if (text.length > MAX_DATA) {  // goes the way of all text
      this.output.write(STDOUT, Buffer.concat([text, bufferFrom('\n')]));
      delete found['text/plain'];
      if (Object.keys(found).length === 0) return;
    }
    send.call(this.output, 'display', displayFields(found, isResult));
  }

  // --- messages of the courier
  message(message) {
    if (message.run) this.run(message.run);
    if (message.interrupt) this.interrupt(message.interrupt);
    if (message.hangup) process.exit(0);
    if (message.refuse) refuse(message.refuse);
  }

  start() {
    this.output.message('hello', [
      ['version', String(VERSION)],
      ['oldest', String(VERSION)],
      ['language', '"node"'],
      ['interrupt', '"message"'],
      ['language_version', stringify(process.versions.node)],
      ['pid', String(process.pid)],
    ]);
  }

  run({id, code, echo}) {
    this.prepare();
    const run = {id, failed: false};
    this.active = run;
    this.evaluator.evaluate(code, outcome => {
      if (this.active !== run) return;  // it was interrupted
      if (outcome.interrupted) return this.finish('interrupted');
      if ('error' in outcome) {
        this.report(outcome.error, code);
      } else if (echo) {
        this.echo(outcome.value);
      }
      this.finish(run.failed ? 'error' : 'ok');
    });
  }

  echo(value) {
    if (value === undefined) return;
    try {
      this.show(representations(value, this.inspect), true, this.output.lastMessage);
    } catch (error) {
      this.report(error);
    }
  }

  report(error, code) {
    if (this.active) this.active.failed = true;
    this.output.message('error', errorFields(error, this.inspect, this.evaluator.vm, code));
  }

  uncaught(error) {
    this.report(error);
  }

  finish(status) {
    this.active = undefined;
    this.output.done([['status', '"' + status + '"']]);
  }

  // By the message, or by a SIGINT; while code runs synchronously that breaks it instead.
  interrupt(id) {
    if (this.active && (id === undefined || id === this.active.id)) this.finish('interrupted');
  }
}

function main() {
  try {
    if (!fs.fstatSync(CHANNEL).isSocket())
      refuse('descriptor 3 has to be a stream socket to the host');
  } catch (error) {
    refuse(
        'descriptor 3 has to be a stream socket to the host: it is closed. This program is ' +
        'started by the server, not by hand');
  }
  try {
    require('inspector');
  } catch (error) {
    refuse(
        'this Node was built without the inspector, which is needed to run code. Use another image.');
  }
  replaceDescriptor(0, '/dev/null', fs.constants.O_RDONLY);
  new Driver().start();
}

if (isMainThread) {
  main();
} else {
  new Courier(parentPort, workerData);
}
