//! Test guest: a balancer that imports WASI, because it uses a `HashMap` and prints
//! whenever it is called.
//!
//! It picks the first usable endpoint in the order of the list, and prints the address.
#![expect(clippy::print_stdout, reason = "that it can is what this guest is for")]

use crate::bindings::exports::linkspan::plugin::{balancer, lifecycle};
use crate::bindings::linkspan::plugin::types::Picked;
use std::cell::RefCell;
use std::collections::HashMap;

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
    static ADDRESSES: RefCell<Vec<(u32, String)>> = const { RefCell::new(Vec::new()) };
    static USABLE: RefCell<HashMap<u32, bool>> = RefCell::default();
}

impl lifecycle::Guest for Plugin {
    fn configure(_config: String) -> Result<(), String> {
        println!("configured");
        Ok(())
    }
}

impl balancer::Guest for Plugin {
    fn update(_cluster: u32, endpoints: Vec<balancer::Endpoint>) {
        println!("told of {}", endpoints.len());
        USABLE.set(endpoints.iter().map(|endpoint| (endpoint.id, endpoint.state.usable)).collect());
        ADDRESSES
            .set(endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint.address)).collect());
    }

    fn changed(_cluster: u32, states: Vec<(u32, balancer::EndpointState)>) {
        USABLE.with_borrow_mut(|usable| {
            usable.extend(states.into_iter().map(|(id, state)| (id, state.usable)));
        });
    }

    fn pick(_cluster: u32, _attempt: u32, _previous: Option<Picked>) -> balancer::Choice {
        let usable = |id: &u32| USABLE.with_borrow(|usable| usable.get(id) == Some(&true));
        ADDRESSES.with_borrow(|addresses| match addresses.iter().find(|(id, _)| usable(id)) {
            Some((id, address)) => {
                println!("picked {address}");
                balancer::Choice::Endpoint(Picked { id: *id, token: 0 })
            }
            None => balancer::Choice::None,
        })
    }
}
