//! Three ways to read what went to an upstream. They share no code but their result: whoever stands
//! behind a proxy has a parser of its own, and all have to see the same requests.

mod hasty;
mod lenient;
mod strict;

pub(super) use hasty::hasty;
pub(super) use lenient::lenient;
pub(super) use strict::{Message, Next, next_request, next_response, strict};

/// What a parser makes of the bytes of one connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// The requests that came to their end.
    pub(super) requests: Vec<Request>,
    /// Whether another had begun.
    pub(super) unfinished: bool,
}

/// A request as far as parsers may differ on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Method, target and version.
    pub(super) line: String,
    pub(super) body: Vec<u8>,
}

/// Bytes as text, one character each.
pub(super) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
