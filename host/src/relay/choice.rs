//! Choosing endpoints, of requests and of TCP connections alike: the balancers of a cluster are asked until
//! there is an endpoint that may be tried, and has room.

mod waiting;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::cluster::connect::ConnectError;
use crate::cluster::endpoint::{Endpoint, InFlight};
use crate::cluster::health::Offline;
use crate::cluster::{Admission, Cluster, health};
use crate::log::id::RequestId;
use crate::log::timestamp;
use crate::plugin::{Exchange, Pick, Picked, Plugin, Rejected, Witness};
use crate::relay::error::{Error, Limit, chain};
use crate::relay::failed;
use crate::view::ClusterUse;
use crate::worker::Worker;

pub(crate) use waiting::Waited;

use waiting::Waiting;

/// What is written down of a choice, by whoever is to go there.
pub(crate) trait Notes {
    /// The id of the request or connection.
    fn id(&self) -> &RequestId;

    /// A plugin was called about it.
    fn called(&mut self, plugin: &Plugin, exchange: &Exchange);

    /// A balancer chose, or failed, and the fallback chose.
    fn chosen(&mut self, balancer: &Plugin, fallback: bool);

    /// Where it is kept that it counts as in flight at an endpoint.
    fn in_flight(&mut self) -> &mut Option<InFlight>;

    /// An attempt follows one that has failed like this.
    fn retry_after(&mut self, error: &Error);

    /// How long it has waited for endpoints.
    fn waited(&mut self) -> &mut Waited;
}

/// What has been tried.
#[derive(Default)]
struct Tried {
    /// How often balancers were asked.
    asked: u32,
    /// The last choice, and the balancer that made it: nobody else's token means anything to a
    /// balancer.
    previous: Option<(usize, Picked)>,
    /// Who is to be told what becomes of the choice that was made last.
    witness: Option<Witness>,
    /// Those that were passed over because they have as many requests in flight as they may.
    full: SmallVec<[Arc<Endpoint>; 4]>,
    /// These, and those that were passed over because they are out.
    passed_over: SmallVec<[u32; 4]>,
    /// How the last attempt failed.
    last: Option<Error>,
    /// Why no endpoint was chosen, or could be tried.
    none: Option<String>,
}

/// The choices for one request or connection.
pub(crate) struct Choosing<'c> {
    cluster: &'c ClusterUse,
    worker: &'c Worker,
    /// The attempts for which there was an endpoint.
    attempts: u32,
    /// The most attempts.
    most: u32,
    /// The most questions: whoever is passed over, offline or at its limit, costs no attempt, but not
    /// endless questions either.
    most_asked: u32,
    tried: Tried,
    /// Its place among those who wait for room.
    waiting: Option<Waiting>,
}

/// An endpoint that may be tried. The request or connection counts as in flight there.
pub(crate) struct Candidate {
    /// The endpoint.
    pub(crate) endpoint: Arc<Endpoint>,
    /// Held until the outcome of an attempt is known.
    pub(crate) admission: Admission,
    /// When it was admitted.
    pub(crate) now: Instant,
    /// Who is to be told what becomes of the choice.
    pub(crate) witness: Option<Witness>,
}

/// What a balancer answered, and the endpoint that came of it.
type Chosen<'a> = (&'a Result<Pick, Rejected>, Option<&'a Arc<Endpoint>>);

impl<'c> Choosing<'c> {
    /// Nothing has been tried yet.
    pub(crate) fn new(cluster: &'c ClusterUse, worker: &'c Worker) -> Self {
        let most = cluster.cluster.max_attempts();
        let members = u32::try_from(cluster.cluster.membership().endpoints().len());
        let most_asked = most.saturating_add(members.unwrap_or(u32::MAX));
        let (tried, waiting) = (Tried::default(), None);
        Self { cluster, worker, attempts: 0, most, most_asked, tried, waiting }
    }

    /// The next endpoint to try. Where all that it could be are full, one of them is waited for, unless the
    /// client is `gone` before.
    ///
    /// # Errors
    ///
    /// Why there is none, or none is to be tried any more.
    pub(crate) async fn candidate<G: Future<Output = Error>>(
        &mut self,
        mut exchange: Box<Exchange>,
        notes: &mut impl Notes,
        gone: impl Fn() -> G,
    ) -> (Box<Exchange>, Result<Candidate, Error>) {
        loop {
            let more = self.attempts < self.most;
            let mut found = Ok(None);
            if more {
                (exchange, found) = self.next(exchange, notes).await;
            }
            match found {
                Ok(Some(candidate)) => return (exchange, self.admit(candidate, notes)),
                Ok(None) if more && !self.tried.full.is_empty() => {}
                Ok(None) => return (exchange, Err(self.given_up())),
                Err(error) => return (exchange, Err(error)),
            }
            // Apart, as hardly anybody needs the room.
            let waited = Box::pin(self.wait(&mut exchange.tried, notes, gone())).await;
            if let Err(error) = waited {
                return (exchange, Err(error));
            }
        }
    }

    /// The attempt at it has failed.
    pub(crate) fn failed(&mut self, error: Error) {
        self.tried.last = Some(error);
    }

    /// Begins an attempt, if it may be made: repetitions are limited.
    fn admit(&mut self, found: Candidate, notes: &mut impl Notes) -> Result<Candidate, Error> {
        if self.attempts > 0 && !self.worker.budget.repeat() {
            return Err(self.given_up());
        }
        self.attempts += 1;
        self.waiting = None;
        if let Some(error) = self.tried.last.take() {
            notes.retry_after(&error);
        }
        Ok(found)
    }

    /// The next endpoint to try, if there is one now.
    async fn next(
        &mut self,
        mut exchange: Box<Exchange>,
        notes: &mut impl Notes,
    ) -> (Box<Exchange>, Result<Option<Candidate>, Error>) {
        while self.tried.asked < self.most_asked {
            let answer;
            (exchange, answer) = self.pick(exchange, notes).await;
            let endpoint = match answer {
                Ok(Some(endpoint)) => endpoint,
                Ok(None) => break,
                Err(error) => return (exchange, Err(error)),
            };
            exchange.tried.push(endpoint.id());
            let now = Instant::now();
            let admission = self.cluster.cluster.admit(&endpoint, health::at(now));
            let tried = &mut self.tried;
            if matches!(admission, Admission::No) {
                tried.none = Some(format!("{} is offline", endpoint.label()));
                tried.passed_over.push(endpoint.id());
                continue;
            }
            if !occupy(&endpoint, notes.in_flight()) {
                tried.passed_over.push(endpoint.id());
                tried.full.push(endpoint);
                continue;
            }
            let witness = tried.witness.take();
            return (exchange, Ok(Some(Candidate { endpoint, admission, now, witness })));
        }
        (exchange, Ok(None))
    }

    /// Asks the cluster's balancers until one chooses. A cluster without any takes the first usable
    /// endpoint.
    async fn pick(
        &mut self,
        mut exchange: Box<Exchange>,
        notes: &mut impl Notes,
    ) -> (Box<Exchange>, Result<Option<Arc<Endpoint>>, Error>) {
        let (cluster, tried) = (&self.cluster.cluster, &mut self.tried);
        let attempt = tried.asked;
        tried.asked += 1;
        tried.witness = None;
        for (place, balancer) in self.cluster.balancers.iter().enumerate() {
            let balancer = balancer.version_for(&exchange);
            let choice;
            let previous = tried.previous.filter(|(by, _)| *by == place).map(|(_, picked)| picked);
            (exchange, choice) = balancer.pick(exchange, attempt, previous).await;
            notes.called(balancer, &exchange);
            let first = || cluster.first_usable(health::now(), &exchange.tried);
            let chosen = match &choice {
                Ok(Pick::Endpoint(picked)) => {
                    let endpoint = cluster.membership().endpoint(picked.id).cloned();
                    // A balancer outlives reloads, and a request sees one configuration: what is
                    // picked at the time of a reload may be no endpoint of its own.
                    endpoint.or_else(first)
                }
                Ok(Pick::Fallback) => first(),
                Ok(Pick::Next | Pick::None) | Err(_) => None,
            };
            tell_pick(balancer, &exchange, attempt, (&choice, chosen.as_ref()), notes.id());
            match choice {
                Ok(Pick::Endpoint(picked)) => {
                    tried.previous = Some((place, picked));
                    let witness = balancer.witness(&mut exchange, picked);
                    let its_own = chosen.as_ref().is_some_and(|it| it.id() == picked.id);
                    tried.witness = witness.filter(|_| its_own);
                }
                Ok(Pick::Next) => continue,
                Ok(Pick::None | Pick::Fallback) => {}
                Err(rejected) => return (exchange, Err(failed("balancer", balancer, &rejected))),
            }
            notes.chosen(balancer, matches!(choice, Ok(Pick::Fallback)));
            if chosen.is_none() {
                tried.none = Some(none_by(balancer, &choice));
            }
            return (exchange, Ok(chosen));
        }
        let only = self.cluster.balancers.is_empty();
        let first = || cluster.first_usable(health::now(), &exchange.tried);
        let chosen = only.then(first).flatten();
        if chosen.is_none() && !only {
            tried.none = Some("every balancer answered next".to_owned());
        }
        (exchange, Ok(chosen))
    }

    /// Why no further attempt is made.
    fn given_up(&mut self) -> Error {
        let (cluster, tried) = (&self.cluster.cluster, mem::take(&mut self.tried));
        let (all, offline) = cluster.census();
        let none = |text: String| Error::NoEndpoint(text.into());
        match (tried.last, tried.none) {
            (Some(Error::Connect(last)), _) if all > 1 && offline == all => {
                Error::Connect(format!("all {all} endpoints are offline: last error {last}").into())
            }
            (Some(Error::Tls(last)), _) if all > 1 && offline == all => {
                Error::Tls(format!("all {all} endpoints are offline: last error {last}").into())
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
}

/// Makes whoever has this slot, or none, count as in flight at an endpoint. Not if that has as many as it
/// may.
fn occupy(endpoint: &Arc<Endpoint>, held: &mut Option<InFlight>) -> bool {
    if held.as_ref().is_some_and(|held| Arc::ptr_eq(held.endpoint(), endpoint)) {
        return true;
    }
    let Some(slot) = endpoint.begin() else { return false };
    *held = Some(slot);
    true
}

/// Why connecting failed that took so long of so much.
pub(crate) fn connect_words(
    cluster: &Cluster,
    error: &ConnectError,
    (time, patience): (Duration, Duration),
) -> String {
    match error {
        // The kernel can give up earlier.
        ConnectError::TimedOut if time >= patience => {
            let limit = Limit::of_cluster(&cluster.settings().name, "connect-timeout", patience);
            format!("connecting took longer than {limit}")
        }
        // The system says nothing else.
        ConnectError::Refused(cause) if Errno::from_io_error(cause) == Some(Errno::CONNREFUSED) => {
            error.to_string()
        }
        error => chain(error),
    }
}

/// Says that an endpoint is offline, until when and why.
pub(crate) fn tell_offline(
    cluster: &Cluster,
    endpoint: &Endpoint,
    offline: Option<Offline>,
    error: &str,
) {
    let Some(Offline { failures, pause }) = offline else { return };
    let until = SystemTime::now().checked_add(pause).map(timestamp);
    let (cluster, endpoint) = (&**cluster.name(), &**endpoint.label());
    tracing::warn!(cluster, endpoint, failures, until, error, "endpoint is offline");
}

/// Traces a choice, with what it was made by.
fn tell_pick(
    balancer: &Plugin,
    exchange: &Exchange,
    attempt: u32,
    (choice, chosen): Chosen<'_>,
    id: &RequestId,
) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let plugin = &*balancer.definition().config.name;
    let cluster = exchange.cluster.as_deref().unwrap_or_default();
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

/// Why a balancer's answer is no endpoint.
fn none_by(balancer: &Plugin, choice: &Result<Pick, Rejected>) -> String {
    let name = &balancer.definition().config.name;
    match choice {
        Ok(Pick::None) => format!("balancer {name} answered none"),
        Ok(Pick::Fallback) => format!("balancer {name} failed, and no endpoint is left"),
        _ => format!("what balancer {name} picked has gone"),
    }
}
