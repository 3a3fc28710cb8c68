//! Test guest: a router whose `configure` never ends.

use crate::bindings::exports::linkspan::plugin::{lifecycle, router};
use std::hint::black_box;

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
    fn configure(config: String) -> Result<(), String> {
        loop {
            black_box(&config);
        }
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        router::Decision::Next
    }
}
