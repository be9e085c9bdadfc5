//! How sandboxes are made, and how code and programs are run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{json, Value};

use crate::models::Display;
use crate::wire;

/// Which sandbox, of which server, and how it is started. Made by [`SandboxOptions::builder`].
#[derive(Debug, Clone, Default)]
pub struct SandboxOptions {
    pub(crate) server_url: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) proxy: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) reset: Option<bool>,
    memory: Option<u64>,
    cpus: Option<f64>,
    disk: Option<u64>,
    envs: Vec<String>,
    workdir: Option<String>,
    user: Option<String>,
    shell: Option<String>,
    scripts: BTreeMap<String, String>,
    exec: Option<String>,
    lifetime: Option<Duration>,
    idle: Option<Duration>,
}

impl SandboxOptions {
    /// Begins with everything at its default.
    pub fn builder() -> SandboxOptionsBuilder {
        SandboxOptionsBuilder { options: Self::default() }
    }

    pub(crate) fn config(&self, image: &str) -> Value {
        let scripts = (!self.scripts.is_empty()).then_some(&self.scripts);
        wire::without_nulls(json!({
            "image": image,
            "memory": self.memory.unwrap_or(512),
            "cpus": self.cpus.unwrap_or(1.0),
            "disk": self.disk,
            "envs": some(&self.envs),
            "workdir": self.workdir,
            "user": self.user,
            "shell": self.shell,
            "scripts": scripts,
            "exec": self.exec,
            "lifetime": self.lifetime.map(|time| time.as_secs_f64()),
            "idle": self.idle.map(|time| time.as_secs_f64()),
        }))
    }
}

fn some(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}

/// Makes [`SandboxOptions`].
#[derive(Debug, Clone)]
pub struct SandboxOptionsBuilder {
    options: SandboxOptions,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)*) => {
        $($(#[$doc])* pub fn $name(mut self, $name: impl Into<$kind>) -> Self {
            self.options.$name = Some($name.into());
            self
        })*
    };
}

impl SandboxOptionsBuilder {
    setters! {
        /// URL of the server. Default: MSB_SERVER_URL, else http://127.0.0.1:5555.
        server_url: String;
        /// Key of the server. Default: MSB_API_KEY, else that of `.env` in the working directory.
        api_key: String;
        /// URL of an HTTP proxy. Default: HTTP_PROXY, HTTPS_PROXY and NO_PROXY say, but a server on this machine is
        /// always spoken to directly.
        proxy: String;
        /// Namespace of the sandbox. Default: `default`.
        namespace: String;
        /// Its name. Default: one is made up, and the sandbox is then removed when it is closed.
        name: String;
        /// Reference of an image that the server has. Default: the type's own; a `Sandbox` without an image starts as
        /// it was started before.
        image: String;
        /// RAM in MiB. Default: 512.
        memory: u64;
        /// Virtual CPUs. Default: 1.
        cpus: f64;
        /// Size of the writable disk in MiB, a hard limit. Default: the server's, 8192.
        disk: u64;
        /// How long the server may take to start it. Default: 180 s.
        timeout: Duration;
        /// Working directory of programs and code. Default: the image's.
        workdir: String;
        /// User of programs and code, as `user[:group]`. Default: the image's.
        user: String;
        /// Shell that runs scripts. Default: `/bin/sh`.
        shell: String;
        /// Program that is started with the sandbox, by its shell.
        exec: String;
        /// After which time the sandbox is stopped. Default: no limit.
        lifetime: Duration;
        /// After which time without a request the sandbox is stopped. Default: no limit.
        idle: Duration;
        /// Forget the sandbox's disk first; needed to change its image.
        reset: bool;
    }

    /// A variable of the environment, after the image's.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.options.envs.push(format!("{name}={value}"));
        self
    }

    /// A script by its name; `start` is run when the sandbox starts, unless `exec` is given.
    pub fn script(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.options.scripts.insert(name.into(), text.into());
        self
    }

    /// The options.
    pub fn build(self) -> SandboxOptions {
        self.options
    }
}

type OnText<'a> = Box<dyn FnMut(&str) + Send + 'a>;
type OnDisplay<'a> = Box<dyn FnMut(&Display) + Send + 'a>;

/// How code is run.
#[derive(Default)]
pub struct RunOptions<'a> {
    pub(crate) language: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_stdout: Option<OnText<'a>>,
    pub(crate) on_stderr: Option<OnText<'a>>,
    pub(crate) on_display: Option<OnDisplay<'a>>,
}

impl<'a> RunOptions<'a> {
    /// Everything at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// python, node, nodejs or javascript. Default: the sandbox type's own.
    pub fn language(mut self, language: impl Into<String>) -> Self {
        self.language = Some(language.into());
        self
    }

    /// Whose variables are used; it is made when it is first named. Default: `default`.
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// After which time the code is interrupted, then killed. Default: no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Called with each piece of stdout as it comes, which may be part of a line.
    pub fn on_stdout(mut self, callback: impl FnMut(&str) + Send + 'a) -> Self {
        self.on_stdout = Some(Box::new(callback));
        self
    }

    /// Called with each piece of stderr as it comes.
    pub fn on_stderr(mut self, callback: impl FnMut(&str) + Send + 'a) -> Self {
        self.on_stderr = Some(Box::new(callback));
        self
    }

    /// Called with each value that the code shows, such as a figure.
    pub fn on_display(mut self, callback: impl FnMut(&Display) + Send + 'a) -> Self {
        self.on_display = Some(Box::new(callback));
        self
    }
}

/// How a program is started: as a command, as a process, or as a context's interpreter.
#[derive(Debug, Clone, Default)]
pub struct ProgramOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) stdin: bool,
    pub(crate) pty: Option<(u16, u16)>,
    pub(crate) keep_all_output: bool,
    envs: Vec<String>,
    workdir: Option<String>,
    user: Option<String>,
}

impl ProgramOptions {
    /// Everything at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// A variable of the environment, after the sandbox's.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push(format!("{name}={value}"));
        self
    }

    /// Working directory instead of the sandbox's.
    pub fn workdir(mut self, workdir: impl Into<String>) -> Self {
        self.workdir = Some(workdir.into());
        self
    }

    /// User instead of the sandbox's, as `user[:group]`.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Of commands: after which time it is killed and the call fails. Default: no limit.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Of processes: whether `write` will give it input; else its stdin is at its end.
    pub fn stdin(mut self, stdin: bool) -> Self {
        self.stdin = stdin;
        self
    }

    /// Of processes: gives it a terminal of this size.
    pub fn pty(mut self, columns: u16, rows: u16) -> Self {
        self.pty = Some((columns, rows));
        self
    }

    /// Of processes: when 1 MiB of its output was not read, true stops it until it is, false drops the oldest.
    pub fn keep_all_output(mut self, keep: bool) -> Self {
        self.keep_all_output = keep;
        self
    }

    /// Adds what all programs have.
    pub(crate) fn put_into(&self, mut params: Value) -> Value {
        params["envs"] = json!(some(&self.envs));
        params["workdir"] = json!(self.workdir);
        params["user"] = json!(self.user);
        params
    }
}
