//! Run untrusted code in sandboxes of a microsandbox server.
//!
//! ```no_run
//! use microsandbox::{PythonSandbox, SandboxOptions};
//!
//! # async fn example() -> microsandbox::Result<()> {
//! let sandbox = PythonSandbox::create(SandboxOptions::builder().name("test").build()).await?;
//! let execution = sandbox.run("print(1 + 1)").await?;
//! println!("{}", execution.output().await?);
//! sandbox.stop().await?;
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

mod client;
mod collect;
mod command;
mod context;
mod environment;
mod error;
mod execution;
mod file;
mod metrics;
mod models;
mod options;
mod process;
mod sandbox;
mod scope;
mod stream;
mod transport;
mod wire;

pub use client::Client;
pub use command::Command;
pub use context::{Context, Contexts};
pub use error::{ApiError, Error, ErrorKind, Result};
pub use execution::{CommandExecution, Execution};
pub use file::{FileReader, Files};
pub use metrics::Metrics;
pub use models::*;
pub use options::{ProgramOptions, RunOptions, SandboxOptions, SandboxOptionsBuilder};
pub use process::{Process, Processes};
pub use sandbox::{NodeSandbox, PythonSandbox, Sandbox};
pub use stream::Stream;
