//! Balancer: the Cache Array Routing Protocol (draft-vinod-carp-v1-03), which lighttpd calls `hash`.
//!
//! A part of the request, the path unless `key` says otherwise, gives every endpoint a score; the
//! highest is taken, the first of equals. When an endpoint cannot be used, its requests spread over
//! all others, and nobody else's move. Weights are the protocol's load factors: when members of
//! different weights come or go, the factors of the others change a little, and some requests move.
//! A request without the key goes to an endpoint by chance.

use linkspan_plugin_balancing::hash::{Generator, carp_member, carp_score};
use linkspan_plugin_balancing::key::Key;
use linkspan_plugin_balancing::members::Distinct;
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
use linkspan_plugin_common::config;
use serde::Deserialize;

/// The balancer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carp {
    /// What is hashed.
    #[serde(default)]
    key: Key,
    /// The place, the hash and the load multiplier of each endpoint.
    #[serde(skip)]
    array: Vec<(usize, u32, f64)>,
    #[serde(skip)]
    random: Generator,
}

impl Balancer for Carp {
    fn configure(config: &str) -> Result<Self, String> {
        config::parse(config)
    }

    fn update(&mut self, members: &Members) {
        let distinct = members.distinct();
        let weights: Vec<u64> = distinct.iter().map(|distinct| distinct.weight).collect();
        let member = |(distinct, multiplier): (&Distinct, f64)| {
            let address = members.at(distinct.place)?.address.as_bytes();
            Some((distinct.place, carp_member(address), multiplier))
        };
        self.array = distinct.iter().zip(multipliers(&weights)).filter_map(member).collect();
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let Some(url) = self.key.carp(turn.host) else {
            return turn.competitors.draw(self.random.next(turn.host)).into();
        };
        let mut best: Option<(usize, f64)> = None;
        for (place, member, multiplier) in &self.array {
            let score = f64::from(carp_score(url, *member)) * multiplier;
            if turn.competitors.has(*place) && best.is_none_or(|(_, highest)| score > highest) {
                best = Some((*place, score));
            }
        }
        best.map(|(place, _)| place).into()
    }
}

/// What scores are multiplied by, so that members win as often as their weights say.
///
/// With K members, their relative weights p in ascending order, and p(0) = X(0) = 0:
/// X(k) = ((K-k+1) (p(k) - p(k-1)) / (X(1) ... X(k-1)) + X(k-1)^(K-k+1)) ^ (1 / (K-k+1)).
fn multipliers(weights: &[u64]) -> Vec<f64> {
    if weights.windows(2).all(|pair| matches!(pair, [one, other] if one == other)) {
        return vec![1.0; weights.len()];
    }
    let sum: u64 = weights.iter().sum();
    let mut ascending: Vec<_> = weights.iter().copied().zip(0..).collect();
    ascending.sort_unstable();
    let mut multipliers = vec![1.0; weights.len()];
    let (mut product, mut x, mut before) = (1.0, 0.0_f64, 0.0);
    for (rank, (weight, index)) in ascending.into_iter().enumerate() {
        let left = (weights.len() - rank) as f64;
        let weight = weight as f64 / sum as f64;
        x = (left * (weight - before) / product + x.powf(left)).powf(left.recip());
        product *= x;
        before = weight;
        let index: usize = index;
        if let Some(multiplier) = multipliers.get_mut(index) {
            *multiplier = x;
        }
    }
    multipliers
}

balancer!(Carp);

#[cfg(test)]
mod tests;
