//! Why an upstream gave no response, and how that is said.

use std::error::Error;
use std::fmt;
use std::io;

use http::Request;

use super::link::Failure;
use crate::body::{RequestBody, UploadError};
use crate::wire::Fault;

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendErrorKind {
    /// The connection turned out to be closed before anything of the request was written. The
    /// request is in the error, and may be sent again whatever its method.
    Unsent,
    /// The connection broke.
    Broken,
    /// What came is not HTTP.
    Malformed,
    /// Nothing came in time.
    Timeout,
    /// The request body is larger than allowed.
    UploadTooLarge,
    /// The client fell silent within its request body.
    UploadSilent,
    /// The client sends its request body too slowly.
    UploadSlow,
    /// What the client sent as its request body is not HTTP.
    UploadMalformed(Fault),
    /// The client broke off its request body.
    UploadBroken,
}

/// There is no response. The connection is closed.
#[derive(Debug)]
pub struct SendError {
    /// Why.
    pub kind: SendErrorKind,
    /// The request, if it is [`Unsent`](SendErrorKind::Unsent).
    pub request: Option<Box<Request<RequestBody>>>,
    /// Whether the connection had served a request before.
    pub reused: bool,
    /// Bytes of a response that came, be it an informational one.
    pub answered: u64,
    source: Option<hyper::Error>,
}

impl SendError {
    pub(super) fn new(failure: Failure, reused: bool, answered: u64) -> Self {
        let (kind, request, source) = match failure {
            Failure::Timeout => (SendErrorKind::Timeout, None, None),
            Failure::Unsent(request, error) => (SendErrorKind::Unsent, Some(request), Some(error)),
            Failure::Broken(error) => (SendErrorKind::of(&error), None, Some(error)),
        };
        Self { kind, request, reused, answered, source }
    }

    /// What is wrong with what came, if a gate has found it.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.source.as_ref().and_then(|error| Fault::of(error))
    }
}

impl SendErrorKind {
    fn of(error: &hyper::Error) -> Self {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(upload) = error.downcast_ref() {
                return match upload {
                    UploadError::TooLarge => Self::UploadTooLarge,
                    UploadError::Silent => Self::UploadSilent,
                    UploadError::Slow => Self::UploadSlow,
                    UploadError::Malformed(fault) => Self::UploadMalformed(*fault),
                    UploadError::Broken(_) | UploadError::Gone => Self::UploadBroken,
                };
            }
            cause = error.source();
        }
        if error.is_parse() || Fault::of(error).is_some() { Self::Malformed } else { Self::Broken }
    }
}

impl fmt::Display for SendError {
    /// What the upstream did, or the client. The cause is in the text already.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SendErrorKind::Unsent => formatter.write_str("closed the connection beforehand"),
            SendErrorKind::Broken => {
                let closed = self.source.as_ref().is_none_or(is_close);
                let what = if closed { "closed the connection" } else { "the connection broke" };
                match self.answered {
                    0 => write!(formatter, "{what} before answering")?,
                    bytes => write!(formatter, "{what} after {bytes} bytes of its answer's head")?,
                }
                let cause = self.source.as_ref().filter(|_| !closed).and_then(Error::source);
                cause.map_or(Ok(()), |cause| write!(formatter, ": {cause}"))
            }
            SendErrorKind::Malformed => {
                formatter.write_str("its answer is not HTTP/1")?;
                let Some(cause) = &self.source else { return Ok(()) };
                match Fault::of(cause) {
                    Some(fault) => write!(formatter, ": {fault}"),
                    None => write!(formatter, ": {cause}"),
                }
            }
            SendErrorKind::Timeout => formatter.write_str("did not answer in time"),
            SendErrorKind::UploadTooLarge => formatter.write_str("the request body is too large"),
            SendErrorKind::UploadSilent => {
                formatter.write_str("the client fell silent within its request body")
            }
            SendErrorKind::UploadSlow => {
                formatter.write_str("the client sends its request body too slowly")
            }
            SendErrorKind::UploadMalformed(fault) => write!(formatter, "the client sent {fault}"),
            SendErrorKind::UploadBroken => {
                formatter.write_str("the client broke off its request body")
            }
        }
    }
}

/// Whether a connection was closed in an orderly way, only too early; of TLS also without a word.
fn is_close(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || cause.is_some_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof)
}

impl Error for SendError {}
