//! Balancer: consistent hashing on a ring.
//!
//! Every endpoint has points on the ring, a hundred for a weight of 1, where hashes of its address
//! put them. A part of the request, the path unless `key` says otherwise, has one; the endpoint of
//! the next point is taken. When an endpoint leaves or cannot be used, its requests go to those
//! whose points come next, and nobody else's move. With `bounded-load`, an endpoint that has more
//! than that many times its part of all requests in flight is passed over. A request without the
//! key goes to an endpoint by chance.

use linkspan_plugin_balancing::hash::{Generator, fnv1a64_mixed, mix};
use linkspan_plugin_balancing::key::Key;
use linkspan_plugin_balancing::load::Bound;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
use linkspan_plugin_common::config;
use serde::Deserialize;

/// The balancer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RingHash {
    /// What is hashed.
    #[serde(default)]
    key: Key,
    /// How far above the average an endpoint may be loaded.
    #[serde(default)]
    bounded_load: Bound,
    /// What the ring is made of: the hash of each endpoint's address, and its weight.
    #[serde(skip)]
    made_of: Vec<(u64, u64)>,
    /// In ascending order: a hash in the upper half, in the lower the number of its endpoint.
    #[serde(skip)]
    points: Vec<u64>,
    #[serde(skip)]
    random: Generator,
}

/// The most points; where weights ask for more, all have half as many, and so on. To sort so many
/// takes a quarter of the time that an update may take.
const POINTS: u64 = 1 << 18;

impl Balancer for RingHash {
    fn configure(config: &str) -> Result<Self, String> {
        config::parse(config)
    }

    fn update(&mut self, members: &Members) {
        let made_of = members.hashed();
        if made_of != self.made_of {
            self.points = points(&made_of);
            self.made_of = made_of;
        }
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let Some(hash) = self.key.hash(turn.host) else {
            return turn.competitors.draw(self.random.next(turn.host)).into();
        };
        let start = self.points.partition_point(|point| point >> 32 < hash >> 32);
        let Some((before, after)) = self.points.split_at_checked(start) else {
            return Choice::None;
        };
        let number =
            |point: &u64| usize::try_from(point & u64::from(u32::MAX)).unwrap_or(usize::MAX);
        self.bounded_load.first(after.iter().chain(before).map(number), turn).into()
    }
}

fn points(made_of: &[(u64, u64)]) -> Vec<u64> {
    let mut scale = 0;
    let of = |weight: u64, scale: u32| (weight >> scale).max(1);
    while scale < 32 && made_of.iter().map(|(_, weight)| of(*weight, scale)).sum::<u64>() > POINTS {
        scale += 1;
    }
    let mut points = Vec::new();
    for (number, (hash, weight)) in (0_u64..).zip(made_of) {
        let point =
            |index: u64| mix(hash ^ fnv1a64_mixed(&index.to_le_bytes())) >> 32 << 32 | number;
        points.extend((0..of(*weight, scale)).map(point));
    }
    points.sort_unstable();
    points
}

balancer!(RingHash);

#[cfg(test)]
mod tests;
