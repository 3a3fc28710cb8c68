//! Balancer: Apache's `byrequests`. Every endpoint as often as its weight says, as evenly spread as
//! that allows.
//!
//! Each election, everyone who competes is owed its weight more; who is owed most, the first of
//! equals, is elected and gives all of that back. After a failed attempt there is another election.

use linkspan_plugin_balancing::smooth::Smooth;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
use linkspan_plugin_common::config;

/// The balancer.
pub struct ByRequests(Smooth);

impl Balancer for ByRequests {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self(Smooth::default()))
    }

    fn update(&mut self, members: &Members) {
        self.0.update(members);
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        self.0.elect(turn).into()
    }
}

balancer!(ByRequests);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing;

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<ByRequests>("by-requests");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<ByRequests>("{}", true);
    }
}
