//! Which endpoints are left alone, by what their requests and their checks say, and when they are tried
//! again.

mod checks;
mod recovery;
mod statuses;

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{Client, Origin, Proxy, eventually, one_cluster};

/// A proxy with an administrator, in front of one cluster with these lines.
fn proxy(endpoints: &[SocketAddr], cluster: &str) -> Proxy {
    Proxy::start(&toml(endpoints, cluster))
}

fn toml(endpoints: &[SocketAddr], cluster: &str) -> String {
    format!("{}[admin]\nbind = '127.0.0.1:0'\n", one_cluster(endpoints, "", cluster))
}

/// What the administrator is told of an endpoint.
#[track_caller]
fn about(proxy: &Proxy, endpoint: SocketAddr) -> Value {
    let clusters = Client::connect(proxy.admin()).ask(
        "GET",
        "/api/clusters",
        &[("host", &proxy.admin().to_string())],
        b"",
    );
    let clusters: Value = serde_json::from_slice(&clusters.body).unwrap();
    let endpoints = clusters.pointer("/0/endpoints").and_then(Value::as_array).unwrap();
    let label = Value::from(endpoint.to_string());
    endpoints.iter().find(|each| each.get("address") == Some(&label)).unwrap().clone()
}

/// Sets the state of an endpoint of `main` by hand, with the token `open-sesame`.
#[track_caller]
fn set(proxy: &Proxy, endpoint: SocketAddr, state: &str) {
    let path = format!("/api/clusters/main/endpoints/{endpoint}");
    let fields =
        [("host", proxy.admin().to_string()), ("authorization", "Bearer open-sesame".into())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = format!("{{\"state\":\"{state}\"}}");
    let answer = Client::connect(proxy.admin()).ask("POST", &path, &fields, body.as_bytes());
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

#[track_caller]
fn wait_for_state(proxy: &Proxy, endpoint: SocketAddr, state: &str) {
    eventually(state, || {
        (about(proxy, endpoint).get("state") == Some(&state.into())).then_some(())
    });
}

/// What so many requests over one connection are answered with: bodies, or else statuses.
fn answers(proxy: &Proxy, requests: usize) -> Vec<String> {
    let mut client = proxy.connect();
    let answer = |response: crate::support::Message| match response.status() {
        200 => response.text(),
        status => status.to_string(),
    };
    (0..requests).map(|_| answer(client.get("/"))).collect()
}

fn addresses(origins: &[&Origin]) -> Vec<SocketAddr> {
    origins.iter().map(|origin| origin.address()).collect()
}
