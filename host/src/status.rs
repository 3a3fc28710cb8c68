//! The status page: what a proxy is doing, for people, as JSON, and for Prometheus.
//!
//! One set of values ([`Status`], made anew for each reader) is behind the page, its JSON and the
//! administrator's `/api`; what Prometheus scrapes ([`scrape`]) adds the endpoints' figures to what is
//! counted. It is served by the administrator's listener, and by listeners at their `status-path`.
//! There it is [`Audience::Public`]: whoever may connect may look, so it tells of no file.
//!
//! The page needs nothing but itself. Its policy allows its own style and script, by their digests,
//! and asking again where it came from; nothing of it is asked for elsewhere.

mod answer;
mod gather;
mod page;
mod path;
mod recent;
mod scrape;
mod sums;
mod time;
mod view;

use std::sync::Arc;

use tokio::time::Instant;

use crate::drain::Watcher;
use crate::metrics::Metrics;
use crate::snapshot::Stage;

pub use self::answer::answer;
pub use self::path::{decoded, is_at};
pub use self::recent::Recent;
pub use self::scrape::scrape;
pub use self::view::{
    AboutView, CandidateView, CheckView, ClusterView, EndpointView, ListenerView, Moment,
    PluginView, ShadowView, Status, Step, TrialView, UnusedView,
};

/// What is read from. Cheap to clone: shared pointers.
#[derive(Clone)]
pub struct Sources {
    /// What is served.
    pub stage: Arc<Stage>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the process is leaving.
    pub drain: Watcher,
    /// When the process began to serve.
    pub begun: Instant,
}

impl Sources {
    /// Those of a process that begins to serve.
    #[must_use]
    pub fn new(stage: &Arc<Stage>, metrics: &Arc<Metrics>, drain: Watcher) -> Self {
        let (stage, metrics) = (Arc::clone(stage), Arc::clone(metrics));
        Self { stage, metrics, drain, begun: Instant::now() }
    }
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Whoever runs the proxy.
    Administrator,
    /// Any client of a listener: no path on disk is told.
    Public,
}
