//! What the connections of one worker share without a lock: all that happens there happens on its
//! thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, Uri};
use tokio::sync::Notify;

use crate::cluster::Cluster;
use crate::cluster::budget::Budget;
use crate::cluster::pool::Pool;
use crate::config::Name;
use crate::dns::{Answer, Failure};
use crate::listener::door::Door;
use crate::log::access::{AccessRecord, AccessWriter};
use crate::log::id::{RequestId, RequestIds};
use crate::status::{Recent, Sources};
use crate::view::{ClusterUse, Make, View};

/// What the connections of a worker share.
pub struct Worker {
    /// Its number, from 0.
    pub index: usize,
    /// Its upstream connections.
    pub pool: Pool,
    /// Which repetitions may still be made.
    pub budget: Budget,
    writes_access: bool,
    access: RefCell<AccessWriter>,
    ending: Cell<bool>,
    ids: RefCell<RequestIds>,
    departures: RefCell<BTreeMap<Name, Rc<Notify>>>,
    sources: Sources,
    recent: Recent,
    make: Make,
    view: RefCell<Rc<View>>,
    generation: Cell<u64>,
    /// Of which members the pool has last been told.
    memberships: Cell<u64>,
}

impl Worker {
    /// A worker that sees what is shown.
    #[must_use]
    pub fn new(make: Make, sources: Sources, access: AccessWriter) -> Rc<Self> {
        let view = View::new(&sources.stage.snapshot(), None, &make);
        Rc::new(Self {
            index: make.worker,
            pool: Pool::new(),
            budget: Budget::new(make.workers),
            writes_access: access.is_on(),
            access: RefCell::new(access),
            ending: Cell::new(false),
            ids: RefCell::new(RequestIds::new()),
            departures: RefCell::default(),
            sources,
            recent: Recent::default(),
            make,
            generation: Cell::new(view.generation),
            memberships: Cell::new(view.memberships()),
            view: RefCell::new(Rc::new(view)),
        })
    }

    /// Waits until no listener is configured any more behind a door, so that its connections can leave.
    pub(crate) async fn departure(&self, door: &Door) {
        loop {
            let name = match self.view().behind(door) {
                Some(listener) => Arc::clone(&listener.settings.name),
                None => return,
            };
            let gone = Rc::clone(self.departures.borrow_mut().entry(name).or_default());
            gone.notified().await;
        }
    }

    /// A new request's id.
    pub(crate) fn issue_id(&self) -> RequestId {
        self.ids.borrow_mut().issue()
    }

    /// Whether access lines are written.
    pub(crate) fn writes_access(&self) -> bool {
        self.writes_access
    }

    /// From now on what breaks off does so because the worker ends.
    pub fn end(&self) {
        self.ending.set(true);
    }

    /// Whether the worker ends.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Whether the process is about to leave, so that connections end with the answers that they get.
    pub(crate) fn is_lingering(&self) -> bool {
        self.sources.drain.is_lingering()
    }

    /// Shows that it is not stuck.
    pub fn beat(&self) {
        self.sources.metrics.beat(self.index);
    }

    /// Writes an access line.
    pub(crate) fn write(&self, record: &AccessRecord<'_>) {
        self.access.borrow_mut().record(record);
    }

    /// Counts why a request failed, by the place of the reason among those known.
    pub(crate) fn count_error(&self, reason: usize) {
        self.sources.metrics.error(self.index, reason);
    }

    /// What a request that begins now sees, to its end.
    pub fn view(&self) -> Rc<View> {
        if self.sources.stage.generation() != self.generation.get() {
            let snapshot = self.sources.stage.snapshot();
            let before = Rc::clone(&self.view.borrow());
            let view = View::new(&snapshot, Some(&before), &self.make);
            self.departures.borrow_mut().retain(|name, departure| {
                let stays = view.listener(name).is_some();
                if !stays {
                    departure.notify_waiters();
                }
                stays
            });
            self.generation.set(view.generation);
            self.view.replace(Rc::new(view));
            self.close_departed();
        }
        Rc::clone(&self.view.borrow())
    }

    /// The answer to a client that asks a listener for the status page.
    pub(crate) fn status(&self, method: &Method, uri: &Uri) -> Response<Bytes> {
        self.recent.answer(method, uri, &self.sources)
    }

    /// The addresses of a host, found by the control thread.
    pub(crate) async fn resolve(&self, host: &Arc<str>) -> Result<Answer, Failure> {
        self.make.names.ask(host).await
    }

    /// Closes the connections to endpoints that are members no longer.
    fn close_departed(&self) {
        let view = self.view.borrow();
        self.memberships.set(view.memberships());
        let keys = view.endpoint_keys();
        self.pool.retain(|key| keys.binary_search(&key).is_ok());
    }

    /// A cluster that is in no snapshot, as this worker uses it: without plugins.
    #[must_use]
    pub fn plain(&self, cluster: &Arc<Cluster>) -> Rc<ClusterUse> {
        Rc::new(ClusterUse::plain(cluster, &self.make))
    }

    /// What is to be done about once a second: a view that nothing asks for any more must not keep
    /// what a reload replaced, idle connections end, with them those to endpoints that names stand for no
    /// longer, instances of plugins go that are too many, and large status pages are made anew.
    pub fn sweep(&self) {
        if self.view().memberships() != self.memberships.get() {
            self.close_departed();
        }
        self.pool.sweep();
        self.view.borrow().sweep();
        self.recent.forget();
    }

    /// Hands over the access lines that wait.
    pub fn flush(&self) {
        self.access.borrow_mut().flush();
    }
}
