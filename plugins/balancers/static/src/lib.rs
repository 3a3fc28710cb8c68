//! Balancer: lighttpd's `static`. The first endpoint of the list that can be used; the others are
//! there for failover only.
//!
//! The same as `first-alive`, which is Monkey's name for it.

use linkspan_plugin_balancing::{Balancer, Choice, Host, Turn, balancer};
use linkspan_plugin_common::config;

/// The balancer.
pub struct Static;

impl Balancer for Static {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self)
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        turn.competitors.at_or_after(0).into()
    }
}

balancer!(Static);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing;

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<Static>("static");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<Static>("{}", true);
    }
}
