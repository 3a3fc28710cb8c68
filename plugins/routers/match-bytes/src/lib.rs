//! Stream router: rules of regular expressions over the first bytes of a connection, the first that holds
//! decides.
//!
//! A rule has `match`, a pattern or several of which any one will do, and a `cluster`. Patterns are searched
//! for byte by byte in what has come so far, anywhere unless they begin with `^`; case counts, and `.` is
//! any byte. They are tried at each arrival, so a pattern should take in all that tells it from others:
//! `^SSH-` and not `^S`. Once `within` bytes have come (1,024 unless configured), or the client has no more,
//! and no rule holds, `default` decides, or without one the connection is closed.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::exports::linkspan::plugin::stream_router::{
    self, Decision, Target, Trouble, Upstream,
};
use crate::bindings::linkspan::plugin::clusters;
use crate::rules::Rules;
use linkspan_plugin_common::clusters::Clusters;
use std::cell::RefCell;

mod rules;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "stream-router-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

thread_local! {
    static RULES: RefCell<Rules> = RefCell::default();
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        RULES.set(Rules::compile(&config, &Configured)?);
        Ok(())
    }
}

impl stream_router::Guest for Plugin {
    fn accepted(_id: u64) -> Option<Vec<u8>> {
        None
    }

    fn decide(_id: u64, bytes: Vec<u8>, ended: bool) -> Decision {
        RULES.with_borrow(|rules| match rules.find(&bytes, ended) {
            Some(Some(cluster)) => forward(cluster),
            Some(None) => Decision::Close(None),
            None => Decision::Wait,
        })
    }

    fn failed(_id: u64, _upstream: String, _trouble: Trouble) {}
}

/// To a cluster, with all that has come.
fn forward(cluster: &str) -> Decision {
    Decision::Forward(Target {
        upstreams: vec![Upstream::Cluster(cluster.to_owned())],
        data: None,
        reply: None,
        connect_timeout: None,
        inactivity_timeout: None,
    })
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
