//! Test guest: a router that asks a store which cluster a path belongs to.
//!
//! `store` names it. The key is the path and the value the cluster; without one the next router is
//! asked, and an error of the store is answered with 503 and its name.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use crate::bindings::linkspan::plugin::keyvalue::{self, Bucket};
use crate::bindings::linkspan::plugin::request;
use crate::bindings::linkspan::plugin::types::Response;
use linkspan_plugin_common::config;
use serde::Deserialize;
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    store: String,
}

thread_local! {
    static STORE: RefCell<String> = const { RefCell::new(String::new()) };
    /// Opened by the first request, and kept.
    static BUCKET: RefCell<Option<Bucket>> = const { RefCell::new(None) };
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        let config: Config = config::parse(&config)?;
        STORE.set(config.store);
        Ok(())
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        match BUCKET.with_borrow_mut(cluster) {
            Ok(Some(name)) => router::Decision::Forward(router::Target {
                upstream: router::Upstream::Cluster(name),
                host: None,
                path: None,
            }),
            Ok(None) => router::Decision::Next,
            Err(error) => router::Decision::Respond(Response {
                status: 503,
                headers: Vec::new(),
                body: error.to_string().into_bytes(),
            }),
        }
    }
}

fn cluster(bucket: &mut Option<Bucket>) -> Result<Option<String>, keyvalue::Error> {
    let bucket = match bucket {
        Some(bucket) => bucket,
        None => bucket.insert(STORE.with_borrow(|store| keyvalue::open(store))?),
    };
    let value = bucket.get(&request::path())?;
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}
