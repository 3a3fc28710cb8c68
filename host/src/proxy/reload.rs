//! Another configuration: all that takes time comes first, what it changes in one step.

use std::sync::Arc;

use super::fixed::warn_of_fixed;
use super::office::Change;
use super::opening::{Opening, open};
use super::{Proxy, StartError, refused};
use crate::cluster::registry::Registry;
use crate::config::{self, Config};
use crate::listener::socket::{Socket, probe};
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
            probe(&listener.bind).map_err(|source| refused(listener, source))?;
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
        let come = self.coming(&next.config);
        let openings = come.map(|listener| Opening::new(listener.clone(), self.socket(listener)?));
        let openings = openings.collect::<Result<Vec<_>, _>>()?;
        self.set_rights(&before.config, &next.config)?;
        let mut addresses = self.addresses.clone();
        addresses.retain(|name, _| next.config.listeners.contains_key(name));
        addresses.extend(openings.iter().map(Opening::address));
        let next = Arc::new(next.listening_on(&addresses, self.office.address_after(&office)));
        self.keeper.show(&next.config);
        self.show(Arc::clone(&next));
        self.tell_missing(&before, &next);
        next.replaced(&before).iter().for_each(|name| self.tell_taken(name));
        self.registry.serve(&next.clusters);
        self.checks.show(&next.clusters);
        self.addresses = addresses;
        self.office.take(&next.config, office);
        for name in before.config.listeners.keys() {
            let moves = openings.iter().any(|opening| opening.listener.name == *name);
            if moves || !next.config.listeners.contains_key(name) {
                self.acceptor.close(name);
                self.sockets.remove(name);
            }
        }
        for listener in next.config.listeners.values() {
            self.acceptor.change(listener);
        }
        for opening in openings {
            self.listen(opening).await;
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
            self.sockets.get(&listener.name).is_some_and(|own| *own.wanted() == listener.bind)
        };
        config.listeners.values().filter(move |listener| !stays(listener))
    }

    /// A socket for a listener: the one that another listener has on that address by now, with all
    /// that queues there, or a new one.
    fn socket(&self, listener: &config::Listener) -> Result<Socket, StartError> {
        match self.taken(listener) {
            Some(socket) => socket.share().map_err(|source| refused(listener, source)),
            None => open(listener),
        }
    }

    /// What listens on the address that a listener asks for, if that is ours.
    fn taken(&self, listener: &config::Listener) -> Option<&Socket> {
        let mut sockets = self.sockets.values().filter(|socket| !socket.wanted().takes_any_port());
        sockets.find(|socket| *socket.wanted() == listener.bind)
    }

    /// Changes who may connect to the Unix sockets that stay: to all of them, or to none.
    fn set_rights(&self, before: &Config, next: &Config) -> Result<(), StartError> {
        let mut changed = Vec::new();
        for listener in next.listeners.values() {
            let mut before = before.listeners.values();
            let Some(before) = before.find(|before| before.bind == listener.bind) else { continue };
            let Some(socket) = self.taken(listener) else { continue };
            if before.rights == listener.rights {
                continue;
            }
            changed.push((socket, before.rights));
            if let Err(source) = socket.set_rights(&listener.rights) {
                // As far as it goes.
                let _ = changed.iter().try_for_each(|(socket, rights)| socket.set_rights(rights));
                return Err(refused(listener, source));
            }
        }
        Ok(())
    }

    pub(super) async fn listen(&mut self, opening: Opening) {
        let Opening { listener, socket, handle } = opening;
        let metrics = self.metrics.listener(&listener.name);
        self.acceptor.listen(&listener, metrics, handle).await;
        self.sockets.insert(listener.name, socket);
    }
}
