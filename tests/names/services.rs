//! SRV names: each record is an endpoint.

use serde_json::Value;

use super::{addresses, answered, at, config, endpoints, origins, wait_for};
use crate::support::{Mood, NameServer, Proxy};

const NAME: &str = "_http._tcp.app.test";
const ENDPOINT: &str = "srv+http://_http._tcp.app.test";

#[test]
fn each_target_is_an_endpoint_with_its_port_and_weight() {
    let (first, one) = origins(&["127.0.0.1"]);
    let (second, two) = origins(&["127.0.0.2"]);
    let dns = NameServer::start();
    dns.host("a.test", 60, &["127.0.0.1"]);
    dns.host("b.test", 60, &["127.0.0.2"]);
    dns.service(NAME, 60, &[(0, 3, one, "a.test"), (0, 1, two, "B.test")]);
    let cluster = "balancer = 'by-requests'\nhost-header = 'endpoint'";
    let proxy = Proxy::start(&config(&dns, &[ENDPOINT], cluster));
    answered(&proxy, 8);
    assert_eq!((first[0].hits(), second[0].hits()), (6, 2));
    assert_eq!(second[0].requests()[0].value("host"), Some(&*format!("b.test:{two}")));
}

#[test]
fn a_lower_priority_is_used_first() {
    let (first, one) = origins(&["127.0.0.1"]);
    let (mut second, two) = origins(&["127.0.0.2"]);
    let dns = NameServer::start();
    dns.host("a.test", 60, &["127.0.0.1"]);
    dns.host("b.test", 60, &["127.0.0.2"]);
    dns.service(NAME, 60, &[(20, 0, one, "a.test"), (10, 0, two, "b.test")]);
    let proxy = Proxy::start(&config(&dns, &[ENDPOINT], "balancer = 'by-requests'"));
    answered(&proxy, 3);
    assert_eq!((first[0].hits(), second[0].hits()), (0, 3));
    second[0].kill();
    answered(&proxy, 3);
    assert_eq!(first[0].hits(), 3);
}

#[test]
fn a_table_multiplies_weights() {
    let dns = NameServer::start();
    dns.host("a.test", 60, &["127.0.0.1"]);
    dns.service(NAME, 60, &[(0, 3, 1, "a.test"), (0, 0, 2, "a.test"), (0, 65535, 3, "a.test")]);
    let toml = config(&dns, &[], "").replace(
        "endpoints = []",
        &format!("endpoints = [{{ address = '{ENDPOINT}', weight = 1.5 }}]"),
    );
    let proxy = Proxy::start(&toml);
    let weights: Vec<Value> = endpoints(&proxy).iter().map(|e| e["weight"].clone()).collect();
    assert_eq!(weights, [Value::from(4.5), Value::from(0.01), Value::from(10_000.0)]);
}

#[test]
fn targets_are_followed_and_held() {
    let dns = NameServer::start();
    dns.host("a.test", 0, &["127.0.0.1"]);
    dns.host("b.test", 0, &["127.0.0.2"]);
    dns.service(NAME, 0, &[(0, 0, 81, "a.test"), (0, 0, 82, "b.test")]);
    let proxy = Proxy::start(&config(&dns, &[ENDPOINT], ""));
    assert_eq!(addresses(&proxy), [at("127.0.0.1", 81), at("127.0.0.2", 82)]);
    // The target's own address.
    dns.host("a.test", 0, &["127.0.0.3"]);
    wait_for(&proxy, &[at("127.0.0.3", 81), at("127.0.0.2", 82)]);
    // One target cannot be resolved, another comes.
    dns.remove("b.test");
    dns.host("c.test", 0, &["127.0.0.4"]);
    dns.service(NAME, 0, &[(0, 0, 82, "b.test"), (0, 0, 83, "c.test")]);
    wait_for(&proxy, &[at("127.0.0.2", 82), at("127.0.0.4", 83)]);
    dns.mood(Mood::Fails);
    super::wait_for_queries(&dns, NAME, 3);
    assert_eq!(addresses(&proxy), [at("127.0.0.2", 82), at("127.0.0.4", 83)]);
    dns.mood(Mood::Answers);
    dns.remove(NAME);
    super::wait_for_queries(&dns, NAME, 3);
    assert_eq!(addresses(&proxy), [at("127.0.0.2", 82), at("127.0.0.4", 83)]);
    dns.service(NAME, 0, &[(0, 0, 90, "c.test")]);
    wait_for(&proxy, &[at("127.0.0.4", 90)]);
}
