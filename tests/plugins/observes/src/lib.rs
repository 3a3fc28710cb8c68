//! Test guest: a balancer that logs what it is told of its choices.
//!
//! It picks the endpoints in the order of the list, one for each attempt, and numbers its choices
//! from 1: `finished 0#3 200` is the end of the third, which was the first endpoint. If its
//! configuration has `traps` or `loops`, it does so when it is told of that.

use std::cell::{Cell, RefCell};

use crate::bindings::exports::linkspan::plugin::{balancer, lifecycle, outcomes};
use crate::bindings::linkspan::plugin::log;
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

thread_local! {
    static CONFIG: RefCell<String> = const { RefCell::new(String::new()) };
    static ENDPOINTS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    static CHOICES: Cell<u64> = const { Cell::new(0) };
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        CONFIG.set(config);
        Ok(())
    }
}

impl balancer::Guest for Plugin {
    fn update(_cluster: u32, endpoints: Vec<balancer::Endpoint>) {
        ENDPOINTS.set(endpoints.iter().map(|endpoint| endpoint.id).collect());
    }

    fn changed(_cluster: u32, _states: Vec<(u32, balancer::EndpointState)>) {}

    fn pick(_cluster: u32, attempt: u32, _previous: Option<Picked>) -> balancer::Choice {
        let place = usize::try_from(attempt).unwrap_or(usize::MAX);
        let id = ENDPOINTS.with_borrow(|endpoints| endpoints.get(place).copied());
        let Some(id) = id else { return balancer::Choice::None };
        let token = CHOICES.get() + 1;
        CHOICES.set(token);
        balancer::Choice::Endpoint(Picked { id, token })
    }
}

/// Logs what it is told, and does what its configuration says of that.
fn told(what: &str, choice: Picked, more: &str) {
    let place = |endpoints: &Vec<u32>| endpoints.iter().position(|id| *id == choice.id);
    let place =
        ENDPOINTS.with_borrow(place).map_or_else(|| "?".to_owned(), |place| place.to_string());
    log::write(log::Level::Info, &format!("{what} {place}#{}{more}", choice.token));
    let asked = |deed: &str| {
        let wish = format!("\"{deed}\":\"{what}\"");
        CONFIG.with_borrow(|config| config.replace(' ', "").contains(&wish))
    };
    assert!(!asked("traps"), "as the configuration says");
    while asked("loops") {}
}

impl outcomes::Guest for Plugin {
    fn chosen(_cluster: u32, choice: Picked) {
        told("chosen", choice, "");
    }

    fn connected(_cluster: u32, choice: Picked, _microseconds: u64) {
        told("connected", choice, "");
    }

    fn failed(_cluster: u32, choice: Picked, failure: outcomes::Failure) {
        let how = match failure {
            outcomes::Failure::Connect => " connect",
            outcomes::Failure::Broken => " broken",
            outcomes::Failure::Malformed => " malformed",
            outcomes::Failure::Timeout => " timeout",
        };
        told("failed", choice, how);
    }

    fn finished(_cluster: u32, choice: Picked, status: u16, microseconds: u64) {
        // A head takes some time, and none takes none.
        let odd = if (status == 0) == (microseconds == 0) { "" } else { ", at an odd time" };
        told("finished", choice, &format!(" {status}{odd}"));
    }
}
