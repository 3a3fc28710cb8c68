//! Clusters.

use std::time::Duration;

use serde_json::Value as Json;

use crate::config::check::endpoint::{EndpointKind, IN_FLIGHT, MAX_CONNECTIONS};
use crate::config::check::health::{StatusKind, health};
use crate::config::check::sendfile::sendfile;
use crate::config::check::upstream_tls::upstream_tls;
use crate::config::check::{Context, DAY, plugins, timeout};
use crate::config::file::{Choice, List, OneOrMore, Period, Size, Table, Truth, Whole, key};
use crate::config::{Cluster, Endpoint, ForwardedHeaders, HostHeader, Name, Protocol, Statuses};
use crate::proxy_protocol::Version;

/// `[clusters.NAME]`, or `[defaults.cluster]` without a name.
pub(super) fn cluster(
    table: &mut Table<'_>,
    name: Option<&Name>,
    context: &Context<'_>,
) -> Cluster {
    let endpoints = endpoints(table, name);
    let tls = upstream_tls(table, &endpoints, context);
    let balancer = OneOrMore { of: context.balancer(), what: "balancer" };
    let about = "Balancer, or a list of them, where the next is asked when one passes";
    let balancer = key("balancer", about, balancer);
    let attempts = key("max-attempts", "The most attempts at one request", Whole(1..=10_000));
    let connect = "The longest that connecting to an endpoint takes";
    let response = "The longest from sending a request to the head of its response";
    let body = "The longest silence within a response's body";
    let tunnel = "The longest silence of both sides after an upgrade, as to WebSocket";
    let idle = "The longest that an unused connection is kept";
    let max_idle = "The most unused connections that are kept of an endpoint";
    let max_idle = key("max-idle-per-endpoint", max_idle, Whole(0..=100_000));
    let most = key(MAX_CONNECTIONS, "The most requests in flight at each endpoint", IN_FLIGHT);
    let queue = "The most requests that wait while endpoints have as many in flight as they may";
    let queue = key("max-queue", queue, Whole(0..=1_000_000));
    let queued = "The longest that a request waits there";
    let proxied = "The PROXY header by which connections tell of the client, and serve no other";
    let proxied = key("proxy-protocol", proxied, PROXY_HEADERS);
    let host_header = key("host-header", "The Host that endpoints get", HOST_HEADERS);
    let rewriters =
        "The same as of a listener, after its own on requests, before them on responses";
    let on_status =
        "Statuses that count as failures, 502 and 504 also where an endpoint did not answer";
    let on_status = key("fail-on-status", on_status, List(StatusKind)).such_as(vec!["5xx"]);
    let fail_attempts = "How many of these in a row until an endpoint is left alone";
    let fail_attempts = key("fail-attempts", fail_attempts, Whole(1..=1_000));
    let recovery = "Whether endpoints are tried all the same when none is left";
    let slow = "How long the weight of an endpoint that comes, or comes back, takes to grow";
    let slow = key("slow-start", slow, Period(Duration::ZERO..=DAY));
    let default = Cluster::default();
    Cluster {
        name: name.cloned().unwrap_or_default(),
        endpoints,
        tls,
        balancers: table.or(balancer, default.balancers),
        max_attempts: table.optional(attempts.such_as(3), "as many as there are endpoints"),
        connect_timeout: timeout(table, "connect-timeout", connect, default.connect_timeout),
        response_timeout: timeout(table, "response-timeout", response, default.response_timeout),
        max_response_head_bytes: response_head_bytes(table, default.max_response_head_bytes),
        max_response_headers: response_headers(table, default.max_response_headers),
        body_timeout: timeout(table, "body-timeout", body, default.body_timeout),
        tunnel_timeout: timeout(table, "tunnel-timeout", tunnel, default.tunnel_timeout),
        idle_timeout: timeout(table, "idle-timeout", idle, default.idle_timeout),
        max_idle_per_endpoint: table.or(max_idle, default.max_idle_per_endpoint),
        max_connections: table.optional(most.such_as(50), "no limit"),
        max_queue: table.or(queue, default.max_queue),
        queue_timeout: timeout(table, "queue-timeout", queued, default.queue_timeout),
        proxy_protocol: table.or(proxied, default.proxy_protocol),
        protocol: protocol(table, default.protocol),
        host_header: table.or(host_header, default.host_header),
        forwarded_headers: forwarded_headers(table),
        rewriters: plugins(table, "rewriters", rewriters, context),
        replay_bytes: replay_bytes(table, default.replay_bytes),
        health: table.inner("health", "When an endpoint counts as offline", |table| {
            health(table, &default.health)
        }),
        fail_on_status: Statuses::new(table.or(on_status, Vec::new())),
        fail_attempts: table.or(fail_attempts, default.fail_attempts),
        force_recovery: table.or(key("force-recovery", recovery, Truth), default.force_recovery),
        slow_start: table.or(slow, default.slow_start),
        sendfile: sendfile(table, context),
    }
}

fn endpoints(table: &mut Table<'_>, name: Option<&Name>) -> Vec<Endpoint> {
    if name.is_none() {
        table.forbid(&["endpoints"], "each cluster has its own endpoints");
        return Vec::new();
    }
    let about = "Where requests go, as addresses or tables";
    let key = key("endpoints", about, List(EndpointKind)).such_as(Vec::<Json>::new());
    table.required(key, "a list of addresses, which can be empty").unwrap_or_default()
}

fn response_head_bytes(table: &mut Table<'_>, default: usize) -> usize {
    let about = "The largest head of a response";
    table.or(key("max-response-head-bytes", about, Size(8 << 10..=1 << 20)), default)
}

fn response_headers(table: &mut Table<'_>, default: usize) -> usize {
    let about = "The most fields of a response's head, and of its trailers";
    table.or(key("max-response-headers", about, Whole(1..=1_000)), default)
}

fn replay_bytes(table: &mut Table<'_>, default: usize) -> usize {
    let about = "The most of a request's body that is kept to repeat it";
    table.or(key("replay-bytes", about, Size(0..=64 << 20)), default)
}

fn protocol(table: &mut Table<'_>, default: Protocol) -> Protocol {
    let about = "The version of HTTP that is spoken to endpoints";
    table.or(key("protocol", about, PROTOCOLS), default)
}

/// What endpoints get as Host, and what comes first.
const HOST_HEADERS: Choice<HostHeader> = Choice(&[
    ("preserve", HostHeader::Preserve, "what the client sent"),
    ("endpoint", HostHeader::Endpoint, "the endpoint's address"),
]);
/// See [`HOST_HEADERS`].
const PROXY_HEADERS: Choice<Option<Version>> = Choice(&[
    ("off", None, "none"),
    ("v1", Some(Version::V1), "a line of text"),
    ("v2", Some(Version::V2), "in binary"),
]);

/// See [`Protocol`].
const PROTOCOLS: Choice<Protocol> = Choice(&[
    ("http/1.1", Protocol::Http1, "HTTP/1.1"),
    ("h2", Protocol::Http2, "HTTP/2, also in clear"),
    ("auto", Protocol::Auto, "what they choose over TLS, HTTP/1.1 in clear"),
]);

/// The forwarding headers, by their place in [`ForwardedHeaders`].
const FORWARDED: Choice<usize> = Choice(&[
    ("x-forwarded-for", 0, "the client's address"),
    ("x-forwarded-proto", 1, "the scheme"),
    ("x-forwarded-host", 2, "the Host that the client sent"),
    ("x-host", 3, "the same under lighttpd's name"),
    ("x-request-id", 4, "the request's id"),
]);

fn forwarded_headers(table: &mut Table<'_>) -> ForwardedHeaders {
    let about = "The headers that tell endpoints of the client";
    let chosen = table.or(key("forwarded-headers", about, List(FORWARDED)), vec![0, 1, 2]);
    ForwardedHeaders {
        x_forwarded_for: chosen.contains(&0),
        x_forwarded_proto: chosen.contains(&1),
        x_forwarded_host: chosen.contains(&2),
        x_host: chosen.contains(&3),
        x_request_id: chosen.contains(&4),
    }
}
