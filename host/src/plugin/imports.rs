//! What a component may import from the host, one file per interface, and which of it makes a
//! component wait.

mod attempts;
mod cells;
mod clock;
mod clusters;
mod connection;
mod endpoints;
mod grants;
mod giving_up;
mod hashing;
pub(super) mod keyvalue;
mod log;
mod metrics;
mod original;
mod phases;
mod random;
mod reports;
mod request;
mod response;
mod served;
mod tls;

pub(super) use random::{Random, secret};

use wasmtime::component::{HasSelf, Linker};

use crate::plugin::bindings;
use crate::plugin::guest::Guest;

/// The contract's package and the version that this host serves.
pub(super) const PACKAGE: &str = "linkspan:plugin";
/// See [`PACKAGE`].
pub(super) const VERSION: &str = "0.1.0";

/// The interface whose calls can wait, and whose users are therefore called asynchronously.
pub(super) const WAITING: &str = "linkspan:plugin/keyvalue@0.1.0";

/// The interface whose answers depend on which clusters there are.
pub(super) const CLUSTERS: &str = "linkspan:plugin/clusters@0.1.0";

/// The interface that is about the endpoint that answered.
pub(super) const SERVED: &str = "linkspan:plugin/served@0.1.0";

/// The interfaces that a component may import.
pub(super) const OFFERED: [&str; 22] = [
    "types",
    "edits",
    "request",
    "original",
    "response",
    "log",
    "clock",
    "random",
    "metrics",
    "cells",
    "hashing",
    "endpoints",
    "reports",
    "attempts",
    "served",
    "phases",
    "giving-up",
    "clusters",
    "grants",
    "keyvalue",
    "connection",
    "tls",
];

/// Defines every interface of the contract, those that wait only where a component may.
pub(super) fn link(linker: &mut Linker<Guest>, waiting: bool) -> wasmtime::Result<()> {
    type This = HasSelf<Guest>;
    fn this(guest: &mut Guest) -> &mut Guest {
        guest
    }
    bindings::types::add_to_linker::<_, This>(linker, this)?;
    bindings::edits::add_to_linker::<_, This>(linker, this)?;
    bindings::request::add_to_linker::<_, This>(linker, this)?;
    bindings::original::add_to_linker::<_, This>(linker, this)?;
    bindings::response::add_to_linker::<_, This>(linker, this)?;
    bindings::log::add_to_linker::<_, This>(linker, this)?;
    bindings::clock::add_to_linker::<_, This>(linker, this)?;
    bindings::random::add_to_linker::<_, This>(linker, this)?;
    bindings::metrics::add_to_linker::<_, This>(linker, this)?;
    bindings::cells::add_to_linker::<_, This>(linker, this)?;
    bindings::hashing::add_to_linker::<_, This>(linker, this)?;
    bindings::endpoints::add_to_linker::<_, This>(linker, this)?;
    bindings::reports::add_to_linker::<_, This>(linker, this)?;
    bindings::attempts::add_to_linker::<_, This>(linker, this)?;
    bindings::served::add_to_linker::<_, This>(linker, this)?;
    bindings::phases::add_to_linker::<_, This>(linker, this)?;
    bindings::giving_up::add_to_linker::<_, This>(linker, this)?;
    bindings::clusters::add_to_linker::<_, This>(linker, this)?;
    bindings::grants::add_to_linker::<_, This>(linker, this)?;
    bindings::connection::add_to_linker::<_, This>(linker, this)?;
    bindings::tls::add_to_linker::<_, This>(linker, this)?;
    if waiting {
        bindings::keyvalue::add_to_linker::<_, This>(linker, this)?;
    }
    Ok(())
}

impl bindings::types::Host for Guest {}
impl bindings::edits::Host for Guest {}
