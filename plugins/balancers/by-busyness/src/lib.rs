//! Balancer: Apache's `bybusyness`. The endpoint with the fewest requests in progress; of equals
//! the one that `by-requests` owes most, of these the first.

use linkspan_plugin_balancing::load::InFlight;
use linkspan_plugin_balancing::smooth::Smooth;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
use linkspan_plugin_common::config;

/// The balancer.
pub struct ByBusyness(Smooth);

impl Balancer for ByBusyness {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self(Smooth::default()))
    }

    fn update(&mut self, members: &Members) {
        self.0.update(members);
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let in_flight = InFlight::of_all(turn);
        self.0.elect_least(turn, in_flight.by_place()).into()
    }
}

balancer!(ByBusyness);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing;

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<ByBusyness>("by-busyness");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<ByBusyness>("{}", true);
    }
}
