//! What the proxy in front says of a connection, read from the socket before anything else is.
//!
//! Nothing behind the header is taken from the socket: it is looked at first, and so much of it read as
//! belongs to the header.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::config::ShownDuration;
use crate::metrics::Refusal;
use crate::proxy_protocol::{Ends, MAX_BYTES, Malformed, parse};
use crate::socket::Stream;

/// What is looked at once: all of a header that has nothing unusual behind its addresses.
const LOOK_BYTES: usize = 256;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum Unintroduced {
    /// What came is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Not all of it came in time.
    #[error("the PROXY header took longer than head-timeout = {}", ShownDuration(*.0))]
    Late(Duration),
    /// The other side has closed within it.
    #[error("closed within the PROXY header")]
    Cut,
    /// It was left before anything came, which is how some look whether somebody is there.
    #[error("closed before the PROXY header")]
    Left,
    /// Reading failed.
    #[error("reading the PROXY header failed")]
    Broken(#[from] io::Error),
}

impl Unintroduced {
    /// How the connection counts as turned away; one that was left is not.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Malformed(Malformed::Absent) => Some(Refusal::NoHeader),
            Self::Malformed(_) | Self::Cut => Some(Refusal::BadHeader),
            Self::Late(_) => Some(Refusal::LateHeader),
            Self::Left | Self::Broken(_) => None,
        }
    }
}

/// Reads a header that takes no longer than this: what it conveys.
///
/// # Errors
///
/// Why there is none. What was sent may have been read in part then.
pub async fn read(stream: &mut Stream, patience: Duration) -> Result<Option<Ends>, Unintroduced> {
    timeout(patience, header(stream)).await.unwrap_or(Err(Unintroduced::Late(patience)))
}

async fn header(stream: &mut Stream) -> Result<Option<Ends>, Unintroduced> {
    let mut bytes = Vec::with_capacity(LOOK_BYTES);
    // A header that is longer is refused for it, so that this goes on for so many bytes at most.
    while bytes.len() <= MAX_BYTES {
        let taken = bytes.len();
        bytes.resize(taken + LOOK_BYTES, 0);
        let looked_at = stream.look(bytes.get_mut(taken..).unwrap_or_default()).await?;
        bytes.truncate(taken + looked_at);
        if looked_at == 0 {
            return Err(if taken == 0 { Unintroduced::Left } else { Unintroduced::Cut });
        }
        let header = parse(&bytes)?;
        let end = header.map_or(bytes.len(), |header| header.length);
        stream.read_exact(bytes.get_mut(taken..end).unwrap_or_default()).await?;
        if let Some(header) = header {
            return Ok(header.ends);
        }
    }
    Err(Malformed::TooLong(MAX_BYTES).into())
}
