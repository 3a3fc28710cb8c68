//! Another configuration: all that takes time comes first, what it changes in one step.

use std::net::TcpListener;
use std::sync::Arc;

use super::fixed::warn_of_fixed;
use super::office::Change;
use super::{Proxy, StartError, local, open, refused};
use crate::cluster::registry::Registry;
use crate::config::{self, Config};
use crate::listener::accept::probe;
use crate::plugin::{Host, Quiet};
use crate::snapshot::{Before, Crew, Means, Snapshot};

/// What snapshots are made with, for who cannot borrow it.
pub(super) struct Tools {
    host: Arc<Host>,
    registry: Registry,
    crew: Arc<Crew>,
}

impl Tools {
    /// With the files that may be read, if not all are.
    pub(super) fn means<'m>(&'m self, quiet: Option<&'m Quiet>) -> Means<'m> {
        Means { host: &self.host, registry: &self.registry, crew: &self.crew, quiet }
    }
}

/// A configuration with all that it names, ready to be served.
pub struct Built {
    snapshot: Snapshot,
    office: Change,
}

impl Built {
    /// What need not be compiled again as long as this is held.
    #[must_use]
    pub fn into_snapshot(self) -> Snapshot {
        self.snapshot
    }
}

impl Proxy {
    /// Serves another configuration from now on. Open requests go on with the one before.
    ///
    /// # Errors
    ///
    /// What is wrong with it; nothing has changed then.
    pub async fn reload(&mut self, config: Config) -> Result<(), StartError> {
        let built = self.build(config, None)?.await?;
        self.serve(built).await
    }

    /// Makes another configuration ready to be [served](Self::serve). Its components are read from files
    /// that are quiet, if it is said which are.
    ///
    /// # Errors
    ///
    /// What is seen to be wrong at once; what comes of it says what else is.
    pub fn build(
        &self,
        config: Config,
        quiet: Option<Quiet>,
    ) -> Result<impl Future<Output = Result<Built, StartError>> + use<>, StartError> {
        let before = self.stage.snapshot();
        warn_of_fixed(&before.config, &config);
        for listener in self.coming(&config).filter(|listener| self.taken(listener).is_none()) {
            probe(listener.bind).map_err(|source| refused(listener, source))?;
        }
        let office = self.office.prepare(&config)?;
        let tools = self.tools();
        Ok(async move {
            let served = Before::Snapshot(&before);
            let snapshot = Snapshot::build(tools.means(quiet.as_ref()), config, served).await;
            let snapshot = snapshot.map_err(StartError::Plugins)?;
            Ok(Built { snapshot, office })
        })
    }

    /// Serves a configuration that is ready. If something else is served by now than when that was begun, it
    /// is to be made ready again instead, or that would be undone.
    ///
    /// # Errors
    ///
    /// What is wrong with it; nothing has changed then.
    pub async fn serve(&mut self, built: Built) -> Result<(), StartError> {
        let Built { snapshot: next, office, .. } = built;
        let before = self.stage.snapshot();
        let come: Vec<_> = self.coming(&next.config).cloned().collect();
        let mut sockets = Vec::new();
        for listener in come {
            let socket = self.socket(&listener)?;
            sockets.push((listener, socket));
        }
        let mut addresses = self.addresses.clone();
        addresses.retain(|name, _| next.config.listeners.contains_key(name));
        addresses.extend(sockets.iter().map(local));
        let next = Arc::new(next.listening_on(&addresses, self.office.address_after(&office)));
        self.show(Arc::clone(&next));
        self.tell_missing(&before, &next);
        next.replaced(&before).iter().for_each(|name| self.tell_taken(name));
        self.registry.serve(&next.clusters);
        self.checks.show(&next.clusters);
        self.addresses = addresses;
        self.office.take(&next.config, office);
        for name in before.config.listeners.keys() {
            let moves = sockets.iter().any(|(listener, _)| listener.name == *name);
            if moves || !next.config.listeners.contains_key(name) {
                self.acceptor.close(name);
                self.sockets.remove(name);
            }
        }
        for listener in next.config.listeners.values() {
            self.acceptor.change(listener);
        }
        for (listener, socket) in sockets {
            self.listen(&listener, socket).await;
        }
        // What has gone is counted until nobody holds it, which is seen at the next reload.
        self.metrics.forget_unused();
        Ok(())
    }

    pub(super) fn tools(&self) -> Tools {
        let (host, crew) = (Arc::clone(&self.host), Arc::clone(&self.crew));
        Tools { host, registry: self.registry.clone(), crew }
    }

    /// The listeners of a configuration that do not listen there yet.
    fn coming<'c>(&self, config: &'c Config) -> impl Iterator<Item = &'c config::Listener> {
        let stays = |listener: &config::Listener| {
            self.sockets.get(&listener.name).is_some_and(|(bound, _)| *bound == listener.bind)
        };
        config.listeners.values().filter(move |listener| !stays(listener))
    }

    /// A socket for a listener: the one that another listener has on that address by now, with all
    /// that queues there, or a new one.
    fn socket(&self, listener: &config::Listener) -> Result<TcpListener, StartError> {
        match self.taken(listener) {
            Some(socket) => socket.try_clone().map_err(|source| refused(listener, source)),
            None => open(listener),
        }
    }

    /// What listens on the address that a listener asks for, if that is ours.
    fn taken(&self, listener: &config::Listener) -> Option<&TcpListener> {
        let mut bound = self.sockets.values();
        let found = bound.find(|(bound, _)| *bound == listener.bind && bound.port() != 0);
        found.map(|(_, socket)| socket)
    }

    pub(super) async fn listen(&mut self, listener: &config::Listener, socket: TcpListener) {
        let name = &listener.name;
        if let Ok(own) = socket.try_clone() {
            self.sockets.insert(Arc::clone(name), (listener.bind, own));
        }
        let metrics = self.metrics.listener(name);
        self.acceptor.listen(listener, metrics, socket).await;
    }
}
