//! Sandboxes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{json, Value};

use crate::command::Command;
use crate::context::Contexts;
use crate::error::{Error, ErrorKind, Result};
use crate::execution::Execution;
use crate::file::Files;
use crate::metrics::Metrics;
use crate::models::{LogLine, SandboxInfo, TimeoutInfo};
use crate::options::{RunOptions, SandboxOptions};
use crate::process::Processes;
use crate::scope::Scope;
use crate::stream::Stream;
use crate::transport::Transport;
use crate::wire;

const START_TIMEOUT: Duration = Duration::from_secs(180);

/// A sandbox: a machine of its own, with files, programs and code in any language that its image has.
///
/// [`close`](Self::close) it at last: dropping it tells the server nothing. (Give it a `lifetime` or an `idle` time if
/// the program may end in between.)
#[derive(Debug)]
pub struct Sandbox {
    scope: Scope,
    options: SandboxOptions,
    image: Option<&'static str>,
    was_started: AtomicBool,
}

impl Sandbox {
    /// Makes and starts a sandbox.
    pub async fn create(options: SandboxOptions) -> Result<Self> {
        Self::new(options)?.started().await
    }

    /// Starts nothing: call [`start`](Self::start), or use the sandbox of that name that runs already.
    pub fn new(options: SandboxOptions) -> Result<Self> {
        Self::of_kind(options, None, None)
    }

    fn of_kind(options: SandboxOptions, image: Option<&'static str>, language: Option<&'static str>) -> Result<Self> {
        let SandboxOptions { server_url, api_key, proxy, .. } = &options;
        let transport = Transport::new(server_url.as_deref(), api_key.as_deref(), proxy.as_deref())?;
        let namespace = options.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let name = options.name.clone().unwrap_or_else(random_name);
        let scope = Scope { transport, namespace, name, language };
        Ok(Self { scope, options, image, was_started: AtomicBool::new(false) })
    }

    async fn started(self) -> Result<Self> {
        match self.start().await {
            Ok(()) => Ok(self),
            Err(error) => {
                let _ = self.close().await; // the first error is the one to tell
                Err(error)
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.scope.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.scope.namespace
    }

    /// Starts it, with the options it was made with. One that runs already with the same settings is left as it is.
    pub async fn start(&self) -> Result<()> {
        let image = self.options.image.as_deref().or(self.image);
        let config: Option<Value> = image.map(|image| self.options.config(image));
        let params = json!({"config": config, "reset": self.options.reset});
        let timeout = self.options.timeout.unwrap_or(START_TIMEOUT);
        self.set_started(true);
        let result = self.scope.call_within("start", params, Some(timeout)).await;
        if result.is_err() {
            // One that somebody else started under this name is not ours to stop.
            self.set_started(self.is_temporary());
        }
        result.map(drop)
    }

    /// Stops it. Its disk stays: started again under its name, it has its files.
    pub async fn stop(&self) -> Result<()> {
        self.stop_within(None).await
    }

    /// The same; its programs have so long to end before they are killed, instead of 10 s.
    pub async fn stop_with_grace(&self, grace: Duration) -> Result<()> {
        self.stop_within(Some(grace)).await
    }

    async fn stop_within(&self, grace: Option<Duration>) -> Result<()> {
        self.scope.call("stop", json!({"grace": grace.map(|time| time.as_secs_f64())})).await?;
        self.set_started(self.is_temporary());
        Ok(())
    }

    /// Stops it, if it runs, and removes its disk.
    pub async fn remove(&self) -> Result<()> {
        self.scope.call("remove", json!({})).await?;
        self.set_started(false);
        Ok(())
    }

    /// Ends what `start` began: one whose name was given is stopped; one whose name was made up is removed. One that
    /// this value has not started is left alone.
    pub async fn close(&self) -> Result<()> {
        if !self.was_started.load(Ordering::Relaxed) {
            return Ok(());
        }
        let result = if self.is_temporary() { self.remove().await } else { self.stop().await };
        match result {
            Err(error) if error.kind() == Some(ErrorKind::NotFound) => Ok(()), // somebody else has ended it
            other => other,
        }
    }

    /// Runs code. Variables stay from one run to the next.
    ///
    /// An exception in the code is no error here: see [`Execution::has_error`].
    pub async fn run(&self, code: &str) -> Result<Execution> {
        self.run_with(code, RunOptions::new()).await
    }

    /// The same, with options: language, context, timeout, callbacks.
    pub async fn run_with(&self, code: &str, options: RunOptions<'_>) -> Result<Execution> {
        self.scope.run_code(code, options).await
    }

    /// The same, with what comes of it as it comes. Dropping the stream before its end interrupts the code.
    pub async fn stream(&self, code: &str, mut options: RunOptions<'_>) -> Result<Stream<Execution>> {
        self.scope.stream_code(code, &mut options).await
    }

    /// Runs programs.
    pub fn command(&self) -> Command<'_> {
        Command { scope: &self.scope }
    }

    /// Reads and writes files.
    pub fn files(&self) -> Files<'_> {
        Files { scope: &self.scope, user: None }
    }

    /// Starts and finds programs that outlive a call.
    pub fn processes(&self) -> Processes<'_> {
        Processes { scope: &self.scope }
    }

    /// Makes and finds contexts: separate sets of variables.
    pub fn contexts(&self) -> Contexts<'_> {
        Contexts { scope: &self.scope }
    }

    /// What the sandbox uses.
    pub fn metrics(&self) -> Metrics<'_> {
        Metrics { scope: &self.scope }
    }

    /// What the server knows of it.
    pub async fn info(&self) -> Result<SandboxInfo> {
        let params = json!({"namespace": self.namespace()});
        let mut result = self.scope.transport.call("sandbox.list", params, None).await?;
        let all: Vec<SandboxInfo> = wire::decode(result["sandboxes"].take())?;
        all.into_iter().find(|each| each.name == self.name()).ok_or_else(|| {
            let (name, namespace) = (self.name(), self.namespace());
            Error::not_found(format!("there is no sandbox {name} in namespace {namespace}; start it"))
        })
    }

    /// Changes after which time (from now; without a request) it is stopped by itself. `None`: as it is; zero: never.
    pub async fn set_timeout(&self, lifetime: Option<Duration>, idle: Option<Duration>) -> Result<TimeoutInfo> {
        let params = json!({
            "lifetime": lifetime.map(|time| time.as_secs_f64()),
            "idle": idle.map(|time| time.as_secs_f64()),
        });
        wire::decode(self.scope.call("timeout", params).await?)
    }

    /// The last lines that its own program (`exec`, or the script `start`) wrote, oldest first.
    pub async fn logs(&self, tail: u64) -> Result<Vec<LogLine>> {
        self.scope.call_for("logs", json!({"tail": tail}), "lines").await
    }

    fn is_temporary(&self) -> bool {
        self.options.name.is_none()
    }

    fn set_started(&self, started: bool) {
        self.was_started.store(started, Ordering::Relaxed);
    }
}

macro_rules! language_sandbox {
    ($(#[$doc:meta])* $name:ident, $image:literal, $language:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Sandbox);

        impl $name {
            /// Makes and starts a sandbox.
            pub async fn create(options: SandboxOptions) -> Result<Self> {
                Ok(Self(Self::new(options)?.0.started().await?))
            }

            /// Starts nothing: call [`start`](Sandbox::start), or use the sandbox of that name that runs already.
            pub fn new(options: SandboxOptions) -> Result<Self> {
                Ok(Self(Sandbox::of_kind(options, Some($image), Some($language))?))
            }
        }

        impl Deref for $name {
            type Target = Sandbox;

            fn deref(&self) -> &Sandbox {
                &self.0
            }
        }
    };
}

language_sandbox! {
    /// A [`Sandbox`] whose code is Python, from the image `microsandbox/python` if no other is given.
    PythonSandbox, "microsandbox/python", "python"
}

language_sandbox! {
    /// A [`Sandbox`] whose code is JavaScript, run by Node, from the image `microsandbox/node` if no other is given.
    NodeSandbox, "microsandbox/node", "node"
}

/// Need not be secret, only new: the standard library's own random keys will do.
fn random_name() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("sandbox-{:016x}{:016x}", random(), random())
}
