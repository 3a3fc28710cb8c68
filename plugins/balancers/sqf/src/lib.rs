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
    use linkspan_plugin_balancing::testing::{self, Script, endpoints, instance, pick};

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<ShortestQueueFirst>("sqf");
    }

    #[test]
    fn the_shortest_queue_is_found_among_few_and_among_many() {
        for count in [2, 8, 9, 40] {
            let script = Script::default();
            let mut balancer = instance::<ShortestQueueFirst>("{}", endpoints(count), &script);
            // A byte holds no more than 255, and not that.
            let loads = |id| [0, 253, 254, 255, 1000].map(|load| (id, load));
            for (shortest, load) in (0..count).flat_map(loads) {
                (0..count)
                    .for_each(|id| script.set_in_flight(id, load + u32::from(id != shortest)));
                assert_eq!(pick(&mut balancer, &script), Some(shortest), "of {count} at {load}");
            }
        }
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<ShortestQueueFirst>("{}", true);
    }
}
