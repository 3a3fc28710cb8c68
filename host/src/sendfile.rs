//! X-Sendfile: a file in place of the body of a response that names it.
//!
//! What names a file, and which may be named, is lighttpd's (1.4) and nginx's: `X-Sendfile` and
//! `X-LIGHTTPD-send-file` have the path of a file below one of the cluster's roots, and
//! `X-Accel-Redirect` has a path of which a prefix stands for a directory. What a client gets is what
//! a file server would give it (RFC 9110): validators, conditions, ranges, compression.
//!
//! - Files are opened through the descriptor of a root, by a system call that does not leave what is
//!   below it. Neither `..` nor a symlink does, even one that appears in between.
//! - Only regular files are opened. Opening, reading and compressing are left to the blocking pool.
//! - The status of the upstream stays unless it is 200 or 206, and so do its header fields, validators
//!   included, but for those that describe the body that it sent.
//! - Reasons are for the log: no client learns of a path.

mod coding;
mod condition;
mod drain;
mod head;
mod open;
mod path;
mod range;
mod read;

use std::fmt;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request, response};
use tokio::time::timeout;

pub use self::drain::drain;
use crate::body::Body;
use crate::config::{Cluster, Sendfile};

/// What a response asks for: to send a file in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    how: How,
    value: HeaderValue,
    /// Whether the field stands there several times, so that nobody knows which file is meant.
    several: bool,
}

/// How a file is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By its path.
    Path,
    /// By the path of a request.
    Redirect,
}

/// Why a file is not sent. The text is for the log alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// In a word.
    pub outcome: Outcome,
    reason: Box<str>,
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The file was found; its conditions may have kept it from being sent.
    Served,
    /// What names a file is not understood.
    Malformed,
    /// The file is outside, or may not be read.
    Forbidden,
    /// There is no such file.
    Missing,
    /// The file could not be opened for another reason.
    Failed,
    /// The file took too long to open.
    Slow,
}

impl Outcome {
    /// What the client gets; of a file that is served, the upstream's.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Served => StatusCode::OK,
            Self::Malformed => StatusCode::BAD_GATEWAY,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Missing => StatusCode::NOT_FOUND,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Slow => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl Outcome {
    /// Its place among [`crate::metrics::SENDFILES`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Served => 0,
            Self::Malformed | Self::Forbidden => 1,
            Self::Missing => 2,
            Self::Failed | Self::Slow => 3,
        }
    }
}

impl Refusal {
    fn new(outcome: Outcome, reason: impl Into<Box<str>>) -> Self {
        Self { outcome, reason: reason.into() }
    }
}

/// What the head of a response asks for, if the cluster allows it and the response is one that can
/// have another body. lighttpd serves files for GET, HEAD and POST.
#[must_use]
pub fn wish(
    sendfile: &Sendfile,
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Wish> {
    let bodyless = matches!(status.as_u16(), 204 | 205 | 304);
    if sendfile.is_off() || bodyless || ![Method::GET, Method::HEAD, Method::POST].contains(method)
    {
        return None;
    }
    let names = [
        ("x-sendfile", How::Path),
        ("x-lighttpd-send-file", How::Path),
        ("x-accel-redirect", How::Redirect),
    ];
    names.into_iter().find_map(|(name, how)| {
        if how == How::Redirect && sendfile.prefixes.is_empty() {
            return None;
        }
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.clone();
        Some(Wish { how, value, several: values.next().is_some() })
    })
}

/// The response with the file that it names. Opening the file takes no longer than the cluster's
/// response timeout, and reading on no longer than its body timeout.
///
/// # Errors
///
/// [`Refusal`], when the file is not one that may be sent.
pub async fn answer(
    wish: &Wish,
    settings: &Cluster,
    request: &request::Parts,
    mut parts: response::Parts,
) -> Result<Response<Body>, Refusal> {
    let sendfile = &settings.sendfile;
    let targets = path::targets(wish, sendfile)?;
    let accepted = coding::accepted(&request.headers, &parts.headers, sendfile.compression);
    let opening = tokio::task::spawn_blocking({
        let accepted = accepted.clone();
        move || open::open(&targets, &accepted)
    });
    let opened = match timeout(settings.response_timeout, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(gone)) => Err(Refusal::new(Outcome::Failed, gone.to_string())),
        Err(_elapsed) => Err(Refusal::new(Outcome::Slow, "opening it took too long")),
    };
    let opened = opened.map_err(|refusal| {
        let reason = format!("{wish}: {}", refusal.reason);
        Refusal::new(refusal.outcome, reason)
    })?;
    let body = head::complete(&mut parts, request, opened, &accepted, settings)
        .map_err(|fault| Refusal::new(Outcome::Failed, format!("{wish}: {fault}")))?;
    Ok(Response::from_parts(parts, body))
}

impl fmt::Display for Wish {
    /// The field as it stood there, for the log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 300;
        let name = match self.how {
            How::Path => "X-Sendfile",
            How::Redirect => "X-Accel-Redirect",
        };
        let text: String =
            String::from_utf8_lossy(self.value.as_bytes()).chars().take(LONGEST).collect();
        write!(formatter, "{name} {text:?}")
    }
}
