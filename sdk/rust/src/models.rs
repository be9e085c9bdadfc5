//! Values that calls return and streams deliver.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use serde::Deserialize;

/// One line of output, without its newline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutputLine {
    /// stdout or stderr.
    pub stream: String,
    /// The line; what is not UTF-8 is replaced by U+FFFD.
    pub text: String,
}

/// A piece of output, as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// stdout or stderr (a process with a terminal: stdout).
    pub stream: String,
    /// The bytes as the program wrote them.
    pub data: Vec<u8>,
    /// Of processes: where the piece begins, in bytes since the process started.
    pub offset: Option<u64>,
}

impl Output {
    /// The piece as text. A piece is never cut within a character.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.data)
    }
}

/// Output that a process wrote, and that the server keeps no more.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dropped {
    /// stdout or stderr.
    pub stream: String,
    /// How many bytes are lost.
    pub bytes: u64,
}

/// A value that code showed, in one or more MIME types.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Display {
    /// Whether it is the value of the last expression, not something that was displayed.
    pub result: bool,
    /// By MIME type: text as it is, binary types in base64, application/json as JSON text.
    pub data: BTreeMap<String, String>,
    /// Types that were too large to be sent, with their sizes in bytes.
    pub omitted: BTreeMap<String, u64>,
}

impl Display {
    /// Its plain text.
    pub fn text(&self) -> Option<&str> {
        self.data.get("text/plain").map(String::as_str)
    }

    /// Its HTML, such as a table of pandas.
    pub fn html(&self) -> Option<&str> {
        self.data.get("text/html").map(String::as_str)
    }

    /// Its PNG image, such as a figure of matplotlib.
    pub fn png(&self) -> Option<Vec<u8>> {
        base64::engine::general_purpose::STANDARD.decode(self.data.get("image/png")?).ok()
    }
}

/// An exception that the code did not catch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ExceptionInfo {
    /// Its type, such as ValueError.
    pub name: String,
    /// Its message.
    pub value: String,
    /// Lines, as the language prints them.
    #[serde(default)]
    pub traceback: Vec<String>,
}

/// A change below a watched path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileEvent {
    /// Absolute path.
    pub path: String,
    /// create, write, chmod, remove, rename (its old name is gone) or overflow (some were lost).
    pub event: String,
}

/// What a stream delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A piece of output: of code, commands and processes.
    Output(Output),
    /// Output that is lost: of processes.
    Dropped(Dropped),
    /// A value that was shown: of code.
    Display(Display),
    /// An exception that nobody caught: of code.
    Exception(ExceptionInfo),
    /// A change: of watched files.
    File(FileEvent),
}

/// How the running of code came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RunEnd {
    /// It ran to its end.
    #[default]
    Ok,
    /// An exception that nobody caught.
    Error,
    /// It was interrupted.
    Interrupted,
    /// It ran out of time.
    Timeout,
    /// The context ended; the next run starts a new one.
    Exited,
    /// An end that this crate does not know.
    #[serde(other)]
    Other,
}

/// A file of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileInfo {
    /// Absolute path.
    pub path: String,
    /// Last component of the path.
    pub name: String,
    /// file, directory, symlink, fifo, socket, character or block.
    #[serde(rename = "type")]
    pub kind: String,
    /// Permission bits, in octal.
    pub mode: String,
    /// Bytes.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When its content changed last (RFC 3339).
    pub modified: String,
    /// Of a symbolic link: where it leads.
    #[serde(default)]
    pub target: Option<String>,
}

/// A context: variables that stay from one run of code to the next.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ContextInfo {
    /// Its name.
    pub context: String,
    /// python or node.
    pub language: String,
    /// Such as 3.11.2.
    #[serde(default)]
    pub language_version: String,
    /// Whether it runs code now.
    #[serde(default)]
    pub busy: bool,
    /// How often it has run code.
    #[serde(default)]
    pub runs: u64,
}

/// How a process ended, or that it runs still.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ProcessEnd {
    /// It has not ended.
    pub running: bool,
    /// Its exit code; 128 + n if signal n killed it.
    pub exit_code: i32,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    /// It was killed because the sandbox had no memory left.
    pub out_of_memory: bool,
}

/// A process that was started with `processes().start` and was not waited for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProcessInfo {
    /// Id.
    pub process: String,
    /// Its number in the sandbox; 0 if it has ended.
    pub pid: u32,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether it has a terminal.
    #[serde(default)]
    pub pty: bool,
    /// How it ended, if it has.
    #[serde(default)]
    pub ended: Option<ProcessEnd>,
}

/// A sandbox of the server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SandboxInfo {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// starting, running, paused (the host's disk is full), stopping or stopped.
    pub status: String,
    /// Id of this run; empty if it is stopped.
    #[serde(default)]
    pub id: String,
    /// Image that it is made over.
    #[serde(default)]
    pub image: String,
    /// RAM in MiB.
    #[serde(default)]
    pub memory: u64,
    /// Bytes that its disk takes on the host.
    #[serde(default)]
    pub disk: u64,
    /// When it was started (RFC 3339); `None` if it is stopped.
    #[serde(default)]
    pub created: Option<String>,
    /// When its lifetime is over (RFC 3339); `None`: never.
    #[serde(default)]
    pub ends: Option<String>,
    /// Seconds without a request after which it is stopped; `None`: never.
    #[serde(default)]
    pub idle: Option<f64>,
    /// Why it ended last, if that is known and it is stopped.
    #[serde(default)]
    pub last_end: Option<String>,
}

/// What a sandbox uses; `None` where that is not known.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SandboxMetrics {
    /// Namespace of the sandbox.
    pub namespace: String,
    /// Name of the sandbox.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// CPU time since the last look, in percent of one CPU of the host.
    pub cpu_usage: Option<f64>,
    /// Memory that it has on the host, in MiB.
    pub memory_usage: Option<f64>,
    /// Bytes that its disk takes on the host.
    pub disk_usage: Option<u64>,
}

/// When a sandbox is stopped by itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TimeoutInfo {
    /// When its lifetime is over (RFC 3339); `None`: never.
    #[serde(default)]
    pub ends: Option<String>,
    /// Seconds without a request after which it is stopped; `None`: never.
    #[serde(default)]
    pub idle: Option<f64>,
}

/// A line that a sandbox's own program wrote.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// When (RFC 3339).
    pub time: String,
    /// stdout or stderr.
    pub stream: String,
    /// The line, without its newline.
    pub text: String,
}
