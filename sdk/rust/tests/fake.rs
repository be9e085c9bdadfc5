//! The crate against tests/sdk/fake_server.py, which does what a test tells it in the request.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use microsandbox::*;
use serde_json::{json, Value};

/// A server of the test's own.
struct Fake {
    server: Child,
    url: String,
}

impl Fake {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sdk/fake_server.py");
        let mut command = Process::new("python3");
        let mut server = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { server, url: url.trim().to_owned() }
    }

    fn options(&self) -> SandboxOptionsBuilder {
        SandboxOptions::builder().server_url(&self.url)
    }

    /// A sandbox that is used without being started.
    fn python(&self, name: &str) -> PythonSandbox {
        PythonSandbox::new(self.options().name(name).build()).unwrap()
    }

    /// What was asked so far.
    async fn requests(&self, method: &str) -> Vec<Value> {
        let text = reqwest::get(format!("{}/recorded", self.url)).await.unwrap().text().await.unwrap();
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        all.into_iter()
            .filter(|request| request["method"] == method)
            .map(|mut request| request["params"].take())
            .collect()
    }

    async fn until_gone(&self) {
        while self.requests("gone").await.is_empty() {}
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        self.server.wait().unwrap();
    }
}

/// Code that makes the fake server answer these events.
fn script(events: Value, more: Value) -> String {
    let mut script = json!({"events": events});
    for (name, value) in more.as_object().unwrap() {
        script[name] = value.clone();
    }
    script.to_string()
}

fn out(text: &str) -> Value {
    json!(["output", {"stream": "stdout", "text": text}])
}

fn err(text: &str) -> Value {
    json!(["output", {"stream": "stderr", "text": text}])
}

#[tokio::test]
async fn code_runs_and_its_output_is_told_by_stream() {
    let fake = Fake::start();
    let sandbox = PythonSandbox::create(fake.options().name("test").build()).await.unwrap();
    let execution = sandbox.run(&script(json!([out("a\n\nb\n"), err("bad\n")]), json!({}))).await.unwrap();
    assert_eq!(execution.output().await.unwrap(), "a\n\nb");
    assert_eq!(execution.error().await.unwrap(), "bad");
    assert_eq!((execution.status(), execution.language(), execution.end), ("success", "python", RunEnd::Ok));
    assert!(!execution.has_error());
    sandbox.close().await.unwrap();
    let config = json!({"image": "microsandbox/python", "memory": 512, "cpus": 1.0});
    let start = json!({"sandbox": "test", "namespace": "default", "config": config});
    assert_eq!(fake.requests("sandbox.start").await, [start]);
    assert!(fake.requests("sandbox.repl.run").await[0].get("timeout").is_none());
}

#[tokio::test]
async fn a_sandbox_that_was_named_is_stopped_and_one_that_was_not_is_removed() {
    let fake = Fake::start();
    NodeSandbox::create(fake.options().name("kept").build()).await.unwrap().close().await.unwrap();
    assert_eq!(fake.requests("sandbox.stop").await[0]["sandbox"], "kept");
    assert!(fake.requests("sandbox.remove").await.is_empty());
    let sandbox = NodeSandbox::create(fake.options().build()).await.unwrap();
    sandbox.close().await.unwrap();
    assert_eq!(fake.requests("sandbox.remove").await[0]["sandbox"], sandbox.name());
}

#[tokio::test]
async fn a_named_sandbox_that_could_not_be_started_or_that_is_anothers_is_not_stopped() {
    let fake = Fake::start();
    let failed = PythonSandbox::create(fake.options().name("error-4001-404").build()).await;
    assert_eq!(failed.unwrap_err().kind(), Some(ErrorKind::NotFound));
    let theirs = fake.python("theirs");
    assert_eq!(theirs.run("hello").await.unwrap().output().await.unwrap(), "hello");
    theirs.close().await.unwrap();
    assert!(fake.requests("sandbox.stop").await.is_empty());
}

#[tokio::test]
async fn settings_are_sent_as_the_api_names_them_and_none_without_an_image() {
    let fake = Fake::start();
    let options = fake.options().image("i").env("A", "1").script("start", "run").idle(Duration::from_secs(5));
    Sandbox::create(options.reset(true).cpus(2.0).build()).await.unwrap();
    Sandbox::create(fake.options().name("again").build()).await.unwrap();
    let starts = fake.requests("sandbox.start").await;
    let config =
        json!({"image": "i", "memory": 512, "cpus": 2.0, "envs": ["A=1"], "scripts": {"start": "run"}, "idle": 5.0});
    assert_eq!((&starts[0]["config"], &starts[0]["reset"]), (&config, &json!(true)));
    assert_eq!(starts[1], json!({"sandbox": "again", "namespace": "default"}));
}

#[tokio::test]
async fn several_languages_run_in_one_sandbox() {
    let fake = Fake::start();
    let sandbox = Sandbox::new(fake.options().name("test").build()).unwrap();
    for (language, name) in [("python", "python"), ("javascript", "node")] {
        let options = RunOptions::new().language(language).timeout(Duration::from_secs(2));
        assert_eq!(sandbox.run_with("1", options).await.unwrap().language(), name);
    }
    assert!(matches!(sandbox.run("1").await, Err(Error::InvalidArgument(_))));
    assert_eq!(fake.requests("sandbox.repl.run").await[0]["timeout"], 2.0);
}

#[tokio::test]
async fn callbacks_get_output_as_it_comes_and_the_execution_has_all_of_it() {
    let fake = Fake::start();
    let figure = json!(["display", {"result": true, "data": {"text/plain": "f", "image/png": "iVA="}, "omitted": {}}]);
    let exception = json!(["exception", {"name": "E", "value": "v", "traceback": ["t"]}]);
    let events = json!([out("a"), out("b\nc"), err("oops\n"), ["newer", {}], figure, exception]);
    let code = script(events, json!({"result": {"end": "error"}}));
    let (mut stdout, mut stderr, mut images) = (Vec::new(), String::new(), Vec::new());
    let options = RunOptions::new()
        .on_stdout(|text| stdout.push(text.to_owned()))
        .on_stderr(|text| stderr.push_str(text))
        .on_display(|display| images.extend(display.png()));
    let execution = fake.python("test").run_with(&code, options).await.unwrap();
    assert_eq!(
        (stdout, stderr.as_str(), images),
        (vec!["a".to_owned(), "b\nc".to_owned()], "oops\n", vec![vec![0x89, b'P']])
    );
    assert_eq!(execution.output().await.unwrap(), "ab\nc\nf");
    assert_eq!(execution.error().await.unwrap(), "oops\nt");
    assert!(execution.has_error());
    assert_eq!(execution.result().and_then(Display::text), Some("f"));
    assert_eq!(execution.exception.unwrap().name, "E");
}

#[tokio::test]
async fn an_answer_without_a_stream_has_displays_and_the_exception_too() {
    let fake = Fake::start();
    let display = json!(["display", {"result": false, "data": {"text/html": "<b>"}, "omitted": {}}]);
    let events = json!([display, ["exception", {"name": "E", "value": "v", "traceback": []}]]);
    let execution = fake.python("test").run(&script(events, json!({"result": {"end": "newer"}}))).await.unwrap();
    assert_eq!(execution.displays[0].html(), Some("<b>"));
    assert_eq!((execution.end, execution.result()), (RunEnd::Other, None));
    assert_eq!(execution.exception.unwrap().value, "v");
}

#[tokio::test]
async fn a_stream_delivers_bytes_and_then_its_result() {
    let fake = Fake::start();
    let code = script(json!([out("é"), ["output", {"stream": "stdout", "base64": "/w=="}]]), json!({}));
    let mut stream = fake.python("test").stream(&code, RunOptions::new()).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(Event::Output(output)) = stream.next().await.unwrap() {
        pieces.push(output.data);
    }
    assert_eq!(pieces, ["é".as_bytes().to_vec(), vec![0xff]]);
    assert_eq!(stream.result().await.unwrap().output().await.unwrap(), "é\u{fffd}");
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection() {
    let fake = Fake::start();
    let code = script(json!([out("1")]), json!({"hang": true}));
    let mut stream = fake.python("test").stream(&code, RunOptions::new()).await.unwrap();
    stream.next().await.unwrap();
    drop(stream);
    fake.until_gone().await;
}

#[tokio::test]
async fn each_code_has_a_kind() {
    let fake = Fake::start();
    let codes = [
        (2001, 400, ErrorKind::Validation),
        (1001, 401, ErrorKind::Authentication),
        (1004, 401, ErrorKind::InvalidToken),
        (3001, 403, ErrorKind::PermissionDenied),
        (4001, 404, ErrorKind::NotFound),
        (4002, 409, ErrorKind::AlreadyExists),
        (4003, 409, ErrorKind::Busy),
        (3002, 429, ErrorKind::LimitExceeded),
        (5002, 500, ErrorKind::Internal),
        (-32600, 400, ErrorKind::InvalidRequest),
        (-32601, 404, ErrorKind::MethodNotFound),
        (-32700, 400, ErrorKind::Parse),
        (9999, 418, ErrorKind::Other),
    ];
    for (code, status, kind) in codes {
        let sandbox = fake.python(&format!("error-{code}-{status}"));
        let streamed = RunOptions::new().on_stdout(|_| {});
        for result in [sandbox.run("1").await, sandbox.run_with("1", streamed).await] {
            let Err(Error::Api(error)) = result else { panic!("{result:?}") };
            assert_eq!((error.kind, error.code, error.status), (kind, Some(code), status));
            assert!(error.message.contains("do that"));
        }
    }
}

#[tokio::test]
async fn streams_that_fail_are_errors_not_results() {
    let fake = Fake::start();
    let sandbox = fake.python("test");
    let failing = script(json!([out("1")]), json!({"error": [409, 4003, "the server drains"]}));
    let mut seen = String::new();
    let run = sandbox.run_with(&failing, RunOptions::new().on_stdout(|text| seen.push_str(text))).await;
    assert_eq!((run.unwrap_err().kind(), seen.as_str()), (Some(ErrorKind::Busy), "1"));
    let cut = script(json!([out("1")]), json!({"cut": true}));
    let run = sandbox.run_with(&cut, RunOptions::new().on_stdout(|_| {})).await;
    assert!(matches!(run, Err(Error::ConnectionLost { .. })), "{run:?}");
    let garbage = fake.python("garbage").run("1").await.unwrap_err();
    assert!(
        matches!(&garbage, Error::UnexpectedResponse(text) if text.contains("502") && text.contains("Bad Gateway"))
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_how_to_start_one() {
    let options = SandboxOptions::builder().server_url("http://127.0.0.1:9").name("test").build();
    let error = PythonSandbox::create(options).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("http://127.0.0.1:9") && message.contains("msb server start --dev"), "{message}");
    for url in ["nonsense", "ftp://host", "http://"] {
        let options = SandboxOptions::builder().server_url(url).build();
        assert!(matches!(PythonSandbox::new(options), Err(Error::InvalidArgument(_))), "{url}");
    }
}

#[tokio::test]
async fn a_start_that_takes_too_long_is_a_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let options = SandboxOptions::builder().server_url(url).name("test").timeout(Duration::from_millis(100));
    let error = PythonSandbox::create(options.build()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn a_key_is_sent() {
    let fake = Fake::start();
    let options = fake.options().name("test").api_key("msb_key").build();
    PythonSandbox::new(options).unwrap().run("1").await.unwrap();
    let recorded = reqwest::get(format!("{}/recorded", fake.url)).await.unwrap().text().await.unwrap();
    assert!(recorded.contains("Bearer msb_key"));
}

#[tokio::test]
async fn commands_tell_their_output_and_exit_code() {
    let fake = Fake::start();
    let sandbox = fake.python("test");
    let result = json!({"exit_code": 3, "success": false, "out_of_memory": true});
    let code = script(json!([out("x\n"), err("e\n")]), json!({"result": result}));
    let options = ProgramOptions::new().timeout(Duration::from_secs(5)).env("A", "1").user("u");
    let done = sandbox.command().run_with("prog", &[&code], options.clone()).await.unwrap();
    assert_eq!((done.output().await.unwrap(), done.error().await.unwrap()), ("x".into(), "e".into()));
    assert_eq!((done.exit_code(), done.is_success(), done.command.as_str()), (3, false, "prog"));
    assert!(done.out_of_memory);
    let sent = &fake.requests("sandbox.command.run").await[0];
    assert_eq!((&sent["timeout"], &sent["envs"], &sent["user"]), (&json!(5.0), &json!(["A=1"]), &json!("u")));
    let stream = sandbox.command().stream("prog", &[&code], options).await.unwrap();
    assert_eq!(stream.result().await.unwrap().output().await.unwrap(), "x");
    assert!(sandbox.command().run::<&str>("prog", &[]).await.unwrap().is_success());
}

#[tokio::test]
async fn a_process_gets_input_and_gives_output_until_it_ends() {
    let fake = Fake::start();
    let sandbox = fake.python("test");
    let process = sandbox.processes().start("cat", &["-u"], ProgramOptions::new().stdin(true)).await.unwrap();
    let mut stream = process.attach().await.unwrap();
    process.write("one\n").await.unwrap();
    let first = stream.next().await.unwrap();
    assert!(matches!(first, Some(Event::Output(output)) if output.text() == "one\n" && output.offset == Some(0)));
    process.write([0xff]).await.unwrap();
    process.close_stdin().await.unwrap();
    assert!(matches!(stream.next().await.unwrap(), Some(Event::Output(output)) if output.data == [0xff]));
    assert_eq!(stream.result().await.unwrap(), ProcessEnd::default());
    let again = sandbox.processes().get(process.id());
    let mut stream = again.attach_at(2, 0).await.unwrap();
    assert!(matches!(stream.next().await.unwrap(), Some(Event::Output(output)) if output.data == b"e\n\xff"));
    let listed = sandbox.processes().list().await.unwrap();
    assert_eq!(
        (listed[0].command.clone(), listed[0].ended.clone()),
        (vec!["cat".into(), "-u".into()], Some(ProcessEnd::default()))
    );
}

#[tokio::test]
async fn a_process_with_a_terminal_is_resized_waited_for_and_killed() {
    let fake = Fake::start();
    let sandbox = fake.python("test");
    let process = sandbox.processes().start::<&str>("sh", &[], ProgramOptions::new().pty(100, 30)).await.unwrap();
    assert_eq!(fake.requests("sandbox.process.start").await[0]["pty"], json!({"columns": 100, "rows": 30}));
    process.resize(120, 40).await.unwrap();
    assert!(process.wait_for(Duration::ZERO).await.unwrap().running);
    let (end, killed) = tokio::join!(process.wait(), process.kill());
    killed.unwrap();
    assert_eq!(end.unwrap().signal, Some(9));
    let signal = &fake.requests("sandbox.process.signal").await[0];
    assert_eq!((&signal["signal"], &signal["group"]), (&json!("KILL"), &json!(true)));
}

#[tokio::test]
async fn files_are_written_read_listed_moved_removed_and_watched() {
    let fake = Fake::start();
    let sandbox = fake.python("test");
    let files = sandbox.files();
    let info = files.clone().as_user("u").write_with_mode("/d/a", "grüße", "600").await.unwrap();
    assert_eq!((info.size, info.kind.as_str()), (7, "file"));
    let put = &fake.requests("PUT").await[0];
    assert_eq!((&put["user"], &put["mode"], &put["parents"]), (&json!("u"), &json!("600"), &json!("true")));
    assert_eq!(files.read_to_string("/d/a").await.unwrap(), "grüße");
    files.write("/d/b", [0, 255, 1, 2]).await.unwrap();
    assert_eq!(files.read_range("/d/b", 1..3).await.unwrap(), [255, 1]);
    assert!(files.read_range("/d/b", 1..1).await.unwrap().is_empty());
    assert!(matches!(files.read_to_string("/d/b").await, Err(Error::InvalidArgument(_))));
    files.mkdir("/d").await.unwrap();
    files.mkdir("/").await.unwrap(); // the fake has no root of its own
    let names: Vec<_> = files.list("/d", 2).await.unwrap().into_iter().map(|file| file.name).collect();
    assert_eq!(names, ["a", "b"]);
    let taken = files.rename("/d/a", "/d/b", false).await.unwrap_err();
    assert_eq!(taken.kind(), Some(ErrorKind::AlreadyExists));
    files.rename("/d/a", "/d/b", true).await.unwrap();
    let mut events = files.watch("/d", true).await.unwrap();
    files.write("/d/c", "").await.unwrap();
    let event = events.next().await.unwrap();
    assert_eq!(event, Some(Event::File(FileEvent { path: "/d/c".into(), event: "write".into() })));
    files.remove("/d/b").await.unwrap();
    assert!(!files.exists("/d/b").await.unwrap());
    assert_eq!(files.read("/d/b").await.unwrap_err().kind(), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn files_of_any_size_are_copied_both_ways() {
    let fake = Fake::start();
    let sandbox = fake.python("test");
    let folder = std::env::temp_dir().join(format!("microsandbox-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let content: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.join("in"), &content).unwrap();
    assert_eq!(sandbox.files().upload(folder.join("in"), "/big").await.unwrap().size, 5_000_000);
    assert_eq!(sandbox.files().download("/big", folder.join("out")).await.unwrap(), 5_000_000);
    assert!(std::fs::read(folder.join("out")).unwrap() == content);
    assert!(sandbox.files().download("/none", folder.join("out")).await.is_err());
    assert!(std::fs::read(folder.join("out")).unwrap() == content);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_sandbox_tells_its_contexts_metrics_state_end_and_log() {
    let fake = Fake::start();
    let sandbox = PythonSandbox::create(fake.options().name("test").build()).await.unwrap();
    let context = sandbox.contexts().create("other", None, ProgramOptions::new().workdir("/w")).await.unwrap();
    assert_eq!(context.run("hello").await.unwrap().output().await.unwrap(), "hello");
    assert_eq!(fake.requests("sandbox.repl.run").await[0]["context"], "other");
    assert_eq!(sandbox.contexts().list().await.unwrap()[0].context, "other");
    assert_eq!(context.interrupt().await.unwrap().language_version, "1.2");
    assert_eq!(context.restart().await.unwrap().runs, 0);
    context.remove().await.unwrap();

    assert_eq!(sandbox.metrics().cpu().await.unwrap(), Some(1.5));
    assert_eq!(sandbox.metrics().memory().await.unwrap(), Some(120.0));
    assert_eq!(sandbox.metrics().disk().await.unwrap(), None);
    assert!(sandbox.metrics().is_running().await.unwrap());
    assert_eq!(sandbox.info().await.unwrap().status, "running");
    assert_eq!(sandbox.set_timeout(None, Some(Duration::from_secs(3))).await.unwrap().idle, Some(3.0));
    assert_eq!(sandbox.logs(5).await.unwrap()[0].text, "line");

    let client = Client::new(&fake.options().build()).unwrap();
    assert_eq!(client.list("*").await.unwrap().len(), 1);
    assert_eq!(client.metrics("*").await.unwrap().len(), 1);
    client.remove("default", "test").await.unwrap();
    assert_eq!(sandbox.info().await.unwrap_err().kind(), Some(ErrorKind::NotFound));
    assert!(!sandbox.metrics().is_running().await.unwrap());
}
