//! A server, apart from any one sandbox.

use serde_json::json;

use crate::error::Result;
use crate::models::{SandboxInfo, SandboxMetrics};
use crate::options::SandboxOptions;
use crate::transport::Transport;
use crate::wire;

/// Asks a server about all of its sandboxes.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// Of the options only the server, the key and the proxy matter.
    pub fn new(options: &SandboxOptions) -> Result<Self> {
        let SandboxOptions { server_url, api_key, proxy, .. } = options;
        Ok(Self { transport: Transport::new(server_url.as_deref(), api_key.as_deref(), proxy.as_deref())? })
    }

    /// What the server says of itself; an error if it does not answer. Needs no key.
    pub async fn health(&self) -> Result<String> {
        self.transport.health().await
    }

    /// Sandboxes of a namespace, also those that have but a disk. `*` is all that the key allows.
    pub async fn list(&self, namespace: &str) -> Result<Vec<SandboxInfo>> {
        let mut result = self.transport.call("sandbox.list", json!({"namespace": namespace}), None).await?;
        wire::decode(result["sandboxes"].take())
    }

    /// What the running sandboxes of a namespace (or `*`) use.
    pub async fn metrics(&self, namespace: &str) -> Result<Vec<SandboxMetrics>> {
        let params = json!({"namespace": namespace});
        let mut result = self.transport.call("sandbox.metrics.get", params, None).await?;
        wire::decode(result["sandboxes"].take())
    }

    /// Removes a sandbox and its disk.
    pub async fn remove(&self, namespace: &str, name: &str) -> Result<()> {
        let params = json!({"namespace": namespace, "sandbox": name});
        self.transport.call("sandbox.remove", params, None).await.map(drop)
    }
}
