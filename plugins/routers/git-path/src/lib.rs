//! Stream router: the cluster of the user whose repository a client of `git://` asks for, the first part of
//! its path, as `users` says. Who is not there goes to `default`, or without one is told so.
//!
//! `git-path-store` looks users up in a store instead.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::exports::linkspan::plugin::stream_router::{
    self, Decision, Target, Trouble, Upstream,
};
use crate::bindings::linkspan::plugin::clusters;
use crate::users::Users;
use linkspan_plugin_common::clusters::Clusters;
use linkspan_plugin_common::git::{self, Reading};
use std::cell::RefCell;

mod users;

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
    static USERS: RefCell<Users> = RefCell::default();
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        USERS.set(Users::compile(&config, &Configured)?);
        Ok(())
    }
}

impl stream_router::Guest for Plugin {
    fn accepted(_id: u64) -> Option<Vec<u8>> {
        None
    }

    fn decide(_id: u64, bytes: Vec<u8>, ended: bool) -> Decision {
        let user = match git::read(&bytes) {
            Reading::Incomplete if !ended => return Decision::Wait,
            Reading::Incomplete | Reading::Malformed => return Decision::Close(None),
            Reading::User(user) => user,
        };
        USERS.with_borrow(|users| match users.cluster(user) {
            Some(cluster) => forward(cluster),
            None => Decision::Close(Some(git::error(&format!("there is no user {user} here")))),
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
