"""The Node driver: what guest/repl/PROTOCOL.md and docs/repl.md say of it, sentence by sentence."""

import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess

import pytest

from conftest import NODE
from driver import DRIVERS, MAX_DATA, to_bytes

pytestmark = pytest.mark.skipif(shutil.which(NODE) is None, reason="no node here")
SOURCE = (DRIVERS / "node.js").read_text()


WHEN_TOLD = "{ const timer = setInterval(() => { if (fs.existsSync('go')) { clearInterval(timer); %s } }, 1); } undefined"


def touch(context, name):
    pathlib.Path(f"/proc/{context.process.pid}/cwd/{name}").touch()


# --- the file ------------------------------------------------------------------------------------
def test_an_older_node_can_parse_it_and_is_told_that_it_is_too_old(tmp_path):
    code = re.sub(r"//.*", "", SOURCE)
    assert not re.search(r"\?\.[^\d]|\?\?|\|\|=|&&=", code)
    old = tmp_path / "old.js"
    old.write_text(
        "Object.defineProperty(process.versions, 'node', {value: '12.22.12'});\n" + SOURCE
    )
    result = subprocess.run([NODE, old], capture_output=True)
    assert result.returncode == 78
    assert b"Node 12.22.12 is too old" in result.stderr and b"16 or newer" in result.stderr


def test_without_a_channel_it_says_so_and_ends():
    result = subprocess.run(
        [NODE, DRIVERS / "node.js"], capture_output=True, stdin=subprocess.DEVNULL
    )
    assert result.returncode == 78
    assert b"descriptor 3 has to be a stream socket" in result.stderr


# --- the protocol --------------------------------------------------------------------------------
def test_hello_comes_first_and_names_language_and_versions(context):
    assert context.hello["version"] == 1 and context.hello["oldest"] == 1
    assert context.hello["language"] == "node"
    assert context.hello["language_version"].count(".") == 2
    assert context.hello["pid"] == context.process.pid


def test_a_run_sent_before_hello_is_run(start):
    context = start()
    run = context.begin("6 * 7")
    context.start()
    assert context.finish(run).value == "42"


def test_runs_sent_together_run_one_after_the_other(context):
    first = context.begin("await new Promise(r => setTimeout(r, 20)); console.log('a'); x = 1")
    context.send({"run": {"id": 2, "code": "console.log('b'); x + 1"}})
    assert context.finish(first).stdout == "a\n"
    context._runs = 2
    assert context.finish(type(first)()).value == "2"


def test_unknown_messages_and_members_are_ignored(context):
    context.send({"later": {"x": 1}})
    assert context.run("1", later={"y": 2}).value == "1"
    assert context.run(b"'\xc3\xa9'").value == "'é'"


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0",
        struct.pack("<I", 9 << 20),
        struct.pack("<I", 3) + b"{]}",
        struct.pack("<I", 4) + b"null",
        struct.pack("<I", 27) + b'{"run":{"id":0,"code":"1"}}',
    ],
)
def test_a_broken_frame_ends_the_driver(context, data):
    context.send_raw(data)
    assert context.end()[0] == 78


def test_the_end_of_the_channel_ends_the_process_with_its_exit_handlers(context, tmp_path):
    context.run(
        "process.on('exit', () => fs.writeFileSync('ended', 'yes')); setInterval(() => {}, 1000)"
    )
    assert context.hang_up()[0] == 0
    assert (tmp_path / "ended").read_text() == "yes"


def test_children_do_not_get_the_channel(context):
    run = context.run(
        "console.log(child_process.execSync('ls -l /proc/self/fd', "
        "{stdio: ['ignore', 'pipe', 'inherit']}).toString())"
    )
    assert run.stdout.count("socket") <= 1  # Node's own pipes are sockets: its stdout
    assert run.stdout.count(" -> ") <= 4


def test_nothing_is_left_in_the_folder_of_the_driver(context):
    assert {path.name for path in DRIVERS.iterdir()} == {"PROTOCOL.md", "python.py", "node.js"}


# --- values --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "code, value",
    [
        ("1+1", "2"),
        ("x = 42\nx", "42"),
        ("'a'", "'a'"),
        ("undefined", None),
        ("let y = 1", None),
        ("", None),
        ("// nothing", None),
        ("1\n2", "2"),
        ("null", "null"),
        ("({a: 1})", "{ a: 1 }"),
        ("{a: 1}", "{ a: 1 }"),
        ("{ let z = 1; }", None),
        ("{}", "{}"),
        ("-0", "-0"),
        ("NaN", "NaN"),
        ("10n", "10n"),
        ("[1, 'b']", "[ 1, 'b' ]"),
        ("Symbol('s')", "Symbol(s)"),
        ("(function f() {})", "[Function: f]"),
        ("true", "true"),
        ("1 // one", "1"),
        ("'a\\u0000b'", "'a\\x00b'"),
        ("new Map([[1, 2]])", "Map(1) { 1 => 2 }"),
        ("/a/g", "/a/g"),
        ("function f() {}", None),
        ("class A {}", None),
    ],
)
def test_the_value_of_the_last_expression_is_echoed(context, code, value):
    run = context.run(code)
    assert (run.status, run.value, run.text) == ("ok", value, "")


def test_without_echo_no_value_is_shown(context):
    assert context.run("42", echo=False).value is None


def test_state_persists_between_runs(context):
    context.run(
        "const a = [1]; let b = 2; var c = 3; function f() { return a[0] + b + c; } class K { m() { return f(); } }"
    )
    context.run("a[0] = 10; b = 20")
    assert context.run("new K().m()").value == "33"


KINDS = [
    "const v = {}",
    "let v = {}",
    "var v = {}",
    "function v() {{ return {}; }}",
    "class v {{ static get n() {{ return {}; }} }}",
]


@pytest.mark.parametrize("first", KINDS[:4])
@pytest.mark.parametrize("second", KINDS[:3])
def test_a_name_can_be_declared_again_in_a_later_run(context, first, second):
    context.run(first.format(1))
    run = context.run(second.format(2) + "; v")
    assert (run.status, run.value) == ("ok", "2")
    assert context.run("v = 3; v").value == "3"


def test_a_class_can_be_declared_again(context):
    context.run(KINDS[4].format(1))
    assert context.run(KINDS[4].format(2) + "; v.n").value == "2"


def test_names_in_patterns_and_behind_await_can_be_declared_again(context):
    context.run("const {a, b: [c]} = {a: 1, b: [2]}; const d = await 3")
    context.run("let {a, b: [c]} = {a: 4, b: [5]}; let d = await 6")
    assert context.run("[a, c, d].join()").value == "'4,5,6'"


def test_a_name_declared_twice_in_one_run_is_an_error(context):
    run = context.run("let q = 1; let q = 2")
    assert run.errors[0]["value"] == "Identifier 'q' has already been declared"


def test_only_top_level_declarations_are_changed(context):
    assert context.run("(() => { const k = 1; k = 2; })()").errors[0]["name"] == "TypeError"
    assert (
        context.run(
            "for (const i of [1, 2]) { const j = i; console.log(j); }\n'const x; let y; import(z)'"
        ).stdout
        == "1\n2\n"
    )
    assert context.run("'const x; import(z)'").value == "'const x; import(z)'"
    assert context.run("`const ${`let ${'var'}`} import(x)`").value == "'const let var import(x)'"
    assert context.run("/const [/\"'`] import(x)/.source").value == "'const [/\"\\'`] import(x)'"
    assert context.run("4 / 2 /* const */ / 1 // import('x')").value == "2"
    assert context.run("({const: 1, let: 2, import: 3}).import").value == "3"


def test_a_long_text_goes_as_output(context):
    run = context.run("({[util.inspect.custom]() { return 'x'.repeat(1_000_000) }})")
    assert run.stdout == "x" * 1_000_000 + "\n" and not run.displays


# --- blocks --------------------------------------------------------------------------------------
def test_blocks_with_blank_lines_and_code_behind_them_run(context):
    run = context.run(
        "function f() {\n  let a = 1;\n\n\n  return a;\n}\nfor (let i = 0; i < 2; i++) {\n\n  console.log(i);\n}\nconsole.log('after', f())"
    )
    assert run.stdout == "0\n1\nafter 1\n"


def test_a_write_without_a_newline_is_shown_as_it_is(context):
    assert context.run("process.stdout.write('x'); undefined").outputs == [("stdout", b"x")]


def test_lines_that_look_like_prompts_or_are_empty_are_kept(context):
    lines = ["", ">", "> x", "..", "... y", "", ""]
    run = context.run(f"for (const line of {lines!r}) console.log(line)")
    assert run.stdout == "\n".join(lines) + "\n"


# --- errors --------------------------------------------------------------------------------------
def test_an_uncaught_error_is_shown_on_stdout(context):
    run = context.run("console.log('before'); throw new Error('boom')")
    assert run.status == "error" and run.stdout == "before\n"
    error = run.errors[0]
    assert (error["name"], error["value"], error["stream"]) == ("Error", "boom", "stdout")
    assert error["traceback"] == ["Uncaught Error: boom", "    at <stdin>:1:30"]


def test_a_stack_names_the_places_in_the_code_and_none_of_the_driver(context):
    run = context.run("function g() {\n  throw new TypeError('in g')\n}\ng()")
    assert run.errors[0]["traceback"] == [
        "Uncaught TypeError: in g",
        "    at g (<stdin>:2:9)",
        "    at <stdin>:4:1",
    ]
    run = context.run("try { g() } catch (e) { console.log(e.stack) }; new Error('x')")
    assert run.stdout.count("<stdin>") == 2 and "inspector" not in run.stdout + run.value


def test_a_syntax_error_runs_nothing_and_points_at_the_place(context):
    run = context.run("console.log('no')\nx = = 1")
    assert run.text == ""
    assert run.errors[0]["traceback"] == [
        "<stdin>:2",
        "x = = 1",
        "    ^",
        "",
        "Uncaught SyntaxError: Unexpected token '='",
    ]


@pytest.mark.parametrize(
    "code, first",
    [
        ("throw 5", "Uncaught 5"),
        ("throw null", "Uncaught null"),
        ("throw 'text'", "Uncaught 'text'"),
        ("throw undefined", "Uncaught undefined"),
        ("await Promise.reject(new RangeError('r'))", "Uncaught RangeError: r"),
        ("undefinedName", "Uncaught ReferenceError: undefinedName is not defined"),
        ("throw {toString() { throw 1 }}", "Uncaught { toString: [Function: toString] }"),
        ("throw Object.assign(new Error('with'), {code: 'E'})", "Uncaught Error: with"),
        ("throw '\\ud800'", None),
        ("(", None),
        ("`", None),
        ("/*", None),
        ("/", None),
        ("'", None),
        ("${", None),
        ("}", None),
        ("\\", None),
        ("\0", None),
    ],
)
def test_odd_errors_are_errors(context, code, first):
    run = context.run(code)
    assert run.status == "error"
    if first is not None:
        assert run.errors[0]["traceback"][0] == first
    assert context.run("1").value == "1"


def test_endless_recursion_is_an_error(context):
    assert context.run("(function f() { f() })()").errors[0]["name"] == "RangeError"
    assert context.run("1").value == "1"


def test_a_huge_error_message_is_cut(context):
    run = context.run("throw new Error('x'.repeat(10_000_000))")
    assert len(run.errors[0]["value"]) <= 64 << 10 and len(run.traceback) <= 256 << 10


def test_an_inspection_that_fails_is_an_error_of_the_code(context):
    run = context.run("({[util.inspect.custom]() { throw new Error('no') }})")
    assert run.status == "error" and run.errors[0]["value"] == "no"


def test_an_error_in_a_callback_is_shown_and_the_context_lives_on(context):
    run = context.run(
        "setTimeout(() => { throw new Error('late') }, 1); await new Promise(r => setTimeout(r, 100))"
    )
    assert run.status == "error" and run.errors[0]["traceback"][0] == "Uncaught Error: late"
    run = context.run(
        "Promise.reject(new Error('nobody')); await new Promise(r => setTimeout(r, 10))"
    )
    assert run.errors[0]["value"] == "nobody"
    context.run(WHEN_TOLD % "throw new Error('between')")
    touch(context, "go")
    kind, message = context.receive()
    assert kind == "error" and "id" not in message and message["value"] == "between"
    assert context.run("1").value == "1"


# --- await, require, import ----------------------------------------------------------------------
def test_await_works_at_the_top_level(context):
    assert context.run("const z = await new Promise(r => setTimeout(r, 1, 7)); z").value == "7"
    assert context.run("for await (const x of [1, 2]) console.log(x)").stdout == "1\n2\n"
    assert context.run("z").value == "7"


def test_require_works_from_the_working_directory(context, tmp_path):
    (tmp_path / "helper.js").write_text("exports.value = 12")
    package = tmp_path / "node_modules/thing"
    package.mkdir(parents=True)
    (package / "index.js").write_text("module.exports = 'thing'")
    assert context.run("require('./helper').value").value == "12"
    assert context.run("require('thing')").value == "'thing'"
    assert (
        context.run("typeof require.resolve + typeof module + typeof exports").value
        == "'functionobjectobject'"
    )
    assert (
        context.run("require('missing')")
        .errors[0]["traceback"][0]
        .startswith("Uncaught Error: Cannot find module 'missing'")
    )


def test_dynamic_import_works_from_the_working_directory(context, tmp_path):
    (tmp_path / "helper.mjs").write_text("export const value = 13; export default 'd'")
    package = tmp_path / "node_modules/esm"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "esm", "exports": {"import": "./index.mjs"}}')
    (package / "index.mjs").write_text("export default 'esm'")
    assert context.run("(await import('./helper.mjs')).value").value == "13"
    assert context.run("(await import('esm')).default").value == "'esm'"
    assert context.run("const load = n => import(n); (await load('path')).sep").value == "'/'"


def test_import_statements_work(context, tmp_path):
    (tmp_path / "helper.mjs").write_text(
        "export const value = 13; export default 'd'; console.log('loaded')"
    )
    run = context.run(
        "import d, {value as v} from './helper.mjs'\nimport * as p from \"path\"; import os from 'os'\n"
        "import {\n  join,\n  sep\n} from 'path';\n[d, v, p.sep, typeof os.cpus, join('a', 'b')].join()"
    )
    assert run.value == "'d,13,/,function,a/b'" and run.stdout == "loaded\n"
    assert context.run("import 'fs'\n1").value == "1"


def test_built_in_modules_are_there_by_name(context):
    assert context.run("path.join('a', 'b')").value == "'a/b'"
    assert context.run("const fs = 5; fs").value == "5"
    assert context.run("os = 6; os").value == "6"


# --- stdin ---------------------------------------------------------------------------------------
def test_stdin_is_at_its_end(context):
    assert context.run("fs.readFileSync(0).length").value == "0"
    assert (
        context.run(
            "let n = 0; for await (const chunk of process.stdin) n += chunk.length; n"
        ).value
        == "0"
    )
    assert (
        context.run(
            "child_process.execSync('cat', {stdio: ['inherit', 'pipe', 'inherit']}).length"
        ).value
        == "0"
    )


# --- streams -------------------------------------------------------------------------------------
def test_stdout_and_stderr_come_in_the_order_in_which_they_were_written(context):
    run = context.run(
        "for (let i = 0; i < 100; i++) { console.log(i); console.error('e' + i); } undefined"
    )
    assert run.text == "".join(f"{i}\ne{i}\n" for i in range(100))
    assert run.stdout == "".join(f"{i}\n" for i in range(100))


def test_what_is_written_below_the_language_comes_in_order_too(context):
    run = context.run(
        "process.stdout.write('a'); fs.writeSync(1, 'b'); console.log('c'); console.error('d'); fs.writeSync(2, 'e\\n'); console.log('f')"
    )
    assert run.text == "abc\nd\ne\nf\n"


def test_children_are_captured_in_order(context):
    run = context.run(
        "const run = c => child_process.execSync(c, {stdio: 'inherit'})\n"
        "process.stdout.write('1 '); run('echo 2'); console.log('3'); run('echo 4 >&2'); console.log('5'); run('echo 6 > /dev/stdout'); console.error('7'); run('echo 8')"
    )
    assert run.text == "1 2\n3\n4\n5\n6\n7\n8\n"


def test_a_child_that_writes_much_does_not_block(context):
    run = context.run("child_process.execSync('head -c 5000000 /dev/zero', {stdio: 'inherit'})")
    assert len(run.data("stdout")) == 5_000_000


def test_output_that_is_not_utf8_arrives_as_it_is(context):
    run = context.run("process.stdout.write(Buffer.from([...Array(256).keys()])); undefined")
    assert run.data("stdout") == bytes(range(256))


def test_characters_are_not_cut(context):
    run = context.run("process.stdout.write('é€😀'.repeat(60_000)); undefined")
    assert run.stdout == "é€😀" * 60_000 and run.largest <= MAX_DATA
    for _, data in run.outputs:
        data.decode()


def test_a_character_that_was_begun_and_not_finished_is_shown_at_the_end(context):
    assert (
        context.run("process.stdout.write(Buffer.from([97, 0xe2, 0x82])); undefined").data("stdout")
        == b"a\xe2\x82"
    )


def test_a_large_write_arrives_whole(context):
    run = context.run("console.log('x'.repeat(20_000_000))")
    assert len(run.stdout) == 20_000_001 and run.largest <= MAX_DATA


def test_many_small_writes_are_gathered(context):
    run = context.run("for (let i = 0; i < 100_000; i++) console.log(i)")
    assert run.stdout == "".join(f"{i}\n" for i in range(100_000))
    assert len(run.outputs) < 20_000


def test_output_streams_while_a_busy_loop_goes_on(context):
    run = context.begin(
        "for (let i = 0; i < 3; i++) { console.log(i); while (!fs.existsSync('go' + i)); }"
    )
    for i in range(3):
        context.until(run, f"{i}\n")
        touch(context, f"go{i}")
    assert context.finish(run).status == "ok"


def test_a_host_that_does_not_read_stops_the_code_and_memory_stays_bounded(context):
    context.run(
        "const x = 'x'.repeat(50_000); const rss = () => process.resourceUsage().maxRSS; const before = rss()"
    )
    run = context.run("for (let i = 0; i < 2000; i++) console.log(x)")
    assert len(run.data()) == 2000 * 50_001
    assert int(context.run("rss() - before").value) < 80_000  # KiB


def test_the_streams_are_streams(context):
    run = context.run(
        "process.stdout.write('a', 'utf8', () => console.log('written')); process.stdout.end('b'); process.stdout.destroy();"
        "await new Promise(r => setTimeout(r, 5)); [process.stdout.fd, process.stderr.fd, process.stdout.isTTY].join()"
    )
    assert run.value == "'1,2,'" and run.stdout == "abwritten\n"
    assert (
        context.run(
            "require('stream').Readable.from(['p', 'q']).pipe(process.stdout); await new Promise(r => setTimeout(r, 20)); console.log('after')"
        ).stdout
        == "pqafter\n"
    )
    assert context.run("console.table([{a: 1}])").stdout.count("\n") == 5


def test_workers_of_the_users_own_are_captured(context):
    run = context.run(
        "const w = new worker_threads.Worker('console.log(\"from the worker\")', {eval: true}); await new Promise(r => w.on('exit', r)); await new Promise(r => setTimeout(r, 10))"
    )
    assert run.stdout == "from the worker\n"


# --- what outlives a run -------------------------------------------------------------------------
def test_a_timer_that_outlives_its_run_writes_into_the_run_that_is_active_or_into_none(context):
    context.run("let go; new Promise(r => { go = r }).then(() => console.log('late')); undefined")
    run = context.run("go(); await new Promise(r => setTimeout(r, 1)); console.log('now')")
    assert run.stdout == "late\nnow\n"
    context.run(WHEN_TOLD % "console.log('between'); fs.writeSync(1, 'below\\n')")
    touch(context, "go")
    context.until_between("below\n")
    assert context.between.stdout == "between\nbelow\n"


def test_a_child_that_outlives_its_run_cannot_disturb_the_next(context):
    context.run(
        "const child = child_process.spawn('sh', ['-c', 'read x; echo from the child'], {stdio: ['pipe', 'inherit', 'inherit']}); undefined"
    )
    run = context.run(
        "child.stdin.end('x\\n'); await new Promise(r => child.on('exit', r)); console.log('now')"
    )
    assert run.text == "from the child\nnow\n"


# --- interrupts ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "code",
    [
        "while (true);",
        "for (;;) console.log('x')",
        "for (;;) console.log('x'.repeat(100_000))",
        "await new Promise(() => {})",
        "child_process.execSync('sleep 1000')",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
        "await new Promise(r => setTimeout(r, 1e6))",
        "for (;;) display(1)",
        "for (;;) { console.log('x'); console.error('y'); }",
    ],
)
def test_an_interrupt_ends_the_run_and_the_context_lives_on(context, code):
    context.run("const kept = 5")
    run = context.interrupted("console.log('ready');\n" + code)
    assert run.status == "interrupted"
    assert context.run("kept").value == "5"
    assert context.run("console.log('still in order')").stdout == "still in order\n"


def test_a_signal_interrupts_code_that_is_busy_too(context):
    run = context.begin("console.log('ready'); while (true);")
    context.until(run, "ready\n")
    os.kill(context.process.pid, signal.SIGINT)
    assert context.finish(run).status == "interrupted"


def test_an_interrupt_between_runs_does_nothing(context):
    context.run("1")
    context.interrupt()
    assert context.run("2").value == "2"


def test_many_interrupts_leave_the_framing_whole(context):
    for _ in range(20):
        assert (
            context.interrupted("console.log('ready'); for (;;) console.log('y')").status
            == "interrupted"
        )
    assert context.run("'whole'").value == "'whole'"


def test_an_await_that_was_interrupted_says_nothing_of_its_end(context):
    run = context.interrupted(
        "let settle; const settled = new Promise(r => { settle = r }); console.log('ready'); await settled; 'too late'"
    )
    assert run.status == "interrupted"
    assert context.run("settle(); await new Promise(r => setTimeout(r, 1)); 1").value == "1"


# --- the end of the process ----------------------------------------------------------------------
@pytest.mark.parametrize(
    "code, exit_code, text",
    [
        ("process.exit()", 0, ""),
        ("process.exit(3)", 3, ""),
        ("console.log('last'); process.exit(4)", 4, "last\n"),
        ("await 1; console.error('e'); process.exit(5)", 5, "e\n"),
        ("process.exitCode = 6; process.exit()", 6, ""),
    ],
)
def test_process_exit_ends_the_context_with_a_message(context, code, exit_code, text):
    run = context.run(code)
    assert (run.status, run.exit_code, run.text) == (None, exit_code, text)
    assert context.end()[0] == exit_code


def test_output_of_exit_handlers_follows_the_exit_message(context):
    context.run("process.on('exit', () => console.log('good bye'))")
    run = context.run("process.exit(0)")
    while context.step(run) or run.stdout != "good bye\n":
        pass
    assert context.end()[0] == 0


def test_an_exit_between_runs_is_told_without_a_run(context):
    context.run(WHEN_TOLD % "process.exit(7)")
    touch(context, "go")
    kind, message = context.receive()
    assert kind == "exit" and message == {"code": 7}
    assert context.end()[0] == 7


@pytest.mark.parametrize(
    "code, end",
    [
        ("process.abort()", -signal.SIGABRT),
        ("process.kill(process.pid, 'SIGKILL')", -signal.SIGKILL),
    ],
)
def test_a_death_is_no_success(context, code, end):
    run = context.run("console.log('one'); await new Promise(r => setTimeout(r, 20)); " + code)
    assert run.status == "died" and run.exit_code is None and run.stdout == "one\n"
    assert context.end()[0] == end


def test_out_of_memory_is_no_success(start):
    context = start(env={**os.environ, "NODE_OPTIONS": "--max-old-space-size=40"}).start()
    run = context.run("const a = []; for (;;) a.push(new Array(10_000).fill({}))")
    assert run.status == "died"
    assert context.end()[0] == -signal.SIGABRT


# --- what code does by accident ------------------------------------------------------------------
@pytest.mark.parametrize(
    "code",
    [
        "console.log = console.error = () => {}",
        "JSON.stringify = JSON.parse = null",
        "process.stdout.write = null; process.stdout.end()",
        "fs.writeSync = fs.readSync = null",
        "Atomics.wait = Atomics.load = null",
        "process.removeAllListeners()",
        "Error.prepareStackTrace = () => 'x'",
        "delete globalThis.require; delete globalThis.$mport",
        "Buffer.from = null",
        "fs.closeSync(1); fs.closeSync(2)",
        "process.stdout = null",
        "globalThis.Promise = null",
        "util.inspect = null",
        "for (const k of Object.keys(globalThis)) delete globalThis[k]",
        "console = null",
        "process.hrtime = null; performance.now = null",
        "Object.prototype.extra = 1",
        "'use strict'; undefined",
    ],
)
def test_code_does_not_break_the_driver(context, code):
    context.run(code)
    run = context.run("6 * 7")
    assert (run.status, run.value) == ("ok", "42")
    assert context.run("throw 1").status == "error"


@pytest.mark.parametrize(
    "code",
    [
        "console = null",
        "console.log = null",
        "process.stdout.write = null",
        "process.stdout = process.stderr = null",
        "fs.closeSync(1); fs.closeSync(2)",
    ],
)
def test_the_streams_are_there_again_in_the_next_run(context, code):
    context.run(code)
    assert (
        context.run("process.stdout.write('out'); process.stderr.write('err'); undefined").text
        == "outerr"
    )
    assert (
        context.run(
            "child_process.execSync('echo child; sleep 0.01; echo error >&2', {stdio: 'inherit'})"
        ).text
        == "child\nerror\n"
    )


# --- rich values ---------------------------------------------------------------------------------
def test_display_shows_values_in_order_with_the_output(context):
    run = context.run(
        "console.log('a'); display('two'); console.log('b'); display({'text/html': '<i>', 'text/plain': 'i'}, {raw: true}); 3"
    )
    assert run.order == ["output", "display", "output", "display", "display", "done"]
    assert [shown["data"]["text/plain"] for shown in run.displays] == ["'two'", "i", "3"]
    assert [shown.get("result", False) for shown in run.displays] == [False, False, True]


def test_every_type_has_a_function(context):
    run = context.run(
        "display.html('<b>'); display.markdown('*'); display.latex('$x$'); display.svg('<svg/>'); display.json({a: [1]}); display.png(Buffer.from([137, 80]))"
    )
    shown = {mime: value for display in run.displays for mime, value in display["data"].items()}
    assert to_bytes(shown.pop("image/png")) == b"\x89P"
    shown.pop("text/plain")
    assert shown == {
        "text/html": "<b>",
        "text/markdown": "*",
        "text/latex": "$x$",
        "image/svg+xml": "<svg/>",
        "application/json": '{"a":[1]}',
    }


def test_a_value_can_say_how_it_is_shown(context):
    run = context.run(
        "({[Symbol.for('Jupyter.display')]() { return {'text/html': '<b>', 'text/plain': 'p', 'bad type': 1} }})"
    )
    assert run.displays[0]["data"] == {"text/plain": "p", "text/html": "<b>"}
    assert context.run("({[Symbol.for('Jupyter.display')]() { throw 1 }})").status == "ok"


def test_what_does_not_fit_is_named_with_its_size(context):
    run = context.run(
        "display({'text/plain': 'p', 'image/png': Buffer.alloc(9_000_000), 'text/html': 'h'}, {raw: true})"
    )
    assert run.displays[0]["data"] == {"text/plain": "p", "text/html": "h"}
    assert run.displays[0]["omitted"] == {"image/png": 9_000_000}
