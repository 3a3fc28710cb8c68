//! What logs are told of attempts: why one failed, in words, and each step where that is traced.

use std::time::{Duration, SystemTime};

use http::Response;

use super::{Attempts, Next};
use crate::body::UpstreamBody;
use crate::cluster::endpoint::Endpoint;
use crate::cluster::health::Offline;
use crate::cluster::pool::{SendError, SendErrorKind};
use crate::log::{in_milliseconds, timestamp};
use crate::relay::error::Limit;

impl Attempts<'_> {
    pub(super) fn send_words(&self, error: &SendError, endpoint: &Endpoint) -> Box<str> {
        let settings = self.cluster.cluster.settings();
        let what = match error.kind {
            SendErrorKind::Timeout => {
                let limit = settings.response_timeout;
                let limit = Limit::of_cluster(&settings.name, "response-timeout", limit);
                format!("did not answer within {limit}")
            }
            _ => {
                let limit = error.fault().and_then(|fault| Limit::of_response(settings, fault));
                limit.map_or_else(
                    || error.to_string(),
                    |limit| format!("the head of its answer goes beyond {limit}"),
                )
            }
        };
        format!("{}: {what}", endpoint.label()).into()
    }

    /// Tells the balancer that has made the choice, if it asks for that, that the attempt has failed.
    pub(super) fn tell_outcome(&mut self, ended: &Result<Response<UpstreamBody>, Next>) {
        if let Err(Next::Another(error) | Next::Fail(error)) = ended
            && let Some(following) = self.record.following.take()
        {
            following.failed(error);
        }
    }

    pub(super) fn tell_connection(&self, endpoint: &Endpoint, reused: bool, time: Duration) {
        let (id, endpoint) = (self.record.id(), &**endpoint.label());
        if reused {
            tracing::trace!(%id, endpoint, "connection reused");
        } else {
            tracing::trace!(%id, endpoint, took_ms = in_milliseconds(time), "connection opened");
        }
    }

    pub(super) fn tell_failure(&self, endpoint: &Endpoint, error: &str) {
        let (id, listener) = (self.record.id(), &*self.client.peer.listener);
        let cluster = &**self.cluster.cluster.name();
        let (endpoint, attempt) = (&**endpoint.label(), self.record.attempts);
        tracing::debug!(%id, listener, cluster, endpoint, attempt, error, "attempt failed");
    }

    /// Says that an endpoint is left alone because of what it answers.
    pub(super) fn tell_failing(&self, endpoint: &Endpoint, news: Option<Offline>, status: u16) {
        let Some(Offline { failures, pause }) = news else { return };
        let until = SystemTime::now().checked_add(pause).map(timestamp);
        let (cluster, endpoint) = (&**self.cluster.cluster.name(), &**endpoint.label());
        tracing::warn!(cluster, endpoint, failures, until, status, "endpoint is failing");
    }
}
