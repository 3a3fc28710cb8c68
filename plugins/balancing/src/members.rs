//! The members of a cluster in the order of its list, and who of them competes for an attempt.

use crate::bindings::exports::linkspan::plugin::balancer::{Endpoint, EndpointState};
use crate::hash;
use crate::tried::Tried;

/// The weight of an endpoint for which none is configured.
pub const USUAL_WEIGHT: u32 = 100;

/// An endpoint at one place of the list.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its number, the same at each place where the list names it.
    pub id: u32,
    /// Its address.
    pub address: String,
    /// The keys of its table that are for balancers to read.
    pub attributes: Vec<(String, String)>,
    /// Whether it may be used.
    pub state: EndpointState,
    /// When it stands in for others.
    pub role: Role,
    /// The set of which it is, 0 to 99.
    pub lbset: u8,
    /// Its number among the distinct endpoints, from 0, in the order in which the list names them.
    pub number: usize,
}

/// When a member competes: what `status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Always.
    Regular,
    /// In place of a regular one of its set that cannot.
    Spare,
    /// Where neither regular ones nor spares of its set can.
    Standby,
    /// Never.
    Stopped,
}

impl Member {
    fn new(endpoint: Endpoint, faults: &mut Vec<String>) -> Self {
        let mut member = Self {
            id: endpoint.id,
            address: endpoint.address,
            attributes: endpoint.attributes,
            state: endpoint.state,
            role: Role::Regular,
            lbset: 0,
            number: 0,
        };
        match member.attribute("status").map(role) {
            Some(Some(role)) => member.role = role,
            Some(None) => faults.push(format!(
                "endpoint {}: status: expected \"standby\", \"spare\", \"drain\", \"disabled\" or \
                 \"stopped\", found {:?}, which is ignored",
                member.address,
                member.attribute("status").unwrap_or_default(),
            )),
            None => {}
        }
        match member.attribute("lbset").map(str::parse) {
            Some(Ok(lbset @ 0..=99)) => member.lbset = lbset,
            Some(_) => faults.push(format!(
                "endpoint {}: lbset: expected 0 to 99, found {:?}, which is taken for 0",
                member.address,
                member.attribute("lbset").unwrap_or_default(),
            )),
            None => {}
        }
        member
    }

    /// A key of its table.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether requests that belong to nobody in particular may be sent there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_usable() && !self.state.draining
    }

    /// Whether requests that belong to it may be sent there.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state.usable && self.role != Role::Stopped
    }
}

/// The host knows `drain` and `disabled` itself, and says so in the state.
fn role(status: &str) -> Option<Role> {
    Some(match status {
        "standby" => Role::Standby,
        "spare" => Role::Spare,
        "stopped" => Role::Stopped,
        "drain" | "disabled" => Role::Regular,
        _ => return None,
    })
}

/// An endpoint of the list, wherever it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distinct {
    /// Its first place.
    pub place: usize,
    /// Its weights at all of its places, in hundredths.
    pub weight: u64,
}

/// The list.
#[derive(Debug)]
pub struct Members {
    list: Vec<Member>,
    distinct: Vec<Distinct>,
    lbsets: Vec<u8>,
    even: bool,
    competitors: Competitors,
}

impl Members {
    pub(crate) const fn new() -> Self {
        Self {
            list: Vec::new(),
            distinct: Vec::new(),
            lbsets: Vec::new(),
            even: true,
            competitors: Competitors { flags: Vec::new(), places: Vec::new(), sums: Vec::new() },
        }
    }

    /// Takes the whole list. Gives what is wrong with it, for the operator.
    pub(crate) fn update(&mut self, endpoints: Vec<Endpoint>) -> Vec<String> {
        let mut faults = Vec::new();
        self.list = endpoints.into_iter().map(|it| Member::new(it, &mut faults)).collect();
        let mut by_id: Vec<_> = (0..self.list.len()).collect();
        by_id.sort_by_key(|place| self.list.get(*place).map(|member| member.id));
        let mut firsts = Vec::new();
        let mut first_of = vec![0; self.list.len()];
        let mut last = None;
        for place in by_id {
            let id = self.list.get(place).map(|member| member.id);
            match last {
                Some((known, first)) if known == id => set(&mut first_of, place, first),
                _ => {
                    firsts.push(place);
                    set(&mut first_of, place, place);
                    last = Some((id, place));
                }
            }
        }
        firsts.sort_unstable();
        for (member, first) in self.list.iter_mut().zip(first_of) {
            member.number = firsts.binary_search(&first).unwrap_or(0);
        }
        self.distinct = firsts.into_iter().map(|place| Distinct { place, weight: 0 }).collect();
        self.lbsets = self.list.iter().map(|member| member.lbset).collect();
        self.lbsets.sort_unstable();
        self.lbsets.dedup();
        self.weigh();
        faults
    }

    /// Takes the states that have changed.
    pub(crate) fn change(&mut self, mut states: Vec<(u32, EndpointState)>) {
        states.sort_by_key(|(id, _)| *id);
        for member in &mut self.list {
            let found = states.binary_search_by_key(&member.id, |(id, _)| *id);
            if let Some((_, state)) = found.ok().and_then(|index| states.get(index)) {
                member.state = *state;
            }
        }
        self.weigh();
    }

    fn weigh(&mut self) {
        for distinct in &mut self.distinct {
            distinct.weight = 0;
        }
        for member in &self.list {
            if let Some(distinct) = self.distinct.get_mut(member.number) {
                distinct.weight += u64::from(member.state.weight);
            }
        }
        let first = self.list.first().map(|member| member.state.weight);
        self.even = self.list.iter().all(|member| Some(member.state.weight) == first);
        self.competitors = self.without(None);
    }

    /// The members, in order.
    #[must_use]
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    /// The member at a place.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Member> {
        self.list.get(place)
    }

    /// The endpoints, each once, by number.
    #[must_use]
    pub fn distinct(&self) -> &[Distinct] {
        &self.distinct
    }

    /// What consistent hashing is made of: the hash of each endpoint's address, and its weight, by
    /// number.
    #[must_use]
    pub fn hashed(&self) -> Vec<(u64, u64)> {
        let address = |place| self.at(place).map_or("", |member| &member.address);
        let hash = |it: &Distinct| (hash::fnv1a64_mixed(address(it.place).as_bytes()), it.weight);
        self.distinct.iter().map(hash).collect()
    }

    /// Whether all weights are the same.
    #[must_use]
    pub fn even(&self) -> bool {
        self.even
    }

    /// Who competes for a first attempt.
    #[must_use]
    pub fn competitors(&self) -> &Competitors {
        &self.competitors
    }

    /// Who competes when those have been tried.
    #[must_use]
    pub fn without(&self, tried: Option<Tried>) -> Competitors {
        let mut competitors = Competitors::default();
        competitors.flags.resize(self.list.len(), false);
        for lbset in &self.lbsets {
            self.compete(*lbset, tried, &mut competitors.places);
            if !competitors.places.is_empty() {
                break;
            }
        }
        let mut sum = 0;
        for place in &competitors.places {
            set(&mut competitors.flags, *place, true);
            if !self.even {
                sum += self.list.get(*place).map_or(0, |member| u64::from(member.state.weight));
                competitors.sums.push(sum);
            }
        }
        competitors
    }

    /// The places of one set that compete: regular ones, then spares; or standbys.
    fn compete(&self, lbset: u8, tried: Option<Tried>, places: &mut Vec<usize>) {
        let (mut spares, mut standbys) = (Vec::new(), Vec::new());
        let mut missing = 0;
        for (place, member) in self.list.iter().enumerate().filter(|(_, it)| it.lbset == lbset) {
            let tried = tried.is_some_and(|tried| tried.has(member.number, self.distinct.len()));
            match (member.role, member.is_open() && !tried) {
                (Role::Regular, true) => places.push(place),
                (Role::Regular | Role::Stopped, _) => missing += 1,
                (Role::Spare, true) => spares.push(place),
                (Role::Standby, true) => standbys.push(place),
                (Role::Spare | Role::Standby, false) => {}
            }
        }
        places.extend(spares.into_iter().take(missing));
        if places.is_empty() {
            places.append(&mut standbys);
        }
    }

    /// What these endpoints come to that were tried.
    pub(crate) fn tried(&self, ids: &[u32]) -> Tried {
        let found = ids.iter().filter_map(|id| self.at(self.place(*id)?));
        found.fold(Tried::default(), |tried, it| tried.with(it.number, self.distinct.len()))
    }

    /// The first place of an endpoint.
    pub(crate) fn place(&self, id: u32) -> Option<usize> {
        self.list.iter().position(|member| member.id == id)
    }
}

fn set<T>(list: &mut [T], place: usize, value: T) {
    if let Some(old) = list.get_mut(place) {
        *old = value;
    }
}

/// Who competes for an attempt.
#[derive(Debug, Default)]
pub struct Competitors {
    flags: Vec<bool>,
    places: Vec<usize>,
    /// The weights of these, summed up to each; empty where all weights are the same.
    sums: Vec<u64>,
}

impl Competitors {
    /// Their places: regular ones in the order of the list, then spares.
    #[must_use]
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// Whether the member at a place is one.
    #[must_use]
    pub fn has(&self, place: usize) -> bool {
        self.flags.get(place).copied().unwrap_or(false)
    }

    /// The first at or after a place, once around the list.
    #[must_use]
    pub fn at_or_after(&self, place: usize) -> Option<usize> {
        if self.has(place) {
            return Some(place);
        }
        let (before, after) = self.flags.split_at_checked(place)?;
        let competes = |flag: &bool| *flag;
        let found = after.iter().position(competes).map(|offset| place + offset);
        found.or_else(|| before.iter().position(competes))
    }

    /// One by chance, as likely as its weight says, from a random number.
    #[must_use]
    pub fn draw(&self, random: u64) -> Option<usize> {
        let index = match self.sums.last() {
            Some(sum) => {
                let drawn = hash::below(random, *sum);
                self.sums.partition_point(|sum| *sum <= drawn)
            }
            None => usize::try_from(hash::below(random, self.places.len() as u64)).ok()?,
        };
        self.places.get(index).copied()
    }
}

#[cfg(test)]
mod tests;
