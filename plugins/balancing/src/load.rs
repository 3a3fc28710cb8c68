//! Choosing by requests in flight.

use crate::Turn;
use crate::host::Host;
use serde::Deserialize;

/// The requests in flight at each place of the list.
#[derive(Debug)]
pub enum InFlight {
    /// Of a list that is no longer than that, with no more of them anywhere than a byte holds.
    Few([u8; FEW]),
    /// Of any list.
    Many(Vec<u32>),
}

/// The places whose requests in flight the host tells without memory for them.
const FEW: usize = 8;

/// What it tells in place of that many and more.
const MORE: u8 = u8::MAX;

impl InFlight {
    /// What the host tells of all members.
    pub fn of_all(turn: &Turn<'_, impl Host>) -> Self {
        if turn.members.list().len() <= FEW {
            let few = turn.host.in_flight_of_eight(0);
            if !few.contains(&MORE) {
                return Self::Few(few);
            }
        }
        Self::Many(turn.host.in_flight_of_all())
    }

    /// Those at a place of the list; 0 at others.
    pub fn by_place(&self) -> impl Fn(usize) -> u64 {
        |place| match self {
            Self::Few(few) => few.get(place).copied().map_or(0, u64::from),
            Self::Many(many) => many.get(place).copied().map_or(0, u64::from),
        }
    }
}

/// Who would have the fewest requests in flight for its weight with this one, the earliest of
/// equals.
pub fn least(turn: &Turn<'_, impl Host>) -> Option<usize> {
    let places = turn.competitors.places();
    let (first, more) = places.split_first()?;
    if more.is_empty() {
        return Some(*first);
    }
    let (even, many) = (turn.members.even(), turn.members.list().len() > FEW);
    if even && many {
        // Where it is quiet, the first that is idle is found without asking about all.
        let few = turn.host.in_flight_of_eight(0);
        let mut loads = places.iter().map_while(|place| Some((*place, few.get(*place)?)));
        if let Some((idle, _)) = loads.find(|(_, load)| **load == 0) {
            return Some(idle);
        }
    }
    let in_flight = InFlight::of_all(turn);
    let load = in_flight.by_place();
    if even {
        return places.iter().copied().min_by_key(|place| load(*place));
    }
    let share = |place: usize| {
        let weight = turn.members.at(place).map_or(1, |member| member.state.weight.max(1));
        (load(place) + 1, u64::from(weight))
    };
    let first = (*first, share(*first));
    let (place, _) = more.iter().fold(first, |(best, (load, weight)), place| {
        let (other, of) = share(*place);
        // load / weight > other / of, without the division.
        if load * of > other * weight { (*place, (other, of)) } else { (best, (load, weight)) }
    });
    Some(place)
}

/// How far above the average an endpoint may be loaded: `bounded-load`, off where there is none.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "f64")]
pub struct Bound(Option<f64>);

impl TryFrom<f64> for Bound {
    type Error = String;

    fn try_from(factor: f64) -> Result<Self, String> {
        if (1.01..=100.0).contains(&factor) {
            return Ok(Self(Some(factor)));
        }
        Err(format!("{factor} is no such bound, expected a number from 1.01 to 100"))
    }
}

impl Bound {
    /// The first of these endpoints, given by number, that competes and is not loaded beyond the
    /// bound.
    ///
    /// With this request, the bound is the factor times an endpoint's part of all requests in
    /// flight, by weight, rounded up: there always is somebody below it.
    pub fn first(
        self,
        mut order: impl Iterator<Item = usize>,
        turn: &Turn<'_, impl Host>,
    ) -> Option<usize> {
        let (members, competitors) = (turn.members, turn.competitors);
        let competing = |number: usize| {
            members.distinct().get(number).filter(|distinct| competitors.has(distinct.place))
        };
        if competitors.places().is_empty() {
            return None;
        }
        let Some(factor) = self.0 else {
            return order.find_map(competing).map(|distinct| distinct.place);
        };
        let in_flight = InFlight::of_all(turn);
        let load = in_flight.by_place();
        let all = members.distinct().iter().filter(|distinct| competitors.has(distinct.place));
        let (requests, weights) = all.fold((1, 0), |(requests, weights), distinct| {
            (requests + load(distinct.place), weights + distinct.weight)
        });
        let mut first = None;
        let with_room = order.filter_map(competing).find(|distinct| {
            first.get_or_insert(distinct.place);
            let part = distinct.weight as f64 / weights as f64;
            (load(distinct.place) as f64) < (factor * requests as f64 * part).ceil()
        });
        with_room.map(|distinct| distinct.place).or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_above_the_average() {
        for wrong in [1.0, 0.0, -1.0, f64::NAN, f64::INFINITY, 101.0] {
            assert!(Bound::try_from(wrong).is_err(), "{wrong}");
        }
        assert!(Bound::try_from(1.25).is_ok());
    }
}
