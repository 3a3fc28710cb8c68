//! Stream router: the cluster of the host that the first request of a connection is addressed to, without
//! ending HTTP here. What follows on that connection goes to the same cluster, whatever its Host.
//!
//! `hosts` and `default` are as of the router `host`: a name by itself goes before wildcards, and of these
//! the longest decides. What no name fits goes to `default`, or without one is answered with 404. A head
//! that could be read in two ways, or that is none, is answered with 400.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::exports::linkspan::plugin::stream_router::{
    self, Decision, Target, Trouble, Upstream,
};
use crate::bindings::linkspan::plugin::clusters;
use linkspan_plugin_common::clusters::Clusters;
use linkspan_plugin_common::head::{self, Reading};
use linkspan_plugin_common::hosts::Hosts;
use std::cell::RefCell;

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
    static HOSTS: RefCell<Hosts> = RefCell::default();
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        HOSTS.set(Hosts::compile(&config, &Configured)?);
        Ok(())
    }
}

impl stream_router::Guest for Plugin {
    fn accepted(_id: u64) -> Option<Vec<u8>> {
        None
    }

    fn decide(_id: u64, bytes: Vec<u8>, ended: bool) -> Decision {
        let authority = match head::read(&bytes) {
            // Who sends nothing at all is owed nothing.
            Reading::Incomplete if ended && bytes.is_empty() => return Decision::Close(None),
            Reading::Incomplete if !ended => return Decision::Wait,
            Reading::Incomplete | Reading::Malformed => None,
            Reading::Whole(head) => head.authority(),
        };
        let Some(authority) = authority else { return answer("400 Bad Request") };
        HOSTS.with_borrow(|hosts| {
            let cluster = hosts.cluster(authority.to_owned());
            cluster.map_or_else(|| answer("404 Not Found"), forward)
        })
    }

    fn failed(_id: u64, _upstream: String, _trouble: Trouble) {}
}

/// An answer, and the end.
fn answer(status: &str) -> Decision {
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    Decision::Close(Some(text.into_bytes()))
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
