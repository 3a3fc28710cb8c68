//! Balancer: the first endpoint of the list that can be used; the others are there for when it
//! cannot.
//!
//! After a failed attempt the next one of the list is tried, each once.

use linkspan_plugin_balancing::{Balancer, Choice, Host, Turn, balancer};
use linkspan_plugin_common::config;

/// The balancer.
pub struct FirstAlive;

impl Balancer for FirstAlive {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self)
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        turn.competitors.at_or_after(0).into()
    }
}

balancer!(FirstAlive);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing;

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<FirstAlive>("first-alive");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<FirstAlive>("{}", true);
        assert!(FirstAlive::configure("{\"a\":1}").is_err());
    }
}
