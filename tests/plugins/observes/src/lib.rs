//! Test guest: a balancer that would like to know what became of its choices, which this version
//! does not tell.

use crate::bindings::exports::linkspan::plugin::{balancer, lifecycle, outcomes};
use crate::bindings::linkspan::plugin::types::Picked;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "observing-balancer-plugin" });
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

impl balancer::Guest for Plugin {
    fn update(_cluster: u32, _endpoints: Vec<balancer::Endpoint>) {}

    fn changed(_cluster: u32, _states: Vec<(u32, balancer::EndpointState)>) {}

    fn pick(_cluster: u32, _attempt: u32, _previous: Option<Picked>) -> balancer::Choice {
        balancer::Choice::None
    }
}

impl outcomes::Guest for Plugin {
    fn chosen(_cluster: u32, _choice: Picked) {}

    fn connected(_cluster: u32, _choice: Picked, _microseconds: u64) {}

    fn failed(_cluster: u32, _choice: Picked, _failure: outcomes::Failure) {}

    fn finished(_cluster: u32, _choice: Picked, _status: u16, _microseconds: u64) {}
}
