//! Balancer: Monkey's least connections. The endpoint with the fewest requests in flight for its
//! weight, the first of equals.
//!
//! After a failed attempt the next one of the list is tried, each once, unless `strict` is set,
//! which is how Monkey does it: one attempt.

use linkspan_plugin_balancing::{Balancer, Choice, Host, Turn, balancer, load};
use linkspan_plugin_common::config;
use serde::Deserialize;

/// The balancer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeastConnections {
    /// Whether there is one attempt only.
    #[serde(default)]
    strict: bool,
}

impl Balancer for LeastConnections {
    fn configure(config: &str) -> Result<Self, String> {
        config::parse(config)
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        match turn.previous {
            _ if self.strict && turn.attempt > 0 => Choice::None,
            Some(previous) => turn.competitors.at_or_after(previous).into(),
            None => load::least(turn).into(),
        }
    }
}

balancer!(LeastConnections);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing;

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<LeastConnections>("least-connections");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<LeastConnections>("{}", true);
        testing::check_promises::<LeastConnections>("{\"strict\":true}", false);
    }

    #[test]
    fn says_what_is_wrong_with_its_configuration() {
        let error = |config| LeastConnections::configure(config).err().unwrap();
        assert_eq!(error("{\"strict\":1}"), "strict: this is an integer, expected a boolean");
        assert!(error("{\"strikt\":true}").starts_with("strikt: unknown key"));
    }
}
