//! One sandbox of one server: what all parts of its interface work with.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{json, Value};

use crate::collect::Collector;
use crate::error::{Error, Result};
use crate::execution::Execution;
use crate::models::{Event, Output};
use crate::options::RunOptions;
use crate::stream::Stream;
use crate::transport::Transport;
use crate::wire;

#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub transport: Transport,
    pub namespace: String,
    pub name: String,
    pub language: Option<&'static str>,
}

impl Scope {
    /// The language that was given, or else the sandbox's own.
    pub fn language(&self, given: Option<String>) -> Result<String> {
        given.or_else(|| self.language.map(str::to_owned)).ok_or_else(|| {
            let message = "a Sandbox has no language of its own: give language(\"python\") or (\"node\")";
            Error::InvalidArgument(message.to_owned())
        })
    }

    /// The result of `sandbox.METHOD`.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.call_within(method, params, None).await
    }

    pub async fn call_within(&self, method: &str, params: Value, timeout: Option<Duration>) -> Result<Value> {
        self.transport.call(&format!("sandbox.{method}"), self.params(params), timeout).await
    }

    /// The same, one member of the result.
    pub async fn call_for<T: DeserializeOwned>(&self, method: &str, params: Value, member: &str) -> Result<T> {
        wire::decode(self.call(method, params).await?[member].take())
    }

    /// The events of `sandbox.METHOD`.
    pub async fn stream<T>(
        &self,
        method: &str,
        params: Value,
        finish: fn(Value, Collector) -> Result<T>,
    ) -> Result<Stream<T>> {
        Stream::open(&self.transport, &format!("sandbox.{method}"), self.params(params), finish).await
    }

    /// The events of running code.
    pub async fn stream_code(&self, code: &str, options: &mut RunOptions<'_>) -> Result<Stream<Execution>> {
        let params = self.code_params(code, options)?;
        self.stream("repl.run", params, Execution::of_stream).await
    }

    /// Runs code; as a stream if somebody wants to hear of its output at once.
    pub async fn run_code(&self, code: &str, mut options: RunOptions<'_>) -> Result<Execution> {
        if options.on_stdout.is_none() && options.on_stderr.is_none() && options.on_display.is_none() {
            let params = self.code_params(code, &mut options)?;
            return wire::decode(self.call("repl.run", params).await?);
        }
        let mut stream = self.stream_code(code, &mut options).await?;
        while let Some(event) = stream.next().await? {
            dispatch(&event, &mut options);
        }
        stream.result().await
    }

    fn code_params(&self, code: &str, options: &mut RunOptions<'_>) -> Result<Value> {
        Ok(json!({
            "language": self.language(options.language.take())?,
            "code": code,
            "timeout": options.timeout.map(|time| time.as_secs_f64()),
            "context": options.context.as_deref().unwrap_or("default"),
        }))
    }

    fn params(&self, mut params: Value) -> Value {
        params["sandbox"] = json!(self.name);
        params["namespace"] = json!(self.namespace);
        params
    }
}

fn dispatch(event: &Event, options: &mut RunOptions<'_>) {
    match event {
        Event::Output(output) => dispatch_output(output, &mut options.on_stdout, &mut options.on_stderr),
        Event::Display(display) => {
            if let Some(callback) = &mut options.on_display {
                callback(display);
            }
        }
        _ => {}
    }
}

fn dispatch_output<F: FnMut(&str) + ?Sized>(
    output: &Output,
    on_stdout: &mut Option<Box<F>>,
    on_stderr: &mut Option<Box<F>>,
) {
    let callback = if output.stream == "stderr" { on_stderr } else { on_stdout };
    if let Some(callback) = callback {
        callback(&output.text());
    }
}
