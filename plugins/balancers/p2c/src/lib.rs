//! Balancer: the power of two choices. Of two endpoints drawn by chance, the one with fewer requests
//! in flight for its weight.
//!
//! With `latency`, what counts is the time that a request is likely to take there: those in flight,
//! with this one, times the endpoint's latency (Peak-EWMA). That is the host's moving average, but
//! a peak is taken at once and forgotten slowly, by half in seven seconds. An endpoint that has not
//! answered yet is tried; while it has not, its requests in flight weigh a second each.

use linkspan_plugin_balancing::hash::{Generator, below};
use linkspan_plugin_balancing::{Balancer, Choice, Host, Members, Turn, balancer};
use linkspan_plugin_common::config;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The balancer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct P2c {
    /// Whether latency counts.
    #[serde(default)]
    latency: bool,
    #[serde(skip)]
    random: Generator,
    /// The peak of each endpoint, and when it was.
    #[serde(skip)]
    peaks: BTreeMap<u32, (f64, u64)>,
}

/// The time in which a peak shrinks to a 1/e of what it is above the average, in nanoseconds.
const DECAY: f64 = 10e9;

/// What a request in flight weighs at an endpoint that has not answered yet, in nanoseconds.
const UNKNOWN: f64 = 1e9;

impl P2c {
    /// Two that compete; the same twice if there is but one, or by chance where weights differ.
    fn draw(&mut self, turn: &Turn<'_, impl Host>) -> Option<(usize, usize)> {
        let places = turn.competitors.places();
        if let [only] = places {
            return Some((*only, *only));
        }
        let (one, other) = (self.random.next(turn.host), self.random.next(turn.host));
        if !turn.members.even() {
            return turn.competitors.draw(one).zip(turn.competitors.draw(other));
        }
        let one = below(one, places.len() as u64);
        let other = below(other, (places.len() as u64).checked_sub(1)?);
        let other = if other < one { other } else { other + 1 };
        let at = |index: u64| places.get(usize::try_from(index).ok()?).copied();
        at(one).zip(at(other))
    }

    /// The better of two, the first of equals.
    fn better(&mut self, one: usize, other: usize, turn: &Turn<'_, impl Host>) -> usize {
        let of_one = self.burden(one, turn);
        // Nobody bears less than nothing.
        if of_one > 0.0 && self.burden(other, turn) < of_one { other } else { one }
    }

    /// What a member has to bear for its weight.
    fn burden(&mut self, place: usize, turn: &Turn<'_, impl Host>) -> f64 {
        let Some(member) = turn.members.at(place) else { return f64::INFINITY };
        let burden = match self.latency {
            true => self.time(member.id, turn.host),
            false => f64::from(turn.host.in_flight(member.id)),
        };
        burden / f64::from(member.state.weight.max(1))
    }

    /// The time that a request is likely to take at an endpoint.
    fn time(&mut self, id: u32, host: &impl Host) -> f64 {
        let in_flight = f64::from(host.in_flight(id));
        match self.peak(id, host.latency(id), host) {
            Some(latency) => (in_flight + 1.0) * latency,
            None => in_flight * UNKNOWN,
        }
    }

    fn peak(&mut self, id: u32, average: u64, host: &impl Host) -> Option<f64> {
        if average == 0 {
            return None;
        }
        let (average, now) = (average as f64, host.monotonic());
        let (peak, at) = self.peaks.entry(id).or_insert((average, now));
        let elapsed = now.saturating_sub(*at) as f64;
        *peak = average + (*peak - average).max(0.0) * (-elapsed / DECAY).exp();
        *at = now;
        Some(*peak)
    }
}

impl Balancer for P2c {
    fn configure(config: &str) -> Result<Self, String> {
        config::parse(config)
    }

    fn update(&mut self, members: &Members) {
        let mut kept: Vec<u32> = members.list().iter().map(|member| member.id).collect();
        kept.sort_unstable();
        self.peaks.retain(|id, _| kept.binary_search(id).is_ok());
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let Some((one, other)) = self.draw(turn) else { return Choice::None };
        if one == other {
            return Choice::At(one);
        }
        Choice::At(self.better(one, other, turn))
    }
}

balancer!(P2c);

#[cfg(test)]
mod tests;
