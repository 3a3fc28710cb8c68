//! Router: rules of regular expressions, the first that holds decides.
//!
//! A rule's `match` patterns are searched for in the percent-decoded path without the query:
//! ignoring case, anywhere, byte by byte. `host`, `method` and `header` narrow it down. It names a
//! `cluster`, perhaps with a new `path`, or a `redirect`, or what to `respond`. In a path or
//! location `$0` to `$9` stand for what the first of its `match` patterns that is found matched, and
//! the groups of that pattern, percent-encoded again, and `$$` for a dollar sign; what `host` and
//! `header` matched cannot be had. An encoded slash stays encoded. A new path, and a location, keeps the
//! request's query unless it has one.
//!
//! A request is answered with 400 if what was matched would lead a new path out of its place with dot
//! segments, or name the server of a location.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::linkspan::plugin::clusters;
use crate::rules::Rules;
use linkspan_plugin_common::clusters::Clusters;
use std::cell::RefCell;

mod authority;
mod config;
pub mod export;
pub mod lowered;
mod patterns;
mod rules;
mod sieve;
mod template;
mod text;

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "router-plugin",
        // What most rules say is ready, and would be copied for each call.
        skip: ["route"],
    });
}

struct Plugin;

thread_local! {
    static RULES: RefCell<Option<Rules>> = const { RefCell::new(None) };
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        RULES.set(Some(Rules::compile(&config, &Configured)?));
        Ok(())
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
