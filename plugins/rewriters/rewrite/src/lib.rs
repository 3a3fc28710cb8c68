//! Rewriter: lighttpd's `rewrite-request` and `rewrite-response`.
//!
//! A rule names a header field, or in a request `_uri` (path and query, as the upstream will get
//! them; `URI` means the same) or `Host`. Its pattern is searched for in the value, with regard to
//! case, anywhere, byte by byte. On a match the whole value is replaced by the template, in which
//! `$0` to `$9` stand for what the groups matched, empty where there is no such group, and any other
//! `$` for itself. Of several rules for a name the first that matches counts. Each field of a
//! repeated name is rewritten on its own; what no rule matches stays as it is.
//!
//! What comes out is judged by the host: a target or Host that is none is an answer against the
//! contract, and costs that request what the plugin's `on-failure` says. Nothing of a request can
//! put a line break into a value: there is none in what is matched, and none in a template.

use crate::bindings::exports::linkspan::plugin::{lifecycle, request_rewriter, response_rewriter};
use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::types::Phase;
use crate::bindings::linkspan::plugin::{log, phases, request, response};
use crate::rules::{Head, Rules, TooLong};
use std::cell::RefCell;

mod config;
mod rules;
mod template;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "rewriter-plugin" });
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
        let rules = Rules::compile(linkspan_plugin_common::config::parse(&config)?)?;
        for phase in [Phase::Request, Phase::Response] {
            if rules.are_idle(phase) {
                phases::skip(phase);
            }
        }
        RULES.set(rules);
        Ok(())
    }
}

impl request_rewriter::Guest for Plugin {
    fn on_request() -> Vec<Edit> {
        edits(Phase::Request, &Request)
    }
}

impl response_rewriter::Guest for Plugin {
    fn on_response() -> Vec<Edit> {
        edits(Phase::Response, &Response)
    }
}

/// What the rules change. Where that is not to be found out, the message must not go on as it is:
/// an edit that the host refuses costs it what `on-failure` says, and nobody else anything.
fn edits(phase: Phase, head: &impl Head) -> Vec<Edit> {
    RULES.with_borrow(|rules| rules.edits(phase, head)).unwrap_or_else(|TooLong| {
        log::write(log::Level::Warn, "values are too long to look for the groups of a pattern in");
        vec![Edit::Remove(String::new())]
    })
}

/// The request that the running call is about.
struct Request;

impl Head for Request {
    fn target(&self) -> String {
        let mut target = request::path();
        if let Some(query) = request::query() {
            target.push('?');
            target.push_str(&query);
        }
        target
    }

    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        request::header_values(name)
    }
}

/// The response that the running call is about.
struct Response;

impl Head for Response {
    fn target(&self) -> String {
        String::new()
    }

    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        response::header_values(name)
    }
}
