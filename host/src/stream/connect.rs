//! Connecting to an upstream: those that were named are tried in order, and all of them again after a
//! while, as nothing of the connection can have reached any.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::decide::{Decided, Target};
use super::{Joined, Pinned, Visit};
use crate::cluster::connect::connect;
use crate::cluster::health;
use crate::config::Location;
use crate::plugin::{Exchange, Plugin, Trouble};
use crate::proxy_protocol::encode;
use crate::relay::choice::{Candidate, Choosing, Notes as _, connect_words, tell_offline};
use crate::relay::direct::{self, Naming};
use crate::relay::error;
use crate::relay::outcome::Following;
use crate::socket::Stream;
use crate::stream::client::Client;
use crate::stream::error::Error;
use crate::view::ClusterUse;

impl Visit {
    /// Connects to the first of the upstreams that can be connected to. If none can, who has decided is
    /// told.
    pub(super) async fn connect(
        &mut self,
        client: &Client,
        decided: Decided,
    ) -> Result<Joined, Error> {
        let Decided { targets, first, connect_timeout, inactivity_timeout, by } = decided;
        let Some(exchange) = self.exchange.take() else { return Err(Error::Gone) };
        let (exchange, stream) =
            self.rounds(client, &targets, (connect_timeout, by.as_ref()), exchange).await;
        let by = by.map(|plugin| Pinned { plugin, exchange, id: self.id });
        match stream {
            Ok(stream) => {
                self.record.connected = Some(Instant::now());
                Ok(Joined { stream, first, patience: inactivity_timeout, by })
            }
            Err(error) => {
                let trouble = matches!(&error, Error::Relay(error) if is_trouble(error));
                if let Some(by) = by.filter(|_| trouble) {
                    let upstream = self.record.endpoint_label();
                    by.tell(&mut self.record, upstream, Trouble::Connect).await;
                }
                Err(error)
            }
        }
    }

    /// Tries all upstreams, time and again.
    async fn rounds(
        &mut self,
        client: &Client,
        targets: &[Target],
        (patience, by): (Option<Duration>, Option<&Plugin>),
        mut exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Stream, Error>) {
        let mut last = None;
        for round in 0..=self.settings.connect_attempts {
            if round > 0 {
                // Who leaves is seen at once below.
                let _ = timeout(self.settings.retry_delay, client.breaks()).await;
            }
            for target in targets {
                if client.is_gone() {
                    return (exchange, Err(Error::Gone));
                }
                if let Some(error) = last.take() {
                    self.record.retry_after(&error);
                }
                let error = match self.cluster(target, by).await {
                    Ok(cluster) => {
                        let (tried, way) = (&*cluster, (client, patience));
                        let opened;
                        (exchange, opened) = self.attempts(tried, way, exchange).await;
                        match opened {
                            Ok(stream) => return (exchange, Ok(stream)),
                            Err(error) => error,
                        }
                    }
                    Err(error) => error,
                };
                match error {
                    error::Error::ClientGone(_) => return (exchange, Err(Error::Gone)),
                    error if is_trouble(&error) => last = Some(error),
                    error => return (exchange, Err(Error::Relay(error))),
                }
            }
        }
        // There is at least one upstream, and one round.
        (exchange, Err(last.map_or(Error::Gone, Error::Relay)))
    }

    /// The cluster that an upstream is.
    pub(super) async fn cluster(
        &self,
        target: &Target,
        by: Option<&Plugin>,
    ) -> Result<Rc<ClusterUse>, error::Error> {
        match (target, by) {
            (Target::Cluster(cluster), _) => Ok(Rc::clone(cluster)),
            (Target::Address(url), Some(router)) => {
                let (id, listener) = (self.record.id(), &**self.record.listener());
                let naming = Naming { router, id, listener, read: Location::from_stream };
                direct::cluster(&self.worker, &self.view, url.clone(), naming).await
            }
            // Only routers name addresses.
            (Target::Address(url), None) => Err(error::Error::NoEndpoint(url.as_str().into())),
        }
    }

    /// Tries the endpoints of a cluster, as its balancers choose them, each once at most.
    async fn attempts(
        &mut self,
        cluster: &ClusterUse,
        (client, patience): (&Client, Option<Duration>),
        mut exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Stream, error::Error>) {
        self.record.cluster = cluster.name().cloned();
        exchange.cluster = self.record.cluster.clone();
        exchange.tried.clear();
        let worker = Rc::clone(&self.worker);
        let mut choosing = Choosing::new(cluster, &worker);
        let error = loop {
            let found;
            let gone = || async {
                client.breaks().await;
                error::Error::ClientGone(0)
            };
            (exchange, found) = choosing.candidate(exchange, &mut self.record, gone).await;
            let candidate = match found {
                Ok(candidate) => candidate,
                Err(error) => break error,
            };
            match self.attempt(cluster, candidate, patience, &mut exchange).await {
                Ok(stream) => return (exchange, Ok(stream)),
                Err(error) => {
                    if let Some(following) = self.record.following.take() {
                        following.failed(&error);
                    }
                    choosing.failed(error);
                }
            }
        };
        *self.record.in_flight() = None;
        (exchange, Err(error))
    }

    async fn attempt(
        &mut self,
        cluster: &ClusterUse,
        candidate: Candidate,
        patience: Option<Duration>,
        exchange: &mut Exchange,
    ) -> Result<Stream, error::Error> {
        let Candidate { endpoint, admission: _admission, now, witness } = candidate;
        let endpoint = &endpoint;
        self.record.following = witness.map(Following::begin);
        let (worker, metrics) = (&self.worker, &cluster.metrics);
        metrics.attempt(worker.index);
        if self.record.attempts > 0 {
            metrics.retry(worker.index);
        }
        self.record.attempts += 1;
        self.record.endpoint = Some(Arc::clone(endpoint));
        endpoint.count_attempt();
        exchange.endpoint = Some(Arc::clone(endpoint.label()));
        let header = cluster.connect.proxy_protocol.map(|version| encode(version, self.subject));
        let patience = patience.unwrap_or(cluster.connect.connect_timeout);
        let header = header.unwrap_or_default();
        let relieve = || worker.pool.relieve();
        let opened = connect(endpoint.way(), patience, &header, &[], relieve).await;
        let time = now.elapsed();
        self.record.connect = Some(time);
        let (id, label) = (self.record.id(), &**endpoint.label());
        let error = match opened {
            Ok(stream) => {
                cluster.cluster.connected(endpoint, health::now());
                if let Some(following) = &self.record.following {
                    following.connected(time);
                }
                tracing::trace!(%id, endpoint = label, ?time, "connection opened");
                return Ok(stream);
            }
            Err(error) => error,
        };
        metrics.failure(worker.index);
        let text = connect_words(&cluster.cluster, &error, (time, patience));
        if error.blames_endpoint() {
            let offline = cluster.cluster.connect_failed(endpoint, health::now());
            tell_offline(&cluster.cluster, endpoint, offline, &text);
        } else {
            endpoint.count_failure();
        }
        let (listener, attempt) = (&**self.record.listener(), self.record.attempts);
        let cluster = &**cluster.cluster.name();
        tracing::debug!(%id, listener, cluster, endpoint = label, attempt, error = text, "attempt failed");
        Err(error::Error::of_connecting(&error, &format!("{label}: {text}")))
    }
}

/// Whether no upstream could be connected to, so that another may be, or the same one later.
fn is_trouble(error: &error::Error) -> bool {
    use error::Error as E;
    matches!(
        error,
        E::Connect(_) | E::Tls(_) | E::NoEndpoint(_) | E::QueueFull(_) | E::QueueTimeout(_)
    )
}
