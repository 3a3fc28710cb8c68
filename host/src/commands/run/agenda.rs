//! What is to become of what is served: one change after another, none of which keeps anybody waiting
//! for anything else while it is made ready.
//!
//! Judging components and configurations may take minutes; what comes of it is applied in one step, when
//! nobody goes back from a version at the moment. What comes meanwhile waits, and what is the same comes
//! true once. Going back waits for nothing: what was being made ready of that plugin is left then, as it
//! was wanted before, and a configuration is made ready once more, with what serves by then. While another
//! process is to take over, no configuration changes what listens.

use std::pin::Pin;

use crate::admin::Wanted;
use crate::config::{Name, Reading};
use crate::plugin::Quiet;
use crate::proxy::{Built, Proxy, StartError};
use crate::snapshot::{AllUnused, Back, Judged, Promotion, Snapshot};

/// The most who wait for the configuration: a quarter of the connections of the administrator's listener, whose
/// others are for whoever wants to see what is going on.
const ORDERS: usize = 16;

/// Something that is being made ready.
pub(super) type Making<T> = Pin<Box<dyn Future<Output = T>>>;

/// What is ready to be served.
pub(super) enum Ready {
    /// A configuration.
    Configuration(Reloaded),
    /// Components.
    Components(Judged),
    /// Versions that have passed their trials.
    Promotions(Vec<Promotion>),
    /// The components that no plugin uses, and whether there are more to be judged.
    Unused(AllUnused, bool),
}

/// What has come of reading the configuration again.
pub(super) enum Reloaded {
    /// As what it was read, and what can be served, or why it cannot, where the snapshot of this number serves.
    Read(Box<Reading>, u64, Result<Box<Built>, StartError>),
    /// What is wrong with it.
    Faulty(String),
}

/// What is to be begun next.
pub(super) enum Next {
    /// The configuration is to be read again.
    Configuration,
    /// Components are to be looked for.
    Components,
    /// These versions are to take the places of others.
    Promotions(Vec<Name>),
    /// Components that no plugin uses are to be looked for.
    Unused,
}

/// Which components are to be looked for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Search {
    #[default]
    Nothing,
    /// Those that no plugin uses, when there is nothing else to be done.
    Unused,
    /// Those that plugins use, and then the others.
    All,
}

/// Who has asked for a plugin's version before.
pub(super) struct Asked {
    /// To be answered.
    pub(super) order: Wanted,
    /// The plugin.
    pub(super) plugin: Name,
}

/// A version that can come back, or why it cannot.
type Way = Result<Back, String>;

/// What is to be done, and what is under way.
#[derive(Default)]
pub(super) struct Agenda {
    /// Whether the configuration is to be read again.
    reload: bool,
    /// Who has asked for that, and waits.
    orders: Vec<Wanted>,
    /// Whether it is not yet known which files are quiet.
    unsettled: bool,
    /// Whether another process has the sockets as they are, and is to serve them.
    held: bool,
    /// Which components are to be looked for.
    search: Search,
    promotions: Vec<Name>,
    /// Who waits for the configuration that is being made ready, or is; none if none is.
    asking: Option<Vec<Wanted>>,
    /// Who is answered what when the components have been judged that have come with it.
    owed: Option<(Vec<Wanted>, Result<u64, String>)>,
    /// What has been made ready in vain: its components need not be compiled again as long as it is there.
    outdated: Option<Snapshot>,
    making: Option<Making<Ready>>,
    /// What is left as soon as there is anything else to be done.
    looking: Option<Making<Ready>>,
    ready: Option<Ready>,
    /// Who wants a version back, which is being made ready.
    back: Option<(Asked, Making<Way>)>,
    /// The same when it is ready.
    way: Option<(Asked, Way)>,
}

impl Agenda {
    /// The configuration is to be read again.
    pub(super) fn reload(&mut self) {
        self.reload = true;
        if self.held {
            tell_held();
        }
    }

    /// The same, for somebody who has not seen whether files are still written to.
    pub(super) fn reload_unseen(&mut self, order: Option<Wanted>) {
        self.reload();
        self.unsettled = true;
        self.orders.retain(|order| !order.is_abandoned());
        match order {
            Some(order) if self.orders.len() >= ORDERS => order.turn_away(),
            order => self.orders.extend(order),
        }
    }

    /// Another process has the sockets as they are, and is to serve them by what serves now: until it has
    /// ended nothing is changed. A configuration that is being made ready is made again then, as it may hold
    /// an address that the other wants.
    pub(super) fn hold(&mut self) {
        self.held = true;
        if let Some(asking) = self.asking.take() {
            (self.making, self.ready) = (None, None);
            self.reload = true;
            self.orders.extend(asking);
        }
        if self.reload {
            tell_held();
        }
    }

    /// There is no such process any more.
    pub(super) fn go_on(&mut self) {
        self.held = false;
    }

    /// Whether nothing is to be changed, as another process is to serve.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// The configuration cannot be read yet: its file has changed since nobody wrote to it.
    pub(super) fn not_yet(&mut self) {
        (self.reload, self.unsettled) = (true, true);
        self.orders.extend(self.asking.take().unwrap_or_default());
    }

    /// Components are to be looked for.
    pub(super) fn swap(&mut self) {
        self.search = Search::All;
    }

    /// Components that no plugin uses are to be looked for.
    pub(super) fn look_around(&mut self) {
        self.search = self.search.max(Search::Unused);
    }

    /// These versions are to take the places of others.
    pub(super) fn promote(&mut self, plugins: Vec<Name>) {
        self.promotions = plugins;
    }

    /// Somebody wants a plugin's version before.
    pub(super) fn go_back(&mut self, asked: Asked, proxy: &Proxy) {
        let back = proxy.prepare_way_back(&asked.plugin);
        self.back = Some((asked, Box::pin(back)));
    }

    /// Whether files are to be waited for.
    pub(super) fn waits_for_files(&self) -> bool {
        self.unsettled
    }

    /// Files have been waited for.
    pub(super) fn files_are_settled(&mut self) {
        self.unsettled = false;
    }

    /// Whether a version can be gone back from: one at a time.
    pub(super) fn hears(&self) -> bool {
        self.back.is_none()
    }

    /// Whether a version that has passed its trial can take its place next.
    pub(super) fn promotes(&self) -> bool {
        self.is_idle() && self.promotions.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.making.is_none() && self.ready.is_none() && self.back.is_none()
    }

    /// Waits until something is ready; for ever if nothing is being made. Nothing is lost if this is
    /// dropped.
    pub(super) async fn made(&mut self) {
        let (making, looking) = (&mut self.making, &mut self.looking);
        let back = &mut self.back;
        tokio::select! {
            ready = of(making.as_mut()) => {
                self.making = None;
                self.ready = Some(ready);
            }
            ready = of(looking.as_mut()) => {
                self.looking = None;
                self.ready = Some(ready);
            }
            way = of(back.as_mut().map(|(_, back)| back)) => {
                self.way = self.back.take().map(|(asked, _)| (asked, way));
            }
        }
    }

    /// A version that can come back, before anything else is served.
    pub(super) fn way_back(&mut self) -> Option<(Asked, Way)> {
        self.way.take()
    }

    /// What can be served now.
    pub(super) fn ready(&mut self) -> Option<Ready> {
        if self.back.is_some() { None } else { self.ready.take() }
    }

    /// What is to be begun now: nothing while something is under way.
    pub(super) fn next(&mut self) -> Option<Next> {
        if !self.is_idle() {
            return None;
        }
        let next = self.next_of_use();
        if next.is_some() {
            if self.looking.take().is_some() {
                self.look_around();
            }
            return next;
        }
        let looks = self.looking.is_none() && self.search == Search::Unused;
        if looks {
            self.search = Search::Nothing;
        }
        looks.then_some(Next::Unused)
    }

    fn next_of_use(&mut self) -> Option<Next> {
        // What a configuration leaves to be judged comes right after it.
        if self.owed.is_some() {
            self.search = Search::Unused;
            return Some(Next::Components);
        }
        if self.reload && !self.unsettled {
            self.reload = false;
            self.asking = Some(std::mem::take(&mut self.orders));
            return Some(Next::Configuration);
        }
        if !self.promotions.is_empty() {
            return Some(Next::Promotions(std::mem::take(&mut self.promotions)));
        }
        let swap = self.search == Search::All && !self.reload;
        if swap {
            self.search = Search::Unused;
        }
        swap.then_some(Next::Components)
    }

    /// Makes something ready.
    pub(super) fn begin(&mut self, making: Making<Ready>) {
        self.making = Some(making);
    }

    /// Makes something ready that is left as soon as there is anything else to be done.
    pub(super) fn begin_at_leisure(&mut self, making: Making<Ready>) {
        self.looking = Some(making);
    }

    /// A configuration is ready, or refused, and something else is served by now than when it was begun.
    pub(super) fn again(&mut self, outdated: Option<Snapshot>) {
        self.outdated = outdated;
        self.reload = true;
        self.orders.extend(self.asking.take().unwrap_or_default());
    }

    /// What was made ready in vain, to be held while it is made again.
    pub(super) fn outdated(&mut self) -> Option<Snapshot> {
        self.outdated.take()
    }

    /// A configuration is served, or not. Who has asked is told when the components are judged that it
    /// leaves for that.
    pub(super) fn reloaded(&mut self, taken: Result<u64, String>) {
        self.owed = Some((self.asking.take().unwrap_or_default(), taken));
    }

    /// Components have been judged.
    pub(super) fn swapped(&mut self) {
        if let Some((orders, taken)) = self.owed.take() {
            orders.into_iter().for_each(|order| order.answer(taken.clone()));
        }
    }
}

fn tell_held() {
    tracing::info!("the configuration is read again if the process that is to take over ends");
}

/// What is being made, if it is.
async fn of<T>(making: Option<&mut Making<T>>) -> T {
    match making {
        Some(making) => making.await,
        None => std::future::pending().await,
    }
}

/// The components that are there by now, judged.
pub(super) fn components(proxy: &mut Proxy, quiet: Quiet) -> Making<Ready> {
    let judged = proxy.judge_components(Some(quiet));
    Box::pin(async move { Ready::Components(judged.await) })
}

/// The components that no plugin uses.
pub(super) fn unused(proxy: &Proxy, quiet: Quiet) -> Making<Ready> {
    let looked = proxy.look_for_unused(quiet);
    Box::pin(async move {
        let (unused, more) = looked.await;
        Ready::Unused(unused, more)
    })
}

/// Versions that are to take the places of others.
pub(super) fn promotions(proxy: &Proxy, plugins: Vec<Name>) -> Making<Ready> {
    let ready = proxy.prepare_promotions(plugins);
    Box::pin(async move { Ready::Promotions(ready.await) })
}
