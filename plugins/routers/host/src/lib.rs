//! Router: virtual hosts. The cluster of the host that the client addressed.
//!
//! A name by itself goes before wildcards, and of these the longest decides, as in nginx:
//! `*.b.example` is any name that ends in `.b.example`, and not `b.example` itself. What no name of
//! `hosts` fits goes to `default`, or without one to the next router. Case, the port and a dot at
//! the end do not count.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use crate::bindings::linkspan::plugin::{clusters, request};
use linkspan_plugin_common::clusters::Clusters;
use linkspan_plugin_common::hosts::Hosts;
use std::cell::RefCell;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "router-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

thread_local! {
    static HOSTS: RefCell<Hosts> = RefCell::default();
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        HOSTS.set(Hosts::compile(&config, &Configured)?);
        Ok(())
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        let cluster = HOSTS.with_borrow(|hosts| {
            let cluster = hosts.cluster(request::authority());
            cluster.map(str::to_owned)
        });
        let Some(cluster) = cluster else { return router::Decision::Next };
        router::Decision::Forward(router::Target {
            upstream: router::Upstream::Cluster(cluster),
            host: None,
            path: None,
        })
    }
}

/// The clusters that there are.
struct Configured;

impl Clusters for Configured {
    fn exists(&self, name: &str) -> bool {
        clusters::exists(name)
    }

    fn names(&self) -> Vec<String> {
        clusters::names()
    }
}
