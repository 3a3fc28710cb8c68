//! Router: what a path begins with decides, as with Apache's `ProxyPass` and `LBProxyPass`.
//!
//! The first rule whose `prefix` the path begins with decides, or with `longest` the one with the
//! longest. Whole segments are compared: `/snoop` is a prefix of `/snoop` and `/snoop/x`, not of
//! `/snoopy`, and `/snoop/` is none of `/snoop`. A rule names a `cluster`, or with `next` leaves what
//! begins like that to the next router (`ProxyPass /snoop/x !`). The upstream gets the path as it
//! came, or with `strip` without the prefix, or with `to` another in its place; the query stays.
//!
//! Compared is the path as the upstream may understand it: escapes resolved, `%2F`, `\` and several
//! slashes like one slash, parameters (`;…`) left out, `.` and `..` followed. What is forwarded keeps
//! its bytes unless there were dots. A `%00` is answered with 400, and dots in more than 8 KiB, with
//! 414.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use crate::bindings::linkspan::plugin::types::Response;
use crate::bindings::linkspan::plugin::{clusters, request};
use crate::path::Refused;
use crate::rules::{Decision, Rules};
use linkspan_plugin_common::clusters::Clusters;
use linkspan_plugin_common::path as paths;
use std::cell::RefCell;

mod path;
mod rules;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "router-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

const TOO_LONG: &[u8] = b"414 URI Too Long\n";

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

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        let path = request::path();
        RULES.with_borrow(|rules| match rules.as_ref().map(|rules| rules.decide(&path)) {
            None | Some(Decision::Next) => router::Decision::Next,
            Some(Decision::To(cluster, new)) => forward(cluster, &path, new),
            Some(Decision::Refuse(Refused::Zero)) => respond(400, b"400 Bad Request\n"),
            Some(Decision::Refuse(Refused::TooLong)) => respond(414, TOO_LONG),
        })
    }
}

fn forward(cluster: &str, path: &str, new: Option<String>) -> router::Decision {
    if new.as_ref().is_some_and(|new| new.len() > path.len() && !fits(new)) {
        return respond(414, TOO_LONG);
    }
    router::Decision::Forward(router::Target {
        upstream: router::Upstream::Cluster(cluster.to_owned()),
        host: None,
        path: new,
    })
}

fn respond(status: u16, body: &[u8]) -> router::Decision {
    router::Decision::Respond(Response { status, headers: Vec::new(), body: body.to_vec() })
}

/// Whether a path and the query of the request can be a target.
fn fits(path: &str) -> bool {
    let query = request::query().map_or(0, |query| query.len() + 1);
    path.len() + query <= paths::LONGEST_TARGET
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
