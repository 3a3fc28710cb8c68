//! What can be wrong with the bytes of a message.

use std::error::Error;
use std::io;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line that ends in LF alone.
    #[error("a line ends in a bare LF")]
    BareLf,
    /// A control character in a line, a CR without LF included.
    #[error("a control character in a line of the head")]
    Control,
    /// A request line that is not method, target and version with one blank between them.
    #[error("the request line is not method, target and version, with one blank between them")]
    RequestLine,
    /// More empty lines before a request than one.
    #[error("several empty lines before the request")]
    EmptyLines,
    /// A method that is no token.
    #[error("the method is no token")]
    Method,
    /// A method of more than 64 bytes.
    #[error("the method has more than 64 bytes")]
    MethodBytes,
    /// A target of no form that there is.
    #[error("the request target is neither a path nor a URL of visible ASCII")]
    Target,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// What does not begin with a status line.
    #[error("the status line is not version, status and reason")]
    StatusLine,
    /// A status below 100.
    #[error("the status is below 100")]
    Status,
    /// Informational responses without an end.
    #[error("more than 100 informational responses")]
    Interims,
    /// A line that continues the one before, or is made to look so.
    #[error("a folded header line, or blanks before the first")]
    Folded,
    /// A line without a colon.
    #[error("a header line without a colon")]
    NoColon,
    /// A blank between a field's name and the colon.
    #[error("a blank between a header's name and its colon")]
    BlankBeforeColon,
    /// A name that is no token.
    #[error("a header name that is no token")]
    Name,
    /// A value that begins or ends with a blank, where nothing takes that for none of it.
    #[error("a header value that begins or ends with a blank")]
    Blanks,
    /// A Content-Length that is no number.
    #[error("Content-Length is not a number")]
    Length,
    /// A Content-Length beyond what can be counted.
    #[error("Content-Length is larger than 2^63 - 1")]
    LengthTooLarge,
    /// Several Content-Length.
    #[error("several Content-Length")]
    Lengths,
    /// Content-Length beside Transfer-Encoding.
    #[error("Content-Length beside Transfer-Encoding")]
    LengthAndCoding,
    /// A Transfer-Encoding that is not `chunked` alone.
    #[error("a Transfer-Encoding other than chunked")]
    Coding,
    /// A Transfer-Encoding in HTTP/1.0.
    #[error("Transfer-Encoding in HTTP/1.0")]
    CodingTooEarly,
    /// A chunk whose size is no number, or followed by what is no extension.
    #[error("the size of a chunk is not a hexadecimal number alone")]
    ChunkSize,
    /// A chunk larger than can be counted.
    #[error("a chunk is larger than 2^63 - 1")]
    ChunkTooLarge,
    /// A chunk that is longer than its size.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// A control character in an extension of a chunk, or a line of it that ends in LF alone.
    #[error("a control character in the extension of a chunk")]
    Extension,
    /// Extensions of more than 16 KiB in one body.
    #[error("extensions of chunks of more than 16 KiB")]
    Extensions,
    /// A line of the trailers that is none.
    #[error("a trailer that is no header line")]
    Trailer,
    /// Trailers that are too many or too large.
    #[error("trailers of 16 KiB or more, or more of them than fields of a head")]
    Trailers,
    /// A head that is too large.
    #[error("the head is larger than allowed")]
    HeadBytes,
    /// A head with too many fields.
    #[error("the head has more fields than allowed")]
    Fields,
    /// A target that is too long.
    #[error("the request target is longer than allowed")]
    TargetBytes,
    /// A head that takes too long to come.
    #[error("the head did not come to its end in time")]
    HeadTime,
    /// Another protocol that nobody has asked for.
    #[error("another protocol that nobody asked for")]
    Switch,
    /// Bytes that nobody has asked for.
    #[error("bytes that no request asked for")]
    Unasked,
}

/// What faults have in common, for whoever counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lines, names and values.
    Syntax,
    /// Where a message ends.
    Framing,
    /// Chunks and trailers.
    Chunk,
    /// The version.
    Version,
    /// Size of the head.
    Head,
    /// Length of the target.
    Target,
    /// Time.
    Slow,
}

impl Fault {
    /// What an error comes from, if a gate is what reading has failed at.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            // What it wraps is no cause of it, in its own words.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(fault) = wrapped.and_then(|wrapped| wrapped.downcast_ref()) {
                return Some(*fault);
            }
            cause = error.source();
        }
        None
    }

    /// Its kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Length
            | Self::LengthTooLarge
            | Self::Lengths
            | Self::LengthAndCoding
            | Self::Coding
            | Self::CodingTooEarly
            | Self::Switch
            | Self::Unasked => Kind::Framing,
            Self::ChunkSize
            | Self::ChunkTooLarge
            | Self::ChunkEnd
            | Self::Extension
            | Self::Extensions
            | Self::Trailer
            | Self::Trailers => Kind::Chunk,
            Self::Version => Kind::Version,
            Self::HeadBytes | Self::Fields => Kind::Head,
            Self::TargetBytes => Kind::Target,
            Self::HeadTime => Kind::Slow,
            _ => Kind::Syntax,
        }
    }

    /// The status that a client gets for it (RFC 9110, 15.5 and 15.6; RFC 6585, 5).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTime => 408,
            Self::LengthTooLarge | Self::ChunkTooLarge | Self::Extensions => 413,
            Self::TargetBytes => 414,
            Self::HeadBytes | Self::Fields | Self::Trailers => 431,
            Self::Coding | Self::MethodBytes => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}
