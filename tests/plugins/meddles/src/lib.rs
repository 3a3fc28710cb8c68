//! Test guest: a router that changes all that it can reach, and answers with what it has found.
//!
//! `store` names a store. Each request adds one to the key `asked` there, sets `last` and removes `gone`;
//! adds one to cell 0 and to the counter `asked`; and logs a line.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use crate::bindings::linkspan::plugin::keyvalue::{self, Error};
use crate::bindings::linkspan::plugin::log::{self, Level};
use crate::bindings::linkspan::plugin::types::Response;
use crate::bindings::linkspan::plugin::{cells, metrics};
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
        let cell = cells::add(0, 1);
        metrics::count("asked", 1);
        let stored = STORE.with_borrow(|store| meddle(store)).unwrap_or_else(|e| e.to_string());
        log::write(Level::Info, &format!("has found {stored}"));
        let body = format!("{stored}, cell {cell}").into_bytes();
        router::Decision::Respond(Response { status: 200, headers: Vec::new(), body })
    }
}

fn meddle(store: &str) -> Result<String, Error> {
    let bucket = keyvalue::open(store)?;
    let there = bucket.get("gone")?.is_some();
    let denied = |error: Error| format!("denied ({error})");
    let done = |()| "done".to_owned();
    let set = bucket.set("last", b"1", None).map_or_else(denied, done);
    let deleted = bucket.delete("gone").map_or_else(denied, done);
    let asked = bucket.increment("asked", 1).map_or_else(denied, |asked| asked.to_string());
    Ok(format!("gone {there}, set {set}, deleted {deleted}, asked {asked}"))
}
