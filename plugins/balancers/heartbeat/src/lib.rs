//! Balancer: Apache's `heartbeat`. An endpoint by chance, as likely as it has open slots by its own
//! account, times its weight.
//!
//! The account is what it answers to active checks: the number `ready`, for as long as that is no
//! older than `max-age`. One that has nothing to do, `busy` being 0, has probably just begun, and
//! counts for a quarter, so as not to be flooded (Apache's quarter of less than four is nobody, here
//! it is one slot). Where nobody has open slots, nobody is picked. For Apache's mod_status, the keys
//! `ready` and `busy` take other names of the numbers: `IdleWorkers` and `BusyWorkers`.

use linkspan_plugin_balancing::hash::{Generator, below};
use linkspan_plugin_balancing::{Balancer, Choice, Competitors, Host, Members, Turn, balancer};
use linkspan_plugin_common::{config, time};
use serde::Deserialize;

/// The balancer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Heartbeat {
    /// The name of the number of slots that are open.
    ready: String,
    /// The name of the number of those that are not.
    busy: String,
    /// How old an answer may be.
    max_age: Age,
    /// The open slots by place, the chances of who competes for first attempts, and when they were
    /// looked at.
    #[serde(skip)]
    slots: Vec<u64>,
    #[serde(skip)]
    usual: Chances,
    #[serde(skip)]
    looked: Option<u64>,
    #[serde(skip)]
    random: Generator,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            ready: "ready".to_owned(),
            busy: "busy".to_owned(),
            max_age: Age(10_000),
            slots: Vec::new(),
            usual: Chances::default(),
            looked: None,
            random: Generator::default(),
        }
    }
}

/// How long what was looked at counts, in nanoseconds: endpoints say something new every second at
/// most.
const LOOK: u64 = 100_000_000;

/// How likely competitors are: the slots of each times its weight, summed up to each.
#[derive(Default)]
struct Chances(Vec<u64>);

impl Chances {
    fn of(competitors: &Competitors, members: &Members, slots: &[u64]) -> Self {
        let chance = |place: usize| {
            let weight = members.at(place).map_or(0, |member| member.state.weight);
            slots.get(place).map_or(0, |slots| slots.saturating_mul(weight.into()))
        };
        let sums = competitors.places().iter().scan(0_u64, |sum, place| {
            *sum = sum.saturating_add(chance(*place));
            Some(*sum)
        });
        Self(sums.collect())
    }

    fn draw(&self, competitors: &Competitors, random: u64) -> Option<usize> {
        let drawn = below(random, *self.0.last()?);
        competitors.places().get(self.0.partition_point(|sum| *sum <= drawn)).copied()
    }
}

impl Heartbeat {
    fn look(&mut self, turn: &Turn<'_, impl Host>) {
        let of_all = |name| turn.host.reported_of_all(name, self.max_age.0);
        let open = |(ready, busy): (Option<u64>, Option<u64>)| match (ready.unwrap_or(0), busy) {
            (ready, Some(0)) => ready.div_ceil(4),
            (ready, _) => ready,
        };
        self.slots = of_all(&self.ready).into_iter().zip(of_all(&self.busy)).map(open).collect();
        self.usual = Chances::of(turn.members.competitors(), turn.members, &self.slots);
    }
}

impl Balancer for Heartbeat {
    fn configure(config: &str) -> Result<Self, String> {
        config::parse(config)
    }

    fn update(&mut self, _members: &Members) {
        self.looked = None;
    }

    fn pick(&mut self, turn: &Turn<'_, impl Host>) -> Choice {
        let now = turn.host.monotonic();
        if self.looked.is_none_or(|at| now.saturating_sub(at) >= LOOK) {
            self.look(turn);
            self.looked = Some(now);
        }
        let random = self.random.next(turn.host);
        match turn.tried {
            None => self.usual.draw(turn.competitors, random),
            Some(_) => Chances::of(turn.competitors, turn.members, &self.slots)
                .draw(turn.competitors, random),
        }
        .into()
    }
}

/// A time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Age(u64);

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match time::milliseconds(&text)? {
            0 => Err(format!("{text:?} is no time, expected more than that, such as \"10s\"")),
            time => Ok(Self(time)),
        }
    }
}

balancer!(Heartbeat);

#[cfg(test)]
mod tests;
