//! Balancer: Maglev's consistent hashing (Eisenbud et al., 2016).
//!
//! The endpoints fill a table in turns, by weight, each claiming its next free place in an order of
//! its own that hashes of its address give. A part of the request, the path unless `key` says
//! otherwise, has a place in the table. Shares are even to a per cent; when an endpoint leaves, few
//! requests move but its own, and none when it merely cannot be used. With `bounded-load`, an
//! endpoint that has more than that many times its part of all requests in flight is passed over. A
//! request without the key goes to an endpoint by chance.

use linkspan_plugin_balancing::hash::{Generator, below, mix};
use linkspan_plugin_balancing::key::Key;
use linkspan_plugin_balancing::load::Bound;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
use linkspan_plugin_common::config;
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The balancer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Maglev {
    /// What is hashed.
    #[serde(default)]
    key: Key,
    /// How far above the average an endpoint may be loaded.
    #[serde(default)]
    bounded_load: Bound,
    /// What the table is made of: the hash of each endpoint's address, and its weight.
    #[serde(skip)]
    made_of: Vec<(u64, u64)>,
    /// The numbers of endpoints.
    #[serde(skip)]
    table: Vec<u32>,
    #[serde(skip)]
    random: Generator,
}

/// The size of the table, and that for more than a thousand endpoints. Primes.
const SIZES: [usize; 2] = [65_537, 131_071];

impl Balancer for Maglev {
    fn configure(config: &str) -> Result<Self, String> {
        config::parse(config)
    }

    fn update(&mut self, members: &Members) {
        let made_of = members.hashed();
        if made_of != self.made_of {
            self.table = table(&made_of);
            self.made_of = made_of;
        }
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let Some(hash) = self.key.hash(turn.host) else {
            return turn.competitors.draw(self.random.next(turn.host)).into();
        };
        let place = usize::try_from(below(hash, self.table.len() as u64)).unwrap_or(0);
        let Some((before, after)) = self.table.split_at_checked(place) else {
            return Choice::None;
        };
        let number = |number: &u32| usize::try_from(*number).unwrap_or(usize::MAX);
        self.bounded_load.first(after.iter().chain(before).map(number), turn).into()
    }
}

/// Who claims its next place: the one whose turn is earliest, of equals the one with the least hash,
/// so that the order of the list does not matter.
fn table(made_of: &[(u64, u64)]) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let size = if made_of.len() <= 1_000 { SIZES[0] } else { SIZES[1] };
    if made_of.is_empty() {
        return Vec::new();
    }
    let mut table = vec![FREE; size];
    // The order of each: where it begins, and how far its steps are.
    let orders: Vec<_> = made_of
        .iter()
        .map(|(hash, _)| {
            let (offset, step) =
                (below(*hash, size as u64), below(mix(*hash), size as u64 - 1) + 1);
            (usize::try_from(offset).unwrap_or(0), usize::try_from(step).unwrap_or(1))
        })
        .collect();
    let mut next: Vec<usize> = orders.iter().map(|(offset, _)| *offset).collect();
    // A turn of a weight of 1 in 100 lasts as long as all turns of a weight of 1.
    let lasts = |weight: u64| (1_u64 << 40) / weight.max(1);
    let turn = |(number, (hash, weight)): (u32, &(u64, u64))| {
        Reverse((lasts(*weight), *hash, number, lasts(*weight)))
    };
    let mut turns: BinaryHeap<_> = (0..).zip(made_of).map(turn).collect();
    for _ in 0..size {
        let Some(mut earliest) = turns.peek_mut() else { break };
        let Reverse((time, _, number, lasts)) = &mut *earliest;
        *time += *lasts;
        let number = *number;
        drop(earliest);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let (Some((_, step)), Some(place)) = (orders.get(index), next.get_mut(index)) else {
            break;
        };
        loop {
            let here = *place;
            *place = if here + step < size { here + step } else { here + step - size };
            match table.get_mut(here) {
                Some(owner) if *owner == FREE => {
                    *owner = number;
                    break;
                }
                _ => {}
            }
        }
    }
    table
}

balancer!(Maglev);

#[cfg(test)]
mod tests;
