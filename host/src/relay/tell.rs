//! What logs are told, where that is traced, of what plugins decide and what upstreams want.

use crate::log::id::RequestId;
use crate::metrics::SENDFILES;
use crate::plugin::{Decision, Edit, Plugin, Rejected, Upstream};
use crate::sendfile::{Outcome, Wish};

/// Traces a router's decision.
pub(super) fn decision(router: &Plugin, id: &RequestId, decision: &Result<Decision, Rejected>) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let plugin = &*router.definition().config.name;
    let (answer, target) = match decision {
        Ok(Decision::Next) => ("next", None),
        Ok(Decision::Respond(response)) => {
            ("respond", Some(response.status().as_u16().to_string()))
        }
        Ok(Decision::Forward { upstream: Upstream::Cluster(name), .. }) => {
            ("forward", Some(format!("cluster {name}")))
        }
        Ok(Decision::Forward { upstream: Upstream::Address(url), .. }) => {
            ("forward", Some(url.chars().take(300).collect()))
        }
        Err(_rejected) => ("failed, reject", None),
    };
    tracing::trace!(%id, plugin, answer, target, "route");
}

/// Traces a rewriter's edits: what they are about, not the values, which can be secrets.
pub(super) fn edits(rewriter: &Plugin, id: &RequestId, call: &'static str, edits: &[Edit]) {
    /// The most edits that are named.
    const NAMED: usize = 50;
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let plugin = &*rewriter.definition().config.name;
    let edited = edits.iter().take(NAMED).map(Edit::about).collect::<Vec<_>>().join(", ");
    tracing::trace!(%id, plugin, call, count = edits.len(), edited, "rewrite");
}

/// Traces which file an upstream has sent in place of its response.
pub(super) fn file(id: &RequestId, wish: &Wish, outcome: Outcome) {
    let outcome = SENDFILES.get(outcome.index());
    tracing::trace!(%id, file = %wish, outcome, "sendfile");
}
