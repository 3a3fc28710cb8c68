//! Asking the stream router about what has come, at each arrival, until it decides.

use std::mem;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Visit;
use crate::config::Name;
use crate::plugin::{Course, Destination, Exchange, Plugin, Rejected, Upstream};
use crate::relay::choice::Notes as _;
use crate::relay::{error as relay, failed};
use crate::stream::client::Client;
use crate::stream::error::{Error, Undecided};
use crate::view::ClusterUse;

/// What a stream router is called in messages.
const KIND: &str = "stream router";

/// Where a connection goes.
pub(super) struct Decided {
    /// The upstreams to try, in order.
    pub(super) targets: Vec<Target>,
    /// What the upstream is sent first.
    pub(super) first: Bytes,
    /// How long each attempt to connect may take, if not as long as its cluster says.
    pub(super) connect_timeout: Option<Duration>,
    /// How long the upstream's first byte may take.
    pub(super) inactivity_timeout: Option<Duration>,
    /// Who has decided; none if it was to be the default cluster anyway.
    pub(super) by: Option<Plugin>,
}

/// An upstream.
pub(super) enum Target {
    /// A cluster.
    Cluster(Rc<ClusterUse>),
    /// What a router has named, which may not be granted.
    Address(String),
}

/// What a router has said in the end; none if it is passed over.
type Said = Result<Option<Course>, Error>;

impl Visit {
    /// Finds out where the connection goes; nowhere if the client has got all that it gets.
    pub(super) async fn decide(&mut self, client: &mut Client) -> Result<Option<Decided>, Error> {
        let Some(router) = self.listener.stream_router.clone() else {
            return self.default(Bytes::new()).map(Some);
        };
        let Some(exchange) = self.exchange.take() else { return Err(Error::Gone) };
        let router = router.version_for(&exchange).clone();
        let (exchange, said) = self.ask(&router, exchange, client).await;
        let exchange = self.exchange.insert(exchange);
        let bytes = exchange.stream.as_mut().map(|stream| mem::take(&mut stream.bytes));
        let bytes = Bytes::from(bytes.unwrap_or_default());
        let Some(course) = said? else { return self.default(bytes).map(Some) };
        self.record.route(&router);
        let destination = match course {
            Course::Wait => return Ok(None),
            Course::Close(last) => {
                self.say(client, &last).await?;
                return Ok(None);
            }
            Course::Forward(destination) => *destination,
        };
        let Destination { upstreams, data, reply, connect_timeout, inactivity_timeout } =
            destination;
        let Some(targets) = self.targets(upstreams, &router)? else {
            return self.default(bytes).map(Some);
        };
        self.judge(&targets, &router).await?;
        self.say(client, &reply.unwrap_or_default()).await?;
        let first = data.unwrap_or(bytes);
        let by = Some(router);
        Ok(Some(Decided { targets, first, connect_timeout, inactivity_timeout, by }))
    }

    /// Asks until there is a decision.
    async fn ask(
        &mut self,
        router: &Plugin,
        mut exchange: Box<Exchange>,
        client: &mut Client,
    ) -> (Box<Exchange>, Said) {
        let until = Instant::now() + self.settings.decide_timeout;
        let greeting;
        (exchange, greeting) = router.accepted(exchange, self.id).await;
        self.record.called(router, &exchange);
        match greeting {
            Ok(Some(greeting)) => {
                let error = match self.send(client, &greeting.unwrap_or_default(), until).await {
                    Ok(true) => None,
                    Ok(false) => Some(self.late(router, 0)),
                    Err(error) => Some(error),
                };
                if let Some(error) = error {
                    return (exchange, Err(error));
                }
            }
            Ok(None) => return (exchange, Ok(None)),
            Err(rejected) => return (exchange, Err(of_plugin(router, &rejected))),
        }
        loop {
            let course;
            (exchange, course) = router.course(exchange, self.id, client.has_ended()).await;
            self.record.called(router, &exchange);
            self.record.tell_course(router, &course);
            match course {
                Ok(Some(Course::Wait)) => {}
                Ok(course) => return (exchange, Ok(course)),
                Err(rejected) => return (exchange, Err(of_plugin(router, &rejected))),
            }
            let bytes = exchange.stream.get_or_insert_default();
            if let Err(error) = self.more(router, client, &mut bytes.bytes, until).await {
                return (exchange, Err(error));
            }
        }
    }

    /// Waits for more bytes, if there may be any.
    async fn more(
        &self,
        router: &Plugin,
        client: &mut Client,
        bytes: &mut Vec<u8>,
        until: Instant,
    ) -> Result<(), Error> {
        let (have, most) = (bytes.len(), self.settings.max_buffer_bytes);
        if client.has_ended() {
            return Err(undecided(router, Undecided::Ended, have));
        }
        let room = most.saturating_sub(have);
        if room == 0 {
            let full = Undecided::full(&self.listener.settings.name, most);
            return Err(undecided(router, full, have));
        }
        match client.read(bytes, room, until).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.late(router, have)),
            Err(_broken) => Err(Error::Gone),
        }
    }

    /// The time is over in which a router may decide.
    fn late(&self, router: &Plugin, bytes: usize) -> Error {
        let (listener, time) = (&self.listener.settings.name, self.settings.decide_timeout);
        undecided(router, Undecided::late(listener, time), bytes)
    }

    /// Sends the client something that is not its upstream's, which it is to take as it is to take anything.
    async fn say(&mut self, client: &mut Client, bytes: &[u8]) -> Result<(), Error> {
        let idle = self.listener.settings.idle_timeout;
        match self.send(client, bytes, Instant::now() + idle).await? {
            true => Ok(()),
            false => Err(Error::idle(self.record.listener(), idle)),
        }
    }

    /// Sends the client something until a time. False if it does not take it.
    async fn send(
        &mut self,
        client: &mut Client,
        bytes: &[u8],
        until: Instant,
    ) -> Result<bool, Error> {
        if bytes.is_empty() {
            return Ok(true);
        }
        let taken = client.send(bytes, until).await.map_err(|_broken| Error::Gone)?;
        if taken {
            self.record.sent(bytes.len());
        }
        Ok(taken)
    }

    /// The clusters of these names, and the addresses; none if a name is unknown and that is to be
    /// passed over.
    fn targets(
        &mut self,
        upstreams: Vec<Upstream>,
        router: &Plugin,
    ) -> Result<Option<Vec<Target>>, Error> {
        let mut targets = Vec::new();
        let Some(exchange) = self.exchange.as_deref_mut() else { return Ok(None) };
        for upstream in upstreams {
            targets.push(match upstream {
                Upstream::Address(address) => Target::Address(address),
                Upstream::Cluster(name) => match self.view.cluster(&name) {
                    Some(cluster) => Target::Cluster(Rc::clone(cluster)),
                    None => {
                        let text = format!("there is no cluster {name:?}");
                        let unfit = router.unfit_course(text, exchange);
                        self.record.failed_call(router, exchange);
                        let passed = unfit.map_err(|rejected| of_plugin(router, &rejected));
                        return passed.map(|()| None);
                    }
                },
            });
        }
        Ok(Some(targets))
    }

    /// Refuses addresses that are not granted, before anything is promised to the client.
    async fn judge(&self, targets: &[Target], router: &Plugin) -> Result<(), Error> {
        for target in targets.iter().filter(|target| matches!(target, Target::Address(_))) {
            if let Err(error @ relay::Error::NotGranted { .. }) =
                self.cluster(target, Some(router)).await
            {
                return Err(Error::Relay(error));
            }
        }
        Ok(())
    }

    /// What nobody has decided about.
    fn default(&self, first: Bytes) -> Result<Decided, Error> {
        let cluster = self
            .listener
            .default_cluster
            .as_ref()
            .ok_or_else(|| Error::NoRoute(Name::clone(&self.listener.settings.name)))?;
        Ok(Decided {
            targets: vec![Target::Cluster(Rc::clone(cluster))],
            first,
            connect_timeout: None,
            inactivity_timeout: None,
            by: None,
        })
    }
}

fn undecided(router: &Plugin, why: Undecided, bytes: usize) -> Error {
    let router = Name::clone(&router.definition().config.name);
    Error::Undecided { why, bytes, router }
}

fn of_plugin(router: &Plugin, rejected: &Rejected) -> Error {
    Error::Relay(failed(KIND, router, rejected))
}
