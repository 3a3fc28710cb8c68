//! memcached's classic text protocol, as far as a store speaks it: pure functions over bytes.
//!
//! An answer is read from all that has arrived of it, again with each piece, and each time it is told
//! how much more may be read at most: a line has its bound, a value the store's, and nothing else is
//! ever waited for. Whatever does not read as an answer to what was asked is an error, after which a
//! connection is good for nothing: what follows could belong to anything.

use std::io::Write;

/// The longest line of an answer. That of a value has some 300 bytes with the longest key.
pub(super) const LINE_BYTES: usize = 1024;

/// What ends a value.
const END: &[u8] = b"\r\nEND\r\n";

/// The most that is repeated of what a server says.
const WORDS: usize = 200;

/// What is asked of a server. Keys are valid ([`valid_key`](crate::store::valid_key)).
#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    /// The value of a key.
    Get,
    /// A value to keep, as long as [`expiry`](super::expiry) has it.
    Set(&'a [u8], i64),
    /// The same, unless there is a value.
    Add(&'a [u8], i64),
    /// A key to remove.
    Delete,
    /// A number to add.
    Increment(u64),
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// The value of the key.
    Value(Vec<u8>),
    /// There is no such key.
    Missing,
    /// It is as was asked for.
    Done,
    /// There is a value already.
    Present,
    /// The number that it has become.
    Number(u64),
    /// The value is no number.
    NotANumber,
    /// The value is larger than the server takes.
    TooLarge,
    /// The server does not do it, in its own words.
    Refused(String),
}

impl Reply {
    /// Whether the connection can serve what comes next: after an error it is not certain that the
    /// server has read all that it was sent.
    pub(super) fn leaves_order(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::TooLarge)
    }
}

/// Why bytes are no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// A line has no end.
    #[error("its answer has a line of more than {LINE_BYTES} bytes")]
    LongLine,
    /// It is no answer to this.
    #[error("it answered {0:?}, which does not fit what it was asked")]
    Unfit(String),
    /// It is about another key.
    #[error("it answered about another key")]
    OtherKey,
    /// There is more than the answer.
    #[error("it said more than it was asked")]
    Surplus,
    /// The value is larger than allowed.
    #[error("the value has {0} bytes, more than `max-value` allows")]
    Giant(u64),
}

/// How far an answer has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is needed: until there are this many bytes, and one more, which tells that there are too many.
    More(usize),
    /// It is complete.
    Complete(Reply),
}

impl Request<'_> {
    /// Writes it.
    pub(super) fn write(&self, key: &str, out: &mut Vec<u8>) {
        // Writing to a vector does not fail.
        let _ = match self {
            Self::Get => write!(out, "get {key}\r\n"),
            Self::Delete => write!(out, "delete {key}\r\n"),
            Self::Increment(amount) => write!(out, "incr {key} {amount}\r\n"),
            Self::Set(value, expiry) => {
                let _ = write!(out, "set {key} 0 {expiry} {}\r\n", value.len());
                out.extend_from_slice(value);
                out.write_all(b"\r\n")
            }
            Self::Add(value, expiry) => {
                let _ = write!(out, "add {key} 0 {expiry} {}\r\n", value.len());
                out.extend_from_slice(value);
                out.write_all(b"\r\n")
            }
        };
    }

    /// Whether it comes to the same if it is done twice.
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(self, Self::Get | Self::Set(..) | Self::Delete)
    }

    /// Reads the answer to it from all that has arrived.
    pub(super) fn read(
        &self,
        key: &str,
        arrived: &[u8],
        max_value: usize,
    ) -> Result<Progress, Broken> {
        let Some(end) = arrived.iter().take(LINE_BYTES).position(|byte| *byte == b'\n') else {
            return if arrived.len() < LINE_BYTES {
                Ok(Progress::More(LINE_BYTES - 1))
            } else {
                Err(Broken::LongLine)
            };
        };
        let (line, rest) = arrived.split_at_checked(end + 1).unwrap_or((arrived, &[]));
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(unfit(line)) };
        if let (Self::Get, Some(value)) = (self, line.strip_prefix(b"VALUE ")) {
            let length = length(value, key).ok_or_else(|| unfit(line))??;
            let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= max_value);
            return value_of(rest, end + 1, bytes.ok_or(Broken::Giant(length))?);
        }
        let reply = self.reply(line).ok_or_else(|| unfit(line))?;
        if rest.is_empty() { Ok(Progress::Complete(reply)) } else { Err(Broken::Surplus) }
    }

    /// An answer of one line.
    fn reply(&self, line: &[u8]) -> Option<Reply> {
        match (self, line) {
            (Self::Get, b"END") => Some(Reply::Missing),
            (Self::Set(..) | Self::Add(..), b"STORED") => Some(Reply::Done),
            (Self::Add(..), b"NOT_STORED") => Some(Reply::Present),
            (Self::Delete, b"DELETED") => Some(Reply::Done),
            (Self::Delete | Self::Increment(_), b"NOT_FOUND") => Some(Reply::Missing),
            (Self::Increment(_), [b'0'..=b'9', ..]) => Some(Reply::Number(number(line)?)),
            // What a server that evicts nothing says when it is full.
            (Self::Set(..), b"NOT_STORED") => Some(Reply::Refused(words(line))),
            _ => self.error(line),
        }
    }

    fn error(&self, line: &[u8]) -> Option<Reply> {
        let of_client = line.strip_prefix(b"CLIENT_ERROR ");
        let of_server = line.strip_prefix(b"SERVER_ERROR ");
        match (self, of_client, of_server) {
            (Self::Increment(_), Some(said), _) if contains(said, b"non-numeric") => {
                Some(Reply::NotANumber)
            }
            (Self::Set(..) | Self::Add(..), _, Some(said)) if contains(said, b"too large") => {
                Some(Reply::TooLarge)
            }
            (_, Some(said), _) | (_, _, Some(said)) => Some(Reply::Refused(words(said))),
            _ => (line == b"ERROR").then(|| Reply::Refused(words(line))),
        }
    }
}

/// The announced length of a value: what follows `VALUE` is the key, flags that nobody here reads,
/// and the length.
fn length(value: &[u8], key: &str) -> Option<Result<u64, Broken>> {
    let mut parts = value.split(|byte| *byte == b' ');
    let (of, flags, length) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, length) = (number(flags)?, number(length)?);
    if parts.next().is_some() {
        return None;
    }
    Some(if of == key.as_bytes() { Ok(length) } else { Err(Broken::OtherKey) })
}

/// A value of so many bytes, which begins so far behind the start of the answer.
fn value_of(rest: &[u8], begin: usize, bytes: usize) -> Result<Progress, Broken> {
    let whole = bytes + END.len();
    let (value, end) = rest.split_at_checked(bytes).unwrap_or((rest, &[]));
    if end.len() > END.len() {
        return Err(Broken::Surplus);
    }
    if !END.starts_with(end) {
        return Err(unfit(end));
    }
    if rest.len() < whole {
        return Ok(Progress::More(begin + whole));
    }
    Ok(Progress::Complete(Reply::Value(value.to_vec())))
}

/// A decimal number without a sign.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

fn unfit(line: &[u8]) -> Broken {
    Broken::Unfit(words(line))
}

/// What a server says, for a log.
fn words(line: &[u8]) -> String {
    let line = line.get(..WORDS).unwrap_or(line);
    String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests;
