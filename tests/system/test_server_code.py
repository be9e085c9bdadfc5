"""Code and commands over the server's JSON-RPC: what the published clients rely on, and what they never got."""

import base64
import json
import threading
import time

import pytest
from conftest import wait_until
from server_tools import Refused, lines_of, nothing_left_behind, server, text_of, unique  # noqa: F401


@pytest.fixture(scope="module")
def python(server):
    return server.sandbox("microsandbox/python")


@pytest.fixture(scope="module")
def node(server):
    return server.sandbox("microsandbox/node")


# --- the exchanges of the published clients ---------------------------------------------------------------

def test_the_requests_of_the_published_clients_get_the_answers_they_expect(server):
    seed = unique("t-seed")
    name = {"namespace": "default", "sandbox": seed}
    server.names.append(seed)
    config = {"image": "microsandbox/python", "memory": 512, "cpus": 1}
    assert server.call("sandbox.start", **name, config=config) == f"Sandbox {seed} started successfully"
    ran = server.call("sandbox.repl.run", **name, language="python", code="print('hi')", timeout=10)
    assert ran["status"] == "success" and ran["language"] == "python"
    assert ran["output"] == [{"stream": "stdout", "text": "hi"}]
    listed = server.call("sandbox.command.run", **name, command="ls", args=["-la", "/"], timeout=10)
    assert (listed["command"], listed["args"], listed["exit_code"], listed["success"]) == \
        ("ls", ["-la", "/"], 0, True)
    assert listed["output"][0]["text"].startswith("total ")
    [metrics] = server.call("sandbox.metrics.get", **name)["sandboxes"]
    assert (metrics["namespace"], metrics["name"], metrics["running"]) == ("default", seed, True)
    assert metrics["cpu_usage"] >= 0 and metrics["memory_usage"] > 0 and metrics["disk_usage"] > 0
    assert server.call("sandbox.stop", **name) == f"Sandbox {seed} stopped successfully"


def test_the_number_of_cpus_may_arrive_as_a_fraction_and_nulls_as_absent(server):
    name = unique("t-float")
    server.names.append(name)
    config = {"image": "microsandbox/python", "memory": 256.0, "cpus": 1.0, "workdir": None, "exec": None}
    server.call("sandbox.start", sandbox=name, config=config)
    server.call("sandbox.stop", sandbox=name)


# --- Python -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code, expected", [
    ("x = 42\nx", "42\n"),
    ("print('x', end='')", "x\n"),
    ("for i in range(2):\n    print(i)\nprint('after')", "0\n1\nafter\n"),
    ("def f():\n    a = 1\n\n    return a\n\nf()", "1\n"),
    ("print()\nprint('> x')\nprint('.. y')", "\n> x\n.. y\n"),
    ("import sys; print('é€😀')", "é€😀\n"),
])
def test_python_gives_what_the_code_wrote_line_by_line(python, code, expected):
    assert python.output(code) == expected


def test_an_exception_is_a_traceback_on_stderr_and_a_success_for_these_clients(python):
    ran = python.code("1/0")
    assert ran["status"] == "success" and ran["end"] == "error"
    assert 'File "<stdin>", line 1' in lines_of(ran, "stderr")
    assert ran["exception"]["name"] == "ZeroDivisionError"


def test_state_persists_and_contexts_are_apart(python):
    python.code("shared = 'first'")
    python.code("shared = 'second'", context="other")
    assert python.output("shared") == "'first'\n"
    assert python.output("shared", context="other") == "'second'\n"


def test_streams_are_in_the_order_of_arrival(python):
    ran = python.code("import sys\nfor i in range(3):\n    print('o', i)\n    print('e', i, file=sys.stderr)")
    assert [(line["stream"], line["text"]) for line in ran["output"]] == \
        [(stream, f"{stream[3]} {i}") for i in range(3) for stream in ("stdout", "stderr")]


def test_code_that_times_out_is_interrupted_and_its_context_lives_on(python):
    python.code("kept = 7")
    ran = python.code("while True: pass", timeout=0.5)
    assert ran["status"] == "success" and ran["end"] == "timeout"
    assert lines_of(ran, "stderr").endswith("Error: Evaluation timeout after 0.5 seconds\n")
    assert python.output("kept") == "7\n"


def test_code_that_cannot_be_interrupted_is_killed_and_the_next_run_starts_anew(python):
    python.code("gone = 1", context="stubborn")
    ran = python.code("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
                      context="stubborn", timeout=0.2)
    assert ran["end"] == "timeout"
    assert "did not stop when it was interrupted" in lines_of(ran, "stderr")
    assert "NameError" in lines_of(python.code("gone", context="stubborn"), "stderr")


@pytest.mark.parametrize("code, how", [
    ("import os; os._exit(3)", "exited with code 3"),
    ("import sys; sys.exit(4)", "exited with code 4"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed by signal 9"),
    ("import ctypes; ctypes.string_at(0)", "was killed by signal 11"),
])
def test_code_that_ends_its_process_ends_the_context_and_says_how(python, code, how):
    ran = python.code("print('before'); " + code, context="doomed")
    assert ran["status"] == "success" and ran["end"] == "exited"
    assert how in lines_of(ran, "stderr")
    assert lines_of(ran) == "before\n"
    assert python.output("'anew'", context="doomed") == "'anew'\n"


def test_values_are_shown_by_mime_type(python):
    ran = python.code("class T:\n  def _repr_html_(self): return '<b>x</b>'\n"
                      "  def _repr_png_(self): return b'\\x89PNG'\n  def __repr__(self): return 'T'\nT()")
    [shown] = ran["displays"]
    assert shown["result"] is True
    assert shown["data"]["text/html"] == "<b>x</b>" and shown["data"]["text/plain"] == "T"
    assert base64.b64decode(shown["data"]["image/png"]) == b"\x89PNG"
    assert lines_of(ran) == "T\n"


def test_tables_figures_and_pictures_are_shown_as_they_are_meant(server):
    data = server.sandbox("microsandbox/python-data", memory=512)
    [table] = data.code("import pandas as pd\npd.DataFrame({'a': [1, 2]})")["displays"]
    assert "<table" in table["data"]["text/html"] and "a" in table["data"]["text/plain"]
    figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    [shown] = [d for d in data.code(figure)["displays"] if "image/png" in d["data"]]
    assert base64.b64decode(shown["data"]["image/png"]).startswith(b"\x89PNG\r\n")
    svg = data.code("plt.rcParams['savefig.format'] = 'svg'\nplt.plot([2, 1])\nplt.show()")["displays"]
    assert any("<svg" in d["data"].get("image/svg+xml", "") for d in svg)
    picture = data.code("from PIL import Image\nImage.new('RGB', (4, 4), 'red')")["displays"]
    assert any(base64.b64decode(d["data"].get("image/png", "")).startswith(b"\x89PNG") for d in picture)


def test_more_output_than_a_result_holds_is_cut_and_said(python):
    ran = python.code("for i in range(10): print('x' * (1 << 20))")
    assert ran["truncated"] and len(ran["output"]) == 8


def test_a_language_that_the_image_lacks_is_named_with_what_to_do(python):
    with pytest.raises(Refused) as refused:
        python.code("1", language="node")
    assert (refused.value.status, refused.value.code) == (400, 2001)
    assert "microsandbox/python has no node program" in refused.value.message
    assert all(context["language"] == "python" for context in python.call("context.list")["contexts"])


# --- Node -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("language", ["node", "nodejs", "javascript"])
def test_node_answers_to_all_its_names(node, language):
    assert node.output("1+1", language) == "2\n"


def test_node_awaits_at_the_top_level_and_prints_errors_on_stdout(node):
    assert node.output("const v = await Promise.resolve(5); v", "node") == "5\n"
    assert "Uncaught Error: boom" in node.output("throw new Error('boom')", "node")


def test_node_that_times_out_is_interrupted_and_lives_on(node):
    node.code("var kept = 8", "node")
    assert node.code("for (;;) {}", "node", timeout=0.5)["end"] == "timeout"
    assert node.output("kept", "node") == "8\n"
    assert node.code("process.exit(5)", "node")["end"] == "exited"


# --- contexts ---------------------------------------------------------------------------------------------

def test_a_context_has_a_directory_and_an_environment_of_its_own(python):
    made = python.call("context.create", language="python", context="made", workdir="/tmp",
                       envs=["COLOUR=blue"])
    assert made["language_version"].startswith("3.") and not made["busy"]
    assert python.output("import os; print(os.getcwd(), os.environ['COLOUR'])", context="made") == "/tmp blue\n"
    with pytest.raises(Refused) as refused:
        python.call("context.create", language="python", context="made")
    assert (refused.value.status, refused.value.code) == (409, 4002)
    python.call("context.restart", language="python", context="made")
    python.call("context.remove", language="python", context="made")
    with pytest.raises(Refused) as refused:
        python.call("context.restart", language="python", context="made")
    assert (refused.value.status, refused.value.code) == (404, 4001)


@pytest.mark.parametrize("wish, complaint", [({"workdir": "/no/such"}, "/no/such"), ({"user": "nobody-here"}, "nobody-here")])
def test_a_context_that_cannot_be_as_it_is_wished_is_no_fault_of_the_image(python, wish, complaint):
    with pytest.raises(Refused) as refused:
        python.call("context.create", language="python", context="wished", **wish)
    assert (refused.value.status, refused.value.code) == (400, 2001)
    assert complaint in refused.value.message and "use an image" not in refused.value.message
    with pytest.raises(Refused) as command:
        python.call("command.run", command="true", **wish)
    assert command.value.message == refused.value.message
    assert "wished" not in [one["context"] for one in python.call("context.list")["contexts"]]


def test_a_running_context_can_be_interrupted_by_another_call(python):
    results = []
    runner = threading.Thread(target=lambda: results.append(
        python.code("import time\ntime.sleep(1000)", context="waiting")))
    runner.start()
    wait_until(lambda: any(c["context"] == "waiting" and c["busy"] and c["runs"]
                           for c in python.call("context.list")["contexts"]), "the run")
    # An interrupt that falls between the sending of a run and its start can be lost.
    def interrupted():
        python.call("context.interrupt", language="python", context="waiting")
        runner.join(1)
        return not runner.is_alive()
    wait_until(interrupted, "the interrupt")
    assert results[0]["end"] == "interrupted"


def test_the_next_run_waits_for_the_one_before(python):
    results = {}
    first = threading.Thread(target=lambda: results.update(a=python.output(
        "import time\ntime.sleep(0.5)\nturn = 1\nturn", context="queue")))
    first.start()
    wait_until(lambda: any(c["context"] == "queue" and c["busy"] and c["runs"]
                           for c in python.call("context.list")["contexts"]), "the first")
    assert python.output("turn + 1", context="queue") == "2\n"
    first.join()


# --- commands ---------------------------------------------------------------------------------------------

def test_a_command_takes_no_shell_and_no_input(python):
    assert lines_of(python.call("command.run", command="echo", args=["a  b", "$HOME", "*"])) == "a  b $HOME *\n"
    assert lines_of(python.call("command.run", command="cat")) == ""
    ran = python.sh("echo out; echo err >&2; exit 3")
    assert (ran["exit_code"], ran["success"]) == (3, False)
    assert (lines_of(ran), lines_of(ran, "stderr")) == ("out\n", "err\n")


def test_a_command_that_cannot_run_or_runs_out_of_time_is_an_error_of_http(python):
    with pytest.raises(Refused) as refused:
        python.call("command.run", command="no-such-program")
    assert refused.value.status == 500 and "no-such-program" in refused.value.message
    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        python.call("command.run", command="sleep", args=["1000"], timeout=0.3)
    assert refused.value.status == 500 and "did not end within 0.3 s and was killed" in refused.value.message
    assert time.monotonic() - began < 500
    wait_until(lambda: "sleep" not in lines_of(python.sh("cat /proc/[0-9]*/comm")), "the kill")


def test_a_command_that_writes_without_end_runs_out_of_time_too(python):
    with pytest.raises(Refused) as refused:
        python.call("command.run", command="yes", timeout=0.5)
    assert "did not end within 0.5 s and was killed" in refused.value.message
    assert list(python.stream("command.run", command="yes", timeout=0.5))[-1][0] == "error"


def test_a_command_that_is_killed_for_lack_of_memory_is_said_to_be(python):
    ran = python.call("command.run", command="python3", args=["-c", "x = []\nwhile True: x.append(b'y' * (1 << 20))"])
    assert (ran["exit_code"], ran["success"], ran["out_of_memory"]) == (137, False, True)
    assert python.sh("kill -9 $$")["out_of_memory"] is False


def test_a_command_has_the_user_directory_and_environment_that_it_is_given(python):
    ran = python.call("command.run", command="sh", args=["-c", "id -un; pwd; echo $A"], user="nobody",
                      workdir="/usr", envs=["A=1"])
    assert lines_of(ran) == "nobody\n/usr\n1\n"


# --- streams ----------------------------------------------------------------------------------------------

def test_a_stream_tells_what_happens_and_then_the_result(python):
    events = list(python.stream("repl.run", language="python",
                                code="import sys\nprint('a')\nprint('b', file=sys.stderr)\n{'k': 1}"))
    names = [name for name, _ in events]
    assert names[-1] == "response" and set(names[:-1]) == {"output", "display"}
    assert "".join(e["text"] for n, e in events if n == "output" and e["stream"] == "stdout") == "a\n"
    assert events[-1][1]["id"] == "s1" and events[-1][1]["result"]["output"] == []


def test_a_stream_says_what_was_written_while_the_code_runs(python):
    events = python.stream("repl.run", language="python", code="print('early')\nimport time\ntime.sleep(1000)")
    name, data = next(events)
    assert (name, data["text"]) == ("output", "early\n")
    events.close()  # the client goes: the code is interrupted
    wait_until(lambda: not any(c["busy"] and c["context"] == "default"
                               for c in python.call("context.list")["contexts"]), "the interrupt")
    assert python.output("'free'") == "'free'\n"


def test_a_command_of_a_client_that_goes_is_killed(python):
    events = python.stream("command.run", command="sh", args=["-c", "echo on; exec sleep 4242"])
    assert text_of(next(events)[1]) == b"on\n"
    events.close()
    wait_until(lambda: "4242" not in lines_of(python.sh("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'")), "the kill")


def test_what_is_no_text_comes_in_base64(python):
    events = list(python.stream("command.run", command="printf", args=["\\377\\376"]))
    assert b"".join(text_of(e) for n, e in events if n == "output") == b"\xff\xfe"


def test_an_error_after_a_stream_has_begun_is_its_last_event(python):
    [(name, data)] = list(python.stream("command.run", command="no-such-program"))
    assert name == "error" and data["status"] == 500 and "no-such-program" in data["error"]


def test_all_of_a_long_output_arrives_in_order(python):
    total = 5_000_000
    code = f"import sys\nfor i in range({total // 20}): sys.stdout.write('%019d\\n' % i)"
    got = b"".join(text_of(e) for n, e in python.stream("repl.run", language="python", code=code)
                   if n == "output")
    assert len(got) == total and got[-20:] == b"%019d\n" % (total // 20 - 1)
