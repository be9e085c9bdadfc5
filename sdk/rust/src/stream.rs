//! Calls whose events come as they happen.

use std::collections::VecDeque;
use std::fmt;

use reqwest::Response;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::collect::Collector;
use crate::error::{Error, Result};
use crate::models::{Event, Output};
use crate::transport::Transport;
use crate::wire::{self, EventParser, ServerEvent};

type Finish<T> = fn(Value, Collector) -> Result<T>;

/// Events of a call, in order, and then its result of type `T`.
///
/// Dropping it before its end closes the connection: the server then interrupts the code or kills the command.
pub struct Stream<T> {
    url: String,
    method: String,
    response: Option<Response>,
    parser: EventParser,
    events: VecDeque<ServerEvent>,
    collector: Collector,
    answer: Option<Value>,
    finish: Finish<T>,
}

impl<T> Stream<T> {
    pub(crate) async fn open(transport: &Transport, method: &str, params: Value, finish: Finish<T>) -> Result<Self> {
        let response = transport.open_stream(method, params).await?;
        let mut stream = Self {
            url: transport.url.clone(),
            method: method.to_owned(),
            response: None,
            parser: EventParser::default(),
            events: VecDeque::new(),
            collector: Collector::default(),
            answer: None,
            finish,
        };
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if response.status() == 200 && kind.starts_with("text/event-stream") {
            stream.response = Some(response);
            return Ok(stream);
        }
        // An error, or a server that streams nothing here: then the whole answer is there.
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| transport.failed(error, method))?;
        stream.answer = Some(wire::result_of(status, &body, &transport.url)?);
        Ok(stream)
    }

    /// Waits for whatever the server sends first: by that it says that it has begun.
    pub(crate) async fn standing(mut self) -> Result<Self> {
        self.read().await?;
        Ok(self)
    }

    /// The next event; `None` when the call has ended.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        let next = self.next_known().await;
        if next.is_err() {
            self.response = None;
        }
        next
    }

    /// The call's result, when it has ended. Events that nobody asked for are read until then.
    pub async fn result(mut self) -> Result<T> {
        while self.next().await?.is_some() {}
        let answer = self.answer.ok_or_else(|| Error::ConnectionLost {
            url: self.url,
            reason: format!("the stream of {} has failed already", self.method),
        })?;
        (self.finish)(answer, self.collector)
    }

    async fn next_known(&mut self) -> Result<Option<Event>> {
        while let Some(event) = self.next_event().await? {
            let data = wire::event_data(&event)?;
            if matches!(event.name.as_str(), "response" | "error") {
                self.end(&event.name, data)?;
                return Ok(None);
            }
            if let Some(known) = decode_event(&event.name, data)? {
                self.collector.add(&known);
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    async fn next_event(&mut self) -> Result<Option<ServerEvent>> {
        while self.events.is_empty() {
            if !self.read().await? {
                return Ok(None);
            }
        }
        Ok(self.events.pop_front())
    }

    /// Takes what has come; false if nothing will.
    async fn read(&mut self) -> Result<bool> {
        let Some(response) = &mut self.response else { return Ok(false) };
        let chunk = response.chunk().await.map_err(|error| self.lost(error.to_string()))?;
        let chunk = chunk.ok_or_else(|| self.lost("it ended without a result".to_owned()))?;
        self.events.extend(self.parser.feed(&chunk));
        Ok(true)
    }

    fn end(&mut self, name: &str, mut data: Map<String, Value>) -> Result<()> {
        self.response = None;
        if name == "error" || data.contains_key("error") {
            return Err(wire::error_of(&data, 200));
        }
        self.answer = Some(data.remove("result").unwrap_or_default());
        Ok(())
    }

    fn lost(&self, reason: String) -> Error {
        Error::ConnectionLost { url: self.url.clone(), reason: format!("stream of {}: {reason}", self.method) }
    }
}

impl<T> fmt::Debug for Stream<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Stream").field("method", &self.method).field("open", &self.response.is_some()).finish()
    }
}

#[derive(Deserialize)]
struct WireOutput {
    stream: String,
    text: Option<String>,
    base64: Option<String>,
    offset: Option<u64>,
}

/// `None` for an event that this crate does not know, which a newer server sends.
fn decode_event(name: &str, data: Map<String, Value>) -> Result<Option<Event>> {
    let data = Value::Object(data);
    Ok(Some(match name {
        "output" => {
            let WireOutput { stream, text, base64, offset } = wire::decode(data)?;
            Event::Output(Output { stream, data: wire::bytes_of(text, base64)?, offset })
        }
        "dropped" => Event::Dropped(wire::decode(data)?),
        "display" => Event::Display(wire::decode(data)?),
        "exception" => Event::Exception(wire::decode(data)?),
        "file" => Event::File(wire::decode(data)?),
        _ => return Ok(None),
    }))
}
