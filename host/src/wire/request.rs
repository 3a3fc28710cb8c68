//! The gate for what a client sends.

use std::mem;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version, request};

use super::bytes::{is_plain, is_target, token_end};
use super::chunked::Chunked;
use super::content::Content;
use super::fields::{Fields, Framing};
use super::lines::{Lines, Next};
use super::spans::Spans;
use super::{Fault, Gate, Limits, Step};

/// The longest method; the longest registered one has 17 letters.
const METHOD_BYTES: usize = 64;

/// Judges what a client sends.
#[derive(Debug)]
pub struct Requests {
    limits: Limits,
    state: State,
    /// The message that is being read asks for another protocol.
    upgrade: bool,
    /// The line before it was empty.
    skipped: bool,
    begun: u64,
    within: bool,
    /// The lines of the latest head.
    spans: Spans,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Sized(u64),
    Chunked(Chunked),
    /// It is not decided whether what follows is HTTP.
    Held,
    Ended(Fault),
}

#[derive(Debug, Default)]
struct Head {
    lines: Lines,
    fields: Fields,
    /// Whether it is of HTTP/1.0, once that is known.
    old: Option<bool>,
}

impl Requests {
    /// For a connection that has just been opened.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let state = State::Head(Head::default());
        let spans = Spans::default();
        Self { limits, state, upgrade: false, skipped: false, begun: 0, within: false, spans }
    }

    /// How many heads were let pass.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether a body has begun and not ended, or has turned out to be none.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.within
    }

    /// Nothing more is let pass.
    pub fn refuse(&mut self, fault: Fault) {
        self.state = State::Ended(fault);
    }

    /// The protocol stays HTTP: what was held is the next request.
    pub fn resume(&mut self) {
        if matches!(self.state, State::Held) {
            self.state = State::Head(Head::default());
        }
        self.upgrade = false;
    }

    fn over(&mut self) -> State {
        self.within = false;
        if self.upgrade { State::Held } else { State::Head(Head::default()) }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        let State::Head(head) = &mut self.state else { return Ok(Step::More) };
        loop {
            let line = match head.lines.next(bytes, &self.limits) {
                Ok(Next::Line(line)) => line,
                other => {
                    if head.old.is_none() && matches!(other, Ok(_) | Err(Fault::HeadBytes)) {
                        unfinished(head.lines.rest(bytes), &self.limits)?;
                    }
                    return other.map(|_| Step::More);
                }
            };
            match head.old {
                None if line.is_empty() && self.skipped => return Err(Fault::EmptyLines),
                None if line.is_empty() => {
                    self.skipped = true;
                    head.lines = Lines::default();
                    return Ok(Step::Skip(2));
                }
                None => {
                    head.old = Some(request_line(line, &self.limits)?);
                    let (start, end) = head.lines.place(line.len());
                    self.spans.begin(start, end);
                }
                Some(old) if line.is_empty() => {
                    let framing = head.fields.framing(old)?;
                    self.upgrade = !old && head.fields.upgrades();
                    let end = head.lines.end();
                    self.begun += 1;
                    self.skipped = false;
                    self.within = !matches!(framing, Framing::None | Framing::Sized(0));
                    self.state = match framing {
                        Framing::None | Framing::Sized(0) => self.over(),
                        Framing::Sized(length) => State::Sized(length),
                        Framing::Chunked => State::Chunked(Chunked::new(&self.limits)),
                    };
                    return Ok(Step::Pass(end));
                }
                Some(_) => {
                    let name = head.fields.line(line, self.limits.fields)?;
                    self.spans.field(head.lines.place(line.len()), name);
                }
            }
        }
    }

    /// The head that was let pass last, whose bytes these are.
    ///
    /// # Errors
    ///
    /// What is wrong with it after all.
    pub fn parts(&self, head: &Bytes) -> Result<Box<request::Parts>, Fault> {
        // Boxed at once: it is large, and goes through many hands.
        let mut parts = Box::new(Request::new(()).into_parts().0);
        let mut line = self.spans.first(head).split(|byte| *byte == b' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        parts.method = Method::from_bytes(method).map_err(|_invalid| Fault::Method)?;
        parts.uri = uri(head.slice_ref(target))?;
        if line.next() == Some(b"HTTP/1.0") {
            parts.version = Version::HTTP_10;
        }
        parts.headers = self.spans.fields(head)?;
        Ok(parts)
    }

    /// The body that follows the head which was let pass last. To be called before anything of it was
    /// judged: whoever takes it judges it, and what comes next here is the next head.
    pub fn content(&mut self) -> Content {
        self.within = false;
        let next = State::Head(Head::default());
        match mem::replace(&mut self.state, next) {
            State::Sized(length) => Content::sized(length),
            State::Chunked(coding) => Content::chunked(coding),
            State::Ended(fault) => {
                self.state = State::Ended(fault);
                Content::sized(0)
            }
            State::Head(_) | State::Held => Content::sized(0),
        }
    }

    /// Whether the head which was let pass last asks for another protocol.
    #[must_use]
    pub fn asks_upgrade(&self) -> bool {
        self.upgrade
    }

    fn judge(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        match &mut self.state {
            State::Head(_) => self.head(bytes),
            State::Sized(left) => {
                let there = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= there as u64;
                if *left == 0 {
                    self.state = self.over();
                }
                Ok(Step::Pass(there))
            }
            State::Chunked(chunked) => {
                let used = chunked.advance(bytes)?;
                if chunked.is_over() {
                    self.state = self.over();
                }
                Ok(Step::Pass(used))
            }
            State::Held => Ok(Step::Held),
            State::Ended(fault) => Err(*fault),
        }
    }
}

impl Gate for Requests {
    fn step(&mut self, bytes: &[u8]) -> Step {
        self.judge(bytes).unwrap_or_else(|fault| {
            self.state = State::Ended(fault);
            Step::Fault(fault)
        })
    }
}

/// Whether a request line can still become one, of which so much is there.
fn unfinished(line: &[u8], limits: &Limits) -> Result<(), Fault> {
    match line.iter().take(METHOD_BYTES + 1).position(|byte| *byte == b' ') {
        None if line.len() > METHOD_BYTES => Err(Fault::MethodBytes),
        None => Ok(()),
        Some(blank) => {
            let rest = line.get(blank + 1..).unwrap_or_default();
            let target = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            if target > limits.target_bytes { Err(Fault::TargetBytes) } else { Ok(()) }
        }
    }
}

/// Whether the line is one of HTTP/1.0.
#[inline]
fn request_line(line: &[u8], limits: &Limits) -> Result<bool, Fault> {
    if is_common(line, limits) { Ok(false) } else { any_request_line(line, limits) }
}

/// Whether it is what nearly all are: a request of HTTP/1.1 for a path without any marks that are
/// valid in one part of it alone.
#[inline]
fn is_common(line: &[u8], limits: &Limits) -> bool {
    let (method, rest) = line.split_at(token_end(line));
    let Some(target) = rest.strip_prefix(b" ").filter(|target| target.starts_with(b"/")) else {
        return false;
    };
    let end = target.iter().position(|byte| !is_plain(*byte)).unwrap_or(target.len());
    let (target, rest) = target.split_at(end);
    (1..=METHOD_BYTES).contains(&method.len())
        && target.len() <= limits.target_bytes
        && rest == b" HTTP/1.1"
}

/// Whether the line, which may be any, is one of HTTP/1.0.
fn any_request_line(line: &[u8], limits: &Limits) -> Result<bool, Fault> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    if method.len() > METHOD_BYTES {
        return Err(Fault::MethodBytes);
    }
    if method.is_empty() || token_end(method) < method.len() {
        return Err(Fault::Method);
    }
    if target.is_empty() {
        return Err(Fault::RequestLine);
    }
    if target.len() > limits.target_bytes {
        return Err(Fault::TargetBytes);
    }
    let old = version_is_old(version)?;
    if target_is_valid(method, target) { Ok(old) } else { Err(Fault::Target) }
}

/// Whether a version is HTTP/1.0.
fn version_is_old(version: &[u8]) -> Result<bool, Fault> {
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Fault::Version)
        }
        _ => Err(Fault::RequestLine),
    }
}

/// Whether a target is of one of the four forms (RFC 9112, 3.2).
fn target_is_valid(method: &[u8], target: &[u8]) -> bool {
    if !target.iter().all(|byte| is_target(*byte)) {
        return false;
    }
    if target.first() == Some(&b'/') {
        // What holds targets takes one mark in queries alone, and one in paths alone.
        let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at(end);
        return !path.contains(&b'`') && !query.contains(&b'"');
    }
    if target == b"*" {
        return true;
    }
    // Rare enough to be taken apart twice.
    let Ok(uri) = Uri::try_from(target) else { return false };
    let absolute = uri.scheme().is_some();
    uri.authority().is_some() && (absolute != (method == b"CONNECT"))
}

/// The target of a request.
fn uri(target: Bytes) -> Result<Uri, Fault> {
    if target.first() == Some(&b'/') {
        let path = PathAndQuery::from_maybe_shared(target).map_err(|_invalid| Fault::Target)?;
        return Ok(path.into());
    }
    Uri::from_maybe_shared(target).map_err(|_invalid| Fault::Target)
}

/// Whether a target is a path with or without a query, as it is valid in HTTP/1.
#[must_use]
pub fn is_path(target: &str) -> bool {
    target.starts_with('/') && target_is_valid(b"", target.as_bytes())
}

#[cfg(test)]
mod tests;
