//! Balancer: every path has its endpoint.

use std::cell::RefCell;

use exports::linkspan::plugin::balancer::{self, Choice, Endpoint, EndpointState};
use exports::linkspan::plugin::lifecycle;
use linkspan::plugin::hashing::{self, Key};
use linkspan::plugin::types::Picked;

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

struct Plugin;

thread_local! {
    /// The endpoints, in the order of the configuration.
    static ENDPOINTS: RefCell<Vec<Endpoint>> = const { RefCell::new(Vec::new()) };
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        if config == "{}" { Ok(()) } else { Err(format!("expected no keys, found {config}")) }
    }
}

impl balancer::Guest for Plugin {
    fn update(_cluster: u32, endpoints: Vec<Endpoint>) {
        ENDPOINTS.set(endpoints);
    }

    fn changed(_cluster: u32, states: Vec<(u32, EndpointState)>) {
        ENDPOINTS.with_borrow_mut(|endpoints| {
            for (id, state) in states {
                endpoints.iter_mut().filter(|each| each.id == id).for_each(|each| each.state = state);
            }
        });
    }

    fn pick(_cluster: u32, attempt: u32, _previous: Option<Picked>) -> Choice {
        ENDPOINTS.with_borrow(|endpoints| {
            let usable: Vec<u32> =
                endpoints.iter().filter(|each| each.state.usable).map(|each| each.id).collect();
            if usable.is_empty() {
                return Choice::None;
            }
            let hash = hashing::crc32(&Key::Path).unwrap_or(0);
            // Where one could not be connected to, the next is tried.
            let place = hash.wrapping_add(attempt) as usize % usable.len();
            Choice::Endpoint(Picked { id: usable[place], token: 0 })
        })
    }
}

export!(Plugin);
