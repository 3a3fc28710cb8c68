//! Why an upstream gave no response, and how that is said.

use std::error::Error;
use std::{fmt, io};

use super::{link, trunk};
use crate::body::UploadError;
use crate::wire::Fault;

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendErrorKind {
    /// The connection turned out to be closed before anything of the request was written, or the
    /// upstream has refused it, by what HTTP/2 has for that. It may be sent again whatever its method, if its
    /// body can be.
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
    /// Whether the connection had served a request before.
    pub reused: bool,
    /// Bytes of a response that came, be it an informational one.
    pub answered: u64,
    cause: Option<Cause>,
}

#[derive(Debug)]
enum Cause {
    /// The connection.
    Io(io::Error),
    /// What came by HTTP/1.
    Http1(Fault),
    /// The stream, or the connection that it shares.
    Http2(h2::Error),
    /// What came by HTTP/2.
    Stream(Fault),
}

impl SendError {
    pub(super) fn new(failure: link::Failure, reused: bool, answered: u64) -> Self {
        use link::Failure;
        let (kind, cause) = match failure {
            Failure::Timeout => (SendErrorKind::Timeout, None),
            Failure::Unsent => (SendErrorKind::Unsent, None),
            Failure::Closed => (SendErrorKind::Broken, None),
            Failure::Broken(error) => (SendErrorKind::Broken, Some(Cause::Io(error))),
            Failure::Fault(fault) => (SendErrorKind::Malformed, Some(Cause::Http1(fault))),
            Failure::Upload(error) => (SendErrorKind::of_upload(&error), None),
        };
        Self { kind, reused, answered, cause }
    }

    /// The same of a stream.
    pub(super) fn of_stream(failure: trunk::Failure, reused: bool, answered: u64) -> Self {
        use trunk::Failure;
        let (kind, cause) = match failure {
            Failure::Timeout => (SendErrorKind::Timeout, None),
            Failure::Unsent(error) => (SendErrorKind::Unsent, Some(Cause::Http2(error))),
            Failure::Broken(error) => (SendErrorKind::Broken, Some(Cause::Http2(error))),
            Failure::Malformed(error) => (SendErrorKind::Malformed, Some(Cause::Http2(error))),
            Failure::Fault(fault) => (SendErrorKind::Malformed, Some(Cause::Stream(fault))),
            Failure::Upload(error) => (SendErrorKind::of_upload(&error), None),
        };
        Self { kind, reused, answered, cause }
    }

    /// What is wrong with what came, if a gate has found it.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match &self.cause {
            Some(Cause::Http1(fault) | Cause::Stream(fault)) => Some(*fault),
            Some(Cause::Io(_) | Cause::Http2(_)) | None => None,
        }
    }

    fn tell_broken(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Cause::Http2(error)) = &self.cause
            && let Some(reason) = error.reason()
        {
            return write!(formatter, "reset the stream before answering: {reason:?}");
        }
        let (what, cause) = match &self.cause {
            // Of TLS it ends so without a word.
            Some(Cause::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                ("the connection broke", Some(error.to_string()))
            }
            Some(Cause::Http2(error)) if !is_end(error) => {
                ("the connection broke", Some(error.to_string()))
            }
            _ => ("closed the connection", None),
        };
        match (self.answered, &self.cause) {
            (0, _) => write!(formatter, "{what} before answering")?,
            (_, Some(Cause::Http2(_))) => write!(formatter, "{what} after an interim response")?,
            (bytes, _) => write!(formatter, "{what} after {bytes} bytes of its answer's head")?,
        }
        cause.map_or(Ok(()), |cause| write!(formatter, ": {cause}"))
    }

    fn tell_malformed(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            None | Some(Cause::Io(_)) => formatter.write_str("its answer is not HTTP"),
            Some(Cause::Http1(fault)) => write!(formatter, "its answer is not HTTP/1: {fault}"),
            Some(Cause::Stream(fault)) => write!(formatter, "its answer is not HTTP/2: {fault}"),
            Some(Cause::Http2(error)) => write!(formatter, "its answer is not HTTP/2: {error}"),
        }
    }
}

impl SendErrorKind {
    fn of_upload(error: &UploadError) -> Self {
        match error {
            UploadError::TooLarge => Self::UploadTooLarge,
            UploadError::Silent => Self::UploadSilent,
            UploadError::Slow => Self::UploadSlow,
            UploadError::Malformed(fault) => Self::UploadMalformed(*fault),
            UploadError::Broken(_) | UploadError::Gone => Self::UploadBroken,
        }
    }
}

impl fmt::Display for SendError {
    /// What the upstream did, or the client. The cause is in the text already.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SendErrorKind::Unsent => match &self.cause {
                Some(Cause::Http2(error)) if error.is_remote() => {
                    formatter.write_str("refused the stream")
                }
                _ => formatter.write_str("closed the connection beforehand"),
            },
            SendErrorKind::Broken => self.tell_broken(formatter),
            SendErrorKind::Malformed => self.tell_malformed(formatter),
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

/// Whether a connection of streams was closed in an orderly way, only too early; of TLS also without a word.
fn is_end(error: &h2::Error) -> bool {
    use io::ErrorKind;
    let ends = [ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
    error.get_io().is_some_and(|error| ends.contains(&error.kind()))
}

impl Error for SendError {}
