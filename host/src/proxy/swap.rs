//! Other components under the same configuration.

use std::sync::Arc;

use super::Proxy;
use crate::snapshot::{Snapshot, Swapped};

impl Proxy {
    /// Serves by the components that are in the plugin directory by now, each that is fit, under the
    /// configuration as it is. Open requests go on with those before.
    pub async fn swap(&mut self) -> Swapped {
        let before = self.stage.snapshot();
        let workers = before.config.server.workers;
        let (next, swapped) = Snapshot::swap(&self.host, &before, workers).await;
        for name in &swapped.refused {
            self.metrics.plugin(name).refused();
            if let Some(candidate) = next.refused.get(name) {
                tracing::error!("{}; the version before goes on", candidate.reason);
            }
        }
        for name in &swapped.taken {
            self.metrics.plugin(name).taken();
        }
        if next.differs_from(&before) {
            self.stage.show(Arc::new(next));
            self.metrics.forget_unused();
        }
        swapped
    }
}
