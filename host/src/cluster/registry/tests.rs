//! What survives a reload.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cluster::tests::settings;
use crate::config::{Dns, Log, LogFormat, LogLevel, LogTarget, Server};
use crate::dns::Question;

fn endpoint(address: Address) -> config::Endpoint {
    config::Endpoint { address, weight: 100, max_connections: None, attributes: Vec::new() }
}

fn socket(port: u16) -> config::Endpoint {
    endpoint(Address::Socket(([127, 0, 0, 1], port).into()))
}

fn name(host: &str) -> config::Endpoint {
    endpoint(Address::Name(host.into(), 8080))
}

fn config(clusters: &[(&str, Vec<config::Endpoint>)]) -> Config {
    let clusters = clusters.iter().map(|(name, endpoints)| {
        let name: Name = (*name).into();
        let cluster = settings(endpoints.clone());
        (Arc::clone(&name), config::Cluster { name, ..cluster })
    });
    Config {
        admin: None,
        dns: Dns::default(),
        log: Log {
            level: LogLevel::Info,
            format: LogFormat::Text,
            file: LogTarget::Off,
            access: LogTarget::Off,
        },
        server: Server {
            workers: 1,
            plugin_dir: None,
            shutdown_grace: Duration::ZERO,
            cache_dir: "".into(),
            cache_bytes: 0,
            compile_timeout: Duration::ZERO,
            compile_memory_bytes: 0,
            require_digest: None,
            takeover: None,
        },
        listeners: BTreeMap::new(),
        clusters: clusters.collect(),
        plugins: BTreeMap::new(),
        stores: BTreeMap::new(),
    }
}

/// The clusters of a configuration in which no name resolves.
fn build(state: &mut State, config: &Config) -> BTreeMap<Name, Arc<Cluster>> {
    state.build(config, &Names::default())
}

fn ids(cluster: &Cluster) -> Vec<u32> {
    cluster.membership().members().iter().map(|member| member.endpoint.id()).collect()
}

fn labels(cluster: &Cluster) -> Vec<String> {
    let membership = cluster.membership();
    membership.members().iter().map(|member| member.endpoint.label().to_string()).collect()
}

#[test]
fn figures_and_health_survive_a_reload() {
    let mut state = State::default();
    let first = build(&mut state, &config(&[("a", vec![socket(1), socket(2)])]));
    let membership = first["a"].membership().clone();
    let held = membership.endpoint(ids(&first["a"])[1]).unwrap().begin().unwrap();
    for _ in 0..2 {
        first["a"].connect_failed(held.endpoint(), health_now());
    }
    let second = build(&mut state, &config(&[("a", vec![socket(3), socket(2)])]));
    assert_eq!(second["a"].id(), first["a"].id());
    assert_eq!(ids(&second["a"]), [2, 1]);
    let membership = second["a"].membership().clone();
    assert_eq!(membership.endpoint(1).unwrap().in_flight(), 1);
    drop(held);
    assert_eq!(membership.endpoint(1).unwrap().in_flight(), 0);
    assert_eq!(second["a"].first_usable(health_now(), &[]).unwrap().id(), 2);
    assert!(!second["a"].state_of(&membership.members()[1], health_now()).usable);
}

fn health_now() -> u64 {
    1_000
}

#[test]
fn a_reload_that_changes_nothing_gives_the_same_membership() {
    let mut state = State::default();
    let mut config = config(&[("a", vec![socket(1)]), ("b", vec![socket(1)])]);
    let first = build(&mut state, &config);
    assert_ne!(ids(&first["a"]), ids(&first["b"]), "clusters share no endpoint");
    let second = build(&mut state, &config);
    let version = |cluster: &Cluster| cluster.membership().version();
    assert_eq!(version(&second["a"]), version(&first["a"]));
    config.clusters.get_mut("a").unwrap().endpoints[0].weight = 200;
    let third = build(&mut state, &config);
    assert!(version(&third["a"]) > version(&second["a"]));
    assert_eq!(ids(&third["a"]), ids(&first["a"]));
    assert_eq!(version(&third["b"]), version(&first["b"]));
}

#[test]
fn each_address_of_a_name_is_an_endpoint_and_repetitions_are_one() {
    let mut names = Names::default();
    let found = |last| Found { service: None, address: [10, 0, 0, last].into() };
    names.know(Question::Host("app".into()), vec![found(1), found(2)]);
    names.know(Question::Host("other".into()), vec![found(1)]);
    let endpoints = vec![name("app"), socket(1), name("nowhere"), socket(1), name("other")];
    let clusters = State::default().build(&config(&[("a", endpoints)]), &names);
    let cluster = &clusters["a"];
    assert_eq!(ids(cluster), [0, 1, 2, 2, 3]);
    assert_eq!(
        labels(cluster),
        ["10.0.0.1:8080", "10.0.0.2:8080", "127.0.0.1:1", "127.0.0.1:1", "10.0.0.1:8080#other"]
    );
    assert_eq!(cluster.membership().endpoint(0).unwrap().authority(), "app:8080");
    assert_eq!(cluster.max_attempts(), 4);
}

#[test]
fn hosts_are_as_a_client_would_send_them() {
    let host = |address: Address| {
        let mut names = Names::default();
        let found = Found { service: None, address: [10, 0, 0, 1].into() };
        names.know(Question::Host("app.internal".into()), vec![found]);
        let places = places(&address, &names);
        places[0].authority.to_str().unwrap().to_owned()
    };
    assert_eq!(host(Address::Socket("10.0.0.1:80".parse().unwrap())), "10.0.0.1");
    assert_eq!(host(Address::Socket("[::1]:8080".parse().unwrap())), "[::1]:8080");
    assert_eq!(host(Address::Name("app.internal".into(), 80)), "app.internal");
    assert_eq!(host(Address::Unix("/run/app.sock".into())), "localhost");
}

#[test]
fn status_takes_an_endpoint_out_of_service() {
    let mut state = State::default();
    let mut drain = socket(1);
    drain.attributes.push(("status".to_owned(), "drain".to_owned()));
    let mut disabled = socket(2);
    disabled.attributes.push(("status".to_owned(), "disabled".to_owned()));
    let clusters = build(&mut state, &config(&[("a", vec![drain, disabled, socket(3)])]));
    let membership = clusters["a"].membership();
    let states = membership.members().iter().map(|member| clusters["a"].state_of(member, 0));
    let states: Vec<_> = states.map(|state| (state.usable, state.draining)).collect();
    assert_eq!(states, [(true, true), (false, false), (true, false)]);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_leaves_the_others() {
    let registry = Registry::default();
    let config = config(&[("a", vec![name("linkspan.invalid"), name("localhost"), socket(1)])]);
    let clusters = registry.load(&config).await;
    let labels = labels(&clusters["a"]);
    assert!(labels.contains(&"127.0.0.1:8080".to_owned()), "{labels:?}");
    assert_eq!(labels.last().unwrap(), "127.0.0.1:1");
    assert!(labels.len() <= 3);
    // What once resolved is held.
    registry.serve(&clusters);
    let question = Question::Host("localhost".into());
    let (answer, took) = (Err(crate::dns::Failure::Empty), Duration::ZERO);
    registry.lock().note(names::LookedUp { question, answer, took, epoch: 0 });
    assert_eq!(self::labels(&clusters["a"]), labels);
    assert_eq!(self::labels(&registry.load(&config).await["a"]), labels);
}

proptest! {
    /// Over any reloads: a number stands for one address for good, and an address keeps its number
    /// as long as it stays a member.
    #[test]
    fn numbers_are_stable(reloads in proptest::collection::vec(
        proptest::collection::vec(1..8_u16, 0..6), 1..20,
    )) {
        let mut state = State::default();
        let mut before = BTreeMap::new();
        let mut ever = BTreeMap::new();
        let mut held = build(&mut state, &config(&[]));
        for ports in reloads {
            let endpoints = ports.iter().copied().map(socket).collect();
            let clusters = build(&mut state, &config(&[("a", endpoints)]));
            let now: BTreeMap<_, _> = ports.into_iter().zip(ids(&clusters["a"])).collect();
            for (port, id) in &now {
                prop_assert!(before.get(port).is_none_or(|before| before == id));
                prop_assert_eq!(ever.entry(*id).or_insert(*port), port);
            }
            prop_assert_eq!(now.values().collect::<BTreeSet<_>>().len(), now.len());
            before = now;
            held = clusters;
        }
        drop(held);
    }
}
