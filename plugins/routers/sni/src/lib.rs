//! Stream router: the cluster of the server name that a TLS client asks for. TLS goes through as it is: the
//! upstream has the certificates.
//!
//! `hosts` and `default` are as of the router `host`: a name by itself goes before wildcards, and of these
//! the longest decides. A client that speaks TLS and asks for no name that there is goes to `default`, or
//! without one is told so by an alert and closed, and so does one that speaks something else, without the
//! alert.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::exports::linkspan::plugin::stream_router::{
    self, Decision, Target, Trouble, Upstream,
};
use crate::bindings::linkspan::plugin::clusters;
use crate::bindings::linkspan::plugin::connection::{self, Hello};
use linkspan_plugin_common::clusters::Clusters;
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

/// The alert that ends a handshake for want of the server: fatal, `unrecognized_name`.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

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

    fn decide(_id: u64, _bytes: Vec<u8>, ended: bool) -> Decision {
        let (name, last) = match connection::client_hello() {
            Hello::Incomplete if !ended => return Decision::Wait,
            Hello::Incomplete | Hello::NotTls => (None, None),
            Hello::Whole => (connection::server_name(), Some(UNRECOGNIZED_NAME.to_vec())),
        };
        HOSTS.with_borrow(|hosts| {
            let cluster = hosts.cluster(name.unwrap_or_default());
            cluster.map_or(Decision::Close(last), forward)
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
