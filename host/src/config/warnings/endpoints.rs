//! What is legal in the endpoints of a cluster and yet hardly what was meant.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::fault::Fault;
use crate::config::names::{closest, did_you_mean};
use crate::config::places::{Part, Places, Spot};
use crate::config::{Cluster, Endpoint};

/// The keys of an endpoint that mean something to the host or to the balancers that it carries.
const KEYS: [&str; 7] =
    ["address", "weight", "max-connections", "status", "lbset", "route", "redirect"];

/// The warnings about a cluster's endpoints.
pub(super) fn of(
    cluster: &Cluster,
    places: &Places<'_>,
    spot: &Spot<'_>,
    warnings: &mut Vec<Fault>,
) {
    redirections(cluster, places, spot, warnings);
    let elements = spot.get("endpoints").map(|list| list.elements()).unwrap_or_default();
    let mut seen = BTreeMap::new();
    for (element, endpoint) in elements.iter().zip(&cluster.endpoints) {
        misspelt(endpoint, element, places, warnings);
        let place = (&endpoint.address, cluster.tls_of(endpoint).is_some());
        let Some(first) = seen.get(&place) else {
            seen.insert(place, endpoint);
            continue;
        };
        if let Some(key) = contradiction(first, endpoint) {
            let message =
                format!("`{}` stands in this list before, with another `{key}`", endpoint.address);
            let fault = places.fault(element, Part::Value, &message);
            warnings.push(fault.expected("expected the same at each of its places"));
        }
    }
}

/// What two places of one endpoint say of it that cannot both hold.
fn contradiction(first: &Endpoint, again: &Endpoint) -> Option<&'static str> {
    let status = |of: &Endpoint| of.attributes.iter().find(|(key, _)| key == "status").cloned();
    if first.max_connections != again.max_connections {
        return Some("max-connections");
    }
    (status(first) != status(again)).then_some("status")
}

/// A key that is free for balancers to read, and a slip away from one that all know.
fn misspelt(endpoint: &Endpoint, spot: &Spot<'_>, places: &Places<'_>, warnings: &mut Vec<Fault>) {
    let free = endpoint.attributes.iter().map(|(key, _)| key.as_str());
    for key in free.filter(|key| !KEYS.contains(key)) {
        let near = closest(key, KEYS);
        // What only begins like a known one, such as `route-group`, is a name of its own.
        let slips = near.iter().any(|near| near.len().abs_diff(key.len()) <= 2);
        let Some(place) = spot.get(key).filter(|_| slips) else { continue };
        let message = format!("`{key}` means something to your own balancers only");
        let fault = places.fault(&place, Part::Key, &message);
        warnings.push(fault.help(did_you_mean(key, KEYS)));
    }
}

/// Endpoints whose sessions are to go to a route that none has.
fn redirections(
    cluster: &Cluster,
    places: &Places<'_>,
    spot: &Spot<'_>,
    warnings: &mut Vec<Fault>,
) {
    let all = |name: &'static str| {
        let own = move |(key, _): &&(String, String)| key == name;
        cluster.endpoints.iter().map(move |it| Some(&*it.attributes.iter().find(own)?.1))
    };
    let routes: BTreeSet<&str> = all("route").flatten().collect();
    // What an address gives instead of a route is known to the balancer alone.
    let is_name = |text: &str| text.len() == 16 && text.bytes().all(|it| it.is_ascii_hexdigit());
    let elements = spot.get("endpoints").map(|list| list.elements()).unwrap_or_default();
    for (element, redirect) in elements.iter().zip(all("redirect")) {
        let Some(redirect) = redirect.filter(|it| !routes.contains(it) && !is_name(it)) else {
            continue;
        };
        let Some(place) = element.get("redirect") else { continue };
        let message = format!("no endpoint of this cluster has the route `{redirect}`");
        let fault = places.fault(&place, Part::Value, &message);
        warnings.push(fault.help(did_you_mean(redirect, routes.iter().copied())));
    }
}
