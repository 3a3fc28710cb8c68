//! What the host lets through and what balancers are told, on made-up clusters and times.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cluster::peer::Peer;

pub(super) fn settings(endpoints: Vec<config::Endpoint>) -> config::Cluster {
    config::Cluster {
        name: "c".into(),
        endpoints,
        balancers: vec!["first-alive".into()],
        health: config::Health { attempts: 2, offline: Duration::from_secs(5), check: None },
        ..config::Cluster::default()
    }
}

fn member(id: u32) -> Member {
    let port = u16::try_from(id).unwrap();
    let peer = Peer::Tcp(([127, 0, 0, 1], port).into());
    let label = format!("127.0.0.1:{id}").into();
    let authority = http::HeaderValue::from_static("a");
    Member {
        endpoint: Arc::new(Endpoint::new(id, peer, label, authority)),
        weight: 100,
        attributes: Arc::new([]),
        standing: Standing::Ready,
        max_connections: None,
    }
}

fn cluster(members: Vec<Member>) -> Cluster {
    let membership = Arc::new(Membership::new(1, members));
    Cluster::new(0, settings(Vec::new()), membership, Arc::default())
}

fn usable(cluster: &Cluster, now: u64) -> Vec<u32> {
    cluster.refresh(now);
    let membership = cluster.membership();
    let usable = membership.members().iter().filter(|member| cluster.state_of(member, now).usable);
    usable.map(|member| member.endpoint.id()).collect()
}

fn fail(cluster: &Cluster, endpoint: &Endpoint, times: u32, now: u64) {
    for _ in 0..times {
        cluster.connect_failed(endpoint, now);
    }
}

#[test]
fn an_offline_endpoint_gets_one_attempt_per_offline_time() {
    let (a, b) = (member(1), member(2));
    let cluster = cluster(vec![a.clone(), b]);
    let a = &a.endpoint;
    fail(&cluster, a, 2, 100);
    assert_eq!(a.failures(), 2);
    assert_eq!(usable(&cluster, 100), [2]);
    assert!(matches!(cluster.admit(a, 5_099), Admission::No));
    assert_eq!(usable(&cluster, 5_100), [1, 2]);
    let probe = cluster.admit(a, 5_100);
    assert!(matches!(probe, Admission::Probe(_)));
    assert_eq!(usable(&cluster, 5_100), [2]);
    assert!(matches!(cluster.admit(a, 5_100), Admission::No));
    fail(&cluster, a, 1, 5_200);
    drop(probe);
    assert_eq!(usable(&cluster, 10_199), [2]);
    let probe = cluster.admit(a, 10_200);
    assert!(matches!(probe, Admission::Probe(_)));
    cluster.connected(a, 10_200);
    drop(probe);
    assert_eq!(usable(&cluster, 10_200), [1, 2]);
    assert!(matches!(cluster.admit(a, 10_200), Admission::Yes));
}

#[test]
fn an_abandoned_probe_goes_to_another_request() {
    let (a, b) = (member(1), member(2));
    let cluster = cluster(vec![a.clone(), b]);
    fail(&cluster, &a.endpoint, 2, 0);
    drop(cluster.admit(&a.endpoint, 5_000));
    assert_eq!(usable(&cluster, 5_000), [1, 2]);
    assert!(matches!(cluster.admit(&a.endpoint, 5_000), Admission::Probe(_)));
}

#[test]
fn a_cluster_that_is_wholly_offline_is_tried_all_the_same() {
    let (a, b, mut c) = (member(1), member(2), member(3));
    c.standing = Standing::Disabled;
    let cluster = cluster(vec![a.clone(), b.clone(), c]);
    fail(&cluster, &a.endpoint, 2, 20);
    fail(&cluster, &b.endpoint, 2, 10);
    assert_eq!(usable(&cluster, 30), [1, 2]);
    assert!(matches!(cluster.admit(&a.endpoint, 30), Admission::Yes));
    assert!(matches!(cluster.admit(&a.endpoint, 30), Admission::Yes));
    // The one left alone longest comes first, and each comes once.
    assert_eq!(cluster.first_usable(30, &[]).unwrap().id(), 2);
    assert_eq!(cluster.first_usable(30, &[2]).unwrap().id(), 1);
    assert!(cluster.first_usable(30, &[2, 1]).is_none());
    // The first success ends it.
    cluster.connected(&b.endpoint, 40);
    assert_eq!(usable(&cluster, 40), [2]);
    assert!(matches!(cluster.admit(&a.endpoint, 40), Admission::No));
}

#[test]
fn the_first_usable_is_the_first_of_the_list_that_takes_new_requests() {
    let (mut a, b, c) = (member(1), member(2), member(3));
    a.standing = Standing::Draining;
    let cluster = cluster(vec![a, b.clone(), c]);
    assert_eq!(cluster.first_usable(0, &[]).unwrap().id(), 2);
    assert_eq!(cluster.first_usable(0, &[2]).unwrap().id(), 3);
    fail(&cluster, &b.endpoint, 2, 0);
    assert_eq!(cluster.first_usable(0, &[]).unwrap().id(), 3);
    assert!(self::cluster(Vec::new()).first_usable(0, &[]).is_none());
}

#[test]
fn the_version_rises_with_each_change_and_only_then() {
    let (a, b) = (member(1), member(2));
    let cluster = cluster(vec![a.clone(), b]);
    let start = cluster.refresh(0);
    fail(&cluster, &a.endpoint, 1, 10);
    assert_eq!(cluster.refresh(10), start);
    fail(&cluster, &a.endpoint, 1, 10);
    let offline = cluster.refresh(10);
    assert!(offline > start);
    assert_eq!(cluster.refresh(5_009), offline);
    // Failures of attempts that were under way move the offline time, but change no state.
    fail(&cluster, &a.endpoint, 1, 1_000);
    assert_eq!(cluster.refresh(5_999), offline);
    let elapsed = cluster.refresh(6_000);
    assert!(elapsed > offline);
    assert_eq!(cluster.refresh(7_000), elapsed);
    // A probe that fails closes the gate anew, and that elapses too.
    let probe = cluster.admit(&a.endpoint, 7_000);
    let probing = cluster.refresh(7_000);
    assert!(probing > elapsed);
    fail(&cluster, &a.endpoint, 1, 7_000);
    drop(probe);
    let closed = cluster.refresh(11_999);
    let elapsed = cluster.refresh(12_000);
    assert!(elapsed > closed);
    cluster.connected(&a.endpoint, 12_000);
    assert!(cluster.refresh(12_000) > elapsed);
}

#[test]
fn one_cluster_tells_its_successor_of_what_it_sees() {
    let members = vec![member(1), member(2)];
    let states = Arc::<States>::default();
    let make = || {
        let membership = Arc::new(Membership::new(1, members.clone()));
        Cluster::new(0, settings(Vec::new()), membership, Arc::clone(&states))
    };
    let (before, after) = (make(), make());
    let version = after.refresh(0);
    fail(&before, &members[0].endpoint, 2, 0);
    assert!(after.refresh(0) > version);
    assert_eq!(usable(&after, 0), [2]);
}

#[test]
fn repetitions_are_members_but_not_endpoints() {
    let (a, b) = (member(1), member(2));
    let cluster = cluster(vec![b.clone(), a, b.clone()]);
    assert_eq!(cluster.max_attempts(), 2);
    let membership = cluster.membership();
    assert_eq!(membership.members().len(), 3);
    assert!(Arc::ptr_eq(membership.endpoint(2).unwrap(), &b.endpoint));
    assert!(membership.endpoint(3).is_none());
    drop(membership);
    cluster.replace_membership(Arc::new(Membership::new(2, Vec::new())));
    assert_eq!(cluster.max_attempts(), 1);
}

proptest! {
    /// A worker that only looks when the version has risen is never told less than one that always
    /// looks.
    #[test]
    fn whoever_watches_the_version_misses_nothing(
        events in proptest::collection::vec((0..3_usize, 0..4_u8, 0..3_000_u64), 1..100),
    ) {
        let members: Vec<_> = (1..4).map(member).collect();
        let cluster = cluster(members.clone());
        let mut probes = Vec::new();
        let (mut seen, mut told) = (u64::MAX, Vec::new());
        let mut now = 0;
        for (index, event, wait) in events {
            now += wait;
            let endpoint = &members[index].endpoint;
            match event {
                0 => cluster.connected(endpoint, now),
                1 => {
                    let _ = cluster.connect_failed(endpoint, now);
                }
                2 => probes.push(cluster.admit(endpoint, now)),
                _ => probes.clear(),
            }
            let version = cluster.refresh(now);
            if version != seen {
                (seen, told) = (version, usable(&cluster, now));
            }
            prop_assert_eq!(&told, &usable(&cluster, now));
        }
    }
}

/// A cluster with settings of its own.
fn cluster_with(members: Vec<Member>, change: impl FnOnce(&mut config::Cluster)) -> Cluster {
    let mut settings = settings(Vec::new());
    change(&mut settings);
    Cluster::new(0, settings, Arc::new(Membership::new(1, members)), Arc::default())
}

fn judged_by_status(members: Vec<Member>, attempts: u32) -> Cluster {
    cluster_with(members, |settings| {
        settings.fail_on_status = config::Statuses::new(vec![config::StatusRange(500..=599)]);
        settings.fail_attempts = attempts;
    })
}

#[test]
fn responses_that_count_as_failures_put_an_endpoint_aside() {
    let (a, b) = (member(1), member(2));
    let cluster = judged_by_status(vec![a.clone(), b], 2);
    let a = &a.endpoint;
    assert!(cluster.responded(a, 500, 10).is_none());
    assert!(cluster.responded(a, 404, 20).is_none(), "which ends the row");
    assert!(cluster.responded(a, 503, 30).is_none());
    assert_eq!(usable(&cluster, 30), [1, 2]);
    assert!(cluster.broke(a, 504, 40).is_some(), "no answer counts as well");
    assert_eq!(usable(&cluster, 40), [2]);
    assert!(matches!(cluster.admit(a, 5_039), Admission::No));
    let probe = cluster.admit(a, 5_040);
    assert!(matches!(probe, Admission::Probe(_)));
    assert!(matches!(cluster.admit(a, 5_040), Admission::No), "one at a time");
    assert!(cluster.responded(a, 500, 5_050).is_some(), "still so");
    drop(probe);
    assert_eq!(usable(&cluster, 10_049), [2]);
    let probe = cluster.admit(a, 10_050);
    assert!(cluster.responded(a, 200, 10_060).is_none());
    drop(probe);
    assert_eq!(usable(&cluster, 10_060), [1, 2]);
}

#[test]
fn an_endpoint_that_is_out_for_two_reasons_is_probed_when_both_times_have_elapsed() {
    let (a, b) = (member(1), member(2));
    let cluster = judged_by_status(vec![a.clone(), b], 1);
    let a = &a.endpoint;
    let _ = cluster.responded(a, 500, 0);
    fail(&cluster, a, 2, 1_000);
    assert!(matches!(cluster.admit(a, 5_500), Admission::No));
    let probe = cluster.admit(a, 6_000);
    assert!(matches!(probe, Admission::Probe(_)));
    // It connects, and the request is given up before there is an answer.
    cluster.connected(a, 6_000);
    assert!(matches!(cluster.admit(a, 6_000), Admission::No));
    drop(probe);
    assert!(matches!(cluster.admit(a, 6_000), Admission::Probe(_)));
    assert_eq!(a.health(), health::State::default());
}

#[test]
fn without_forced_recovery_a_cluster_that_is_wholly_out_stays_so_for_the_offline_time() {
    let (a, b) = (member(1), member(2));
    let cluster = cluster_with(vec![a.clone(), b.clone()], |it| it.force_recovery = false);
    fail(&cluster, &a.endpoint, 2, 0);
    fail(&cluster, &b.endpoint, 2, 100);
    assert!(usable(&cluster, 4_999).is_empty());
    assert!(matches!(cluster.admit(&a.endpoint, 4_999), Admission::No));
    assert!(cluster.first_usable(4_999, &[]).is_none());
    assert_eq!(usable(&cluster, 5_000), [1]);
    assert!(matches!(cluster.admit(&a.endpoint, 5_000), Admission::Probe(_)));
}

fn check(at: u64, passed: bool) -> Check {
    Check { at, passed, found: String::new() }
}

fn checked(members: Vec<Member>) -> Cluster {
    cluster_with(members, |settings| {
        settings.health.check = Some(Arc::new(config::Check {
            probe: config::Probe::Tcp,
            port: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            rise: 1,
            fall: 1,
        }));
    })
}

#[test]
fn an_endpoint_whose_checks_fail_is_not_tried_and_one_that_passes_is_forgiven() {
    let (a, b) = (member(1), member(2));
    let cluster = checked(vec![a.clone(), b.clone()]);
    cluster.checked(&a.endpoint, check(10, false), None, false);
    assert_eq!(usable(&cluster, 10), [1, 2], "nothing follows yet");
    cluster.checked(&a.endpoint, check(20, false), Some(false), false);
    assert_eq!(usable(&cluster, 20), [2]);
    assert!(matches!(cluster.admit(&a.endpoint, 20), Admission::No));
    assert_eq!(cluster.condition(&a, 20).state, State::Unhealthy);
    assert_eq!((cluster.condition(&a, 20).checks, cluster.condition(&a, 20).checks_failed), (2, 2));
    fail(&cluster, &a.endpoint, 2, 30);
    cluster.checked(&a.endpoint, check(40, true), Some(true), true);
    assert_eq!(usable(&cluster, 40), [1, 2]);
    let condition = cluster.condition(&a, 40);
    assert_eq!((condition.state, condition.since), (State::Alive, 40));
    // Where all fail, they are tried.
    for member in [&a, &b] {
        cluster.checked(&member.endpoint, check(50, false), Some(false), false);
    }
    assert_eq!(usable(&cluster, 50), [1, 2]);
    assert!(matches!(cluster.admit(&a.endpoint, 50), Admission::Yes));
    cluster.unchecked(&b.endpoint);
    assert_eq!(usable(&cluster, 60), [2]);
}

#[test]
fn what_is_set_by_hand_goes_before_what_is_configured() {
    let (a, mut b) = (member(1), member(2));
    b.standing = Standing::Disabled;
    let cluster = cluster(vec![a.clone(), b.clone()]);
    assert_eq!(usable(&cluster, 0), [1]);
    cluster.set_by_hand(&b, Hand::Ready, 10);
    assert_eq!(usable(&cluster, 10), [1, 2]);
    assert!(cluster.condition(&b, 10).by_hand);
    cluster.set_by_hand(&a, Hand::Maintenance, 20);
    assert_eq!(usable(&cluster, 20), [2]);
    assert!(matches!(cluster.admit(&a.endpoint, 20), Admission::No), "whoever asks");
    cluster.set_by_hand(&a, Hand::Drain, 30);
    assert!(cluster.state_of(&a, 30).draining && cluster.state_of(&a, 30).usable);
    assert!(matches!(cluster.admit(&a.endpoint, 30), Admission::Yes));
    cluster.set_by_hand(&a, Hand::Ready, 40);
    let condition = cluster.condition(&a, 40);
    assert_eq!((condition.state, condition.since, condition.by_hand), (State::Alive, 40, false));
}

#[test]
fn an_endpoint_that_comes_back_starts_slowly_and_balancers_are_told_of_each_step() {
    let (a, b) = (member(1), member(2));
    let cluster = cluster_with(vec![a.clone(), b.clone()], |settings| {
        settings.slow_start = Duration::from_secs(10);
    });
    let weights = |now| {
        let version = cluster.refresh(now);
        (version, [&a, &b].map(|member| cluster.state_of(member, now).weight))
    };
    assert_eq!(weights(0).1, [100, 100], "there from the start");
    fail(&cluster, &a.endpoint, 2, 1);
    let probe = cluster.admit(&a.endpoint, 5_001);
    assert!(matches!(probe, Admission::Probe(_)));
    cluster.checked(&a.endpoint, check(10_000, true), Some(true), true);
    drop(probe);
    let (mut version, first) = weights(10_000);
    assert_eq!(first, [10, 100]);
    assert!(cluster.condition(&a, 10_000).starting);
    for step in 1..10 {
        let (before, unchanged) = weights(10_000 + step * 1_000 - 1);
        assert_eq!((before, unchanged[0]), (version, u32::try_from(step * 10).unwrap()));
        let (next, grown) = weights(10_000 + step * 1_000);
        assert!(next > version);
        assert_eq!(grown[0], u32::try_from(step * 10 + 10).unwrap());
        version = next;
    }
    assert!(!cluster.condition(&a, 20_000).starting);
}
