//! Rewriter: Apache's ProxyPassReverse, and ProxyPassReverseCookieDomain and -CookiePath, without
//! being told what to undo.
//!
//! An upstream speaks of itself in Location, Content-Location, URI, Refresh and in the Domain and
//! Path of the cookies that it sets. What of that names the upstream is turned into what its client
//! addressed, by the way that the request has taken: the authority of any endpoint of the cluster,
//! and the Host that was sent, with its port or the endpoint's own, become the client's scheme and
//! authority; and the beginning of the path that routers and rewriters have changed is changed back. What points anywhere else is left
//! alone, byte by byte. `map`, `cookie-domain` and `cookie-path` say what goes before that, and with
//! `automatic = false` there is nothing else.

use crate::bindings::exports::linkspan::plugin::{lifecycle, request_rewriter, response_rewriter};
use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::types::{Field, Phase};
use crate::bindings::linkspan::plugin::{original, phases, request, response, served};
use crate::config::Config;
use crate::way::{Told, Way};
use linkspan_plugin_common::fields::rewrite_each;
use std::cell::RefCell;

mod config;
mod fields;
mod path;
mod url;
mod way;

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

/// How the values of a header field are rewritten.
type Rewrite = fn(&[u8], &Config, &Way<Running>) -> Option<Vec<u8>>;

/// The header fields in which upstreams speak of themselves.
const FIELDS: [(&str, Rewrite); 5] = [
    ("location", fields::url),
    ("content-location", fields::url),
    ("uri", fields::url),
    ("refresh", fields::refresh),
    ("set-cookie", fields::set_cookie),
];

thread_local! {
    static CONFIG: RefCell<Config> = RefCell::default();
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        let config = Config::parse(&config)?;
        phases::skip(Phase::Request);
        if config.is_idle() {
            phases::skip(Phase::Response);
        }
        CONFIG.set(config);
        Ok(())
    }
}

impl request_rewriter::Guest for Plugin {
    fn on_request() -> Vec<Edit> {
        Vec::new()
    }
}

impl response_rewriter::Guest for Plugin {
    fn on_response() -> Vec<Edit> {
        let way = Way::new(Running);
        CONFIG.with_borrow(|config| {
            let mut edits = Vec::new();
            for (name, rewrite) in FIELDS {
                let values = response::header_values(name);
                let rewritten = rewrite_each(values, |value| rewrite(value, config, &way));
                for (place, value) in rewritten.into_iter().flatten().enumerate() {
                    let field = Field { name: name.to_owned(), value };
                    edits.push(if place == 0 { Edit::Set(field) } else { Edit::Append(field) });
                }
            }
            edits
        })
    }
}

/// The exchange that the running call is about.
struct Running;

impl Told for Running {
    fn scheme(&self) -> String {
        request::scheme()
    }

    fn authority(&self) -> String {
        request::authority()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        request::header(name)
    }

    fn paths(&self) -> (String, String) {
        (original::path(), request::path())
    }

    fn sent_host(&self) -> String {
        served::host()
    }

    fn endpoint(&self) -> String {
        response::endpoint()
    }

    fn is_endpoint(&self, authority: &str) -> bool {
        served::is_endpoint(authority)
    }
}
