//! The members of a cluster in the order of its list, and the way along that list from one attempt
//! to the next.

use std::mem;

/// An endpoint at one place of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number, the same at each place where the list names it.
    pub id: u32,
    /// Whether requests that belong to nobody in particular may be sent there: usable and not
    /// draining.
    pub open: bool,
    /// Its weight in hundredths.
    pub weight: u32,
}

/// A member chosen for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its number.
    pub id: u32,
    /// Its place on the list.
    pub place: usize,
    /// What finds the next one if this attempt fails: the place where the request began, and this
    /// one. All that is known of a request travels with it, so requests do not disturb each other's
    /// order.
    pub token: u64,
}

/// The list.
#[derive(Debug, Default)]
pub struct Members(Vec<Member>);

impl Members {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The members, in order.
    #[must_use]
    pub fn list(&self) -> &[Member] {
        &self.0
    }

    /// Takes the whole list and gives the one before.
    pub fn update(&mut self, list: Vec<Member>) -> Vec<Member> {
        mem::replace(&mut self.0, list)
    }

    /// Takes the members whose state has changed.
    pub fn change(&mut self, mut changed: Vec<Member>) {
        changed.sort_unstable_by_key(|member| member.id);
        for member in &mut self.0 {
            let found = changed.binary_search_by_key(&member.id, |changed| changed.id);
            if let Some(changed) = found.ok().and_then(|index| changed.get(index)) {
                *member = *changed;
            }
        }
    }

    /// Begins a request with the first open member at or after that place, once around the list.
    #[must_use]
    pub fn first(&self, start: usize) -> Option<Choice> {
        let (before, after) = self.0.split_at_checked(start)?;
        let open = |member: &Member| member.open;
        let place = after
            .iter()
            .position(open)
            .map(|offset| start + offset)
            .or_else(|| before.iter().position(open))?;
        self.choice(place, place)
    }

    /// Begins a request with that member.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<Choice> {
        self.choice(place, place)
    }

    /// The next open member that the request has not tried, after the attempt at `id` with that
    /// token has failed.
    #[must_use]
    pub fn next(&self, id: u32, token: u64) -> Option<Choice> {
        let (first, here) = match self.places(token) {
            Some((first, here)) if self.0.get(here)?.id == id => (first, here),
            // Another balancer's token, or the list has changed in between.
            _ => match self.0.iter().position(|member| member.id == id) {
                Some(place) => (place, place),
                None => return self.first(0),
            },
        };
        let length = self.0.len();
        let past = (here + length - first) % length;
        let around = || self.0.iter().cycle().skip(first);
        around().take(length).enumerate().skip(past + 1).find_map(|(distance, member)| {
            let untried = member.open && around().take(past + 1).all(|tried| tried.id != member.id);
            untried.then(|| self.choice(first, (first + distance) % length))?
        })
    }

    fn choice(&self, first: usize, place: usize) -> Option<Choice> {
        let token = (first as u64) << 32 | place as u64;
        self.0.get(place).map(|member| Choice { id: member.id, place, token })
    }

    /// The places that a token speaks of, if the list has them.
    fn places(&self, token: u64) -> Option<(usize, usize)> {
        let place = |bits: u64| usize::try_from(bits).ok().filter(|place| *place < self.0.len());
        Some((place(token >> 32)?, place(token & u64::from(u32::MAX))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ids: &[u32]) -> Members {
        Members(ids.iter().map(|id| Member { id: *id, open: true, weight: 100 }).collect())
    }

    /// The numbers tried by a request that begins at `start` and always fails.
    fn tries(members: &Members, start: usize) -> Vec<u32> {
        let mut tried = Vec::new();
        let mut choice = members.first(start);
        while let Some(Choice { id, token, .. }) = choice {
            tried.push(id);
            choice = members.next(id, token);
        }
        tried
    }

    #[test]
    fn a_request_goes_once_around_the_list() {
        assert_eq!(tries(&members(&[1, 2, 3]), 0), [1, 2, 3]);
        assert_eq!(tries(&members(&[1, 2, 3]), 2), [3, 1, 2]);
        assert!(tries(&members(&[]), 0).is_empty());
    }

    #[test]
    fn a_repeated_member_is_tried_once() {
        assert_eq!(tries(&members(&[1, 2, 1, 3, 1, 2]), 0), [1, 2, 3]);
        assert_eq!(tries(&members(&[1, 2, 1, 3, 1, 2]), 4), [1, 2, 3]);
        assert_eq!(tries(&members(&[1, 1, 1]), 1), [1]);
    }

    #[test]
    fn closed_members_are_passed_over() {
        let mut members = members(&[1, 2, 3, 2]);
        members.change(vec![Member { id: 2, open: false, weight: 100 }]);
        assert_eq!(tries(&members, 1), [3, 1]);
        members.change(vec![
            Member { id: 3, open: false, weight: 100 },
            Member { id: 1, open: false, weight: 100 },
        ]);
        assert!(tries(&members, 0).is_empty());
    }

    #[test]
    fn a_changed_list_or_a_strange_token_ends_no_request() {
        let mut list = members(&[1, 2, 3]);
        let choice = list.first(1).unwrap();
        list.update(members(&[4, 5, 2, 6]).0);
        assert_eq!(list.next(choice.id, choice.token).unwrap().id, 6);
        list.update(members(&[7]).0);
        assert_eq!(list.next(choice.id, choice.token).unwrap().id, 7);
        assert_eq!(members(&[1, 2]).next(1, u64::MAX).unwrap().id, 2);
    }
}
