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
        health: config::Health { attempts: 2, offline: Duration::from_secs(5) },
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
    cluster.connected(a);
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
    cluster.connected(&b.endpoint);
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
    cluster.connected(&a.endpoint);
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
                0 => cluster.connected(endpoint),
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
