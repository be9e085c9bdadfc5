"""The Python driver: what guest/repl/PROTOCOL.md and docs/repl.md say of it, sentence by sentence."""

import ast
import base64
import importlib.util
import os
import pathlib
import signal
import struct
import subprocess
import sys

import pytest

from driver import DRIVERS, MAX_DATA, to_bytes

SOURCE = (DRIVERS / "python.py").read_text()


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"no {module} here")


# --- the file ------------------------------------------------------------------------------------
def test_the_driver_is_written_in_the_syntax_of_3_8():
    ast.parse(SOURCE, feature_version=(3, 8))


def test_an_older_python_can_parse_it_and_is_told_that_it_is_too_old():
    tree = ast.parse(SOURCE, feature_version=(3, 4))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.AnnAssign))]
    check = SOURCE[SOURCE.index("import sys") : SOURCE.index("import builtins")]
    old = "import sys\nclass V(tuple):\n    pass\nsys.version_info = (3, 7, 3)\n"
    result = subprocess.run([sys.executable, "-c", old + check], capture_output=True)
    assert result.returncode == 78
    assert b"Python 3.7 is too old" in result.stderr and b"3.8 or newer" in result.stderr


def test_without_a_channel_it_says_so_and_ends():
    result = subprocess.run(
        [sys.executable, DRIVERS / "python.py"], capture_output=True, close_fds=True
    )
    assert result.returncode == 78
    assert b"descriptor 3 has to be a stream socket" in result.stderr


# --- the protocol --------------------------------------------------------------------------------
def test_hello_comes_first_and_names_language_and_versions(context):
    assert context.hello["version"] == 1 and context.hello["oldest"] == 1
    assert context.hello["language"] == "python"
    assert context.hello["language_version"].count(".") == 2
    assert context.hello["pid"] == context.process.pid


def test_a_run_sent_before_hello_is_run(start):
    context = start()
    run = context.begin("6 * 7")
    context.start()
    assert context.finish(run).value == "42"


def test_runs_sent_together_run_one_after_the_other(context):
    first, second = context.begin("print('a'); x = 1"), None
    context.send({"run": {"id": 2, "code": "print('b'); x + 1"}})
    assert context.finish(first).stdout == "a\n"
    context._runs = 2
    second = type(first)()
    assert context.finish(second).value == "2"


def test_code_that_is_not_utf8_travels_as_base64(context):
    run = context.run(b"# coding: latin-1\nlen('\xe9')")
    assert run.value == "1"
    assert context.run(b"'\xff'").errors[0]["name"] == "SyntaxError"


def test_unknown_messages_and_members_are_ignored(context):
    context.send({"later": {"x": 1}})
    assert context.run("1", later={"y": 2}).value == "1"


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0",
        struct.pack("<I", 9 << 20),
        struct.pack("<I", 3) + b"{]}",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 27) + b'{"run":{"id":0,"code":"1"}}',
    ],
)
def test_a_broken_frame_ends_the_driver_with_a_message(context, data):
    context.send_raw(data)
    code, output = context.end()
    assert code == 78 and output.startswith(b"python.py: ")


def test_the_end_of_the_channel_ends_the_process_with_its_exit_handlers(context, tmp_path):
    context.run("import atexit; atexit.register(lambda: open('ended', 'w').write('yes'))")
    assert context.hang_up()[0] == 0
    assert (tmp_path / "ended").read_text() == "yes"


def test_neither_children_nor_code_find_the_channel_at_3(context):
    run = context.run(
        "import subprocess\n"
        "subprocess.run('ls -l /proc/self/fd; ls -l /proc/$PPID/fd/3', shell=True)\n"
        "subprocess.run('ls -l /proc/self/fd', shell=True, close_fds=False)"
    )
    assert "socket" not in run.stdout
    assert "No such file" in run.stderr


# --- values --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "code, value",
    [
        ("42", "42"),
        ("x = 42\nx", "42"),
        ("'a'", "'a'"),
        ("None", None),
        ("x = 1", None),
        ("", None),
        ("# nothing", None),
        ("1\n2", "2"),
        ("if True:\n    3", None),
        ("def f(): pass", None),
        ("(1,\n 2)", "(1, 2)"),
        ("x = 5; x", "5"),
        ("[i for i in range(3)]", "[0, 1, 2]"),
        ("'''a\nb'''", "'a\\nb'"),
        ("1 # one", "1"),
        ("x = 1\r\nx + 1\r\n", "2"),
        ("(y := 3)", "3"),
    ],
)
def test_the_value_of_the_last_expression_is_echoed(context, code, value):
    run = context.run(code)
    assert (run.status, run.value, run.text) == ("ok", value, "")


def test_without_echo_no_value_is_shown(context):
    assert context.run("42", echo=False).value is None


def test_the_last_value_is_underscore(context):
    context.run("42")
    assert context.run("_ + 1").value == "43"


def test_a_display_hook_of_the_users_own_is_used(context):
    context.run("import sys; sys.displayhook = lambda value: print('<', value, '>')")
    run = context.run("7")
    assert run.stdout == "< 7 >\n" and run.value is None


def test_state_persists_between_runs(context):
    context.run("import math\nx = [1]\ndef f(): return math.floor(x[0] + 0.5)")
    context.run("x[0] = 7")
    assert context.run("f()").value == "7"


def test_a_future_import_holds_in_later_runs(context):
    context.run("from __future__ import annotations")
    context.run("def f(x: undefined_name): pass")
    assert context.run("f.__annotations__").value == "{'x': 'undefined_name'}"


def test_code_runs_in_main_and_its_objects_can_be_pickled(context):
    context.run("class A: pass")
    assert context.run("import pickle; type(pickle.loads(pickle.dumps(A()))) is A").value == "True"
    assert context.run("__name__").value == "'__main__'"


def test_a_long_text_goes_as_output(context):
    run = context.run("'x' * 1_000_000")
    assert run.stdout == repr("x" * 1_000_000) + "\n" and not run.displays


# --- blocks --------------------------------------------------------------------------------------
def test_a_block_followed_by_dedented_code_runs(context):
    assert context.run("for i in range(2):\n    print(i)\nprint('after')").stdout == "0\n1\nafter\n"


def test_blank_lines_inside_a_block_do_not_end_it(context):
    run = context.run("def f():\n    a = 1\n\n    b = 2\n\n\n    return a + b\nf()")
    assert run.value == "3"


def test_a_print_without_a_newline_is_shown_as_it_is(context):
    assert context.run("print('x', end='')").outputs == [("stdout", b"x")]


def test_lines_that_look_like_prompts_or_are_empty_are_kept(context):
    lines = ["", ">", ">>> x", "..", "... y", "", ""]
    run = context.run(f"for line in {lines!r}: print(line)")
    assert run.stdout == "\n".join(lines) + "\n"


def test_strings_over_several_lines_keep_their_lines(context):
    assert context.run("print('''a\n\n  b''')").stdout == "a\n\n  b\n"


# --- errors --------------------------------------------------------------------------------------
def test_an_exception_has_name_value_and_a_traceback_of_stdin(context):
    run = context.run("1/0")
    assert run.status == "error"
    error = run.errors[0]
    assert (error["name"], error["value"], error["stream"]) == (
        "ZeroDivisionError",
        "division by zero",
        "stderr",
    )
    assert error["traceback"][0] == "Traceback (most recent call last):"
    assert error["traceback"][1] == '  File "<stdin>", line 1, in <module>'
    assert error["traceback"][2] == "    1/0"
    assert error["traceback"][-1] == "ZeroDivisionError: division by zero"
    assert "python.py" not in run.traceback


def test_a_traceback_shows_the_lines_of_the_run_that_a_function_came_from(context):
    context.run("def f():\n    raise ValueError('from f')  # the line")
    context.run("unrelated = 1\nunrelated = 2")
    trace = context.run("f()").traceback
    assert "  File \"<stdin>\", line 2, in f\n    raise ValueError('from f')  # the line" in trace


def test_source_of_a_function_can_be_had(context):
    context.run("def f():\n    return 1")
    assert (
        context.run("import inspect; print(inspect.getsource(f))").stdout
        == "def f():\n    return 1\n"
    )


def test_what_ran_before_an_exception_keeps_its_effect(context):
    run = context.run("print('before'); y = 1; 1/0; print('after')")
    assert run.stdout == "before\n" and run.order[-2:] == ["error", "done"]
    assert context.run("y").value == "1"


def test_a_syntax_error_runs_nothing_and_points_at_the_place(context):
    run = context.run("print('no')\nx = = 1")
    assert run.text == "" and run.errors[0]["name"] == "SyntaxError"
    assert run.errors[0]["traceback"][:2] == ['  File "<stdin>", line 2', "    x = = 1"]
    assert "<stdin>" in run.errors[0]["value"] and "<stdin-" not in run.errors[0]["value"]


def test_an_error_in_the_last_expression_after_statements(context):
    assert '"<stdin>", line 2' in context.run("x = 1\nundefined").traceback


@pytest.mark.parametrize(
    "code",
    [
        "'\\ud800' + 1",
        "raise Exception('\\ud800 \\0')",
        "\0",
        "return 1",
        "\ud800 = 1",
        "(" * 1000,
        "exec('1+')",
        "class E(Exception):\n  __str__ = None\nraise E()",
    ],
)
def test_odd_errors_are_errors(context, code):
    assert context.run(code).status == "error"
    assert context.run("1").value == "1"


def test_chained_and_grouped_exceptions_are_shown(context):
    trace = context.run(
        "try:\n    1/0\nexcept Exception as e:\n    raise KeyError('k') from e"
    ).traceback
    assert "ZeroDivisionError" in trace and "direct cause" in trace and "KeyError: 'k'" in trace
    if context.run("import sys; sys.version_info >= (3, 11)").value == "True":
        trace = context.run("raise ExceptionGroup('many', [ValueError('v')])").traceback
        assert "ValueError: v" in trace and "<stdin-" not in trace


def test_endless_recursion_is_an_error_of_bounded_size(context):
    run = context.run("def f(): return f()\nf()")
    assert run.errors[0]["name"] == "RecursionError"
    run = context.run("def a(n):\n  return b(n)\ndef b(n):\n  return a(n)\na(0)")
    assert len(run.errors[0]["traceback"]) <= 1000
    assert context.run("1").value == "1"


def test_a_huge_error_message_is_cut(context):
    run = context.run("raise ValueError('x' * 10_000_000)")
    assert run.status == "error" and len(run.errors[0]["value"]) <= 64 << 10
    assert len(run.traceback) <= 256 << 10


def test_a_repr_that_fails_is_an_error_of_the_code(context):
    run = context.run("class A:\n    def __repr__(self): raise ValueError('no repr')\nA()")
    assert run.status == "error" and run.errors[0]["value"] == "no repr"


# --- await ---------------------------------------------------------------------------------------
def test_await_works_at_the_top_level(context):
    assert context.run("import asyncio\nx = await asyncio.sleep(0, 5)\nx").value == "5"
    assert context.run("await asyncio.sleep(0, x + 1)").value == "6"
    assert context.run("async with asyncio.Lock(): print('in')").stdout == "in\n"


def test_a_task_goes_on_in_the_next_run_that_awaits(context):
    context.run(
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 8\n"
        "task = asyncio.ensure_future(f()) if False else asyncio.get_event_loop_policy() and None\n"
        "await asyncio.sleep(0); task = asyncio.create_task(f())"
    )
    assert context.run("await task").value == "8"


def test_asyncio_run_works(context):
    context.run("import asyncio\nawait asyncio.sleep(0)")
    assert context.run("asyncio.run(asyncio.sleep(0, 3))").value == "3"
    assert context.run("await asyncio.sleep(0, 4)").value == "4"


def test_an_error_behind_an_await_has_a_traceback(context):
    trace = context.run("import asyncio\nawait asyncio.sleep(0)\n1/0").traceback
    assert 'File "<stdin>", line 3, in <module>' in trace and "python.py" not in trace


# --- stdin ---------------------------------------------------------------------------------------
def test_stdin_is_at_its_end(context):
    run = context.run("input('name? ')")
    assert run.errors[0]["name"] == "EOFError" and run.stdout == "name? "
    assert context.run("import sys; sys.stdin.read()").value == "''"
    assert (
        context.run("import subprocess; subprocess.run(['cat'], timeout=60).returncode").value
        == "0"
    )


# --- streams -------------------------------------------------------------------------------------
def test_stdout_and_stderr_come_in_the_order_in_which_they_were_written(context):
    run = context.run(
        "import sys\nfor i in range(100):\n    print(i)\n    print(-i, file=sys.stderr)"
    )
    expected = "".join(f"{i}\n{-i}\n" for i in range(100))
    assert run.text == expected
    assert run.stdout == "".join(f"{i}\n" for i in range(100))


def test_what_is_written_below_the_language_comes_in_order_too(context):
    run = context.run(
        "import os, sys\n"
        "print('a', end=''); os.write(1, b'b'); print('c'); os.write(2, b'd'); print('e')\n"
        "os.write(1, b'f'); print('g', file=sys.stderr)\nsys.stdout.buffer.write(b'h')\nNone"
    )
    assert run.text == "abc\nde\nfg\nh"
    assert run.stderr == "dg\n"


def test_children_are_captured_in_order(context):
    run = context.run(
        "import subprocess, os\nprint('1', end=' ')\nsubprocess.run(['echo', '2'])\nprint('3')\n"
        "subprocess.run('echo 4 >&2', shell=True)\nprint('5')\nos.system('echo 6')\nprint('7')\n"
        "subprocess.run('echo 8 > /dev/stdout', shell=True)\nNone"
    )
    assert run.text == "1 2\n3\n4\n5\n6\n7\n8\n"


def test_native_code_is_captured(context):
    run = context.run(
        "import ctypes\nlibc = ctypes.CDLL(None)\nprint('a')\nlibc.puts(b'b'); libc.fflush(None)\nprint('c')"
    )
    assert run.stdout == "a\nb\nc\n"


def test_native_code_that_keeps_the_interpreter_lock_is_captured(context):
    run = context.run(
        "import ctypes\nlibc = ctypes.PyDLL(None)\nlibc.write(1, b'x' * 500_000, 500_000)"
    )
    assert run.stdout == "x" * 500_000


def test_output_that_is_not_utf8_arrives_as_it_is(context):
    data = bytes(range(256))
    run = context.run(
        f"import os\nos.write(1, {data!r}); sys = __import__('sys'); sys.stdout.buffer.write({data!r})\nNone"
    )
    assert run.data("stdout") == data + data


def test_characters_are_not_cut(context):
    text = "é€😀" * 60_000
    run = context.run(
        "print('é€😀' * 60_000, end='')\nimport os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'print(\"é€😀\" * 60_000, end=\"\")'])\nNone"
    )
    assert run.stdout == text + text
    for _, data in run.outputs:
        data.decode()
    assert run.largest <= MAX_DATA


def test_long_outputs_with_what_json_escapes_arrive_as_they_are(context):
    run = context.run(
        "print('\\n\\r\\t\"\\\\é' * 5000 + 'x' * 2000, end='')\nprint('\\x01\\x7f\\u2028' * 2000, end='')"
    )
    assert run.stdout == '\n\r\t"\\é' * 5000 + "x" * 2000 + "\x01\x7f\u2028" * 2000


def test_a_character_that_was_begun_and_not_finished_is_shown_at_the_end(context):
    assert context.run("import os\nos.write(1, b'a\\xe2\\x82')").data("stdout") == b"a\xe2\x82"
    assert context.run("os.write(1, b'b')").data("stdout") == b"b"


def test_surrogates_do_not_break_anything(context):
    assert context.run("print('\\udcff')").data() == b"\xff\n"
    assert context.run("print('\\ud800')").errors[0]["name"] == "UnicodeEncodeError"
    assert context.run("import sys; print('\\ud800', file=sys.stderr)").stderr == "\\ud800\n"


def test_threads_that_print_at_once_do_not_tear_messages(context):
    run = context.run(
        "import threading\n"
        "def work(n):\n    for i in range(500): print(f'{n}:{i}' + '.' * 50 + '\\n', end='')\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; None"
    )
    assert sorted(run.stdout.split()) == sorted(
        f"{n}:{i}" + "." * 50 for n in range(8) for i in range(500)
    )


def test_a_large_print_arrives_whole(context):
    run = context.run("print('x' * 20_000_000)")
    assert len(run.stdout) == 20_000_001 and run.largest <= MAX_DATA


def test_many_small_prints_are_gathered(context):
    run = context.run("for i in range(100_000): print(i)")
    assert run.stdout == "".join(f"{i}\n" for i in range(100_000))
    assert len(run.outputs) < 20_000


def test_output_streams_while_the_code_goes_on(context):
    run = context.begin(
        "import os\nfor i in range(3):\n    print(i)\n    while not os.path.exists(f'go{i}'): pass"
    )
    for i in range(3):
        context.until(run, f"{i}\n")
        pathlib.Path(f"/proc/{context.process.pid}/cwd/go{i}").touch()
    assert context.finish(run).status == "ok"


def test_output_without_a_newline_streams_too(context):
    run = context.begin("import os\nprint('.', end='')\nwhile not os.path.exists('go'): pass")
    context.until(run, ".")
    pathlib.Path(f"/proc/{context.process.pid}/cwd/go").touch()
    assert context.finish(run).status == "ok"


def test_a_host_that_does_not_read_stops_the_code_and_memory_stays_bounded(context):
    context.run(
        "import resource, threading, time\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()"
    )
    run = context.run(
        "for i in range(2000): print('x' * 50_000)\nimport os\nos.system('head -c 50000000 /dev/zero')\nNone"
    )
    assert len(run.data()) == 2000 * 50_001 + 50_000_000
    assert int(context.run("peak() - before").value) < 20_000  # KiB


def test_the_streams_are_text_files_like_pythons_own(context):
    run = context.run(
        "import sys\n(sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding, sys.stdout.isatty(),"
        " sys.stdout.name, sys.stdout.writable(), sys.stdout is sys.__stdout__)"
    )
    assert run.value == "(1, 2, 'utf-8', False, '<stdout>', True, True)"
    run = context.run(
        "import logging; logging.basicConfig(); logging.warning('careful'); "
        "import warnings; warnings.warn('old')"
    )
    assert "WARNING:root:careful\n" in run.stderr and "UserWarning: old" in run.stderr
    assert context.run("sys.stdout.reconfigure(errors='replace'); print('ok')").stdout == "ok\n"
    assert (
        context.run(
            "import subprocess; subprocess.run(['echo', 'x'], stdout=sys.stderr, check=True)\nNone"
        ).stderr
        == "x\n"
    )


# --- what outlives a run -------------------------------------------------------------------------
def test_a_thread_that_outlives_its_run_writes_into_the_run_that_is_active(context):
    context.run(
        "import threading\ngo, gone = threading.Event(), threading.Event()\n"
        "def later():\n    go.wait(); print('late'); gone.set()\nthreading.Thread(target=later).start()"
    )
    assert context.run("go.set(); gone.wait(); print('now')").stdout == "late\nnow\n"


def test_what_is_written_between_runs_belongs_to_none(context):
    run = context.run(
        "import threading, os\ndone = threading.Event()\n"
        "def later():\n    while not os.path.exists('go'): pass\n    print('between'); os.write(1, b'below\\n')\n"
        "threading.Thread(target=later).start()\nprint('in the run')"
    )
    assert run.stdout == "in the run\n"
    pathlib.Path(f"/proc/{context.process.pid}/cwd/go").touch()
    context.until_between("below\n")
    assert context.between.stdout == "between\nbelow\n"
    assert context.run("1").value == "1"


def test_a_child_that_outlives_its_run_cannot_disturb_the_next(context):
    context.run(
        "import subprocess\nchild = subprocess.Popen('read x; echo from the child', shell=True, stdin=subprocess.PIPE)"
    )
    run = context.run("child.stdin.write(b'x\\n'); child.stdin.close(); child.wait(); print('now')")
    assert run.text == "from the child\nnow\n"


# --- fork ----------------------------------------------------------------------------------------
def test_a_forked_child_does_not_talk_on_the_channel(context):
    run = context.run(
        "import os\nprint('before', end=' ')\npid = os.fork()\nif pid == 0:\n    print('child')\n    os._exit(7)\n"
        "print('parent', os.waitpid(pid, 0)[1] >> 8)"
    )
    assert run.stdout == "before child\nparent 7\n"


def test_a_forked_child_that_runs_to_the_end_of_the_code_ends(context):
    run = context.run(
        "import os\npid = os.fork()\nif pid: status = os.waitpid(pid, 0)[1]\nelse: print('child')\nos.getpid()"
    )
    assert run.stdout == "child\n" and run.value == str(context.process.pid)
    assert context.run("status").value == "0"
    run = context.run("if os.fork() == 0: raise ValueError('in the child')\nos.wait()[1] >> 8")
    assert run.value == "1" and "ValueError: in the child" in run.stderr and not run.errors
    run = context.run("import sys\nif os.fork() == 0: sys.exit(5)\nos.wait()[1] >> 8")
    assert run.value == "5"


def test_multiprocessing_works(context):
    run = context.run(
        "import multiprocessing, os\ndef f(x):\n    print('job', x)\n    return x * x\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool: result = pool.map(f, range(4))\nresult"
    )
    assert run.value == "[0, 1, 4, 9]"
    assert sorted(run.stdout.split("\n")) == ["", "job 0", "job 1", "job 2", "job 3"]


def test_a_child_that_native_code_forked_does_not_talk_on_the_channel(context):
    run = context.run(
        "import ctypes, os\nlibc = ctypes.PyDLL(None)\npid = libc.fork()\n"
        "if pid == 0:\n    print('child')\n    libc._exit(0)\nos.waitpid(pid, 0)\nprint('parent')"
    )
    assert run.status == "ok" and "parent\n" in run.stdout


# --- interrupts ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(1000)",
        "import subprocess; subprocess.run(['sleep', '1000'])",
        "import asyncio; await asyncio.sleep(1000)",
        "import asyncio; asyncio.run(asyncio.sleep(1000))",
        "import threading; threading.Event().wait()",
        "while True: print('x' * 100)",
        "while True: print('x' * 100_000)",
        "import time\nwhile True: time.sleep(0.0001); print('x', end='')",
        "while True: display(1)",
        "import os\nwhile True: os.write(1, b'x' * 1000)",
    ],
)
def test_an_interrupt_ends_the_run_and_the_context_lives_on(context, code):
    context.run("kept = 5")
    run = context.interrupted("print('ready')\n" + code)
    assert run.status == "interrupted"
    assert run.errors[0]["name"] == "KeyboardInterrupt"
    assert "python.py" not in run.traceback
    assert context.run("kept").value == "5"
    assert context.run("print('still in order')").stdout == "still in order\n"


def test_an_interrupt_of_the_process_alone_works_too(context):
    assert (
        context.interrupted("print('ready')\nwhile True: pass", group=False).status == "interrupted"
    )


def test_an_interrupt_ends_what_os_system_runs(context):
    run = context.interrupted("import os\nos.system('echo ready; exec sleep 1000')")
    assert (
        run.status == "ok" and run.value == "2"
    )  # as at a terminal: Python itself ignores it meanwhile


def test_an_interrupt_between_runs_does_nothing(context):
    context.run("1")
    context.interrupt()
    assert context.run("2").value == "2"


def test_code_can_catch_an_interrupt(context):
    run = context.interrupted(
        "import time\ntry:\n    print('ready'); time.sleep(1000)\n"
        "except KeyboardInterrupt: print('caught')\n7"
    )
    assert run.status == "ok" and run.value == "7" and run.stdout == "ready\ncaught\n"


def test_a_keyboard_interrupt_that_code_raises_is_an_error(context):
    assert context.run("raise KeyboardInterrupt").status == "error"


def test_many_interrupts_leave_the_framing_whole(context):
    for _ in range(30):
        assert context.interrupted("print('ready')\nwhile True: print('y')").status == "interrupted"
    assert context.run("'whole'").value == "'whole'"


def test_finally_blocks_of_interrupted_coroutines_run(context):
    run = context.interrupted(
        "import asyncio\ntry:\n    print('ready')\n    await asyncio.sleep(1000)\nfinally:\n    print('cleaned')"
    )
    assert run.status == "interrupted" and run.stdout == "ready\ncleaned\n"


# --- the end of the process ----------------------------------------------------------------------
@pytest.mark.parametrize(
    "code, exit_code, text",
    [
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("exit(4)", 4, ""),
        ("raise SystemExit('gone')", 1, "gone\n"),
        ("import asyncio\nawait asyncio.sleep(0)\nraise SystemExit(6)", 6, ""),
        ("print('last', end=''); quit()", 0, "last"),
    ],
)
def test_sys_exit_ends_the_context_with_a_message(context, code, exit_code, text):
    run = context.run(code)
    assert (run.status, run.exit_code, run.text) == (None, exit_code, text)
    assert context.end()[0] == exit_code


def test_exit_handlers_run_and_files_are_written_when_code_exits(context, tmp_path):
    context.run(
        "import atexit, sys; atexit.register(print, 'good bye')\nf = open('file', 'w'); f.write('kept')"
    )
    run = context.run("sys.exit(0)")
    assert run.exit_code == 0
    while context.step(run) or context.receive()[0]:
        pass
    assert context.end()[0] == 0
    assert (tmp_path / "file").read_text() == "kept"


def test_output_of_exit_handlers_follows_the_exit_message(context):
    context.run("import atexit; atexit.register(print, 'good bye')")
    run = context.run("exit()")
    while context.step(run) or run.stdout != "good bye\n":
        pass
    assert run.stdout == "good bye\n"


@pytest.mark.parametrize(
    "code, end",
    [
        ("import os; os._exit(9)", 9),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
def test_a_death_is_no_success_and_loses_no_output(context, code, end):
    run = context.run("print('one')\nprint('two')\n" + code)
    assert run.status == "died" and run.exit_code is None
    assert run.stdout == "one\ntwo\n"
    assert context.end()[0] == end


def test_a_crash_tells_where_on_the_processs_own_stderr(context):
    context.run("def crash():\n    import ctypes\n    ctypes.string_at(0)\n")
    context.run("crash()")
    _, output = context.end()
    assert b"Segmentation fault" in output and b"in crash" in output


def test_an_exit_of_a_thread_ends_only_the_thread(context):
    context.run("import threading, sys\nt = threading.Thread(target=sys.exit); t.start(); t.join()")
    assert context.run("1").value == "1"


# --- what code does by accident ------------------------------------------------------------------
@pytest.mark.parametrize(
    "code",
    [
        "import sys, io; sys.stdout = sys.stderr = io.StringIO()",
        "import sys; sys.stdout = sys.stderr = None",
        "import sys; del sys.stdout",
        "import sys; sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
        "import sys; sys.stdout.detach()",
        "import os; os.close(1); os.close(2)",
        "import os; os.closerange(0, 100)",
        "import os; os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
        "print = None",
        "import builtins; builtins.print = print",
        "globals().clear()",
        "import json; json.loads = json.dumps = json.JSONDecoder.decode = json.JSONEncoder.encode = None",
        "import os; os.write = os.read = os.getpid = os.path.sameopenfile = os.close = None",
        "import sys; [sys.modules.pop(n) for n in ('json', 'os', 'io', 'select', 'signal', 'time', 'linecache', '__main__')]",
        "import time; time.monotonic = None; import _thread; _thread.get_ident = None",
        "repr = str = len = bytes = None",
        "import sys; sys.argv = sys.meta_path = None",
        "del __builtins__",
        "__name__ = 5",
        "import signal; signal.signal(signal.SIGALRM, lambda *a: print('alarm'))\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\nfor i in range(20000): print(i)\nsignal.setitimer(signal.ITIMER_REAL, 0)",
        "import gc\nclass D:\n    def __del__(self): print('deleted')\nfor i in range(2000):\n    d = D(); d.d = d; print(i)\ndel d; gc.collect()",
        "import sys; sys.setrecursionlimit(60)",
    ],
)
def test_code_does_not_break_the_driver(context, code):
    context.run(code)
    run = context.run("import sys\nsys.stdout.write('out')\nsys.stderr.write('err')\n6 * 7")
    assert (run.status, run.stdout, run.stderr, run.value) == ("ok", "out", "err", "42")


@pytest.mark.parametrize(
    "code",
    [
        "os.close(1); os.close(2)",
        "os.closerange(0, 100)",
        "os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
    ],
)
def test_descriptors_that_code_closes_are_there_again_in_the_next_run(context, code):
    context.run("import os; " + code)
    assert context.run("os.system('echo child; echo error >&2')").text in (
        "child\nerror\n",
        "error\nchild\n",
    )


def test_builtins_that_code_replaces_do_not_break_the_driver(context):
    if context.run("__import__('sys').version_info >= (3, 10)").value != "True":
        pytest.skip("the language itself needs them")
    context.run(
        "import builtins\nkept = dict(vars(builtins))\nfor name in kept:\n"
        "    if not name.startswith('__') and name not in ('KeyboardInterrupt',): setattr(builtins, name, None)"
    )
    run = context.run("__import__('os').write(1, b'alive')\nx = 1")
    assert run.status == "ok" and run.data() == b"alive"
    assert context.run("undefined").status == "error"


def test_files_that_shadow_the_standard_library_do_not_reach_the_driver(start, tmp_path):
    for name in ("json", "os", "io", "select", "asyncio", "traceback", "linecache", "signal", "re"):
        (tmp_path / f"{name}.py").write_text("raise SystemError('shadowed')")
    context = start().start()
    assert context.run("1 + 1").value == "2"
    assert context.run("1/0").errors[0]["name"] == "ZeroDivisionError"


def test_modules_are_imported_from_the_working_directory(context, tmp_path):
    (tmp_path / "helper.py").write_text("value = 12")
    assert context.run("import helper; helper.value").value == "12"
    assert context.run("import sys; sys.path[0]").value == "''"
    assert context.run("sys.argv").value == "['']"


# --- rich values ---------------------------------------------------------------------------------
def test_a_value_is_shown_with_all_its_representations(context):
    run = context.run(
        "class A:\n    def __repr__(self): return 'plain'\n    def _repr_html_(self): return '<b>html</b>'\n"
        "    def _repr_markdown_(self): return '**md**'\n    def _repr_latex_(self): return '$x$'\n"
        "    def _repr_svg_(self): return '<svg/>'\n    def _repr_png_(self): return b'\\x89PNG'\n"
        "    def _repr_json_(self): return {'a': [1]}\nA()"
    )
    data = run.displays[0]["data"]
    assert run.displays[0]["result"] is True
    assert list(data)[0] == "text/plain"
    assert to_bytes(data.pop("image/png")) == b"\x89PNG"
    assert data == {
        "text/plain": "plain",
        "text/html": "<b>html</b>",
        "text/markdown": "**md**",
        "text/latex": "$x$",
        "image/svg+xml": "<svg/>",
        "application/json": '{"a": [1]}',
    }


def test_a_mime_bundle_is_used(context):
    run = context.run(
        "class A:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
        f"        return {{'text/html': 'h', 'image/png': {base64.b64encode(b'png').decode()!r}, 'bad type': 'x', 5: 6}}, {{}}\nA()"
    )
    data = run.displays[0]["data"]
    assert data["text/html"] == "h" and to_bytes(data["image/png"]) == b"png"
    assert set(data) == {"text/plain", "text/html", "image/png"}


def test_a_representation_that_fails_does_not_hide_the_others(context):
    run = context.run(
        "class A:\n    def _repr_html_(self): 1/0\n    def _repr_png_(self): return None\n"
        "    def __repr__(self): return 'A'\nA()"
    )
    assert run.status == "ok" and run.displays[0]["data"] == {"text/plain": "A"}


def test_classes_and_objects_that_answer_to_everything_are_shown_plainly(context):
    context.run(
        "from unittest.mock import MagicMock\nclass A:\n    def _repr_html_(self): return 'x'"
    )
    assert list(context.run("A").displays[0]["data"]) == ["text/plain"]
    assert list(context.run("MagicMock()").displays[0]["data"]) == ["text/plain"]


def test_display_shows_values_in_order_with_the_output(context):
    run = context.run(
        "print('a'); display(1, 'two'); print('b'); display({'text/html': '<i>', 'text/plain': 'i'}, raw=True); 3"
    )
    assert run.order == ["output", "display", "display", "output", "display", "display", "done"]
    assert [shown["data"]["text/plain"] for shown in run.displays] == ["1", "'two'", "i", "3"]
    assert [shown.get("result", False) for shown in run.displays] == [False, False, False, True]


def test_what_does_not_fit_is_named_with_its_size(context):
    run = context.run(
        "display({'text/plain': 'p', 'image/png': b'x' * 9_000_000, 'text/html': 'h'}, raw=True)"
    )
    assert run.displays[0]["data"] == {"text/plain": "p", "text/html": "h"}
    assert run.displays[0]["omitted"] == {"image/png": 9_000_000}


@needs("pandas")
def test_a_data_frame_is_shown_as_html(context):
    run = context.run("import pandas as pd\npd.DataFrame({'a': [1, 2]})")
    assert "<table" in run.displays[0]["data"]["text/html"] and "a" in run.value


@needs("PIL")
def test_a_picture_is_shown_as_png(context):
    run = context.run("from PIL import Image\nImage.new('RGB', (4, 4))")
    assert to_bytes(run.displays[0]["data"]["image/png"]).startswith(b"\x89PNG")


@needs("matplotlib")
def test_figures_that_are_open_at_the_end_are_shown_and_closed(context):
    run = context.run(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.figure(); plt.plot([3]); print('drawn')"
    )
    assert [to_bytes(shown["data"]["image/png"])[:4] for shown in run.displays] == [b"\x89PNG"] * 2
    assert run.stderr == ""
    assert context.run("plt.get_fignums()").value == "[]"


@needs("matplotlib")
def test_show_shows_figures_where_it_is_called(context):
    run = context.run(
        "import matplotlib.pyplot as plt\nplt.plot([1]); print('a'); plt.show(); print('b')"
    )
    assert run.order == ["output", "display", "output", "done"] and run.stderr == ""
    run = context.run("fig, ax = plt.subplots(); fig.show(); print('c')")
    assert len(run.displays) == 1 and run.stderr == ""


@needs("matplotlib")
def test_a_figure_that_is_the_value_is_shown_once(context):
    run = context.run("import matplotlib.pyplot as plt\nfig, ax = plt.subplots(); fig")
    assert len(run.displays) == 1 and run.displays[0]["result"] is True


@needs("matplotlib")
def test_figures_can_be_svg(context):
    run = context.run(
        "import matplotlib.pyplot as plt\nplt.rcParams['savefig.format'] = 'svg'\nplt.plot([1]); None"
    )
    assert "<svg" in run.displays[0]["data"]["image/svg+xml"]
