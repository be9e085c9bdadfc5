//! Commands: programs that are run to their end.

use serde_json::json;

use crate::error::Result;
use crate::execution::CommandExecution;
use crate::options::ProgramOptions;
use crate::scope::Scope;
use crate::stream::Stream;
use crate::wire;

/// Runs programs. There is no shell between; use `run("sh", &["-c", SCRIPT])` for one.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    pub(crate) scope: &'a Scope,
}

impl Command<'_> {
    /// Runs a program to its end. `command` is a path, or a name that is found by PATH.
    pub async fn run<S: AsRef<str>>(&self, command: &str, args: &[S]) -> Result<CommandExecution> {
        self.run_with(command, args, ProgramOptions::new()).await
    }

    /// The same, with options.
    pub async fn run_with<S: AsRef<str>>(
        &self,
        command: &str,
        args: &[S],
        options: ProgramOptions,
    ) -> Result<CommandExecution> {
        let params = params(command, args, &options);
        wire::decode(self.scope.call("command.run", params).await?)
    }

    /// The same, with its output as it comes.
    pub async fn stream<S: AsRef<str>>(
        &self,
        command: &str,
        args: &[S],
        options: ProgramOptions,
    ) -> Result<Stream<CommandExecution>> {
        let params = params(command, args, &options);
        self.scope.stream("command.run", params, CommandExecution::of_stream).await
    }
}

fn params<S: AsRef<str>>(command: &str, args: &[S], options: &ProgramOptions) -> serde_json::Value {
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    let timeout = options.timeout.map(|time| time.as_secs_f64());
    options.put_into(json!({"command": command, "args": args, "timeout": timeout}))
}
