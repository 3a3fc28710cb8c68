//! What logs are told, where that is traced, of what plugins decide and what upstreams want.

use http::HeaderName;

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
    let name = |what: &str, name: &HeaderName| format!("{what} {name}");
    let named = edits.iter().take(NAMED).map(|edit| match edit {
        Edit::Set(header, _) => name("set", header),
        Edit::Append(header, _) => name("append", header),
        Edit::Remove(header) => name("remove", header),
        Edit::Path(_) => "path".to_owned(),
        Edit::Authority(_) => "authority".to_owned(),
        Edit::Status(status) => format!("status {}", status.as_u16()),
        Edit::TransformBody => "transform body".to_owned(),
    });
    let edited = named.collect::<Vec<_>>().join(", ");
    tracing::trace!(%id, plugin, call, count = edits.len(), edited, "rewrite");
}

/// Traces which file an upstream has sent in place of its response.
pub(super) fn file(id: &RequestId, wish: &Wish, outcome: Outcome) {
    let outcome = SENDFILES.get(outcome.index());
    tracing::trace!(%id, file = %wish, outcome, "sendfile");
}
