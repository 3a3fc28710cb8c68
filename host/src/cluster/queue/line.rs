//! Who waits for what, and whose turn it is: a line in the order of arrival, in which each place
//! names the endpoints that it would take a slot of.
//!
//! Knows nothing of threads, slots or time. A place whose turn has come stays in the line, at the
//! front as it were, until it is left: if what it got does not suit it, it waits on where it was.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

/// A line. `S` is what is kept at a place.
#[derive(Debug)]
pub(super) struct Line<S> {
    next: u64,
    places: BTreeMap<u64, Place<S>>,
    /// Endpoints with the places that wait for them.
    wanted: BTreeSet<(u32, u64)>,
}

#[derive(Debug, Default)]
struct Place<S> {
    /// Empty as long as it does not wait.
    wants: SmallVec<[u32; 4]>,
    kept: S,
}

impl<S> Default for Line<S> {
    fn default() -> Self {
        Self { next: 0, places: BTreeMap::new(), wanted: BTreeSet::new() }
    }
}

impl<S: Default> Line<S> {
    /// A new last place, which waits for nothing yet.
    pub(super) fn join(&mut self) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.places.insert(ticket, Place::default());
        ticket
    }

    /// What is kept at a place.
    pub(super) fn kept(&mut self, ticket: u64) -> Option<&mut S> {
        self.places.get_mut(&ticket).map(|place| &mut place.kept)
    }

    /// From now on a place waits for these endpoints, and for nothing else.
    pub(super) fn wait(&mut self, ticket: u64, endpoints: impl Iterator<Item = u32>) {
        self.rest(ticket);
        let Some(place) = self.places.get_mut(&ticket) else { return };
        place.wants.extend(endpoints);
        self.wanted.extend(place.wants.iter().map(|endpoint| (*endpoint, ticket)));
    }

    /// The place that has waited longest for an endpoint.
    pub(super) fn first(&self, endpoint: u32) -> Option<u64> {
        let waiting = self.wanted.range((endpoint, 0)..=(endpoint, u64::MAX));
        waiting.map(|(_, ticket)| *ticket).next()
    }

    /// Gives what can be taken of an endpoint to those who wait for it, in their order. Whoever
    /// gets something waits for nothing until it says so again.
    pub(super) fn serve<T>(
        &mut self,
        endpoint: u32,
        mut take: impl FnMut() -> Option<T>,
        mut give: impl FnMut(&mut S, T),
    ) {
        while let Some(ticket) = self.first(endpoint) {
            // Looked for first, so that what is taken has a taker.
            let Some(place) = self.places.get_mut(&ticket) else { return };
            let Some(taken) = take() else { return };
            for endpoint in place.wants.drain(..) {
                self.wanted.remove(&(endpoint, ticket));
            }
            give(&mut place.kept, taken);
        }
    }

    /// Everybody who waits would take a slot of this endpoint as well.
    pub(super) fn offer(&mut self, endpoint: u32) {
        for (ticket, place) in &mut self.places {
            if !place.wants.is_empty() && self.wanted.insert((endpoint, *ticket)) {
                place.wants.push(endpoint);
            }
        }
    }

    /// Gives up a place, and gives what was kept there.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<S> {
        self.rest(ticket);
        self.places.remove(&ticket).map(|place| place.kept)
    }

    fn rest(&mut self, ticket: u64) {
        let Some(place) = self.places.get_mut(&ticket) else { return };
        for endpoint in place.wants.drain(..) {
            self.wanted.remove(&(endpoint, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One slot of an endpoint becomes free.
    fn serve(line: &mut Line<()>, endpoint: u32) {
        let mut slot = Some(());
        line.serve(endpoint, || slot.take(), |(), ()| ());
    }

    #[test]
    fn whoever_came_first_is_first_and_stays_so() {
        let mut line = Line::<()>::default();
        let [a, b] = [line.join(), line.join()];
        line.wait(b, [1, 2].into_iter());
        line.wait(a, [1].into_iter());
        assert_eq!((line.first(1), line.first(2), line.first(3)), (Some(a), Some(b), None));
        serve(&mut line, 1);
        assert_eq!(line.first(1), Some(b), "one that is being served holds up nobody");
        line.wait(a, [2].into_iter());
        assert_eq!((line.first(1), line.first(2)), (Some(b), Some(a)));
        line.leave(a);
        assert_eq!((line.first(1), line.first(2)), (Some(b), Some(b)));
        line.leave(b);
        assert!(line.wanted.is_empty() && line.places.is_empty());
    }

    #[test]
    fn what_is_offered_goes_to_who_waits() {
        let mut line = Line::<()>::default();
        let [idle, a, b] = [line.join(), line.join(), line.join()];
        line.wait(a, [1].into_iter());
        line.wait(b, [2].into_iter());
        line.offer(2);
        assert_eq!(line.first(2), Some(a));
        serve(&mut line, 2);
        assert_eq!(line.first(2), Some(b));
        line.offer(3);
        assert_eq!(line.first(3), Some(b), "{idle} waits for nothing");
    }

    #[derive(Debug, Clone)]
    enum Event {
        Join,
        Wait(usize, Vec<u32>),
        Serve(u32),
        Offer(u32),
        Leave(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        let endpoints = proptest::collection::vec(0..4_u32, 1..6);
        prop_oneof![
            Just(Event::Join),
            (0..9_usize, endpoints).prop_map(|(place, wants)| Event::Wait(place, wants)),
            (0..4_u32).prop_map(Event::Serve),
            (0..4_u32).prop_map(Event::Offer),
            (0..9_usize).prop_map(Event::Leave),
        ]
    }

    proptest! {
        /// Against a plain list that is searched from its beginning.
        #[test]
        fn follows_the_model(events in proptest::collection::vec(event(), 1..200)) {
            let mut line = Line::<()>::default();
            let mut model: Vec<(u64, Vec<u32>)> = Vec::new();
            for event in events {
                match event {
                    Event::Join => model.push((line.join(), Vec::new())),
                    Event::Wait(place, wants) => {
                        let Some((ticket, own)) = model.get_mut(place) else { continue };
                        line.wait(*ticket, wants.iter().copied());
                        *own = wants;
                    }
                    Event::Serve(endpoint) => {
                        let Some(ticket) = line.first(endpoint) else { continue };
                        serve(&mut line, endpoint);
                        let place = model.iter_mut().find(|(_, wants)| wants.contains(&endpoint));
                        let (expected, wants) = place.unwrap();
                        prop_assert_eq!(ticket, *expected);
                        wants.clear();
                    }
                    Event::Offer(endpoint) => {
                        line.offer(endpoint);
                        let waiting = model.iter_mut().filter(|(_, wants)| !wants.is_empty());
                        waiting.for_each(|(_, wants)| wants.push(endpoint));
                    }
                    Event::Leave(place) => {
                        if place < model.len() {
                            line.leave(model.remove(place).0);
                        }
                    }
                }
                for endpoint in 0..4 {
                    let first = model.iter().find(|(_, wants)| wants.contains(&endpoint));
                    prop_assert_eq!(line.first(endpoint), first.map(|(ticket, _)| *ticket));
                }
            }
        }
    }
}
