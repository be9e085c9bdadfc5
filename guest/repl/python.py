"""The Python driver: runs code in one context for the host. Protocol: PROTOCOL.md beside this file.

One file, no packages, for Python 3.8 and newer; older ones must still be able to parse it, to be
told that they are too old (hence no f-strings and no annotations).

The user's code runs in this very process, so everything here stands on its own: the driver has a
copy of the builtins, keeps the functions that it needs by name (code may rebind os.write, print or
sys.stdout), and lives outside of sys.modules. What code prints through sys.stdout and sys.stderr is
put into one ordered buffer; what is written to descriptors 1 and 2 below that (child processes, C
code) arrives in two pipes, which are emptied before anything later is put into the buffer.

Threads: the main one reads requests and runs code. The *flusher* empties the pipes while nobody
prints, and sends what has waited for FLUSH_SECONDS. Both use Output under its lock.
"""

import sys

if sys.version_info < (3, 8):
    sys.stderr.write(
        "python.py: Python %d.%d is too old to run code here: 3.8 or newer is needed. "
        "Use an image with a newer python3.\n" % sys.version_info[:2]
    )
    sys.exit(78)

import builtins

__builtins__ = dict(vars(builtins))  # whatever code does to builtins, not to ours

# Neither this file's folder nor the working directory may provide the modules below.
if sys.path and not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated:
    del sys.path[0]

import _ast
import _thread
import __future__
import atexit
import binascii
import faulthandler
import fcntl
import io
import json
import linecache
import os
import re
import select
import signal
import stat
import time

VERSION = 1
CHANNEL = 3
EXIT_UNUSABLE = 78
MAX_FRAME = 8 << 20
MAX_DISPLAY = MAX_FRAME - (64 << 10)  # encoded
MAX_DATA = 128 << 10
MAX_TYPES = 32
MAX_TYPE_NAME = 127
MAX_NAME = 1 << 10
MAX_VALUE = 64 << 10
MAX_TRACE_LINES = 1000
MAX_TRACE_BYTES = 256 << 10
MAX_SOURCES = 16 << 20  # bytes of code kept for tracebacks

PIPE_BYTES = 1 << 20  # C code that keeps the GIL blocks when it writes more than this at once
READ_BYTES = 64 << 10
SEND_BYTES = 64 << 10  # buffered output beyond this is sent
FLUSH_SECONDS = 0.004
# So many lines are sent at once before lines are gathered: a crash loses none of the first ones.
BURST = 32

STDOUT, STDERR = 1, 2
STREAM_NAMES = {STDOUT: "stdout", STDERR: "stderr"}

# By name, so that code that replaces them in their modules (a mock) does not replace ours.
read, write, close, getpid, leave_now = os.read, os.write, os.close, os.getpid, os._exit
abort_now, dup2, fstat = os.abort, os.dup2, os.fstat
monotonic = time.monotonic
get_ident = _thread.get_ident
quote = json.encoder.encode_basestring
scan_json = json.JSONDecoder().scan_once  # in C: needs no builtins
to_json = json.JSONEncoder(default=str).encode
to_base64 = binascii.b2a_base64

FILE = (lambda: None).__code__.co_filename
MAIN_THREAD = get_ident()


own_stderr = STDERR  # the process's own, wherever it has been moved to


def refuse(why):
    """The driver cannot work: said on the process's own stderr, which the host shows."""
    try:
        write(own_stderr, ("python.py: %s\n" % why).encode("utf-8", "backslashreplace"))
    finally:
        leave_now(EXIT_UNUSABLE)


def private(descriptor):
    """The descriptor again, at a number that code does not stumble over, close-on-exec."""
    for lowest in (500, 100, 10):
        try:
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
        except OSError:
            continue  # RLIMIT_NOFILE is lower
    return refuse("no descriptor is free: RLIMIT_NOFILE is too low")


def moved(descriptor):
    number = private(descriptor)
    close(descriptor)
    return number


# --- JSON ----------------------------------------------------------------------------------------
def json_bytes(data):
    """Bytes of the protocol: a string, or base64 where it is not UTF-8 or has U+0000."""
    if b"\0" not in data:
        try:
            text = str(data, "utf-8")
            return quote(text).encode() if len(data) < 1024 else quoted(data)
        except UnicodeDecodeError:
            pass
    return b'{"b":"' + to_base64(data, newline=False) + b'"}'


PLAIN = bytes(byte for byte in range(256) if byte >= 0x20 and byte not in b'"\\')


def quoted(data):
    """A long JSON string, ten times as fast as the json module where only the usual is escaped."""
    special = data.translate(None, PLAIN)
    if special.translate(None, b'\n\r\t"\\'):
        return quote(str(data, "utf-8")).encode()
    if special:
        data = data.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        data = data.replace(b"\n", b"\\n").replace(b"\r", b"\\r").replace(b"\t", b"\\t")
    return b'"' + data + b'"'


def json_text(text):
    return json_bytes(text.encode("utf-8", "backslashreplace"))


def frame(kind, fields):
    """fields: (name, encoded value) pairs; a value of None is left out."""
    body = b",".join(b'"%s":%s' % (name.encode(), value) for name, value in fields if value)
    payload = b'{"%s":{%s}}' % (kind.encode(), body)
    return len(payload).to_bytes(4, "little") + payload


def char_boundary(data, end):
    """The greatest number <= end at which no UTF-8 character is cut, if data is UTF-8."""
    for back in range(min(4, end)):
        if data[end - back] & 0xC0 != 0x80:
            return end - back
    return end


def incomplete_tail(data):
    """How many bytes at the end of data begin a UTF-8 character that is not complete."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = (
            2
            if byte >> 5 == 0b110
            else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1
        )
        return back if needed > back else 0
    return 0


# --- interrupts ----------------------------------------------------------------------------------
class Interrupts:
    """SIGINT becomes KeyboardInterrupt in the user's code, never in the middle of the driver's.

    While the main thread is in a `critical` section (half a frame may be sent), or in a line of this
    file, the interrupt waits for `check`."""

    def __init__(self):
        self.running = False  # user's code is running
        self.seen = False  # one has come in this run
        self.depth = 0  # main thread only
        self.pending = False
        signal.signal(signal.SIGINT, self._arrived)

    def _arrived(self, _number, interrupted):
        if not self.running:
            return
        self.seen = True
        if self.depth or (interrupted is not None and interrupted.f_code.co_filename == FILE):
            self.pending = True
        else:
            raise KeyboardInterrupt

    def begin(self):
        self.seen = self.pending = False
        self.running = True

    def check(self):
        if self.pending and not self.depth and self.running and get_ident() == MAIN_THREAD:
            self.pending = False
            raise KeyboardInterrupt


# --- output --------------------------------------------------------------------------------------
class Output:
    """The channel's writing side, and everything that becomes output, in one order.

    Every method that is called from outside takes the lock. It is re-entrant, since a signal handler
    or a destructor may print in the middle of anything; then `busy` makes it only append."""

    def __init__(self, channel, interrupts):
        self.channel = channel
        self.interrupts = interrupts
        self.process = getpid()
        self.begun_lines = {}  # in a child
        self.forked = False  # in a child: writes go to descriptors 1 and 2, like everybody's
        self.silent = False  # the host has hung up
        self.leaving = False
        self.lock = _thread.RLock()
        self.busy = 0
        self.run = None  # encoded id
        self.frames = []  # encoded, not sent
        self.parts = []  # not encoded, all of `stream`
        self.stream = STDOUT
        self.size = 0
        self.oldest = 0.0  # when what is buffered began to wait
        self.budget = BURST
        self.armed = False  # the flusher has been told to look at the clock
        self.ended_line = True
        self.pipes = {}  # stream -> (read end, write end)
        self.carry = {STDOUT: b"", STDERR: b""}  # begun characters from the pipes
        self.wake, self.waker = [moved(end) for end in os.pipe()]
        self.watch = select.poll()
        for stream in (STDOUT, STDERR):
            self._make_pipe(stream)

    def _make_pipe(self, stream):
        source, target = [moved(end) for end in os.pipe()]
        os.set_blocking(source, False)
        try:
            fcntl.fcntl(target, 1031, PIPE_BYTES)  # F_SETPIPE_SZ
        except OSError:
            pass  # the user's share of pipe memory is used up: a smaller one works, too
        self.pipes[stream] = (source, target)
        self.watch.register(source, select.POLLIN)
        dup2(target, stream)

    def repair(self):
        """Descriptors 1 and 2 are the pipes again, whatever code has done to them."""
        for stream, (_source, target) in self.pipes.items():
            try:
                ours, found = fstat(target), fstat(stream)
                if (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino):
                    continue
            except OSError:
                pass  # closed
            dup2(target, stream)

    # Entering and leaving.
    def _enter(self):
        if get_ident() == MAIN_THREAD:
            self.interrupts.depth += 1
        # When the interpreter ends, a thread may have been stopped with the lock in its hand.
        self.lock.acquire(timeout=1 if self.leaving else -1)

    def _leave(self):
        try:
            self.lock.release()
        except RuntimeError:
            pass  # not acquired: see _enter
        if get_ident() == MAIN_THREAD:
            self.interrupts.depth -= 1

    def __enter__(self):
        self._enter()
        self.busy += 1

    def __exit__(self, *_error):
        self.busy -= 1
        self._leave()

    # What code does.
    def write(self, stream, data):
        if self.forked:
            return self._write_in_child(stream, data)
        with self:
            if self.busy > 1:
                self._append(stream, data)
            else:
                self._drain()
                if len(data) < SEND_BYTES:
                    self._append(stream, data)
                    self._send_or_wait(data)
                else:
                    self._send_large(stream, data)
        if self.interrupts.pending:
            self.interrupts.check()

    def _write_in_child(self, stream, data):
        """By the line: the children of a process pool do not mix up theirs."""
        data = self.begun_lines.pop(stream, b"") + data
        end = len(data) if len(data) > SEND_BYTES else data.rfind(b"\n") + 1
        if end:
            self._write_all(stream, data[:end])
        if end < len(data):
            self.begun_lines[stream] = data[end:]

    def flush_child(self):
        while self.begun_lines:
            self._write_all(*self.begun_lines.popitem())

    def message(self, kind, *fields):
        """A frame behind all output so far; sent with what comes next, or at once if it is large."""
        if self.forked:
            return
        with self:
            if self.busy == 1:
                self._drain()
            self._seal()
            self._push(frame(kind, [("id", self.run)] + list(fields)))
            if self.busy > 1:
                return
            if self.size >= SEND_BYTES:
                self._flush()
            elif kind == "display":
                self._wait()

    def begin(self, run):
        with self:
            self._drain()
            self._flush()
            self.run = b"%d" % run
            self.budget = BURST

    def end(self, kind, *fields):
        """The run's last message: everything that was written comes before it."""
        with self:
            self._drain(last=True)
            self._seal()
            self._push(frame(kind, [("id", self.run)] + list(fields)))
            self._flush()
            if kind == "done":
                self.run = None

    def flush(self):
        if self.forked:
            return self.flush_child()
        with self:
            self._drain(last=True)
            self._flush()

    # Under the lock.
    def _append(self, stream, data):
        if not self.size:
            self.oldest = monotonic()
        if stream != self.stream:
            self._seal()
            self.stream = stream
        self.parts.append(data)
        self.size += len(data)

    def _push(self, encoded):
        if not self.size:
            self.oldest = monotonic()
        self.frames.append(encoded)
        self.size += len(encoded)

    def _seal(self):
        if not self.parts:
            return
        parts, self.parts = self.parts, []
        data = b"".join(parts)
        for begin, end in pieces(data):
            self.frames.append(self._output_frame(self.stream, data[begin:end]))

    def _output_frame(self, stream, data):
        return frame(
            "output",
            (
                ("id", self.run),
                ("stream", b'"%s"' % STREAM_NAMES[stream].encode()),
                ("data", json_bytes(data)),
            ),
        )

    def _send_large(self, stream, data):
        self._flush()
        view = memoryview(data)
        for begin, end in pieces(data):
            self._send(self._output_frame(stream, bytes(view[begin:end])))

    def _send_or_wait(self, data):
        if self.size >= SEND_BYTES:
            self._flush()
        elif self.leaving or (self.budget and data[-1:] == b"\n"):
            self.budget -= 1
            self._flush()
        else:
            self._wait()

    def _wait(self):
        if not self.armed and not self.leaving:
            self.armed = True
            write(self.waker, b"w")

    def _flush(self):
        self._seal()
        if self.frames:
            frames, self.frames = self.frames, []
            self.size = 0
            self._send(b"".join(frames))

    def _send(self, data):
        if getpid() != self.process:
            self.forked = True  # below the language
        if self.forked or self.silent:
            return
        try:
            self._write_all(self.channel, data)
        except OSError:
            leave_now(1)  # the host is gone, like a program's terminal

    @staticmethod
    def _write_all(descriptor, data):
        sent = write(descriptor, data)
        if sent < len(data):
            view = memoryview(data)
            while sent < len(data):
                sent += write(descriptor, view[sent:])

    def _drain(self, last=False):
        """Takes what is in the pipes now, at most about what fits into them."""
        taken = 0
        events = self.watch.poll(0)
        while events and taken < 2 * PIPE_BYTES and not self.forked:
            for source, _event in events:
                taken += self._take(STDOUT if source == self.pipes[STDOUT][0] else STDERR, source)
            if self.size >= SEND_BYTES:
                self._flush()
            events = self.watch.poll(0)
        if last:
            for stream, begun in self.carry.items():
                if begun:
                    self.carry[stream] = b""
                    self._append(stream, begun)
        return taken

    def _take(self, stream, source):
        try:
            data = read(source, READ_BYTES)
        except BlockingIOError:
            return 0
        data = self.carry[stream] + data
        begun = incomplete_tail(data)
        self.carry[stream] = data[len(data) - begun :]
        if len(data) > begun:
            self._append(stream, data[: len(data) - begun])
        return len(data)

    # The flusher.
    def start_flusher(self):
        """Its signals are blocked: they are for the main thread, whose sleep they interrupt."""
        self.stopped = _thread.allocate_lock()
        self.stopped.acquire()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            _thread.start_new_thread(self._flusher, ())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _flusher(self):
        poller = select.poll()
        for descriptor in (self.wake, self.pipes[STDOUT][0], self.pipes[STDERR][0]):
            poller.register(descriptor, select.POLLIN)
        timeout = None
        while not self.leaving:
            events = poller.poll(timeout)
            with self:
                timeout = self._tend([descriptor for descriptor, _event in events])
        self.stopped.release()

    def _tend(self, ready):
        """What the flusher does when it is woken; returns for how many milliseconds it sleeps."""
        if self.wake in ready:
            read(self.wake, 64)
        if self._drain() and self.budget:
            self.budget -= 1
            self._flush()
        if self.size:
            self.armed = True
            left = self.oldest + FLUSH_SECONDS - monotonic()
            if left > 0:
                return left * 1000 + 1
            self._flush()
            return FLUSH_SECONDS * 1000
        if self.armed and ready:
            return FLUSH_SECONDS * 1000
        self.armed = False  # nothing for a while: the burst is over
        self.budget = BURST
        return None

    # The process's end, and forks.
    def leave(self):
        """Before the interpreter ends: stops the flusher, which would be stopped anywhere."""
        self.flush()
        self.leaving = True
        write(self.waker, b"w")
        self.stopped.acquire()

    def before_fork(self):
        self._enter()

    def after_fork_in_parent(self):
        self._leave()

    def after_fork_in_child(self):
        self.forked = True
        self.interrupts.depth = 0
        for descriptor in (self.channel, self.wake, self.waker):
            close(descriptor)
        for ends in self.pipes.values():
            for end in ends:
                close(end)


def pieces(data):
    """(begin, end) of the pieces of at most MAX_DATA that data is sent in."""
    begin = 0
    while begin < len(data):
        end = begin + MAX_DATA
        end = len(data) if end >= len(data) else char_boundary(data, end)
        yield begin, end
        begin = end


class Sink(io.BufferedIOBase):
    """sys.stdout.buffer, sys.stderr.buffer. Closing it does nothing."""

    def __init__(self, output, stream):
        self._output = output
        self._stream = stream
        self.name = "<%s>" % STREAM_NAMES[stream]
        self.mode = "wb"

    @property
    def raw(self):
        return self

    def write(self, data):
        if type(data) is not bytes:
            data = memoryview(data).tobytes()
        if data:
            self._output.write(self._stream, data)
        return len(data)

    def writable(self):
        return True

    def fileno(self):
        return self._stream

    def flush(self):
        if self._output.forked:
            self._output.flush_child()

    def close(self):
        pass


class Stream(io.TextIOWrapper):
    """sys.stdout, sys.stderr: the language's own text layer, which hands everything on at once."""

    def __init__(self, sink, errors):
        super().__init__(sink, "utf-8", errors, newline="\n", write_through=True)
        self.mode = "w"

    def close(self):
        self.flush()


# --- rich values ---------------------------------------------------------------------------------
REPRESENTATIONS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("text/latex", "_repr_latex_"),
    ("application/json", "_repr_json_"),
    ("application/javascript", "_repr_javascript_"),
    ("application/pdf", "_repr_pdf_"),
)
TYPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\Z")


def is_binary(mime):
    return mime == "application/pdf" or (mime.startswith("image/") and not mime.endswith("+xml"))


def to_data(mime, value):
    """The bytes of one representation, as the method gave it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if mime == "application/json" or mime.endswith("+json"):
        return (value if isinstance(value, str) else to_json(value)).encode(
            "utf-8", "backslashreplace"
        )
    text = value if isinstance(value, str) else str(value)
    if is_binary(mime):  # by convention base64 where it is text
        try:
            return binascii.a2b_base64(text)
        except (binascii.Error, ValueError):
            pass
    return text.encode("utf-8", "backslashreplace")


def call_representation(value, name):
    """None if there is none, or if it fails: one that is broken does not hide the others."""
    # Of the type, as Python does for its own special methods: objects that answer to any attribute
    # would answer to these.
    if getattr(type(value), name, None) is None or isinstance(value, type):
        return None
    try:
        found = getattr(value, name)()
    except Exception:
        return None
    return found[0] if isinstance(found, tuple) and found else found


def representations(value):
    """{MIME type: bytes}, text/plain first."""
    found = {"text/plain": repr(value)}
    found.update(figure_representation(value))
    for mime, name in REPRESENTATIONS:
        data = call_representation(value, name)
        if data is not None:
            found[mime] = data
    bundle = call_representation(value, "_repr_mimebundle_")
    if isinstance(bundle, dict):
        found.update(bundle)
    return found


def display_fields(found, is_result):
    """The fields of a display message: what fits, and the sizes of what does not."""
    data, omitted, room = [], [], MAX_DISPLAY
    for mime, value in list(found.items())[:MAX_TYPES]:
        if not isinstance(mime, str) or len(mime) > MAX_TYPE_NAME or not TYPE_NAME.match(mime):
            continue
        content = to_data(mime, value)
        encoded = json_bytes(content)
        if is_binary(mime) and encoded[:1] == b'"':
            encoded = b'{"b":"' + to_base64(content, newline=False) + b'"}'
        if len(encoded) <= room:
            room -= len(encoded)
            data.append(b'"%s":%s' % (mime.encode(), encoded))
        else:
            omitted.append(b'"%s":%d' % (mime.encode(), len(content)))
    return (
        ("result", b"true" if is_result else None),
        ("data", b"{" + b",".join(data) + b"}"),
        ("omitted", b"{" + b",".join(omitted) + b"}" if omitted else None),
    )


def show_value(output, found, is_result):
    """Sends one value; a text that is too long for a message goes the way of all text."""
    text = found.get("text/plain")
    if isinstance(text, str) and len(text) > MAX_DATA // 4:
        data = text.encode("utf-8", "backslashreplace")
        if len(data) > MAX_DATA:
            output.write(STDOUT, data + b"\n")
            del found["text/plain"]
            if not found:
                return
    output.message("display", *display_fields(found, is_result))


# --- matplotlib ----------------------------------------------------------------------------------
def figure_representation(value):
    figures = sys.modules.get("matplotlib.figure")
    kind = getattr(figures, "Figure", None)
    if kind is None or not isinstance(value, kind):
        return {}
    import matplotlib

    form = matplotlib.rcParams.get("savefig.format")
    form = form if form in ("png", "svg") else "png"
    file = io.BytesIO()
    value.savefig(file, format=form, bbox_inches="tight")
    return {"image/svg+xml" if form == "svg" else "image/png": file.getvalue()}


class Figures:
    """matplotlib without a screen: show() and the end of a run show and close the open figures.

    A finder on sys.meta_path, since code that imports pyplot calls show() in the same run."""

    MODULE = "matplotlib.pyplot"

    def __init__(self, display):
        self._display = display
        self._shown = []
        os.environ.setdefault("MPLBACKEND", "agg")
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name != self.MODULE:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find and finder is not self else None
            if spec is not None:
                self._hook(spec.loader)
                return spec
        return None

    def _hook(self, loader):
        execute = loader.exec_module

        def exec_module(module):
            execute(module)
            self._patch(module)

        loader.exec_module = exec_module

    def _patch(self, pyplot):
        original = pyplot.show
        figure_type = pyplot.Figure
        original_of_figure = figure_type.show

        def show(*args, **options):
            if pyplot.get_backend().lower() != "agg":
                return original(*args, **options)
            return self.show_all()

        def show_figure(figure, *args, **options):
            if pyplot.get_backend().lower() != "agg":
                return original_of_figure(figure, *args, **options)
            return self._display(figure)

        show.__doc__, show_figure.__doc__ = original.__doc__, original_of_figure.__doc__
        pyplot.show, figure_type.show = show, show_figure

    def _pyplot(self):
        return sys.modules.get(self.MODULE)

    def shown(self, value):
        """A figure that display() or the echo has shown is not shown again at the end."""
        if self._pyplot() is not None and type(value).__name__ == "Figure":
            self._shown.append(value)

    def show_all(self):
        pyplot = self._pyplot()
        if pyplot is None or not hasattr(pyplot, "get_fignums"):
            return
        try:
            for number in pyplot.get_fignums():
                figure = pyplot.figure(number)
                if not any(figure is shown for shown in self._shown):
                    self._display(figure)
        finally:
            self.close_all()

    def close_all(self):
        del self._shown[:]
        if self._pyplot() is not None:
            self._pyplot().close("all")


# --- errors --------------------------------------------------------------------------------------
# Every run has a file name of its own, for the right source lines; what people read is <stdin>.
RUN_NAME = re.compile(r"<stdin-\d+>")
RUN_FILE = re.compile(r'^([\s|+]*File )"<stdin-\d+>"', re.MULTILINE)


def without_driver(trace):
    """The traceback without the driver's own frames."""
    kept = []
    while trace is not None:
        if trace.tb_frame.f_code.co_filename != FILE:
            kept.append(trace)
        trace = trace.tb_next
    for entry, following in zip(kept, kept[1:] + [None]):
        entry.tb_next = following
    return kept[0] if kept else None


def clean(error):
    """Takes the driver's frames out of an exception and of those that led to it."""
    waiting, seen = [error], []
    while waiting:
        error = waiting.pop()
        if error is None or any(error is other for other in seen) or len(seen) > 100:
            continue
        seen.append(error)
        error.__traceback__ = without_driver(error.__traceback__)
        waiting += [error.__cause__, error.__context__]


def trace_lines(error):
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return RUN_FILE.sub(r'\1"<stdin>"', text).split("\n")[:-1]


def bounded_lines(lines):
    """The first and the last lines, if there are too many for a message."""
    half = MAX_TRACE_LINES // 2 - 1
    if len(lines) > MAX_TRACE_LINES:
        left_out = "... %d lines are left out ..." % (len(lines) - 2 * half)
        lines = lines[:half] + [left_out] + lines[-half:]
    longest = max(200, MAX_TRACE_BYTES // 8 // len(lines)) if lines else 0
    if sum(map(len, lines)) > MAX_TRACE_BYTES // 8:  # 4 bytes a character, and escapes
        lines = [line if len(line) <= longest else line[:longest] + " ..." for line in lines]
    return lines


def error_fields(error):
    name = getattr(type(error), "__name__", "Exception")
    try:
        value = RUN_NAME.sub("<stdin>", str(error))
    except Exception:
        value = "<its text cannot be had: __str__ failed>"
    try:
        clean(error)
        lines = trace_lines(error)
    except Exception as failure:  # a broken class of exception, or a broken traceback module
        lines = ["%s: %s" % (name, value), "(its traceback cannot be shown: %r)" % failure]
    return (
        ("name", json_text(name[: MAX_NAME // 4])),
        ("value", json_text(value[: MAX_VALUE // 4])),
        ("traceback", b"[" + b",".join(map(json_text, bounded_lines(lines))) + b"]"),
        ("stream", b'"stderr"'),
    )


# --- running code --------------------------------------------------------------------------------
TOP_LEVEL_AWAIT = _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
CO_COROUTINE = 0x80
FUTURES = 0
for _name in __future__.all_feature_names:
    FUTURES |= getattr(__future__, _name).compiler_flag


class Sources:
    """The code of earlier runs, where tracebacks and inspect.getsource look for it."""

    def __init__(self):
        self._count = 0
        self._kept = []
        self._size = 0

    def add(self, code):
        self._count += 1
        name = "<stdin-%d>" % self._count
        text = code if isinstance(code, str) else code.decode("utf-8", "replace")
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        self._kept.append((name, len(text)))
        self._size += len(text)
        while self._size > MAX_SOURCES and len(self._kept) > 1:
            old, size = self._kept.pop(0)
            self._size -= size
            linecache.cache.pop(old, None)
        return name


class Code:
    """One piece of code, compiled: statements, and the last expression if it is to be echoed."""

    def __init__(self, source, name, futures, echo):
        tree = self._compile(source, name, "exec", futures | _ast.PyCF_ONLY_AST)
        last = None
        if echo and tree.body and isinstance(tree.body[-1], _ast.Expr):
            last = _ast.Expression(tree.body.pop().value)
        self.body = self._compile(tree, name, "exec", futures)
        self.futures = futures | (self.body.co_flags & FUTURES)
        self.last = last and self._compile(last, name, "eval", self.futures)

    @staticmethod
    def _compile(source, name, mode, flags):
        return compile(source, name, mode, flags | TOP_LEVEL_AWAIT, True)


class Context:
    """The variables, and how code runs in them."""

    def __init__(self, output, interrupts):
        self._output = output
        self._interrupts = interrupts
        self._module = type(sys)("__main__")
        self._futures = 0
        self._sources = Sources()
        self._figures = Figures(self.display)
        self._loop = None
        self._streams = {}
        self._driver = sys.modules["__main__"]  # its globals are ours: they must not be cleared
        self._stdin = open(0, closefd=False)
        sys.argv = [""]
        sys.displayhook = self.echo
        builtins.display = self.display
        self.prepare()

    def prepare(self):
        """What a run relies on is there again, whatever the last one has done to it."""
        variables = self._module.__dict__
        variables.setdefault("__name__", "__main__")
        variables["__builtins__"] = builtins
        sys.modules["__main__"] = self._module
        for stream, errors in ((STDOUT, "surrogateescape"), (STDERR, "backslashreplace")):
            text = self._streams.get(stream)
            if getattr(text, "buffer", None) is None:  # none yet, or detached
                text = self._streams[stream] = Stream(Sink(self._output, stream), errors)
            setattr(sys, STREAM_NAMES[stream], text)
            setattr(sys, "__%s__" % STREAM_NAMES[stream], text)
        if self._stdin.closed:
            self._stdin = open(os.devnull)
        sys.stdin = sys.__stdin__ = self._stdin
        self._output.repair()

    def execute(self, source, echo):
        """Runs code; raises what it raises."""
        code = Code(source, self._sources.add(source), self._futures, echo)
        self._futures = code.futures
        self._evaluate(code.body)
        if code.last is not None:
            sys.displayhook(self._evaluate(code.last))

    def _evaluate(self, code):
        variables = self._module.__dict__
        if code.co_flags & CO_COROUTINE:
            return self._await(eval(code, variables))
        return eval(code, variables)

    def _await(self, coroutine):
        """Runs a coroutine in the context's event loop: tasks go on in the next run that awaits."""
        asyncio = import_own("asyncio")
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if not task.done():  # interrupted: its finally blocks run, too
                task.cancel()
                try:
                    self._loop.run_until_complete(task)
                except (Exception, asyncio.CancelledError):
                    pass

    def finish(self, interrupted):
        """The figures that code left open."""
        if interrupted:
            self._figures.close_all()
        else:
            self._figures.show_all()

    def echo(self, value):
        if value is None:
            return
        builtins._ = value
        show_value(self._output, representations(value), True)
        self._figures.shown(value)
        self._interrupts.check()

    def display(self, *values, raw=False):
        """Shows values as well as they can be shown: HTML, images, ... With raw=True a value is a
        dictionary of MIME types and their data."""
        for value in values:
            if raw:
                found = {"text/plain": "<%s>" % ", ".join(map(str, value))}
                found.update(value)
            else:
                found = representations(value)
            show_value(self._output, found, False)
            self._figures.shown(value)
            self._interrupts.check()


def import_own(name):
    """A module of the standard library, even if the working directory has one of that name."""
    if name in sys.modules:
        return sys.modules[name]
    path = sys.path[:]
    sys.path[:] = [entry for entry in path if entry not in ("", os.curdir)]
    try:
        return __import__(name)
    finally:
        sys.path[:] = path


# --- the driver ----------------------------------------------------------------------------------
class Requests:
    """The channel's reading side."""

    def __init__(self, channel):
        self._channel = channel
        self._buffer = b""

    def next(self):
        """The next request, or None at the end."""
        header = self._take(4)
        if header is None:
            return None
        length = int.from_bytes(header, "little")
        if not 0 < length <= MAX_FRAME:
            refuse("the host sent a frame of %d bytes, of at most %d" % (length, MAX_FRAME))
        payload = self._take(length)
        if payload is None:
            return None
        try:
            request, _end = scan_json(payload.decode("utf-8"), 0)
        except (ValueError, StopIteration) as error:
            refuse("the host sent what is not JSON: %r" % error)
        if not isinstance(request, dict):
            refuse("the host sent a message that is not an object")
        return request

    def _take(self, size):
        chunks, have = [self._buffer], len(self._buffer)
        while have < size:
            try:
                chunk = read(self._channel, 65536)
            except OSError:
                return None
            if not chunk:
                return None
            chunks.append(chunk)
            have += len(chunk)
        data = b"".join(chunks)
        self._buffer = data[size:]
        return data[:size]


class Driver:
    def __init__(self, channel):
        self._requests = Requests(channel)
        self._interrupts = Interrupts()
        self._output = Output(channel, self._interrupts)
        self._context = Context(self._output, self._interrupts)
        os._exit = self._exit_at_once
        os.abort = self._abort
        os.register_at_fork(
            before=self._output.before_fork,
            after_in_parent=self._output.after_fork_in_parent,
            after_in_child=self._output.after_fork_in_child,
        )
        atexit.register(self._last_words)

    def _exit_at_once(self, status):
        """os._exit, but what was printed before it is not lost."""
        self._output.flush()
        leave_now(status)

    def _abort(self):
        self._output.flush()
        abort_now()

    def _last_words(self):
        self._output.flush()

    def serve(self):
        """Runs what the host sends, until it hangs up or code leaves. Returns the exit code."""
        self._output.start_flusher()
        self._output.end(
            "hello",
            ("version", b"%d" % VERSION),
            ("oldest", b"%d" % VERSION),
            ("language", b'"python"'),
            ("interrupt", b'"signal"'),
            ("pid", b"%d" % getpid()),
            ("language_version", b'"%d.%d.%d"' % sys.version_info[:3]),
        )
        while True:
            request = self._requests.next()
            if request is None:
                self._output.silent = True
                self._output.leave()
                return 0
            if isinstance(request.get("run"), dict):
                code = self._run(request["run"])
                if code is not None:
                    return code

    def _run(self, request):
        """One run. Returns the exit code if the process is to end."""
        number = request.get("id")
        if type(number) is not int or not 0 < number < 1 << 53:
            refuse("a run needs an id from 1 to 2^53 - 1")
        source = request.get("code")
        if isinstance(source, dict):
            try:
                source = binascii.a2b_base64(source["b"])
            except (KeyError, TypeError, ValueError):
                source = None
        if not isinstance(source, (str, bytes)):
            refuse("a run needs code")
        self._context.prepare()
        self._output.begin(number)
        echo = request.get("echo", True) is not False
        error = self._guarded(lambda: self._context.execute(source, echo))
        interrupted = self._interrupted(error)
        if not self._output.forked:
            figures_error = self._guarded(lambda: self._context.finish(interrupted))
            if error is None:
                error, interrupted = figures_error, self._interrupted(figures_error)
        if self._output.forked:  # a child of os.fork() that has come to the end of the code
            status = 1
            try:
                status = self._child_status(error)
                self._output.flush_child()
            finally:
                leave_now(status)
        if isinstance(error, SystemExit):
            return self._leave(error)
        return self._report(error, interrupted)

    def _interrupted(self, error):
        return isinstance(error, KeyboardInterrupt) and self._interrupts.seen

    def _guarded(self, function):
        """Runs user's code. Returns what it raises."""
        try:
            try:
                self._interrupts.begin()
                function()
            finally:
                self._interrupts.running = False
            return None
        except BaseException as error:
            return error

    def _report(self, error, interrupted):
        status = b'"ok"'
        if error is not None:
            status = b'"interrupted"' if interrupted else b'"error"'
            fields = error_fields(error)
            sys.last_type, sys.last_value = type(error), error
            sys.last_traceback = error.__traceback__
            self._output.message("error", *fields)
        self._output.end("done", ("status", status))

    def _child_status(self, error):
        if isinstance(error, SystemExit):
            return self._exit_code(error)
        if error is not None:
            clean(error)
            sys.stderr.write("\n".join(trace_lines(error)) + "\n")
            return 1
        return 0

    @staticmethod
    def _exit_code(error):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        sys.stderr.write("%s\n" % (error.code,))
        return 1

    def _leave(self, error):
        """The code called sys.exit: the host is told now; exit handlers may take their time."""
        code = self._exit_code(error)
        self._output.end("exit", ("code", b"%d" % code))
        self._output.leave()
        return code


def take_channel():
    """Moves the channel from descriptor 3 to where nobody looks; /dev/null becomes stdin."""
    try:
        if not stat.S_ISSOCK(os.fstat(CHANNEL).st_mode):
            refuse("descriptor 3 has to be a stream socket to the host")
    except OSError:
        refuse(
            "descriptor 3 has to be a stream socket to the host: it is closed. This program "
            "is started by the server, not by hand"
        )
    channel = moved(CHANNEL)
    os.set_blocking(channel, True)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if null != 0:
        close(null)
    return channel


def main():
    global own_stderr
    channel = take_channel()
    own_stderr = private(STDERR)
    faulthandler.enable(own_stderr)  # a crash's stack
    if sys.version_info >= (3, 12):  # the flusher is a thread, but forks know of it
        import warnings

        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    driver = Driver(channel)
    sys.path.insert(0, "")
    try:
        return driver.serve()
    except BaseException as failure:  # what code has done to the interpreter was too much
        trace, places = failure.__traceback__, []
        while trace is not None:
            places.append("line %d" % trace.tb_lineno)
            trace = trace.tb_next
        return refuse("the driver failed: %r at %s" % (failure, ", ".join(places)))


if __name__ == "__main__":
    sys.exit(main())
