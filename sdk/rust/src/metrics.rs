//! Metrics of one sandbox.

use serde_json::json;

use crate::error::Result;
use crate::models::SandboxMetrics;
use crate::scope::Scope;

/// What a sandbox uses. Each call asks the server.
#[derive(Debug, Clone, Copy)]
pub struct Metrics<'a> {
    pub(crate) scope: &'a Scope,
}

impl Metrics<'_> {
    /// All of them.
    pub async fn all(&self) -> Result<SandboxMetrics> {
        let found: Vec<SandboxMetrics> = self.scope.call_for("metrics.get", json!({}), "sandboxes").await?;
        Ok(found.into_iter().next().unwrap_or_else(|| SandboxMetrics {
            namespace: self.scope.namespace.clone(),
            name: self.scope.name.clone(),
            running: false,
            cpu_usage: None,
            memory_usage: None,
            disk_usage: None,
        }))
    }

    /// CPU time since the last look, in percent of one CPU of the host; `None` if unknown.
    pub async fn cpu(&self) -> Result<Option<f64>> {
        Ok(self.all().await?.cpu_usage)
    }

    /// Memory that it has on the host, in MiB; `None` if unknown.
    pub async fn memory(&self) -> Result<Option<f64>> {
        Ok(self.all().await?.memory_usage)
    }

    /// Bytes that its disk takes on the host; `None` if unknown.
    pub async fn disk(&self) -> Result<Option<u64>> {
        Ok(self.all().await?.disk_usage)
    }

    /// Whether it runs.
    pub async fn is_running(&self) -> Result<bool> {
        Ok(self.all().await?.running)
    }
}
