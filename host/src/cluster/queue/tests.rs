//! Slots and those who wait for them: one after another against a model, and on many threads.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::Duration;

use http::HeaderValue;
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;
use crate::cluster::peer::Peer;
use crate::cluster::{Cluster, Hand, Member, Membership, Standing};

fn endpoint(id: u32) -> Arc<Endpoint> {
    let peer = Peer::Tcp(([127, 0, 0, 1], 80).into());
    let label = format!("127.0.0.1:{id}").into();
    Arc::new(Endpoint::new(id, peer, label, HeaderValue::from_static("a")))
}

/// Endpoints that share a queue, with the most that each may have in flight.
fn endpoints(limits: &[u32]) -> (Arc<Queue>, Vec<Arc<Endpoint>>) {
    let queue = Arc::<Queue>::default();
    let limited = |(id, most): (u32, &u32)| {
        let endpoint = endpoint(id);
        endpoint.set_max_connections(Some(*most), &queue);
        endpoint
    };
    let endpoints = (0..).zip(limits).map(limited).collect();
    (queue, endpoints)
}

/// What a place has been handed by now.
fn handed(place: &Place) -> Option<InFlight> {
    match place.poll_slot(&Context::from_waker(Waker::noop())) {
        Poll::Ready(slot) => Some(slot),
        Poll::Pending => None,
    }
}

/// A place that waits for these, or the slot that it got at once.
fn waits(queue: &Arc<Queue>, endpoints: &[Arc<Endpoint>]) -> Place {
    let place = queue.join(usize::MAX).unwrap();
    assert!(place.begin(endpoints).is_none(), "one is free");
    place
}

#[test]
fn a_slot_that_gets_free_belongs_to_who_waits() {
    let (queue, endpoints) = endpoints(&[1]);
    let [endpoint] = &endpoints[..] else { panic!() };
    let held = endpoint.begin().unwrap();
    assert!(endpoint.begin().is_none());
    let (first, second) = (waits(&queue, &endpoints), waits(&queue, &endpoints));
    drop(held);
    assert!(endpoint.begin().is_none(), "who comes now is later");
    assert!(handed(&second).is_none());
    let held = handed(&first).unwrap();
    drop(first);
    assert_eq!((endpoint.in_flight(), queue.waiting()), (1, 1));
    drop(held);
    drop(handed(&second).unwrap());
    drop(second);
    assert_eq!((endpoint.in_flight(), queue.waiting()), (0, 0));
    assert!(endpoint.begin().is_some());
}

#[test]
fn who_comes_while_a_slot_is_being_handed_over_does_not_get_it() {
    let (queue, endpoints) = endpoints(&[1]);
    let endpoint = &endpoints[0];
    let held = endpoint.begin().unwrap();
    let place = waits(&queue, &endpoints);
    // The two halves of dropping it.
    std::mem::forget(held);
    endpoint.in_flight_cell().fetch_sub(1, Ordering::SeqCst);
    assert!(endpoint.begin().is_none());
    endpoint.slot_freed();
    assert!(handed(&place).is_some());
}

#[test]
fn what_is_given_up_passes_on() {
    let (queue, endpoints) = endpoints(&[1]);
    let held = endpoints[0].begin().unwrap();
    let places = [(); 3].map(|()| waits(&queue, &endpoints));
    let [first, second, third] = places;
    drop(second);
    drop(held);
    // It leaves without having taken what it was handed.
    drop(first);
    assert!(handed(&third).is_some());
}

#[test]
fn one_that_waits_for_something_else_holds_up_nobody() {
    let (queue, endpoints) = endpoints(&[1, 1]);
    let (one, other) = (endpoints[0].begin().unwrap(), endpoints[1].begin().unwrap());
    let head = waits(&queue, &endpoints[..1]);
    let behind = waits(&queue, &endpoints);
    drop(other);
    assert_eq!(handed(&behind).unwrap().endpoint().id(), 1);
    drop(behind);
    assert!(endpoints[1].begin().is_some(), "nobody waits for it");
    drop(one);
    assert_eq!(handed(&head).unwrap().endpoint().id(), 0);
}

#[test]
fn who_does_not_take_what_it_got_waits_on_at_its_place() {
    let (queue, endpoints) = endpoints(&[1, 1]);
    let (one, other) = (endpoints[0].begin().unwrap(), endpoints[1].begin().unwrap());
    let (head, behind) = (waits(&queue, &endpoints), waits(&queue, &endpoints));
    drop(one);
    let slot = handed(&head).unwrap();
    assert!(head.begin(&endpoints[1..]).is_none());
    drop(slot);
    assert_eq!(handed(&behind).unwrap().endpoint().id(), 0);
    let third = waits(&queue, &endpoints[1..]);
    drop(other);
    assert!(handed(&third).is_none());
    assert_eq!(handed(&head).unwrap().endpoint().id(), 1);
}

#[test]
fn the_queue_has_a_length() {
    let (queue, _) = endpoints(&[1]);
    assert!(queue.join(0).is_none());
    let [_first, second] = [queue.join(2).unwrap(), queue.join(2).unwrap()];
    assert!(queue.join(2).is_none());
    drop(second);
    assert!(queue.join(2).is_some());
}

#[test]
fn a_limit_that_rises_or_ends_lets_in_who_waits() {
    let (queue, endpoints) = endpoints(&[1]);
    let endpoint = &endpoints[0];
    let held = endpoint.begin().unwrap();
    let places = [(); 4].map(|()| waits(&queue, &endpoints));
    endpoint.set_max_connections(Some(3), &queue);
    let mut got: Vec<_> = places.iter().map(handed).collect();
    assert_eq!(got.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false]);
    // One that falls holds from then on: nobody gets in before enough have left.
    endpoint.set_max_connections(Some(1), &queue);
    drop(held);
    got[0] = None;
    assert!(handed(&places[2]).is_none());
    got[1] = None;
    got[2] = handed(&places[2]);
    assert!(got[2].is_some());
    endpoint.set_max_connections(None, &queue);
    assert!(handed(&places[3]).is_some());
    assert!(endpoint.begin().is_some());
}

#[test]
fn who_waits_is_offered_an_endpoint_that_comes_to_be_of_use() {
    let (queue, endpoints) = endpoints(&[1, 1]);
    let _held = endpoints[0].begin().unwrap();
    let (first, second) = (waits(&queue, &endpoints[..1]), waits(&queue, &endpoints[..1]));
    queue.offer(&endpoints[1]);
    assert!(endpoints[1].begin().is_none(), "it is theirs before it is a newcomer's");
    let offered = handed(&first).unwrap();
    assert!(first.begin(&endpoints[..1]).is_none(), "it does not suit this one");
    drop(offered);
    drop(handed(&second).unwrap());
    assert!(endpoints[1].begin().is_some());
}

#[test]
fn who_waits_is_offered_what_is_set_to_be_ready_or_joins() {
    let endpoints = [0, 1, 2].map(endpoint);
    let member = |endpoint: &Arc<Endpoint>| Member {
        endpoint: Arc::clone(endpoint),
        weight: 100,
        attributes: Arc::new([]),
        standing: Standing::Ready,
        max_connections: Some(1),
    };
    let members: Vec<_> = endpoints.iter().map(member).collect();
    let membership = |version| {
        let count = 1 + usize::try_from(version).unwrap();
        Arc::new(Membership::new(version, members[..count].to_vec()))
    };
    let settings = crate::cluster::tests::settings(Vec::new());
    let cluster = Cluster::new(0, settings, membership(1), Arc::default());
    cluster.take_effect();
    assert_eq!(endpoints[0].max_connections(), Some(1));
    cluster.set_by_hand(&members[1], Hand::Maintenance, 0);
    let _held = endpoints[0].begin().unwrap();
    let (first, second) =
        (waits(cluster.queue(), &endpoints[..1]), waits(cluster.queue(), &endpoints[..1]));
    cluster.set_by_hand(&members[1], Hand::Ready, 0);
    let _one = handed(&first).unwrap();
    assert!(handed(&second).is_none());
    cluster.replace_membership(membership(2));
    assert_eq!(handed(&second).unwrap().endpoint().id(), 2);
}

/// Two threads at a time, one of which leaves just when the other comes.
#[test]
fn a_slot_that_gets_free_while_somebody_begins_to_wait_is_not_missed() {
    const ROUNDS: usize = 20_000;
    let (queue, endpoints) = endpoints(&[1]);
    // Even: who holds the slot may go on; odd: who wants it. Beyond that, all is lost.
    let turn = AtomicUsize::new(0);
    let comes = |number: usize| {
        while turn.load(Ordering::SeqCst) < number {
            thread::yield_now();
        }
        turn.load(Ordering::SeqCst) == number
    };
    let mut missed = None;
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in (0..ROUNDS).take_while(|round| comes(2 * round)) {
                let held = endpoints[0].begin().unwrap();
                turn.fetch_add(1, Ordering::SeqCst);
                (0..round % 200).for_each(|_| std::hint::spin_loop());
                drop(held);
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for round in (0..ROUNDS).take_while(|round| comes(2 * round + 1)) {
            if endpoints[0].begin().is_none() {
                let place = queue.join(1).unwrap();
                let wait = async {
                    tokio::time::timeout(Duration::from_mins(1), place.wait(&endpoints)).await
                };
                if runtime.block_on(wait).is_err() {
                    missed = Some(round);
                    turn.store(usize::MAX, Ordering::SeqCst);
                    break;
                }
            }
            turn.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert_eq!(missed, None, "it was forgotten in that round");
    assert_eq!((endpoints[0].in_flight(), queue.waiting()), (0, 0));
}

type Shared = (Vec<Arc<Endpoint>>, [AtomicU32; 3]);

/// One of many: it wants some of the endpoints, and gives up at times.
async fn request(number: usize, queue: Arc<Queue>, shared: Arc<Shared>) {
    let (endpoints, most) = &*shared;
    let wanted = match number % 3 {
        0 => &endpoints[..],
        1 => &endpoints[1..2],
        _ => &endpoints[1..],
    };
    let slot = match wanted.iter().find_map(Endpoint::begin) {
        Some(slot) => slot,
        None => {
            let place = queue.join(usize::MAX).unwrap();
            let mut wait = pin!(place.wait(wanted));
            if number.is_multiple_of(7) {
                // It gives up, perhaps with a slot on its way.
                poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_ready())).await;
                tokio::task::yield_now().await;
                return;
            }
            wait.await
        }
    };
    let id = usize::try_from(slot.endpoint().id()).unwrap();
    most[id].fetch_max(slot.endpoint().in_flight(), Ordering::SeqCst);
    tokio::task::yield_now().await;
}

/// Requests that come, go and give up on four threads never exceed a limit, none waits for ever, and
/// everything comes to zero.
#[test]
fn no_wake_up_is_lost_between_threads() {
    let (queue, endpoints) = endpoints(&[2, 1, 3]);
    let most = [(); 3].map(|()| AtomicU32::new(0));
    let shared = Arc::new((endpoints, most));
    let threads = (0..4_usize).map(|thread| {
        let (queue, shared) = (Arc::clone(&queue), Arc::clone(&shared));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                for round in 0..500 {
                    let mut requests = JoinSet::new();
                    for each in 0..8 {
                        let number = thread + 5 * round + each;
                        requests.spawn(request(number, Arc::clone(&queue), Arc::clone(&shared)));
                    }
                    requests.join_all().await;
                }
            });
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let (endpoints, most) = &*shared;
    let most = most.each_ref().map(|most| most.load(Ordering::SeqCst));
    assert!(most[0] <= 2 && most[1] <= 1 && most[2] <= 3, "{most:?}");
    assert_eq!(endpoints.iter().map(|each| each.in_flight()).sum::<u32>(), 0);
    assert_eq!(queue.waiting(), 0);
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(Vec<usize>),
    Finish(usize),
    Depart(usize),
    Limit(usize, u32),
}

fn event() -> impl Strategy<Value = Event> {
    let wants = proptest::sample::subsequence(vec![0_usize, 1, 2], 1..=3);
    prop_oneof![
        4 => wants.prop_map(Event::Arrive),
        4 => (0..12_usize).prop_map(Event::Finish),
        1 => (0..8_usize).prop_map(Event::Depart),
        1 => (0..3_usize, 1..4_u32).prop_map(|(endpoint, most)| Event::Limit(endpoint, most)),
    ]
}

proptest! {
    /// Against a model that after each event gives every free slot to the first of a list who wants
    /// it.
    #[test]
    fn follows_the_model(events in proptest::collection::vec(event(), 1..150)) {
        let mut limits = [1_u32, 2, 1];
        let (queue, endpoints) = endpoints(&limits);
        let mut running: Vec<InFlight> = Vec::new();
        let mut waiting: VecDeque<(Place, Vec<usize>)> = VecDeque::new();
        let mut counts = [0_u32; 3];
        for event in events {
            let mut changed = None;
            match event {
                Event::Arrive(wants) => {
                    let free = |each: &&usize| counts[**each] < limits[**each];
                    let expected = wants.iter().find(free).copied();
                    let slot = wants.iter().find_map(|each| endpoints[*each].begin());
                    let got = slot.as_ref().map(|slot| usize::try_from(slot.endpoint().id()).unwrap());
                    prop_assert_eq!(got, expected);
                    match slot {
                        Some(slot) => {
                            counts[usize::try_from(slot.endpoint().id()).unwrap()] += 1;
                            running.push(slot);
                        }
                        None => {
                            let wanted: Vec<_> =
                                wants.iter().map(|each| Arc::clone(&endpoints[*each])).collect();
                            waiting.push_back((waits(&queue, &wanted), wants));
                        }
                    }
                }
                Event::Finish(index) if index < running.len() => {
                    let slot = running.swap_remove(index);
                    let endpoint = usize::try_from(slot.endpoint().id()).unwrap();
                    counts[endpoint] -= 1;
                    changed = Some(endpoint);
                }
                // With somebody waiting, a limit that rises is an offer to all: tested above.
                Event::Limit(endpoint, most) if waiting.is_empty() => {
                    limits[endpoint] = most;
                    endpoints[endpoint].set_max_connections(Some(most), &queue);
                }
                Event::Depart(index) if index < waiting.len() => {
                    waiting.remove(index);
                }
                Event::Finish(_) | Event::Depart(_) | Event::Limit(..) => {}
            }
            if let Some(endpoint) = changed
                && counts[endpoint] < limits[endpoint]
                && let Some(next) = waiting.iter().position(|(_, wants)| wants.contains(&endpoint))
            {
                let (place, _) = waiting.remove(next).unwrap();
                let slot = handed(&place);
                prop_assert_eq!(slot.as_ref().map(|slot| usize::try_from(slot.endpoint().id()).unwrap()), changed);
                counts[endpoint] += 1;
                running.extend(slot);
            }
            prop_assert!(waiting.iter().all(|(place, _)| handed(place).is_none()));
            prop_assert_eq!(queue.waiting(), waiting.len());
            let in_flight: Vec<_> = endpoints.iter().map(|each| each.in_flight()).collect();
            prop_assert_eq!(in_flight, counts.to_vec());
        }
    }
}
