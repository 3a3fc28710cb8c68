//! Balancer: Monkey's `naive`. The endpoint whose place on the list is the slot of the client's
//! connection, modulo the length of the list.
//!
//! A slot is the smallest number that no other open connection has, as a socket's descriptor is:
//! few clients at a time use the front of the list, and each stays with its endpoint as long as its
//! connection is open. After a failed attempt the next one of the list is tried, each once.

use linkspan_plugin_balancing::{Balancer, Choice, Host, Turn, balancer};
use linkspan_plugin_common::config;

/// The balancer.
pub struct Naive;

impl Balancer for Naive {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self)
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let slot = usize::try_from(turn.host.connection_slot()).unwrap_or(0);
        let start = slot.checked_rem(turn.members.list().len());
        start.and_then(|start| turn.competitors.at_or_after(start)).into()
    }
}

balancer!(Naive);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing;

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<Naive>("naive");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<Naive>("{}", true);
    }
}
