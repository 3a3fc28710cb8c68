//! The access log: one line per request, and one per TCP connection that is relayed as it is.
//!
//! Each worker formats into a buffer of its own and hands it over when it is full or a moment old,
//! so that a request pays for formatting only. A line cannot be forged: whatever a peer sent is
//! escaped, in both forms.

pub mod calls;

use std::time::{Duration, SystemTime};

use http::Version;

use self::calls::Calls;
use super::id::RequestId;
use super::line;
use super::line::Timestamps;
use super::sink::{Sink, Stream};

/// A worker's buffer is handed over when it holds this much.
const BATCH_BYTES: usize = 64 << 10;

/// What is written of a request target; the rest is left out.
const MAX_TARGET_BYTES: usize = 4 << 10;

/// What is written for the protocol of a connection without requests.
const TCP: &[u8] = b"TCP";

/// What there is to say about one request, or one TCP connection.
#[derive(Debug, Clone, Copy)]
pub struct AccessRecord<'a> {
    /// When its head had been read.
    pub time: SystemTime,
    /// Its id.
    pub id: &'a RequestId,
    /// The client's address; text, as it is the same for all requests of a connection.
    pub client: &'a str,
    /// The listener.
    pub listener: &'a str,
    /// The request itself; none of a TCP connection.
    pub request: Option<RequestLine<'a>>,
    /// Bytes of the request's body that were read, or that went up a TCP connection.
    pub bytes_up: u64,
    /// Bytes of the response's body that were sent, or that went down a TCP connection.
    pub bytes_down: u64,
    /// The router that decided.
    pub route: Option<&'a str>,
    /// The cluster.
    pub cluster: Option<&'a str>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<&'a str>,
    /// The balancer that was asked for it last.
    pub balancer: Option<&'a str>,
    /// Whether the first usable endpoint was taken, as that balancer failed.
    pub fallback: bool,
    /// Attempts at an endpoint.
    pub attempts: u32,
    /// What plugins did.
    pub plugins: &'a Calls,
    /// How long it took.
    pub times: Times,
    /// Why it failed, in words.
    pub error: Option<&'a str>,
    /// How attempts failed before the last, in words.
    pub retried: Option<&'a str>,
}

/// What there is to say only of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a str,
    /// The request target as the client sent it.
    pub target: &'a [u8],
    /// The version that the client speaks.
    pub protocol: Version,
    /// The status that the client got; 0 if it got none.
    pub status: u16,
}

/// How long the parts of a request took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// Waiting while endpoints had as many requests in flight as they may; none if it did not.
    pub queued: Option<Duration>,
    /// Connecting, in the last attempt; none if there was a connection already.
    pub connect: Option<Duration>,
    /// From the head of the request to that of the upstream's response; none if there was none.
    pub first_byte: Option<Duration>,
    /// From the head of the request to the end of the response; none if the head was not read.
    pub total: Option<Duration>,
}

/// Where access lines go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccessLog {
    sink: Option<Sink>,
    json: bool,
}

impl AccessLog {
    /// One that goes to a sink, as JSON or as text.
    #[must_use]
    pub fn new(sink: &Sink, json: bool) -> Self {
        Self { sink: Some(sink.of(Stream::Access)), json }
    }

    /// One that goes nowhere.
    #[must_use]
    pub fn off() -> Self {
        Self { sink: None, json: false }
    }

    /// A worker's end of it.
    #[must_use]
    pub fn writer(&self) -> AccessWriter {
        AccessWriter {
            log: self.clone(),
            buffer: Vec::new(),
            lines: 0,
            timestamps: Timestamps::new(),
        }
    }

    /// Lines that were lost because the target did not take them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.sink.as_ref().map_or(0, Sink::dropped)
    }
}

/// A worker's end of the access log. Lines appear after [`AccessWriter::flush`], which is to be
/// called every 100 ms or so, or once enough have come together.
#[derive(Debug)]
pub struct AccessWriter {
    log: AccessLog,
    buffer: Vec<u8>,
    lines: u64,
    timestamps: Timestamps,
}

impl AccessWriter {
    /// Whether records are written at all; making one can be saved otherwise.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.log.sink.is_some()
    }

    /// Writes the line of one request.
    pub fn record(&mut self, record: &AccessRecord<'_>) {
        if !self.is_on() {
            return;
        }
        if self.log.json {
            self.json(record);
        } else {
            self.text(record);
        }
        self.lines += 1;
        if self.buffer.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands over what has come together. Nearly free if nothing has.
    pub fn flush(&mut self) {
        if let Some(sink) = &self.log.sink
            && self.lines > 0
        {
            sink.push(&self.buffer, self.lines);
            self.buffer.clear();
            self.lines = 0;
        }
    }

    fn json(&mut self, record: &AccessRecord<'_>) {
        let out = &mut self.buffer;
        out.extend_from_slice(b"{\"time\":\"");
        self.timestamps.append(out, record.time);
        out.extend_from_slice(b"\",\"id\":\"");
        record.id.append_to(out);
        out.push(b'"');
        json_text(out, b",\"client\":\"", record.client.as_bytes());
        json_text(out, b",\"listener\":\"", record.listener.as_bytes());
        match &record.request {
            Some(request) => {
                json_text(out, b",\"method\":\"", request.method.as_bytes());
                json_text(out, b",\"target\":\"", shortened(request.target));
                json_text(out, b",\"protocol\":\"", protocol(request.protocol));
                json_number(out, b",\"status\":", u64::from(request.status));
            }
            None => json_text(out, b",\"protocol\":\"", TCP),
        }
        json_number(out, b",\"bytes_up\":", record.bytes_up);
        json_number(out, b",\"bytes_down\":", record.bytes_down);
        for (key, _, value) in names(record) {
            if let Some(value) = value {
                json_text(out, key, value.as_bytes());
            }
        }
        if record.fallback {
            out.extend_from_slice(b",\"fallback\":true");
        }
        json_number(out, b",\"attempts\":", u64::from(record.attempts));
        if !record.plugins.is_empty() {
            out.extend_from_slice(b",\"plugins\":[");
            record.plugins.json(out);
            out.push(b']');
        }
        for (key, _, value) in durations(record) {
            if let Some(value) = value {
                out.extend_from_slice(key);
                line::milliseconds(out, value);
            }
        }
        for (key, _, value) in reasons(record) {
            if let Some(value) = value {
                json_text(out, key, value.as_bytes());
            }
        }
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, record: &AccessRecord<'_>) {
        let out = &mut self.buffer;
        self.timestamps.append(out, record.time);
        out.push(b' ');
        record.id.append_to(out);
        out.push(b' ');
        line::text_value(out, record.client);
        out.push(b' ');
        line::text_value(out, record.listener);
        match &record.request {
            Some(request) => {
                out.extend_from_slice(b" \"");
                line::text_inside(out, request.method.as_bytes());
                out.push(b' ');
                line::text_inside(out, shortened(request.target));
                out.push(b' ');
                out.extend_from_slice(protocol(request.protocol));
                out.extend_from_slice(b"\" ");
                line::decimal(out, u64::from(request.status));
            }
            None => {
                out.push(b' ');
                out.extend_from_slice(TCP);
            }
        }
        out.extend_from_slice(b" up=");
        line::decimal(out, record.bytes_up);
        out.extend_from_slice(b" down=");
        line::decimal(out, record.bytes_down);
        for (_, key, value) in names(record) {
            if let Some(value) = value {
                out.extend_from_slice(key);
                line::text_value(out, value);
            }
        }
        if record.fallback {
            out.extend_from_slice(b" fallback=true");
        }
        out.extend_from_slice(b" attempts=");
        line::decimal(out, u64::from(record.attempts));
        if !record.plugins.is_empty() {
            out.extend_from_slice(b" plugins=");
            record.plugins.text(out);
        }
        for (_, key, value) in durations(record) {
            if let Some(value) = value {
                out.extend_from_slice(key);
                line::milliseconds(out, value);
                out.extend_from_slice(b"ms");
            }
        }
        for (_, key, value) in reasons(record) {
            if let Some(value) = value {
                out.extend_from_slice(key);
                line::text_value(out, value);
            }
        }
        out.push(b'\n');
    }
}

impl Drop for AccessWriter {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What comes before a value: the key with all that is around it.
type Lead = &'static [u8];

/// Each with what is before it in JSON and in text.
type Led<T, const N: usize> = [(Lead, Lead, Option<T>); N];

fn names<'a>(record: &AccessRecord<'a>) -> Led<&'a str, 4> {
    [
        (b",\"route\":\"", b" route=", record.route),
        (b",\"cluster\":\"", b" cluster=", record.cluster),
        (b",\"endpoint\":\"", b" endpoint=", record.endpoint),
        (b",\"balancer\":\"", b" balancer=", record.balancer),
    ]
}

fn reasons<'a>(record: &AccessRecord<'a>) -> Led<&'a str, 2> {
    [
        (b",\"error\":\"", b" error=", record.error),
        (b",\"retried\":\"", b" retried=", record.retried),
    ]
}

fn durations(record: &AccessRecord<'_>) -> Led<Duration, 4> {
    let times = &record.times;
    [
        (b",\"queued_ms\":", b" queued=", times.queued),
        (b",\"connect_ms\":", b" connect=", times.connect),
        (b",\"first_byte_ms\":", b" first-byte=", times.first_byte),
        (b",\"total_ms\":", b" total=", times.total),
    ]
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_09 => b"HTTP/0.9",
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        Version::HTTP_3 => b"HTTP/3.0",
        _ => b"HTTP/1.1",
    }
}

fn shortened(target: &[u8]) -> &[u8] {
    target.get(..MAX_TARGET_BYTES).unwrap_or(target)
}

/// Appends a text and the quote after it; the one before it belongs to what leads to it.
// Inlined, as copying what is known while compiling takes an instruction or two.
#[inline(always)]
fn json_text(out: &mut Vec<u8>, lead: &[u8], value: &[u8]) {
    out.extend_from_slice(lead);
    line::json_inside(out, value);
    out.push(b'"');
}

#[inline(always)]
fn json_number(out: &mut Vec<u8>, lead: &[u8], value: u64) {
    out.extend_from_slice(lead);
    line::decimal(out, value);
}

#[cfg(test)]
mod tests;
