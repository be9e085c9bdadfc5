//! Files of a sandbox.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use reqwest::{Body, Response};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::error::{Error, ErrorKind, Result};
use crate::models::FileInfo;
use crate::scope::Scope;
use crate::stream::Stream;
use crate::transport::Transport;
use crate::wire;

/// Reads and writes files. Paths are absolute.
#[derive(Debug, Clone)]
pub struct Files<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) user: Option<String>,
}

/// The content of a file, piece by piece: not all of it is in memory at once.
#[derive(Debug)]
pub struct FileReader {
    transport: Transport,
    response: Response,
}

impl FileReader {
    /// The next piece; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.response.chunk().await.map_err(|error| self.transport.failed(error, "GET of a file"))
    }
}

impl Files<'_> {
    /// The same files with another user's rights in the sandbox, as `user[:group]`.
    pub fn as_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The content of a text file.
    pub async fn read_to_string(&self, path: &str) -> Result<String> {
        String::from_utf8(self.read(path).await?)
            .map_err(|error| Error::InvalidArgument(format!("{path} is not UTF-8 ({error}); read() reads any file")))
    }

    /// The content of a file.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>> {
        all_of(self.open(path).await?).await
    }

    /// A part of a file.
    pub async fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        all_of(self.open_at(path, Some(header)).await?).await
    }

    /// The content of a file of any size, piece by piece.
    pub async fn open(&self, path: &str) -> Result<FileReader> {
        self.open_at(path, None).await
    }

    /// Copies a file of any size to a local path; how many bytes it had. A local file that was there is replaced only
    /// once the sandbox's file was opened.
    pub async fn download(&self, path: &str, target: impl AsRef<Path>) -> Result<u64> {
        let mut reader = self.open(path).await?;
        let mut file = tokio::fs::File::create(target).await?;
        let mut size = 0;
        while let Some(chunk) = reader.chunk().await? {
            file.write_all(&chunk).await?;
            size += chunk.len() as u64;
        }
        file.flush().await?;
        Ok(size)
    }

    /// Writes a file: a new one (with directories that are missing), or in the place of what was there.
    pub async fn write(&self, path: &str, content: impl Into<Vec<u8>>) -> Result<FileInfo> {
        self.put(path, None, content.into().into()).await
    }

    /// The same, with permission bits of a new file in octal, such as `755`.
    pub async fn write_with_mode(&self, path: &str, content: impl Into<Vec<u8>>, mode: &str) -> Result<FileInfo> {
        self.put(path, Some(mode), content.into().into()).await
    }

    /// Copies a local file of any size into the sandbox.
    pub async fn upload(&self, source: impl AsRef<Path>, path: &str) -> Result<FileInfo> {
        self.put(path, None, tokio::fs::File::open(source).await?.into()).await
    }

    /// What a file is. Links are not followed.
    pub async fn stat(&self, path: &str) -> Result<FileInfo> {
        wire::decode(self.scope.call("files.stat", json!({"path": path, "user": self.user})).await?)
    }

    /// Whether there is a file, of whatever kind. A sandbox that is not there is an error.
    pub async fn exists(&self, path: &str) -> Result<bool> {
        match self.stat(path).await {
            Err(error) if error.kind() == Some(ErrorKind::NotFound) => {
                // It may be the sandbox that is missing: its root directory never is.
                self.stat("/").await.map(|_| false)
            }
            other => other.map(|_| true),
        }
    }

    /// What is in a directory; with depth 2 also what is in directories in it, and so on. At most 100000 files.
    pub async fn list(&self, path: &str, depth: u32) -> Result<Vec<FileInfo>> {
        let params = json!({"path": path, "depth": depth, "user": self.user});
        self.scope.call_for("files.list", params, "entries").await
    }

    /// Makes a directory and those above it; one that is there is no error.
    pub async fn mkdir(&self, path: &str) -> Result<FileInfo> {
        let params = json!({"path": path, "parents": true, "user": self.user});
        wire::decode(self.scope.call("files.mkdir", params).await?)
    }

    /// Renames a file or directory. With `replace` what has the new path already goes; else that is an error.
    pub async fn rename(&self, from: &str, to: &str, replace: bool) -> Result<FileInfo> {
        let params = json!({"from": from, "to": to, "replace": replace, "user": self.user});
        wire::decode(self.scope.call("files.move", params).await?)
    }

    /// Removes a file or an empty directory.
    pub async fn remove(&self, path: &str) -> Result<()> {
        self.remove_with(path, false).await
    }

    /// Removes a directory with all that is in it.
    pub async fn remove_all(&self, path: &str) -> Result<()> {
        self.remove_with(path, true).await
    }

    /// Changes of a file or directory, or with `recursive` also of what is below, as they happen. What changes after
    /// this call has returned is seen. Drop the stream to end it.
    pub async fn watch(&self, path: &str, recursive: bool) -> Result<Stream<()>> {
        let params = json!({"path": path, "recursive": recursive, "user": self.user});
        self.scope.stream("files.watch", params, |_, _| Ok(())).await?.standing().await
    }

    async fn remove_with(&self, path: &str, recursive: bool) -> Result<()> {
        let params = json!({"path": path, "recursive": recursive, "user": self.user});
        self.scope.call("files.remove", params).await.map(drop)
    }

    async fn open_at(&self, path: &str, range: Option<String>) -> Result<FileReader> {
        let transport = self.scope.transport.clone();
        let response = transport.get_file(&self.query(path), range).await?;
        Ok(FileReader { transport, response })
    }

    async fn put(&self, path: &str, mode: Option<&str>, body: Body) -> Result<FileInfo> {
        let mut query = self.query(path);
        query.push(("parents", "true".to_owned()));
        query.extend(mode.map(|mode| ("mode", mode.to_owned())));
        wire::decode(self.scope.transport.put_file(&query, body).await?)
    }

    fn query(&self, path: &str) -> Vec<(&'static str, String)> {
        let mut query = vec![
            ("namespace", self.scope.namespace.clone()),
            ("sandbox", self.scope.name.clone()),
            ("path", path.to_owned()),
        ];
        query.extend(self.user.clone().map(|user| ("user", user)));
        query
    }
}

async fn all_of(mut reader: FileReader) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    while let Some(chunk) = reader.chunk().await? {
        content.extend_from_slice(&chunk);
    }
    Ok(content)
}
