//! Balancer: an endpoint by chance, each as likely as its weight says. What lighttpd 1.5 calls
//! `round-robin`.
//!
//! An endpoint that is listed twice is twice as likely.

use linkspan_plugin_balancing::hash::Generator;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Turn, balancer};
use linkspan_plugin_common::config;

/// The balancer.
pub struct Random(Generator);

impl Balancer for Random {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self(Generator::default()))
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        turn.competitors.draw(self.0.next(turn.host)).into()
    }
}

balancer!(Random);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing::{self, Script, endpoint, endpoints, instance};

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<Random>("random");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<Random>("{}", true);
    }

    #[test]
    fn everybody_gets_what_the_weights_say() {
        let script = Script::default();
        let mut even = instance::<Random>("{}", endpoints(10), &script);
        let shares = testing::shares(&mut even, &script, 10, 100_000);
        // Five times the standard deviation, which is 95.
        assert!(shares.iter().all(|share| share.abs_diff(10_000) < 475), "{shares:?}");

        let mut list = endpoints(3);
        list[2].state.weight = 250;
        list.push(endpoint(0));
        let mut weighted = instance::<Random>("{}", list, &script);
        let shares = testing::shares(&mut weighted, &script, 3, 55_000);
        for (share, expected) in shares.iter().zip([20_000, 10_000, 25_000_usize]) {
            assert!(share.abs_diff(expected) < 600, "{shares:?}");
        }
    }
}
