//! Test guest: a balancer that goes by the hash of the path, and logs which one it was.

use crate::bindings::exports::linkspan::plugin::{balancer, lifecycle};
use crate::bindings::linkspan::plugin::hashing::{self, Key};
use crate::bindings::linkspan::plugin::log::{self, Level};
use crate::bindings::linkspan::plugin::types::Picked;
use std::cell::RefCell;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "balancer-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

thread_local! {
    static IDS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

impl lifecycle::Guest for Plugin {
    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }
}

impl balancer::Guest for Plugin {
    fn update(_cluster: u32, endpoints: Vec<balancer::Endpoint>) {
        IDS.set(endpoints.iter().map(|endpoint| endpoint.id).collect());
    }

    fn changed(_cluster: u32, _states: Vec<(u32, balancer::EndpointState)>) {}

    fn pick(_cluster: u32, _attempt: u32, _previous: Option<Picked>) -> balancer::Choice {
        let hash = hashing::crc32(&Key::Path).unwrap_or(0);
        log::write(Level::Debug, &format!("hash={hash}"));
        IDS.with_borrow(|ids| {
            let place = usize::try_from(hash).unwrap_or(0).checked_rem(ids.len());
            let id = place.and_then(|place| ids.get(place));
            id.map_or(balancer::Choice::None, |id| {
                balancer::Choice::Endpoint(Picked { id: *id, token: hash.into() })
            })
        })
    }
}
