//! Test guest: a router that refuses its configuration.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};

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
        Err("key `colour`: expected a colour".to_owned())
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        router::Decision::Next
    }
}
