//! Test guest: a router whose `configure` traps.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use std::process;

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
        process::abort()
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        router::Decision::Next
    }
}
