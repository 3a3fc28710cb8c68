//! For tests: a host that answers as it is told, and vectors that are played against a balancer,
//! be it the Rust of this process or a compiled component.

#![expect(clippy::panic, reason = "a test may panic, and its helpers too")]

pub mod hashing;
pub mod script;
pub mod vectors;

pub use script::Script;
pub use vectors::{Subject, play};

use crate::bindings::exports::linkspan::plugin::balancer::{Choice, Endpoint, EndpointState};
use crate::bindings::linkspan::plugin::types::Picked;
use crate::{Balancer, Instance};

/// A state that takes requests, of the usual weight.
pub const OPEN: EndpointState = EndpointState { usable: true, draining: false, weight: 100 };

/// An endpoint with that number, open.
#[must_use]
pub fn endpoint(id: u32) -> Endpoint {
    let address = format!("10.{}.{}.{}:80", id >> 16 & 255, id >> 8 & 255, id & 255);
    Endpoint { id, address, state: OPEN, attributes: Vec::new() }
}

/// So many endpoints, numbered from 0.
#[must_use]
pub fn endpoints(count: u32) -> Vec<Endpoint> {
    (0..count).map(endpoint).collect()
}

/// A balancer with that configuration and these members.
///
/// # Panics
///
/// If the configuration is refused.
#[must_use]
pub fn instance<B: Balancer>(
    config: &str,
    endpoints: Vec<Endpoint>,
    script: &Script,
) -> Instance<B> {
    let mut instance = Instance::new();
    let configured = instance.configure(config);
    assert_eq!(configured, Ok(()), "{config}");
    script.list(&endpoints);
    instance.update(endpoints, script);
    instance
}

/// The endpoints that a request goes to when all of them refuse: each attempt's.
pub fn tries(subject: &mut impl Subject, script: &Script) -> Vec<u32> {
    let mut tries: Vec<u32> = Vec::new();
    let mut previous = None;
    while let Choice::Endpoint(picked) =
        subject.pick(u32::try_from(tries.len()).unwrap_or(u32::MAX), previous, script)
    {
        tries.push(picked.id);
        previous = Some(picked);
        script.set_tried(tries.clone());
        assert!(tries.len() < 100_000, "tried without end");
    }
    script.set_tried(Vec::new());
    tries
}

/// The endpoint that a request goes to.
pub fn pick(subject: &mut impl Subject, script: &Script) -> Option<u32> {
    match subject.pick(0, None, script) {
        Choice::Endpoint(picked) => Some(picked.id),
        Choice::Next | Choice::None => None,
    }
}

/// What holds for every balancer that decides about each request, whatever its policy: it picks
/// nobody who is not open, each one once, until it has tried all that it may; and a list of any
/// length, in any order, with repetitions, is survived.
///
/// `everyone` says whether it goes on until all were tried.
///
/// # Panics
///
/// If it does not hold.
pub fn check_promises<B: Balancer>(config: &str, everyone: bool) {
    let script = Script::default();
    keeps_promises(&mut instance::<B>(config, Vec::new(), &script), &script, everyone);
}

/// The same for any subject.
///
/// # Panics
///
/// If it does not hold.
pub fn keeps_promises(subject: &mut impl Subject, script: &Script, everyone: bool) {
    let mut random = 1_u64;
    let mut next = move || {
        random = crate::hash::mix(random.wrapping_add(0x9e37_79b9_7f4a_7c15));
        u32::try_from(random >> 33).unwrap_or(0)
    };
    assert!(tries(subject, script).is_empty(), "there is nobody");
    for round in 0..120 {
        let count = if round % 50 == 49 { 200 } else { next() % 12 };
        let ids: Vec<u32> = (0..count).map(|_| next() % (count + 3) * 7).collect();
        let state = |id: u32| EndpointState {
            usable: !(id / 7 + round).is_multiple_of(3),
            draining: (id / 7 + round).is_multiple_of(5),
            weight: if round.is_multiple_of(2) { 100 } else { id % 400 + 1 },
        };
        let list: Vec<_> =
            ids.iter().map(|id| Endpoint { state: state(*id), ..endpoint(*id) }).collect();
        script.list(&list);
        subject.update(list.clone(), script);
        for id in &ids {
            script.set_in_flight(*id, next() % 4);
            script.set_report(*id, ready(next() % 9 + 1, next() % 3));
        }
        script.set_path(&format!("/{round}"));
        let tried = tries(subject, script);
        let mut distinct = tried.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), tried.len(), "somebody was tried twice");
        let is_open = |id: &u32| state(*id).usable && !state(*id).draining;
        assert!(tried.iter().all(is_open), "somebody was tried who is not open");
        let mut open: Vec<u32> = ids.iter().copied().filter(is_open).collect();
        open.sort_unstable();
        open.dedup();
        if everyone && count < 64 {
            assert_eq!(distinct, open, "somebody was not tried");
        }
        assert_eq!(tried.is_empty(), open.is_empty());

        // Everybody goes, and comes back.
        let shut = |id: &u32| (*id, EndpointState { usable: false, ..OPEN });
        subject.change(ids.iter().map(shut).collect(), script);
        assert_eq!(pick(subject, script), None);
        subject.change(ids.iter().map(|id| (*id, state(*id))).collect(), script);
        assert_eq!(pick(subject, script).is_none(), open.is_empty());

        // Another balancer's choice, and one of another list, end no request.
        for id in [0, 7, 5, u32::MAX] {
            script.set_tried(vec![id, 14]);
            for previous in [None, Some(Picked { id, token: u64::from(next()) << 32 })] {
                let again = subject.pick(1, previous, script);
                let again = matches!(again, Choice::Endpoint(it) if [id, 14].contains(&it.id));
                assert!(count >= 64 || !again, "somebody was tried twice");
            }
        }
        script.set_tried(Vec::new());
    }
    for count in [1, 10_000] {
        let list = endpoints(count);
        script.list(&list);
        list.iter().for_each(|it| script.set_report(it.id, ready(1, 1)));
        subject.update(list, script);
        let picked = pick(subject, script);
        assert!(picked.is_some_and(|id| id < count), "one of {count}");
    }
}

/// What an endpoint says of itself that has so many slots.
fn ready(ready: u32, busy: u32) -> script::Report {
    ([("ready".to_owned(), ready.into()), ("busy".to_owned(), busy.into())].into(), 0)
}

/// How many of these keys go elsewhere when an endpoint has left, and how many of them did so
/// without need: those that had not been its own.
pub fn moved<B: Balancer>(
    config: &str,
    before: Vec<Endpoint>,
    gone: u32,
    keys: usize,
) -> (usize, usize) {
    let script = Script::default();
    let after: Vec<_> = before.iter().filter(|endpoint| endpoint.id != gone).cloned().collect();
    let mut whole = instance::<B>(config, before, &script);
    let mut rest = instance::<B>(config, after, &script);
    let (mut moved, mut needless) = (0, 0);
    for key in 0..keys {
        script.set_path(&format!("/some/path/{key}.html"));
        let (then, now) = (pick(&mut whole, &script), pick(&mut rest, &script));
        moved += usize::from(then != now);
        needless += usize::from(then != now && then != Some(gone));
    }
    (moved, needless)
}

/// How many of these keys go to each endpoint, by number.
pub fn shares(subject: &mut impl Subject, script: &Script, count: u32, keys: usize) -> Vec<usize> {
    let mut shares = vec![0; usize::try_from(count).unwrap_or(0)];
    for key in 0..keys {
        script.set_path(&format!("/some/path/{key}.html"));
        let place = pick(subject, script).and_then(|id| usize::try_from(id).ok());
        if let Some(share) = place.and_then(|place| shares.get_mut(place)) {
            *share += 1;
        }
    }
    shares
}
