//! Balancer: the hash of lighttpd 1.5, bit for bit.
//!
//! The highest sum, modulo 2^32, of the CRC-32 of the path without the query, of the endpoint's
//! address, and of the lower-cased Host with its port; the first of equals. Because it is a sum,
//! this is a ring on which each endpoint has one point: shares are uneven, and when an endpoint
//! cannot be used, all of its requests go to one neighbour. `carp` is what has neither fault.

use linkspan_plugin_balancing::hash::crc32;
use linkspan_plugin_balancing::host::Part;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
use linkspan_plugin_common::config;
use std::cmp::Reverse;

/// The balancer.
#[derive(Default)]
pub struct LighttpdHash {
    /// The hashes of the endpoints, ascending, and their places, of equals the first last.
    ring: Vec<(u32, Reverse<usize>)>,
}

impl Balancer for LighttpdHash {
    fn configure(config: &str) -> Result<Self, String> {
        config::refuse_keys(config).map(|()| Self::default())
    }

    fn update(&mut self, members: &Members) {
        let places = members.distinct().iter().map(|distinct| distinct.place);
        let point = |place| Some((crc32(members.at(place)?.address.as_bytes()), Reverse(place)));
        self.ring = places.filter_map(point).collect();
        self.ring.sort_unstable();
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let hash = |part| turn.host.crc32(&part).unwrap_or(0);
        let request = hash(Part::Path).wrapping_add(hash(Part::Authority));
        // The highest sum is that of the highest hash that does not overflow, or else of the
        // highest of all; after it comes the one below.
        let below = self.ring.partition_point(|(endpoint, _)| *endpoint <= !request);
        let Some((before, after)) = self.ring.split_at_checked(below) else { return Choice::None };
        let mut descending = before.iter().rev().chain(after.iter().rev());
        let found = descending.find(|(_, Reverse(place))| turn.competitors.has(*place));
        found.map(|(_, Reverse(place))| *place).into()
    }
}

balancer!(LighttpdHash);

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_balancing::testing::{self, Script, endpoints, instance, tries};

    #[test]
    fn follows_its_vectors() {
        testing::vectors::check::<LighttpdHash>("lighttpd-hash");
    }

    #[test]
    fn keeps_the_promises_of_all_balancers() {
        testing::check_promises::<LighttpdHash>("{}", true);
    }

    #[test]
    fn the_ring_gives_the_order_of_the_sums() {
        let script = Script::default();
        let list = endpoints(40);
        let mut ring = instance::<LighttpdHash>("{}", list.clone(), &script);
        for key in 0..200 {
            let path = format!("/{key}");
            script.set_path(&path);
            let request = crc32(path.as_bytes()).wrapping_add(crc32(b""));
            let sum = |id: &u32| {
                let address = list[*id as usize].address.as_bytes();
                Reverse(request.wrapping_add(crc32(address)))
            };
            let mut expected: Vec<u32> = (0..40).collect();
            expected.sort_by_key(sum);
            assert_eq!(tries(&mut ring, &script), expected);
        }
    }
}
