//! HTTP/1 as it is on the wire: judged, taken apart, and written. Pure: no sockets, no time.
//!
//! Recipients can disagree about line endings, folded lines, a Content-Length beside a
//! Transfer-Encoding, what surrounds the size of a chunk. So a gate for each direction
//! ([`Requests`], [`Responses`]) sees every byte of a head first, and says how far it goes and what it is;
//! then it gives what judges its body and takes that off the bytes ([`Content`]). What it lets pass is what
//! RFC 9112 says, without the liberties that it grants recipients:
//!
//! - Lines end in CR LF. A bare LF, and a CR without LF, end nothing and are refused (2.2).
//! - No folded lines (5.2), no blanks before the colon (5.1), no controls in values (RFC 9110, 5.5).
//! - One Content-Length, of digits, or one Transfer-Encoding, which is `chunked`, and never both (6.1
//!   to 6.3). Equal repetitions are refused as well: nobody sends them who means well.
//! - A chunk's size is at most 16 hexadecimal digits, with nothing between it and what follows (7.1).
//!   Extensions are bounded.
//! - A target consists of visible ASCII without `#`, `<` and `>`, its path without backticks, and its
//!   query without `"` (RFC 3986 has none of them); other bytes are for the sender to escape.
//! - One empty line before a request is skipped (2.2), others are refused.
//!
//! A head is let pass when it is complete, and not before. Bodies pass as they come. A gate judges whole
//! streams as well, if nobody takes their bodies.
//!
//! Of HTTP/2 only the frames are looked at ([`Frames`]), while they pass to the library that speaks it.

mod bytes;
mod chunked;
mod content;
pub mod encode;
mod fault;
mod fields;
mod frames;
mod lines;
mod met;
mod names;
mod request;
mod response;
mod spans;

pub use content::{Content, Part};
pub use fault::{Fault, Kind};
pub use frames::{Frames, PREFACE, Told};
pub use request::{Requests, is_path};
pub use response::{Asked, Reason, Responses};

/// What bounds a head, and the trailers of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a head, with its empty line.
    pub head_bytes: usize,
    /// The most fields of a head, and of trailers.
    pub fields: usize,
    /// The most bytes of a request's target.
    pub target_bytes: usize,
}

/// What becomes of the bytes that a gate is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many of them may go on. More than none.
    Pass(usize),
    /// So many are none of anybody's business.
    Skip(usize),
    /// So many are an informational response, which is over.
    Interim(usize),
    /// They are to be shown again when more have come.
    More,
    /// They are to be shown again when it has been decided what they are.
    Held,
    /// They are not what they should be. Nothing that follows is.
    Fault(Fault),
}

/// What judges the bytes of one direction of a connection.
pub trait Gate {
    /// Judges bytes that follow what has gone on: all of them that are there, at least one. Those
    /// that do not go on are shown again, with more behind them.
    fn step(&mut self, bytes: &[u8]) -> Step;
}
