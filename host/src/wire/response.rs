//! The gate for what an upstream sends.

use std::mem;

use bytes::Bytes;
use http::{Response, StatusCode, Version, response};

use super::chunked::Chunked;
use super::content::Content;
use super::fields::{Fields, Framing};
use super::lines::{Lines, Next};
use super::spans::Spans;
use super::{Fault, Gate, Limits, Step};

/// The most informational responses to one request: who sends more of them sends them for ever.
const INTERIMS: u8 = 100;

/// Judges what an upstream sends.
#[derive(Debug)]
pub struct Responses {
    limits: Limits,
    state: State,
    asked: Asked,
    /// How many informational responses there were.
    interims: u8,
    /// The lines of the latest head.
    spans: Spans,
}

/// The words of a status line that are not those of its status (RFC 9112, 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(pub Bytes);

/// What was asked for, as far as the end of the answer depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// For a head alone.
    pub head: bool,
    /// For another protocol, too.
    pub upgrade: bool,
}

#[derive(Debug)]
enum State {
    /// No request is out.
    Idle,
    Head(Head),
    Sized(u64),
    Chunked(Chunked),
    UntilClosed,
    /// What follows is not HTTP.
    Other,
    Ended(Fault),
}

#[derive(Debug, Default)]
struct Head {
    lines: Lines,
    fields: Fields,
    status: Option<Status>,
}

#[derive(Debug, Clone, Copy)]
struct Status {
    code: u16,
    /// Of HTTP/1.0.
    old: bool,
}

impl Responses {
    /// For a connection on which nothing was asked for yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let (asked, spans) = Default::default();
        Self { limits, state: State::Idle, asked, interims: 0, spans }
    }

    /// A request is about to be sent.
    pub fn ask(&mut self, asked: Asked) {
        if matches!(self.state, State::Idle) {
            self.asked = asked;
            self.interims = 0;
            self.state = State::Head(Head::default());
        }
    }

    /// Whether another request may be sent: all that was asked for was answered, and nothing else.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether another protocol has begun.
    #[must_use]
    pub fn has_switched(&self) -> bool {
        matches!(self.state, State::Other)
    }

    /// What was wrong.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        if let State::Ended(fault) = &self.state { Some(*fault) } else { None }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        let State::Head(head) = &mut self.state else { return Ok(Step::More) };
        loop {
            let Next::Line(line) = head.lines.next(bytes, &self.limits)? else {
                if head.status.is_none() && !may_begin(bytes) {
                    return Err(Fault::StatusLine);
                }
                return Ok(Step::More);
            };
            match head.status {
                None => {
                    head.status = Some(status_line(line)?);
                    let (start, end) = head.lines.place(line.len());
                    self.spans.begin(start, end);
                }
                Some(status) if line.is_empty() => {
                    let end = head.lines.end();
                    let framing = head.fields.framing(status.old)?;
                    let agreed = head.fields.upgrades() && self.asked.upgrade;
                    if (100..200).contains(&status.code) && status.code != 101 {
                        if self.interims == INTERIMS {
                            return Err(Fault::Interims);
                        }
                        self.interims += 1;
                        self.state = State::Head(Head::default());
                        return Ok(Step::Interim(end));
                    }
                    self.state = self.body(status, framing, agreed)?;
                    return Ok(Step::Pass(end));
                }
                Some(_) => {
                    let name = head.fields.line(line, self.limits.fields)?;
                    self.spans.field(head.lines.place(line.len()), name);
                }
            }
        }
    }

    /// The head that was judged last, informational or not, whose bytes these are. A reason that is not
    /// that of the status is a [`Reason`] among its extensions.
    ///
    /// # Errors
    ///
    /// What is wrong with it after all.
    pub fn parts(&self, head: &Bytes) -> Result<response::Parts, Fault> {
        let mut parts = Response::new(()).into_parts().0;
        let line = self.spans.first(head);
        let (version, rest) = line.split_at_checked(9).ok_or(Fault::StatusLine)?;
        let (code, reason) = rest.split_at_checked(3).ok_or(Fault::StatusLine)?;
        parts.status = StatusCode::from_bytes(code).map_err(|_invalid| Fault::Status)?;
        if version == b"HTTP/1.0 " {
            parts.version = Version::HTTP_10;
        }
        let reason = reason.get(1..).unwrap_or_default();
        let known = parts.status.canonical_reason().unwrap_or_default();
        if reason != known.as_bytes() {
            parts.extensions.insert(Reason(head.slice_ref(reason)));
        }
        parts.headers = self.spans.fields(head)?;
        Ok(parts)
    }

    /// The body that follows the final head which was let pass last. To be called before anything of it
    /// was judged: whoever takes it judges it, and here nothing more is asked for. None of what another
    /// protocol follows.
    pub fn content(&mut self) -> Content {
        let length = match &self.state {
            State::Sized(length) => *length,
            State::Chunked(_) | State::UntilClosed => 0,
            State::Idle | State::Head(_) | State::Other | State::Ended(_) => {
                return Content::sized(0);
            }
        };
        match mem::replace(&mut self.state, State::Idle) {
            State::Chunked(coding) => Content::chunked(coding),
            State::UntilClosed => Content::until_closed(),
            _ => Content::sized(length),
        }
    }

    /// What follows the head of a final response (RFC 9112, 6.3).
    fn body(&self, status: Status, framing: Framing, agreed: bool) -> Result<State, Fault> {
        Ok(match (status.code, framing) {
            (101, _) if agreed => State::Other,
            // Nobody has asked for another protocol.
            (101, _) => return Err(Fault::Switch),
            (204 | 304, _) | (_, Framing::Sized(0)) => State::Idle,
            _ if self.asked.head => State::Idle,
            (_, Framing::Sized(length)) => State::Sized(length),
            (_, Framing::Chunked) => State::Chunked(Chunked::new(&self.limits)),
            (_, Framing::None) => State::UntilClosed,
        })
    }

    fn judge(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        match &mut self.state {
            State::Idle => Err(Fault::Unasked),
            State::Head(_) => self.head(bytes),
            State::Sized(left) => {
                let there = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= there as u64;
                if *left == 0 {
                    self.state = State::Idle;
                }
                Ok(Step::Pass(there))
            }
            State::Chunked(chunked) => {
                let used = chunked.advance(bytes)?;
                if chunked.is_over() {
                    self.state = State::Idle;
                }
                Ok(Step::Pass(used))
            }
            State::UntilClosed | State::Other => Ok(Step::Pass(bytes.len())),
            State::Ended(fault) => Err(*fault),
        }
    }
}

impl Gate for Responses {
    fn step(&mut self, bytes: &[u8]) -> Step {
        self.judge(bytes).unwrap_or_else(|fault| {
            self.state = State::Ended(fault);
            Step::Fault(fault)
        })
    }
}

/// Whether a response can begin so, as far as it is there: what is none is not waited for.
fn may_begin(bytes: &[u8]) -> bool {
    bytes.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected)
}

fn status_line(line: &[u8]) -> Result<Status, Fault> {
    let (version, rest) = line.split_at_checked(8).ok_or(Fault::StatusLine)?;
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ if version.starts_with(b"HTTP/") => return Err(Fault::Version),
        _ => return Err(Fault::StatusLine),
    };
    let (code, reason) = rest.split_at_checked(4).ok_or(Fault::StatusLine)?;
    let [b' ', digits @ ..] = code else { return Err(Fault::StatusLine) };
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(reason.first(), None | Some(b' ')) {
        return Err(Fault::StatusLine);
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    if code >= 100 { Ok(Status { code, old }) } else { Err(Fault::Status) }
}

#[cfg(test)]
mod tests;
