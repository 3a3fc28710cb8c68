//! Balancer: Apache's `bytraffic`. The endpoint with the fewest bytes, those sent and those received
//! each divided by its weight without remainder; the first of equals.
//!
//! Bytes only become more, so what was seen of an endpoint is the least that it has. Only those
//! are asked about that might be the one, which mostly is one or two of all.

use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
use linkspan_plugin_common::config;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The balancer.
#[derive(Default)]
pub struct ByTraffic {
    /// Who competes for first attempts: what was seen of each, its rank among them, its place.
    seen: BinaryHeap<Reverse<(u64, usize, usize)>>,
}

fn traffic(place: usize, turn: &Turn<'_, impl Host>) -> u64 {
    let Some(member) = turn.members.at(place) else { return u64::MAX };
    let weight = u64::from(member.state.weight.max(1));
    let (sent, received) = (turn.host.bytes_sent(member.id), turn.host.bytes_received(member.id));
    (sent / weight).saturating_add(received / weight)
}

impl Balancer for ByTraffic {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self::default())
    }

    fn update(&mut self, members: &Members) {
        let ranked = members.competitors().places().iter().enumerate();
        self.seen = ranked.map(|(rank, place)| Reverse((0, rank, *place))).collect();
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        if turn.tried.is_some() {
            let places = turn.competitors.places().iter().copied();
            return places.min_by_key(|place| traffic(*place, turn)).into();
        }
        while let Some(Reverse((seen, _, place))) = self.seen.peek().copied() {
            let now = traffic(place, turn);
            if now <= seen {
                return Choice::At(place);
            }
            if let Some(mut least) = self.seen.peek_mut() {
                least.0.0 = now;
            }
        }
        Choice::None
    }
}

balancer!(ByTraffic);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing::{self, Script, endpoints, instance, pick};

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<ByTraffic>("by-traffic");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<ByTraffic>("{}", true);
    }

    #[test]
    fn asking_about_few_gives_what_asking_about_all_would() {
        let script = Script::default();
        let mut balancer = instance::<ByTraffic>("{}", endpoints(7), &script);
        let mut bytes = [(0, 0); 7];
        for round in 0..5_000_u64 {
            let burden = |place: &usize| bytes[*place].0 / 100 + bytes[*place].1 / 100;
            let expected = (0..7).min_by_key(burden).unwrap();
            assert_eq!(pick(&mut balancer, &script), u32::try_from(expected).ok());
            // Others' requests end, too.
            for place in [expected, usize::try_from(round * 5 % 7).unwrap()] {
                bytes[place].0 += round * 31 % 250;
                bytes[place].1 += round * 17 % 900;
                let id = u32::try_from(place).unwrap();
                script.set_bytes(id, bytes[place].0, bytes[place].1);
            }
        }
    }
}
