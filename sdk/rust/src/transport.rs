//! Requests to one server.

use std::time::Duration;

use reqwest::{header, Method, RequestBuilder, Response};
use serde_json::{Map, Value};

use crate::environment;
use crate::error::{Error, Result};
use crate::wire;

const CONNECT: Duration = Duration::from_secs(10);
const RPC_PATH: &str = "/api/v1/rpc";
const FILES_PATH: &str = "/api/v1/files";

/// Cheap to clone: clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    pub url: String,
    api_key: Option<String>,
    http: reqwest::Client,
}

impl Transport {
    pub fn new(server_url: Option<&str>, api_key: Option<&str>, proxy: Option<&str>) -> Result<Self> {
        let (url, api_key) = environment::resolve(server_url, api_key);
        let parsed = reqwest::Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(host) = parsed.as_ref().and_then(|url| url.host_str()) else {
            let message = format!("{url:?} is no URL of a server, such as http://127.0.0.1:5555");
            return Err(Error::InvalidArgument(message));
        };
        let builder = reqwest::Client::builder().connect_timeout(CONNECT);
        let builder = match proxy {
            Some(proxy) => builder.no_proxy().proxy(reqwest::Proxy::all(proxy).map_err(invalid_proxy)?),
            None if environment::is_loopback(host) => direct(builder, &url),
            None => builder,
        };
        Ok(Self { url, api_key, http: builder.build().map_err(invalid_proxy)? })
    }

    /// A method's result. `timeout` is how long an answer may take.
    pub async fn call(&self, method: &str, params: Value, timeout: Option<Duration>) -> Result<Value> {
        let mut request = self.rpc(method, params);
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        let response = request.send().await.map_err(|error| self.failed(error, method))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| self.failed(error, method))?;
        wire::result_of(status, &body, &self.url)
    }

    /// The answer to a call whose events are to come as they happen; dropping it ends the call.
    pub async fn open_stream(&self, method: &str, params: Value) -> Result<Response> {
        let request = self.rpc(method, params).header(header::ACCEPT, "text/event-stream");
        request.send().await.map_err(|error| self.failed(error, method))
    }

    /// A file's content.
    pub async fn get_file(&self, query: &[(&str, String)], range: Option<String>) -> Result<Response> {
        let mut request = self.request(Method::GET, FILES_PATH).query(query);
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let response = request.send().await.map_err(|error| self.failed(error, "GET of a file"))?;
        if response.status().as_u16() < 400 {
            return Ok(response);
        }
        let status = response.status();
        self.object(response).await?;
        Err(Error::UnexpectedResponse(format!("{} answered {status} for a file", self.url)))
    }

    /// Writes a file; what the server says of it then.
    pub async fn put_file(&self, query: &[(&str, String)], body: reqwest::Body) -> Result<Value> {
        let request = self.request(Method::PUT, FILES_PATH).query(query).body(body);
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        let response = request.send().await.map_err(|error| self.failed(error, "PUT of a file"))?;
        Ok(Value::Object(self.object(response).await?))
    }

    /// What the server says of itself.
    pub async fn health(&self) -> Result<String> {
        let request = self.request(Method::GET, "/api/v1/health").timeout(CONNECT);
        let response = request.send().await.map_err(|error| self.failed(error, "GET of its health"))?;
        let answer = self.object(response).await?;
        Ok(answer.get("message").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// What is to be said of a request that failed on the way.
    pub fn failed(&self, error: reqwest::Error, method: &str) -> Error {
        let url = self.url.clone();
        if error.is_connect() {
            return Error::Unreachable { url, reason: reason(&error) };
        }
        if error.is_timeout() {
            return Error::Timeout { url, method: method.to_owned() };
        }
        Error::ConnectionLost { url, reason: reason(&error) }
    }

    async fn object(&self, response: Response) -> Result<Map<String, Value>> {
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| self.failed(error, "its answer"))?;
        wire::object_of(status, &body, &self.url)
    }

    fn rpc(&self, method: &str, params: Value) -> RequestBuilder {
        let body = wire::request(method, params).to_string();
        self.request(Method::POST, RPC_PATH).header(header::CONTENT_TYPE, "application/json").body(body)
    }

    fn request(&self, verb: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(verb, format!("{}{path}", self.url));
        match &self.api_key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

/// Without a proxy. Without TLS there is no need for the machine's certificates, of which it may have none.
fn direct(builder: reqwest::ClientBuilder, url: &str) -> reqwest::ClientBuilder {
    let builder = builder.no_proxy();
    #[cfg(feature = "tls")]
    let builder = builder.tls_built_in_root_certs(url.starts_with("https:"));
    #[cfg(not(feature = "tls"))]
    let _ = url;
    builder
}

fn invalid_proxy(error: reqwest::Error) -> Error {
    Error::InvalidArgument(format!("the connection cannot be set up: {}", reason(&error)))
}

/// The innermost cause: what is around it says only that a request failed.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
