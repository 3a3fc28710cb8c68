//! What survives a reload.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cluster::Hand;
use crate::cluster::tests::settings;
use crate::config::{Address, Dns, Log, LogFormat, LogLevel, LogTarget, Scheme, Server};
use crate::dns::{Found, Question, Service};
use crate::tls::Version;
use crate::tls::client::Trust;

fn endpoint(address: Address) -> config::Endpoint {
    let (scheme, attributes) = (Scheme::Unsaid, Vec::new());
    config::Endpoint { address, scheme, weight: 100, max_connections: None, attributes }
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
        acme: None,
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
        direct_tls: None,
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
        let places = places(&address, None, &names);
        places[0].authority.to_str().unwrap().to_owned()
    };
    assert_eq!(host(Address::Socket("10.0.0.1:80".parse().unwrap())), "10.0.0.1");
    assert_eq!(host(Address::Socket("[::1]:8080".parse().unwrap())), "[::1]:8080");
    assert_eq!(host(Address::Name("app.internal".into(), 80)), "app.internal");
    assert_eq!(host(Address::Unix("/run/app.sock".into())), "localhost");
}

/// How TLS is spoken to all endpoints that do not say otherwise; the same settings for the same version.
fn tls(least: Version) -> Option<UpstreamTls> {
    let client = ClientTls::new(&Trust::Anybody, None, least).unwrap();
    Some(UpstreamTls { always: true, ..UpstreamTls::usual(client) })
}

#[test]
fn who_is_spoken_to_otherwise_is_another_with_the_same_name_and_hand() {
    let mut state = State::default();
    let mut config = config(&[("a", vec![socket(1)])]);
    let mut build = |config: &Config| build(&mut state, config)["a"].clone();
    let plain = build(&config);
    plain.membership().members()[0].endpoint.vitals().set_hand(Some(Hand::Drain));
    config.clusters.get_mut("a").unwrap().tls = tls(Version::Tls12);
    let secure = build(&config);
    assert_eq!((ids(&plain), ids(&secure)), (vec![0], vec![1]));
    assert_eq!(labels(&secure), labels(&plain));
    let hand = |cluster: &Cluster| cluster.membership().members()[0].endpoint.vitals().hand();
    assert_eq!(hand(&secure), Some(Hand::Drain));
    plain.membership().members()[0].endpoint.vitals().set_hand(None);
    assert_eq!(hand(&secure), None, "as that may be the one that goes on");
    assert_eq!(ids(&build(&config)), [1]);
    config.clusters.get_mut("a").unwrap().tls = tls(Version::Tls13);
    assert_eq!(ids(&build(&config)), [2]);
}

#[test]
fn an_address_with_and_without_tls_is_two_endpoints_with_two_names() {
    let with = |scheme| config::Endpoint { scheme, ..socket(1) };
    let endpoints = vec![with(Scheme::Https), with(Scheme::Http), with(Scheme::Unsaid)];
    let mut config = config(&[("a", endpoints)]);
    config.clusters.get_mut("a").unwrap().tls = tls(Version::Tls12);
    let clusters = build(&mut State::default(), &config);
    assert_eq!(ids(&clusters["a"]), [0, 1, 0]);
    let usual = "127.0.0.1:1";
    assert_eq!(labels(&clusters["a"]), [usual, "127.0.0.1:1#address", usual]);
}

#[test]
fn certificates_must_be_for_what_stands_in_the_file() {
    let name = |address: Address| {
        let mut names = Names::default();
        let found = Found { service: None, address: [10, 0, 0, 1].into() };
        names.know(Question::Host("app.internal.".into()), vec![found]);
        let service = Service { target: "node7.test".into(), port: 8443, rank: 0, weight: 100 };
        let found = Found { service: Some(service), address: [10, 0, 0, 2].into() };
        names.know(Question::Service("_https._tcp.app.internal".into()), vec![found]);
        let places = places(&address, tls(Version::Tls12).as_ref(), &names);
        let authority = places[0].authority.to_str().unwrap().to_owned();
        (places[0].by.tls.as_ref().unwrap().name.to_str().into_owned(), authority)
    };
    let both = |name: &str, authority: &str| (name.to_owned(), authority.to_owned());
    let address = |text: &str| Address::Socket(text.parse().unwrap());
    assert_eq!(name(address("10.0.0.1:443")), both("10.0.0.1", "10.0.0.1"));
    assert_eq!(name(address("[::1]:80")), both("::1", "[::1]:80"));
    let host = name(Address::Name("app.internal.".into(), 8443));
    assert_eq!(host, both("app.internal", "app.internal.:8443"));
    assert_eq!(name(Address::Unix("/run/app.sock".into())), both("localhost", "localhost"));
    let service = name(Address::Service("_https._tcp.app.internal".into()));
    assert_eq!(service, both("app.internal", "node7.test:8443"));
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
