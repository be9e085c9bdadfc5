#!/usr/bin/env python3
"""A small server that speaks the API and does what the test tells it in the request itself.

It runs nothing: `sandbox.repl.run` takes as its code a script in JSON, `sandbox.command.run` and
`sandbox.process.start` take one as first argument, of what is to be answered:

    {"events": [["output", {"stream": "stdout", "text": "a"}], …], "result": {"end": "ok"}, …}

with `"hang": true` for a stream that ends only when the client goes, and `"cut": true` for a connection that ends
in its middle. A sandbox named error-CODE-STATUS gives that error for every call, one named `garbage` what a broken
proxy says. Files are kept in memory. What was asked is to be had from /recorded.

Usage: fake_server.py            listens on a free port of 127.0.0.1, prints its URL, ends when stdin closes
"""

import base64
import http.server
import json
import re
import sys
import threading
import urllib.parse

HANG_SECONDS = 0.02  # between two comments, by whose failure the client's going is noticed


class State:
    """What the server knows. All of it is guarded by `changed`."""

    def __init__(self):
        self.changed = threading.Condition()
        self.sandboxes = {}
        self.files = {}
        self.events = []  # of files, for watchers
        self.contexts = {}
        self.processes = {}
        self.recorded = []


class Failure(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Api:
    """The methods. Those that stream get `send(name, data)`, which is None without a stream."""

    def __init__(self, state):
        self.state = state

    def call(self, method, params, send):
        match = re.fullmatch(r"error-(-?\d+)-(\d+)", params.get("sandbox") or "")
        if match:
            raise Failure(int(match[2]), int(match[1]), "as the test wants it; do that")
        function = getattr(self, method.replace("sandbox.", "").replace(".", "_"), None)
        if function is None:
            raise Failure(404, -32601, f"there is no method {method}")
        return function(params, send)

    def start(self, params, _):
        self.state.sandboxes[params["namespace"], params["sandbox"]] = params
        return f"Sandbox {params['sandbox']} started successfully"

    def stop(self, params, _):
        return f"Sandbox {params['sandbox']} stopped successfully"

    def remove(self, params, _):
        if self.state.sandboxes.pop((params["namespace"], params["sandbox"]), None) is None:
            raise Failure(404, 4001, f"there is no sandbox {params['sandbox']}")
        return f"Sandbox {params['sandbox']} removed successfully"

    def list(self, params, _):
        return {"sandboxes": [
            {"namespace": namespace, "name": name, "status": "running", "id": "ab", "image": "i", "memory": 512,
             "disk": 4096, "created": "2030-01-01T00:00:00Z", "a_newer_key": 1}
            for namespace, name in sorted(self.state.sandboxes) if params["namespace"] in ("*", namespace)]}

    def timeout(self, params, _):
        return {"ends": "2030-01-01T00:00:00Z", **({"idle": params["idle"]} if "idle" in params else {})}

    def logs(self, params, _):
        return {"lines": [{"time": "2030-01-01T00:00:00Z", "stream": "stdout", "text": "line"}]}

    def metrics_get(self, params, _):
        return {"sandboxes": [
            {"namespace": namespace, "name": name, "running": True, "cpu_usage": 1.5, "memory_usage": 120,
             "disk_usage": None}
            for namespace, name in sorted(self.state.sandboxes)
            if params["namespace"] in ("*", namespace) and params.get("sandbox") in (None, name)]}

    # --- code and commands

    def repl_run(self, params, send):
        language = "node" if params["language"] in ("node", "nodejs", "javascript") else "python"
        return self.play(params["code"], {"status": "success", "language": language, "end": "ok"}, send)

    def command_run(self, params, send):
        script = params["args"][0] if params["args"] else "{}"
        return self.play(script, {"command": params["command"], "args": params["args"], "exit_code": 0,
                                  "success": True}, send)

    def play(self, script, result, send):
        text = script
        try:
            script = json.loads(text)
        except ValueError:
            script = None
        if not isinstance(script, dict):  # code that is no script is what it prints
            script = {"events": [["output", {"stream": "stdout", "text": text + "\n"}]]}
        events = script.get("events", [])
        result = {**result, "output": [], "displays": [], "truncated": False, **script.get("result", {})}
        if send:
            self.send_all(script, events, send)
        else:
            self.put_into(result, events)
        return result

    @staticmethod
    def send_all(script, events, send):
        for name, data in events:
            send(name, data)
        if script.get("error"):
            raise Failure(*script["error"])
        if script.get("cut"):
            raise ConnectionAbortedError
        while script.get("hang"):
            threading.Event().wait(HANG_SECONDS)
            send(None, "keep-alive")

    @staticmethod
    def put_into(result, events):
        for name, data in events:
            if name == "output":
                lines = data["text"].split("\n")
                result["output"] += [{"stream": data["stream"], "text": line}
                                     for line in (lines if lines[-1] else lines[:-1])]
            elif name == "display":
                result["displays"].append(data)
            elif name == "exception":
                result["exception"] = data

    # --- contexts

    def context_create(self, params, _):
        key = params["language"], params["context"]
        if key in self.state.contexts:
            raise Failure(409, 4002, f"there is a context {params['context']} already")
        self.state.contexts[key] = {"language": params["language"], "context": params["context"],
                                    "language_version": "1.2", "busy": False, "runs": 0}
        return self.state.contexts[key]

    def context_list(self, params, _):
        return {"contexts": list(self.state.contexts.values())}

    def context_interrupt(self, params, _):
        return self.state.contexts[params["language"], params["context"]]

    context_restart = context_interrupt

    def context_remove(self, params, _):
        del self.state.contexts[params["language"], params["context"]]
        return {}

    # --- processes: each gives back what is written to it, until end-of-file

    def process_start(self, params, _):
        id = f"p{len(self.state.processes) + 1}"
        self.state.processes[id] = {"params": params, "output": b"", "ended": None}
        return {"process": id, "pid": 100}

    def process_write(self, params, _):
        with self.state.changed:
            process = self.state.processes[params["process"]]
            process["output"] += data_of(params)
            if params.get("eof"):
                process["ended"] = {"running": False, "exit_code": 0, "out_of_memory": False}
            self.state.changed.notify_all()
        return {}

    def process_signal(self, params, _):
        with self.state.changed:
            self.state.processes[params["process"]]["ended"] = {
                "running": False, "exit_code": 137, "signal": 9, "out_of_memory": False}
            self.state.changed.notify_all()
        return {}

    def process_resize(self, params, _):
        return {}

    def process_attach(self, params, send):
        process = self.state.processes[params["process"]]
        sent = params.get("stdout_offset", 0)
        send(None, "keep-alive")  # the answer begins before there is output
        while True:
            with self.state.changed:
                self.state.changed.wait_for(lambda: len(process["output"]) > sent or process["ended"])
                piece, ended = process["output"][sent:], process["ended"]
            if piece:
                send("output", {"stream": "stdout", **content(piece), "offset": sent})
                sent += len(piece)
            elif ended:
                return ended

    def process_wait(self, params, _):
        process = self.state.processes[params["process"]]
        with self.state.changed:
            self.state.changed.wait_for(lambda: process["ended"], params.get("timeout"))
        return process["ended"] or {"running": True, "exit_code": 0, "out_of_memory": False}

    def process_list(self, params, _):
        return {"processes": [
            {"process": id, "pid": 100, "command": [each["params"]["command"], *each["params"]["args"]],
             "pty": "pty" in each["params"], **({"ended": each["ended"]} if each["ended"] else {})}
            for id, each in self.state.processes.items()]}

    # --- files

    def info(self, path):
        if path not in self.state.files:
            raise Failure(404, 4001, f"there is no file {path}")
        content = self.state.files[path]
        kind = "directory" if content is None else "file"
        return {"path": path, "name": path.rsplit("/", 1)[1], "type": kind, "mode": "644",
                "size": len(content or b""), "uid": 0, "gid": 0, "modified": "2030-01-01T00:00:00Z"}

    def put(self, path, content):
        with self.state.changed:
            self.state.files[path] = content
            self.state.events.append({"path": path, "event": "write"})
            self.state.changed.notify_all()
        return self.info(path)

    def files_stat(self, params, _):
        return self.info(params["path"])

    def files_list(self, params, _):
        below = [path for path in sorted(self.state.files) if path.startswith(params["path"] + "/")]
        return {"entries": [self.info(path) for path in below], "truncated": False}

    def files_mkdir(self, params, _):
        return self.put(params["path"], None)

    def files_move(self, params, _):
        if params["to"] in self.state.files and not params["replace"]:
            raise Failure(409, 4002, f"{params['to']} is there already")
        return self.put(params["to"], self.state.files.pop(params["from"]))

    def files_remove(self, params, _):
        self.info(params["path"])
        del self.state.files[params["path"]]
        return {}

    def files_watch(self, params, send):
        sent = len(self.state.events)
        send(None, "begun")
        while True:
            with self.state.changed:
                self.state.changed.wait_for(lambda: len(self.state.events) > sent, HANG_SECONDS)
                new = self.state.events[sent:]
            for event in new:
                send("file", event)
            sent += len(new)
            send(None, "keep-alive")


def data_of(message):
    return base64.b64decode(message["base64"]) if "base64" in message else message.get("text", "").encode()


def content(data):
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fake"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path, query = self.target()
        if path == "/api/v1/health":
            return self.answer(200, {"message": "Service is healthy"})
        if path == "/recorded":
            return self.answer(200, self.server.state.recorded)
        if path == "/api/v1/files":
            return self.get_file(query)
        return self.answer(404, {"error": f"there is nothing at {path}", "code": 4001})

    def do_PUT(self):
        _, query = self.target()
        body = self.body()
        self.record("PUT", query, size=len(body))
        self.guarded(lambda: self.answer(200, self.server.api.put(query["path"], body)))

    def do_POST(self):
        request = json.loads(self.body())
        self.record(request["method"], request["params"])
        if request["params"].get("sandbox") == "garbage":
            return self.raw(502, b"<html>Bad Gateway</html>", "text/html")
        if "text/event-stream" in self.headers.get("Accept", ""):
            return self.stream(request)
        self.guarded(lambda: self.answer(200, self.rpc(request, None)))

    def rpc(self, request, send):
        result = self.server.api.call(request["method"], request["params"], send)
        return {"jsonrpc": "2.0", "result": result, "id": request["id"]}

    def stream(self, request):
        begun = False

        def write(text):
            nonlocal begun
            if not begun:
                begun = True
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
            self.wfile.write(text.encode())
            self.wfile.flush()

        def send(name, data):
            write(f": {data}\n\n" if name is None else f"event: {name}\ndata: {json.dumps(data)}\n\n")

        self.close_connection = True
        try:
            send("response", self.rpc(request, send))
        except Failure as failure:
            if not begun:
                return self.fail(failure)
            send("error", {"error": failure.message, "code": failure.code, "status": failure.status})
        except ConnectionAbortedError:
            pass
        except OSError:
            self.record("gone", {"method": request["method"]})

    def get_file(self, query):
        self.record("GET", query, range=self.headers.get("Range"))

        def reply():
            self.server.api.info(query["path"])
            whole = self.server.state.files[query["path"]]
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if not match:
                return self.raw(200, whole, "application/octet-stream")
            first, last = int(match[1]), min(int(match[2] or len(whole)), len(whole) - 1)
            span = {"Content-Range": f"bytes {first}-{last}/{len(whole)}"}
            return self.raw(206, whole[first:last + 1], "application/octet-stream", span)

        self.guarded(reply)

    # --- plumbing

    def target(self):
        split = urllib.parse.urlsplit(self.path)
        return split.path, dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def record(self, method, params, **more):
        with self.server.state.changed:
            self.server.state.recorded.append(
                {"method": method, "params": params, "authorization": self.headers.get("Authorization"), **more})

    def guarded(self, function):
        try:
            function()
        except Failure as failure:
            self.fail(failure)

    def fail(self, failure):
        if failure.code < 0:
            error = {"code": failure.code, "message": failure.message}
            return self.answer(failure.status, {"jsonrpc": "2.0", "error": error, "id": None})
        return self.answer(failure.status, {"error": failure.message, "code": failure.code})

    def answer(self, status, value):
        self.raw(status, json.dumps(value).encode(), "application/json")

    def raw(self, status, body, kind, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = State()
        self.api = Api(self.state)
        self.url = f"http://127.0.0.1:{self.server_port}"


def main():
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.url, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
