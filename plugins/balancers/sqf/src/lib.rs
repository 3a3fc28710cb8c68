//! Balancer: lighttpd's shortest queue first, which it also called `fair`. The endpoint with the
//! fewest requests in flight for its weight, the first of equals.
//!
//! After a failed attempt the shortest queue of the others is taken. lighttpd counts idle
//! connections as well; here only requests count.

use linkspan_plugin_balancing::{Balancer, Choice, Host, Turn, balancer, load};
use linkspan_plugin_common::config;

/// The balancer.
pub struct ShortestQueueFirst;

impl Balancer for ShortestQueueFirst {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self)
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        load::least(turn).into()
    }
}

balancer!(ShortestQueueFirst);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing;

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<ShortestQueueFirst>("sqf");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<ShortestQueueFirst>("{}", true);
    }
}
