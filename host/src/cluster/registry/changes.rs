//! What follows when the members of a cluster are others than before.

use std::sync::Arc;

use crate::cluster::health::now;
use crate::cluster::{Member, Membership};
use crate::config::Name;

/// Lets those begin slowly who join a cluster that others serve already.
pub(super) fn start_slowly(before: Option<&Membership>, members: &[Member]) {
    let Some(before) = before.filter(|before| !before.members().is_empty()) else { return };
    let new = members.iter().filter(|member| before.endpoint(member.endpoint.id()).is_none());
    new.for_each(|member| member.endpoint.vitals().rose(now()));
}

/// Says which addresses join a cluster and which leave it. To those who watch each step, or to
/// everybody if it is news while the cluster is served.
pub(super) fn tell_of_changes(
    cluster: &Name,
    before: Option<&Membership>,
    now: &[Member],
    served: bool,
) {
    if !served && !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let before = before.map_or(&[][..], Membership::members);
    let has = |list: &[Member], one: &Member| {
        list.iter().any(|other| Arc::ptr_eq(&other.endpoint, &one.endpoint))
    };
    let cluster = &**cluster;
    for member in now.iter().filter(|member| !has(before, member)) {
        let (endpoint, weight) = (&**member.endpoint.label(), member.weight);
        if served {
            tracing::info!(cluster, endpoint, weight, "endpoint joins");
        } else {
            tracing::trace!(cluster, endpoint, weight, "endpoint joins");
        }
    }
    for member in before.iter().filter(|member| !has(now, member)) {
        let endpoint = &**member.endpoint.label();
        if served {
            tracing::info!(cluster, endpoint, "endpoint leaves");
        } else {
            tracing::trace!(cluster, endpoint, "endpoint leaves");
        }
    }
}
