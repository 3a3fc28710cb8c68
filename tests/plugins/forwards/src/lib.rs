//! Test guest: a router that forwards to the address in the request's field `x-to`, with the Host in
//! `x-give-host` and the path in `x-give-path`, if there are such fields.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use crate::bindings::linkspan::plugin::request;

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

impl lifecycle::Guest for Plugin {
    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        let Some(address) = field("x-to") else { return router::Decision::Next };
        router::Decision::Forward(router::Target {
            upstream: router::Upstream::Address(address),
            host: field("x-give-host"),
            path: field("x-give-path"),
        })
    }
}

fn field(name: &str) -> Option<String> {
    request::header(name).map(|value| String::from_utf8_lossy(&value).into_owned())
}
