//! Processes: programs that outlive a call.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{json, Value};

use crate::error::Result;
use crate::models::{ProcessEnd, ProcessInfo};
use crate::options::ProgramOptions;
use crate::scope::Scope;
use crate::stream::Stream;
use crate::wire;

/// A process of a sandbox. It runs on if this value goes; [`Processes::get`] finds it again.
#[derive(Debug, Clone)]
pub struct Process<'a> {
    scope: &'a Scope,
    id: String,
}

impl Process<'_> {
    /// Its id, for [`Processes::get`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its output from its start on, until it ends. Dropping the stream leaves the process alone.
    pub async fn attach(&self) -> Result<Stream<ProcessEnd>> {
        self.attach_at(0, 0).await
    }

    /// Its output from offsets on, in bytes since its start. What the server keeps no more is told by a
    /// [`Dropped`](crate::Dropped) first.
    pub async fn attach_at(&self, stdout_offset: u64, stderr_offset: u64) -> Result<Stream<ProcessEnd>> {
        let params = json!({
            "process": self.id,
            "stdout_offset": stdout_offset,
            "stderr_offset": stderr_offset,
        });
        self.scope.stream("process.attach", params, |answer, _| wire::decode(answer)).await
    }

    /// Waits until it has ended.
    pub async fn wait(&self) -> Result<ProcessEnd> {
        wire::decode(self.call("wait", json!({})).await?)
    }

    /// Waits until it has ended, or for so long; the end's `running` tells which.
    pub async fn wait_for(&self, timeout: Duration) -> Result<ProcessEnd> {
        wire::decode(self.call("wait", json!({"timeout": timeout.as_secs_f64()})).await?)
    }

    /// Writes to its stdin. It must have been started with stdin or a pty.
    pub async fn write(&self, data: impl AsRef<[u8]>) -> Result<()> {
        let (text, base64) = wire::content(data.as_ref());
        self.call("write", json!({"text": text, "base64": base64})).await.map(drop)
    }

    /// Closes its stdin: it reads end-of-file.
    pub async fn close_stdin(&self) -> Result<()> {
        self.call("write", json!({"eof": true})).await.map(drop)
    }

    /// Sends it a signal, by name or number: `TERM`, `SIGKILL`, `2`.
    pub async fn signal(&self, signal: &str) -> Result<()> {
        self.call("signal", json!({"signal": signal})).await.map(drop)
    }

    /// Sends a signal to all of its process group (with a pty: to what runs in the foreground).
    pub async fn signal_group(&self, signal: &str) -> Result<()> {
        self.call("signal", json!({"signal": signal, "group": true})).await.map(drop)
    }

    /// Kills it and its process group.
    pub async fn kill(&self) -> Result<()> {
        self.signal_group("KILL").await
    }

    /// Tells it the new size of its terminal.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        self.call("resize", json!({"columns": columns, "rows": rows})).await.map(drop)
    }

    async fn call(&self, what: &str, mut params: Value) -> Result<Value> {
        params["process"] = json!(self.id);
        self.scope.call(&format!("process.{what}"), params).await
    }
}

/// Starts and finds processes.
#[derive(Debug, Clone, Copy)]
pub struct Processes<'a> {
    pub(crate) scope: &'a Scope,
}

impl<'a> Processes<'a> {
    /// Starts a program and returns at once. `command` is a path, or a name that is found by PATH; there is no shell
    /// between.
    pub async fn start<S: AsRef<str>>(
        &self,
        command: &str,
        args: &[S],
        options: ProgramOptions,
    ) -> Result<Process<'a>> {
        #[derive(Deserialize)]
        struct Started {
            process: String,
        }
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        let params = json!({
            "command": command,
            "args": args,
            "stdin": options.stdin,
            "pty": options.pty.map(|(columns, rows)| json!({"columns": columns, "rows": rows})),
            "keep_all_output": options.keep_all_output,
        });
        let started: Started = wire::decode(self.scope.call("process.start", options.put_into(params)).await?)?;
        Ok(self.get(started.process))
    }

    /// A process by its id. Asks nothing.
    pub fn get(&self, id: impl Into<String>) -> Process<'a> {
        Process { scope: self.scope, id: id.into() }
    }

    /// Those that `start` made and that were not waited for.
    pub async fn list(&self) -> Result<Vec<ProcessInfo>> {
        self.scope.call_for("process.list", json!({}), "processes").await
    }
}
