//! Test guest: a balancer whose turns are exact over all workers, because they are counted in a
//! cell.

use crate::bindings::exports::linkspan::plugin::{balancer, lifecycle};
use crate::bindings::linkspan::plugin::cells;
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
        IDS.with_borrow(|ids| {
            if ids.is_empty() {
                return balancer::Choice::None;
            }
            let count = cells::add(0, 1);
            let place = usize::try_from(count % ids.len() as u64).unwrap_or(0);
            let chosen = |id: &u32| balancer::Choice::Endpoint(Picked { id: *id, token: count });
            ids.get(place).map_or(balancer::Choice::None, chosen)
        })
    }
}
