//! Balancer: the first endpoint of the list that can be used; the others are there for when it
//! cannot.
//!
//! After a failed attempt the next one of the list is tried, each once. An endpoint that is being
//! drained is passed over.

use crate::bindings::exports::linkspan::plugin::balancer;
use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::linkspan::plugin::types::Picked;
use linkspan_plugin_common::config;
use linkspan_plugin_common::members::{Member, Members};
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
    static MEMBERS: RefCell<Members> = const { RefCell::new(Members::new()) };
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        config::refuse_keys(&config)
    }
}

impl balancer::Guest for Plugin {
    fn update(_cluster: u32, endpoints: Vec<balancer::Endpoint>) {
        let list = endpoints.iter().map(|endpoint| member(endpoint.id, endpoint.state)).collect();
        MEMBERS.with_borrow_mut(|members| members.update(list));
    }

    fn changed(_cluster: u32, states: Vec<(u32, balancer::EndpointState)>) {
        let changed = states.into_iter().map(|(id, state)| member(id, state)).collect();
        MEMBERS.with_borrow_mut(|members| members.change(changed));
    }

    fn pick(_cluster: u32, _attempt: u32, previous: Option<Picked>) -> balancer::Choice {
        let choice = MEMBERS.with_borrow(|members| match previous {
            None => members.first(0),
            Some(Picked { id, token }) => members.next(id, token),
        });
        choice.map_or(balancer::Choice::None, |choice| {
            balancer::Choice::Endpoint(Picked { id: choice.id, token: choice.token })
        })
    }
}

fn member(id: u32, state: balancer::EndpointState) -> Member {
    Member { id, open: state.usable && !state.draining, weight: state.weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use balancer::Guest;

    fn endpoint(id: u32) -> balancer::Endpoint {
        let state = balancer::EndpointState { usable: true, draining: false, weight: 100 };
        balancer::Endpoint { id, address: format!("10.0.0.{id}:80"), state, attributes: Vec::new() }
    }

    fn pick(previous: Option<Picked>) -> Option<Picked> {
        match Plugin::pick(0, u32::from(previous.is_some()), previous) {
            balancer::Choice::Endpoint(picked) => Some(picked),
            balancer::Choice::Next | balancer::Choice::None => None,
        }
    }

    #[test]
    fn the_first_usable_one_then_the_next() {
        assert!(pick(None).is_none());
        Plugin::update(0, vec![endpoint(1), endpoint(2), endpoint(3)]);
        assert_eq!(pick(None).unwrap().id, 1);
        let second = pick(pick(None)).unwrap();
        assert_eq!(second.id, 2);
        assert_eq!(pick(None).unwrap().id, 1, "another request begins at the front");
        let third = pick(Some(second)).unwrap();
        assert_eq!(third.id, 3);
        assert!(pick(Some(third)).is_none());

        Plugin::changed(
            0,
            vec![(1, balancer::EndpointState { usable: false, draining: false, weight: 100 })],
        );
        assert_eq!(pick(None).unwrap().id, 2);
        Plugin::changed(
            0,
            vec![(2, balancer::EndpointState { usable: true, draining: true, weight: 100 })],
        );
        assert_eq!(pick(None).unwrap().id, 3);
        Plugin::changed(
            0,
            vec![(1, balancer::EndpointState { usable: true, draining: false, weight: 100 })],
        );
        assert_eq!(pick(None).unwrap().id, 1);
    }
}
