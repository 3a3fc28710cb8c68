//! What logs are told of attempts: why one failed, in words, and each step where that is traced.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Response;
use rustix::io::Errno;

use super::{Attempts, Next, Tried};
use crate::body::UpstreamBody;
use crate::cluster::connect::ConnectError;
use crate::cluster::endpoint::Endpoint;
use crate::cluster::health::Offline;
use crate::cluster::pool::{SendError, SendErrorKind};
use crate::log::{in_milliseconds, timestamp};
use crate::plugin::{Exchange, Pick, Plugin, Rejected};
use crate::relay::error::{Error, Limit, chain};

/// What a balancer answered, and the endpoint that came of it.
pub(super) type Chosen<'a> = (&'a Result<Pick, Rejected>, Option<&'a Arc<Endpoint>>);

impl Attempts<'_> {
    /// Why no further attempt is made.
    pub(super) fn given_up(&self, tried: Tried) -> Error {
        let cluster = &self.cluster.cluster;
        let (all, offline) = cluster.census();
        let none = |text: String| Error::NoEndpoint(text.into());
        match (tried.last, tried.none) {
            (Some(Error::Connect(last)), _) if all > 1 && offline == all => {
                Error::Connect(format!("all {all} endpoints are offline: last error {last}").into())
            }
            (Some(error), _) => error,
            (None, _) if cluster.membership().endpoints().is_empty() => {
                none(format!("cluster {} has no endpoints", cluster.name()))
            }
            (None, why) => {
                let why = why.unwrap_or_else(|| "none is in service".to_owned());
                none(format!("{why} ({offline} of {all} endpoints are offline)"))
            }
        }
    }

    /// Traces that the request waits, with how many do.
    pub(super) fn tell_queued(&self, waiting: usize) {
        let (id, cluster) = (self.record.id(), &**self.cluster.cluster.name());
        tracing::trace!(%id, cluster, waiting, "queued");
    }

    pub(super) fn connect_words(&self, error: &ConnectError, time: Duration) -> String {
        let settings = self.cluster.cluster.settings();
        let patience = settings.connect_timeout;
        match error {
            // The kernel can give up earlier.
            ConnectError::TimedOut if time >= patience => {
                let limit = Limit::of_cluster(&settings.name, "connect-timeout", patience);
                format!("connecting took longer than {limit}")
            }
            // The system says nothing else.
            ConnectError::Refused(cause)
                if Errno::from_io_error(cause) == Some(Errno::CONNREFUSED) =>
            {
                error.to_string()
            }
            error => chain(error),
        }
    }

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

    /// Traces a choice, with what it was made by.
    pub(super) fn tell_pick(
        &self,
        balancer: &Plugin,
        exchange: &Exchange,
        attempt: u32,
        (choice, chosen): Chosen<'_>,
    ) {
        if !tracing::enabled!(tracing::Level::TRACE) {
            return;
        }
        let (id, plugin) = (self.record.id(), &*balancer.definition().config.name);
        let cluster = &**self.cluster.cluster.name();
        let hashed = exchange.trail.hashed.as_ref();
        let key = hashed.map(|hashed| hashed.key.as_str());
        let hash = hashed.and_then(|hashed| hashed.hash);
        let (answer, token) = match choice {
            Ok(Pick::Endpoint(picked)) => ("endpoint", Some(picked.token)),
            Ok(Pick::Next) => ("next", None),
            Ok(Pick::None) => ("none", None),
            Ok(Pick::Fallback) => ("failed, fallback", None),
            Err(_) => ("failed, reject", None),
        };
        let endpoint = chosen.map(|endpoint| &**endpoint.label());
        tracing::trace!(%id, plugin, cluster, attempt, answer, endpoint, token, key, hash, "pick");
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
        let (id, listener) = (self.record.id(), &*self.client.listener);
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

    /// Says that an endpoint is offline, until when and why.
    pub(super) fn tell_offline(&self, endpoint: &Endpoint, offline: Option<Offline>, error: &str) {
        let Some(Offline { failures, pause }) = offline else { return };
        let until = SystemTime::now().checked_add(pause).map(timestamp);
        let (cluster, endpoint) = (&**self.cluster.cluster.name(), &**endpoint.label());
        tracing::warn!(cluster, endpoint, failures, until, error, "endpoint is offline");
    }
}

/// Why a balancer's answer is no endpoint.
pub(super) fn none_by(balancer: &Plugin, choice: &Result<Pick, Rejected>) -> String {
    let name = &balancer.definition().config.name;
    match choice {
        Ok(Pick::None) => format!("balancer {name} answered none"),
        Ok(Pick::Fallback) => format!("balancer {name} failed, and no endpoint is left"),
        _ => format!("what balancer {name} picked has gone"),
    }
}
