//! What came of running code or a command.

use serde::Deserialize;
use serde_json::Value;

use crate::collect::Collector;
use crate::error::Result;
use crate::models::{Display, ExceptionInfo, OutputLine, RunEnd};
use crate::wire;

fn text_of(lines: &[OutputLine], stream: &str) -> String {
    let lines: Vec<_> = lines.iter().filter(|line| line.stream == stream).map(|line| line.text.as_str()).collect();
    lines.join("\n")
}

/// What came of running code.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Execution {
    /// `success`: the code was run, whatever came of it (see `end`).
    pub status: String,
    /// python or node.
    pub language: String,
    /// Output in order of arrival across streams; values shown and tracebacks are in it as text.
    #[serde(rename = "output")]
    pub lines: Vec<OutputLine>,
    /// How it came to its end.
    pub end: RunEnd,
    /// Values that the code showed, by MIME type.
    pub displays: Vec<Display>,
    /// The exception that nobody caught, if there was one.
    pub exception: Option<ExceptionInfo>,
    /// There was more output than a result holds (8 MiB).
    pub truncated: bool,
}

impl Execution {
    pub(crate) fn of_stream(answer: Value, mut events: Collector) -> Result<Self> {
        let mut own: Self = wire::decode(answer)?;
        own.lines.splice(0..0, events.take_lines(&own.language));
        own.displays.splice(0..0, events.displays);
        own.exception = own.exception.or(events.exception);
        own.truncated |= events.truncated;
        Ok(own)
    }

    /// What the code wrote to stdout, and the values it showed as text. (It is here already: nothing is waited for.)
    pub async fn output(&self) -> Result<String> {
        Ok(text_of(&self.lines, "stdout"))
    }

    /// What the code wrote to stderr, tracebacks included.
    pub async fn error(&self) -> Result<String> {
        Ok(text_of(&self.lines, "stderr"))
    }

    /// Whether the code did not come to its end: an exception, an interrupt, a timeout, an exit.
    pub fn has_error(&self) -> bool {
        self.end != RunEnd::Ok
    }

    /// `success`: the code was run, whatever came of it (see `end`).
    pub fn status(&self) -> &str {
        &self.status
    }

    /// python or node.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// The value of the last expression, if it had one.
    pub fn result(&self) -> Option<&Display> {
        self.displays.iter().rev().find(|display| display.result)
    }
}

/// What came of running a command.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CommandExecution {
    /// The program, as it was given.
    pub command: String,
    /// Its arguments, as they were given.
    pub args: Vec<String>,
    /// Its exit code; 128 + n if signal n killed it.
    pub exit_code: i32,
    /// Whether the exit code is 0.
    pub success: bool,
    /// It was killed because the sandbox had no memory left.
    pub out_of_memory: bool,
    /// Output in order of arrival across streams.
    #[serde(rename = "output")]
    pub lines: Vec<OutputLine>,
    /// There was more output than a result holds (8 MiB).
    pub truncated: bool,
}

impl CommandExecution {
    pub(crate) fn of_stream(answer: Value, mut events: Collector) -> Result<Self> {
        let mut own: Self = wire::decode(answer)?;
        own.lines.splice(0..0, events.take_lines(""));
        own.truncated |= events.truncated;
        Ok(own)
    }

    /// What the command wrote to stdout.
    pub async fn output(&self) -> Result<String> {
        Ok(text_of(&self.lines, "stdout"))
    }

    /// What the command wrote to stderr.
    pub async fn error(&self) -> Result<String> {
        Ok(text_of(&self.lines, "stderr"))
    }

    /// Its exit code; 128 + n if signal n killed it.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }

    /// Whether the exit code is 0.
    pub fn is_success(&self) -> bool {
        self.success
    }
}
