//! Requests and answers of the protocol, without any I/O.

use base64::Engine;
use serde::de::DeserializeOwned;
use serde_json::{json, Map, Value};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{ApiError, Error, ErrorKind, Result};

/// A JSON-RPC request. What is null was not given and is left out.
pub(crate) fn request(method: &str, params: Value) -> Value {
    static LAST_ID: AtomicU64 = AtomicU64::new(0);
    let id = LAST_ID.fetch_add(1, Ordering::Relaxed).to_string();
    json!({"jsonrpc": "2.0", "method": method, "params": without_nulls(params), "id": id})
}

pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

/// The result in an answer, or the error it tells.
pub(crate) fn result_of(status: u16, body: &[u8], url: &str) -> Result<Value> {
    let mut answer = object_of(status, body, url)?;
    answer.remove("result").ok_or_else(|| not_ours(status, body, url))
}

/// The object that a route answers, or the error it tells.
pub(crate) fn object_of(status: u16, body: &[u8], url: &str) -> Result<Map<String, Value>> {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(answer)) if answer.contains_key("error") => Err(error_of(&answer, status)),
        Ok(Value::Object(answer)) if status < 400 => Ok(answer),
        _ => Err(not_ours(status, body, url)),
    }
}

/// Either form: {"error": MESSAGE, "code": N} or JSON-RPC's {"error": {"code", "message"}}.
pub(crate) fn error_of(answer: &Map<String, Value>, status: u16) -> Error {
    let error = &answer["error"];
    let (message, code) = match error {
        Value::Object(inner) => (inner.get("message"), inner.get("code")),
        other => (Some(other), answer.get("code")),
    };
    let code = code.and_then(Value::as_i64);
    let own_status = answer.get("status").and_then(Value::as_u64).and_then(|own| u16::try_from(own).ok());
    Error::Api(ApiError {
        kind: ErrorKind::of(code),
        message: message.and_then(Value::as_str).unwrap_or_default().to_owned(),
        code,
        status: own_status.unwrap_or(status),
    })
}

fn not_ours(status: u16, body: &[u8], url: &str) -> Error {
    let start: String = String::from_utf8_lossy(body).trim().chars().take(200).collect();
    Error::UnexpectedResponse(format!(
        "{url} answered HTTP {status} with what is no answer of a microsandbox server: {start:?}. Check \
         MSB_SERVER_URL, and NO_PROXY if a proxy stands between"
    ))
}

/// A value of the protocol.
pub(crate) fn decode<T: DeserializeOwned>(value: Value) -> Result<T> {
    T::deserialize(&value).map_err(|error| {
        let start: String = value.to_string().chars().take(200).collect();
        let kind = std::any::type_name::<T>();
        Error::UnexpectedResponse(format!("the server sent a {kind} that is none ({error}): {start}"))
    })
}

/// What an event's text or base64 holds.
pub(crate) fn bytes_of(text: Option<String>, base64: Option<String>) -> Result<Vec<u8>> {
    match (text, base64) {
        (Some(text), _) => Ok(text.into_bytes()),
        (None, coded) => base64::engine::general_purpose::STANDARD
            .decode(coded.unwrap_or_default())
            .map_err(|error| Error::UnexpectedResponse(format!("the server sent bad base64: {error}"))),
    }
}

/// Bytes as the API takes them: text if they are UTF-8.
pub(crate) fn content(data: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(data) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(base64::engine::general_purpose::STANDARD.encode(data))),
    }
}

/// One server-sent event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    pub name: String,
    pub data: String,
}

/// Splits the bytes of a text/event-stream into events. Lines end with LF, CRLF or CR.
#[derive(Default)]
pub(crate) struct EventParser {
    line: Vec<u8>,
    after_cr: bool,
    name: String,
    data: Option<String>,
}

impl EventParser {
    /// The events that this piece completes.
    pub fn feed(&mut self, mut piece: &[u8]) -> Vec<ServerEvent> {
        let mut events = Vec::new();
        while let Some(at) = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let is_second_half = self.after_cr && at == 0 && piece[0] == b'\n' && self.line.is_empty();
            self.after_cr = piece[at] == b'\r';
            if !is_second_half {
                self.line.extend_from_slice(&piece[..at]);
                let line = std::mem::take(&mut self.line);
                events.extend(self.take_line(&String::from_utf8_lossy(&line)));
            }
            piece = &piece[at + 1..];
        }
        self.line.extend_from_slice(piece);
        self.after_cr &= piece.is_empty();
        events
    }

    fn take_line(&mut self, line: &str) -> Option<ServerEvent> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let data = self.data.take()?;
            return Some(ServerEvent { name: if name.is_empty() { "message".into() } else { name }, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {} // a comment (empty field), or a field that means nothing here
        }
        None
    }
}

/// An event's data, which is always an object.
pub(crate) fn event_data(event: &ServerEvent) -> Result<Map<String, Value>> {
    serde_json::from_str(&event.data).map_err(|_| {
        let start: String = event.data.chars().take(200).collect();
        let name = &event.name;
        Error::UnexpectedResponse(format!("the server sent an event {name:?} whose data is no JSON object: {start:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_their_bytes_are_cut() {
        let text =
            ": hello\r\n\r\nevent: output\r\ndata: {\r\ndata:  1}\r\n\r\ndata: x\rid: 1\r\revent: e\n\ndata:é\n\n";
        let expected = [("output", "{\n 1}"), ("message", "x"), ("message", "é")]
            .map(|(name, data)| ServerEvent { name: name.into(), data: data.into() });
        for size in 1..=text.len() {
            let mut parser = EventParser::default();
            let found: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| parser.feed(piece)).collect();
            assert_eq!(found, expected, "pieces of {size}");
        }
    }

    #[test]
    fn both_forms_of_errors_are_understood() {
        let own = result_of(404, br#"{"error":"no such","code":4001}"#, "u").unwrap_err();
        assert_eq!((own.kind(), own.to_string().as_str()), (Some(ErrorKind::NotFound), "no such"));
        let rpc = result_of(404, br#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"m"},"id":1}"#, "u");
        assert_eq!(rpc.unwrap_err().kind(), Some(ErrorKind::MethodNotFound));
        for body in ["<html>", "[]", "{}", "1"] {
            assert!(matches!(result_of(200, body.as_bytes(), "u"), Err(Error::UnexpectedResponse(_))), "{body}");
        }
    }
}
