//! What can go wrong.

use std::fmt;

/// Result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// Whatever goes wrong between a program and its sandboxes. An exception in the code that was run is none of these.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No connection to the server: it does not run, or its address is another.
    Unreachable {
        /// URL of the server.
        url: String,
        /// Why there is no connection.
        reason: String,
    },
    /// The connection ended before the answer was complete. What was asked for may have happened.
    ConnectionLost {
        /// URL of the server.
        url: String,
        /// What ended it.
        reason: String,
    },
    /// The server did not answer within the time that the caller gave.
    Timeout {
        /// URL of the server.
        url: String,
        /// What was asked for.
        method: String,
    },
    /// The answer is not one of a microsandbox server: a proxy's, perhaps, or another program's.
    UnexpectedResponse(String),
    /// The server refused the call, or could not do it.
    Api(ApiError),
    /// An argument is not possible.
    InvalidArgument(String),
    /// A local file could not be read or written.
    Io(std::io::Error),
}

/// What the server says when it refuses a call, or cannot do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Which kind of error its code means.
    pub kind: ErrorKind,
    /// What happened, to which thing, and what to do.
    pub message: String,
    /// Code of the error in the API, such as 4001; `None` if the answer had none.
    pub code: Option<i64>,
    /// HTTP status of the answer, such as 404.
    pub status: u16,
}

/// Kinds of [`ApiError`], one for each code of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request was no JSON (-32700).
    Parse,
    /// The request was no JSON-RPC 2.0 (-32600).
    InvalidRequest,
    /// The server does not know the method: it is older than this crate (-32601).
    MethodNotFound,
    /// No key was given, and the server wants one (1001).
    Authentication,
    /// The key is malformed, another server's, or has expired (1004).
    InvalidToken,
    /// A parameter is not what it must be (2001).
    Validation,
    /// The key does not allow this namespace or image (3001).
    PermissionDenied,
    /// A limit of the key is reached (3002).
    LimitExceeded,
    /// There is no such sandbox, image, file, process or context (4001).
    NotFound,
    /// What should be made is there already (4002).
    AlreadyExists,
    /// Something else uses the thing at the moment (4003).
    Busy,
    /// The server could not do it, through no fault of the caller (5002).
    Internal,
    /// A code that this crate does not know.
    Other,
}

impl ErrorKind {
    pub(crate) fn of(code: Option<i64>) -> Self {
        match code {
            Some(-32700) => Self::Parse,
            Some(-32600) => Self::InvalidRequest,
            Some(-32601) => Self::MethodNotFound,
            Some(1001) => Self::Authentication,
            Some(1004) => Self::InvalidToken,
            Some(2001) => Self::Validation,
            Some(3001) => Self::PermissionDenied,
            Some(3002) => Self::LimitExceeded,
            Some(4001) => Self::NotFound,
            Some(4002) => Self::AlreadyExists,
            Some(4003) => Self::Busy,
            Some(5002) => Self::Internal,
            _ => Self::Other,
        }
    }
}

impl Error {
    /// The kind, if it is the server that refused.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Api(error) => Some(error.kind),
            _ => None,
        }
    }

    pub(crate) fn not_found(message: String) -> Self {
        let (code, status) = (Some(4001), 404);
        Self::Api(ApiError { kind: ErrorKind::NotFound, message, code, status })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { url, reason } => write!(
                out,
                "no microsandbox server answers at {url}: {reason}. Start one with `msb server start --dev`, or set \
                 MSB_SERVER_URL to the address of yours"
            ),
            Self::ConnectionLost { url, reason } => write!(
                out,
                "the connection to {url} ended before the answer was complete: {reason}. The server may have been \
                 stopped; what was asked for may have happened"
            ),
            Self::Timeout { url, method } => write!(out, "{url} did not answer {method} in time"),
            Self::UnexpectedResponse(message) | Self::InvalidArgument(message) => out.write_str(message),
            Self::Api(error) => out.write_str(&error.message),
            Self::Io(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
