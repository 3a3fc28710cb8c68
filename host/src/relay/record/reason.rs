//! Why a request failed, in the words of its access line.

use std::io;

use super::Record;
use crate::body::{Break, Ended};
use crate::relay::error::Limit;
use crate::relay::labels::Cut;

impl Record {
    /// Why it failed, in words.
    pub(super) fn reason(&self) -> Option<String> {
        if self.cut.is_some() {
            return self.cut.clone();
        }
        match (&self.error, self.ended) {
            (Some(error), _) => Some(error.to_string()),
            (None, Some(Ended::Complete)) => None,
            (None, Some(Ended::Broken(how))) => Some(self.broken(how)),
            (None, Some(Ended::Abandoned) | None) => Some(self.abandoned()),
        }
    }

    /// The place of why it failed among [`LABELS`](crate::relay::error::LABELS).
    pub(super) fn failure(&self) -> Option<usize> {
        let cut = match (&self.error, self.ended) {
            (Some(error), _) => return Some(error.index()),
            (None, Some(Ended::Complete)) => return None,
            (None, Some(Ended::Broken(how))) => match how {
                Break::Closed | Break::Reset(_) => Cut::Broken,
                Break::Silent(_) => Cut::Timeout,
                Break::Malformed(_) | Break::MalformedStream(_) | Break::Protocol(_) => {
                    Cut::Malformed
                }
                Break::File(_) => Cut::Sendfile,
                Break::Transformed => Cut::Plugin,
            },
            (None, Some(Ended::Abandoned) | None) => self.left(),
        };
        Some(cut.index())
    }

    /// Who has left a response that nobody takes.
    fn left(&self) -> Cut {
        if self.worker.is_ending() {
            Cut::Shutdown
        } else if self.status.is_some() && self.client.overdue().is_some() {
            Cut::RequestTimeout
        } else if self.client.stream.stalled().is_some() {
            Cut::ClientSilent
        } else {
            Cut::ClientGone
        }
    }

    /// How the upstream broke off its response.
    fn broken(&self, how: Break) -> String {
        if let (Break::Transformed, Some(transformation)) = (how, &self.transformation) {
            let bytes = self.bytes_down;
            return format!("{}, after {bytes} bytes of the response", transformation.failure());
        }
        let endpoint = self.endpoint.as_ref().map(|endpoint| &**endpoint.label());
        let (endpoint, bytes) = (endpoint.unwrap_or("the upstream"), self.bytes_down);
        match how {
            Break::Closed | Break::Transformed => {
                format!("{endpoint}: closed the connection after {bytes} bytes of its response")
            }
            Break::Reset(reason) => {
                format!(
                    "{endpoint}: reset the stream after {bytes} bytes of its response: {reason:?}"
                )
            }
            Break::Protocol(reason) => {
                format!(
                    "{endpoint}: sent what is not HTTP/2, after {bytes} bytes of its response: {reason:?}"
                )
            }
            Break::MalformedStream(fault) => {
                format!(
                    "{endpoint}: sent what is not HTTP/2, after {bytes} bytes of its response: {fault}"
                )
            }
            Break::Silent(timeout) => {
                let cluster = self.cluster.clone().unwrap_or_default();
                let limit = Limit::of_cluster(&cluster, "body-timeout", timeout);
                format!("{endpoint}: sent nothing for {limit}, after {bytes} bytes of its response")
            }
            Break::Malformed(fault) => {
                format!(
                    "{endpoint}: sent what is not HTTP/1, after {bytes} bytes of its response: {fault}"
                )
            }
            Break::File(io::ErrorKind::UnexpectedEof) => {
                format!(
                    "{endpoint}: the file that it names became shorter, after {bytes} bytes of it"
                )
            }
            Break::File(kind) => {
                format!(
                    "{endpoint}: reading the file that it names failed after {bytes} bytes: {kind}"
                )
            }
        }
    }

    /// Why nobody takes the response.
    fn abandoned(&self) -> String {
        let bytes = self.bytes_down;
        if self.worker.is_ending() {
            return format!("cut off at shutdown, after {bytes} bytes of the response");
        }
        if self.status.is_none() {
            return "the client went away before the response".to_owned();
        }
        if let Some(time) = self.client.overdue() {
            let limit = Limit::request_timeout(&self.client.peer.listener, time);
            return format!("it was not over within {limit}, after {bytes} bytes of the response");
        }
        match self.client.stream.stalled() {
            Some(timeout) => {
                let limit = Limit::body_timeout(&self.client.peer.listener, timeout);
                format!("the client took nothing for {limit}, after {bytes} bytes of the response")
            }
            None => format!("the client went away after {bytes} bytes of the response"),
        }
    }
}
