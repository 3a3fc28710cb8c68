//! Listeners and clusters.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use toml::de::DeValue;

use crate::config::check::kinds::{BIND, ENDPOINT, NETWORK};
use crate::config::check::{Context, DAY, TIMEOUT};
use crate::config::file::{
    Checked, Choice, Document, Kind, List, OneOrMore, Period, Size, Table, Text, Value, Whole, key,
    with,
};
use crate::config::{
    Cluster, Endpoint, ForwardedHeaders, Health, HostHeader, Listener, Name, schema, units,
};

const SILENCE: Duration = Duration::from_mins(1);

/// The keys of endpoints, in text and in tables, that say where they are.
const ADDRESS: &str = "Host and port, or a Unix socket";

/// `[listeners.NAME]`, or `[defaults.listener]` without a name.
pub(super) fn listener(
    table: &mut Table<'_>,
    name: Option<&Name>,
    context: &Context<'_>,
) -> Listener {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let bind = match name {
        None => {
            table.forbid(&["bind"], "no two listeners can share an address");
            None
        }
        Some(name) => bind(table, name, context),
    };
    let protocol = Choice(&[("http", (), "HTTP/1.1")]);
    let protocol = key("protocol", "What is spoken", protocol);
    if !table.chooses_later(protocol, "tcp") {
        table.later(&["stream-router", "max-buffer", "decide-timeout"]);
    }
    table.later(&["tls", "status-path", "pin", "proxy-protocol"]);
    let routers = "Plugins or components, asked in this order until one decides";
    let rewriters =
        "Plugins or components, in this order on requests, in reverse order on responses";
    let default_cluster = "Cluster of the requests that no router decides";
    let default_cluster = key("default-cluster", default_cluster, context.cluster());
    let trusted = "Networks whose word on client and request id counts";
    let trusted = key("trusted-proxies", trusted, List(NETWORK));
    let head = "The longest that a request's head takes to arrive";
    let body = "The longest silence within a body, in either direction";
    let max_head = key("max-head-bytes", "The largest request head", Size(8 << 10..=1 << 20));
    let max_headers = key("max-headers", "The most fields of a request head", Whole(1..=1_000));
    let max_body = key("max-body-bytes", "The largest request body", Size(0..=1 << 50));
    let connections = Whole(1..=1_000_000);
    let connections = key("max-connections", "The most open connections", connections);
    let per_address = "The most open connections of one client address";
    let per_address = key("max-connections-per-address", per_address, Whole(1..=1_000_000));
    let mut listener = Listener {
        name: name.cloned().unwrap_or_default(),
        bind: bind.unwrap_or(nowhere),
        routers: plugins(table, "routers", routers, context),
        rewriters: plugins(table, "rewriters", rewriters, context),
        default_cluster: table.optional(default_cluster.such_as("files"), "the answer is 404"),
        trusted_proxies: table.or(trusted, Vec::new()),
        head_timeout: timeout(table, "head-timeout", head, Duration::from_secs(10)),
        idle_timeout: timeout(table, "idle-timeout", "The longest between requests", SILENCE),
        body_timeout: timeout(table, "body-timeout", body, SILENCE),
        max_head_bytes: table.or(max_head, 64 << 10),
        max_headers: table.or(max_headers, 100),
        max_body_bytes: table.optional(max_body.such_as("1GiB"), "no limit"),
        max_connections: table.or(connections, 10_000),
        max_connections_per_address: 0,
    };
    let all = listener.max_connections;
    listener.max_connections_per_address =
        table.or_else(per_address.such_as(100), "as many as `max-connections`", || all);
    listener
}

fn bind(table: &mut Table<'_>, name: &Name, context: &Context<'_>) -> Option<SocketAddr> {
    let check = |value: &Value<'_>, address: SocketAddr| {
        // Port 0 asks for any that is free.
        if address.port() != 0
            && let Some(other) = context.bound.borrow_mut().insert(address, name.clone())
        {
            let message = format!("`{address}` is taken by listeners.{other}");
            return value.refuse(&message, "expected an address of its own", None);
        }
        Some(address)
    };
    let about = "Address to listen on, where port 0 takes one that is free";
    let key = key("bind", about, Checked { kind: BIND, check }).such_as("127.0.0.1:8080");
    table.required(key, "an address such as `0.0.0.0:8080`")
}

impl Default for Cluster {
    /// A cluster whose table sets nothing; it has neither name nor endpoints.
    fn default() -> Self {
        Self {
            name: Name::default(),
            endpoints: Vec::new(),
            balancers: vec![Name::from("round-robin")],
            max_attempts: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: SILENCE,
            body_timeout: SILENCE,
            idle_timeout: SILENCE,
            max_idle_per_endpoint: 64,
            host_header: HostHeader::Preserve,
            forwarded_headers: ForwardedHeaders {
                x_forwarded_for: true,
                x_forwarded_proto: true,
                x_forwarded_host: true,
                x_host: false,
                x_request_id: false,
            },
            rewriters: Vec::new(),
            replay_bytes: 64 << 10,
            health: Health { attempts: 2, offline: Duration::from_mins(1) },
        }
    }
}

/// `[clusters.NAME]`, or `[defaults.cluster]` without a name.
pub(super) fn cluster(
    table: &mut Table<'_>,
    name: Option<&Name>,
    context: &Context<'_>,
) -> Cluster {
    let endpoints = if name.is_none() {
        table.forbid(&["endpoints"], "each cluster has its own endpoints");
        None
    } else {
        let about = "Where requests go, as addresses or tables";
        let key = key("endpoints", about, List(EndpointKind)).such_as(Vec::<Json>::new());
        table.required(key, "a list of addresses, which can be empty")
    };
    table.later(&[
        "fail-on-status",
        "force-recovery",
        "max-connections",
        "max-queue",
        "queue-timeout",
    ]);
    table.later(&["retry-budget", "sendfile-roots", "slow-start", "tls"]);
    const HOST_HEADERS: Choice<HostHeader> = Choice(&[
        ("preserve", HostHeader::Preserve, "what the client sent"),
        ("endpoint", HostHeader::Endpoint, "the endpoint's address"),
    ]);
    let balancer = OneOrMore { of: context.balancer(), what: "balancer" };
    let about = "Balancer, or a list of them, where the next is asked when one passes";
    let balancer = key("balancer", about, balancer);
    let attempts = key("max-attempts", "The most attempts at one request", Whole(1..=10_000));
    let connect = "The longest that connecting to an endpoint takes";
    let response = "The longest from sending a request to the head of its response";
    let body = "The longest silence within a response's body";
    let idle = "How long an unused connection is kept";
    let max_idle = "The most unused connections that are kept of an endpoint";
    let max_idle = key("max-idle-per-endpoint", max_idle, Whole(0..=100_000));
    let host_header = key("host-header", "The Host that endpoints get", HOST_HEADERS);
    let forwarded = "The headers that tell endpoints of the client";
    let forwarded = key("forwarded-headers", forwarded, List(FORWARDED));
    let rewriters =
        "The same as of a listener, after its own on requests, before them on responses";
    let replay = "The most of a request's body that is kept to repeat it";
    let replay = key("replay-bytes", replay, Size(0..=64 << 20));
    let default = Cluster::default();
    Cluster {
        name: name.cloned().unwrap_or_default(),
        endpoints: endpoints.unwrap_or_default(),
        balancers: table.or(balancer, default.balancers),
        max_attempts: table.optional(attempts.such_as(3), "as many as there are endpoints"),
        connect_timeout: timeout(table, "connect-timeout", connect, default.connect_timeout),
        response_timeout: timeout(table, "response-timeout", response, default.response_timeout),
        body_timeout: timeout(table, "body-timeout", body, default.body_timeout),
        idle_timeout: timeout(table, "idle-timeout", idle, default.idle_timeout),
        max_idle_per_endpoint: table.or(max_idle, default.max_idle_per_endpoint),
        host_header: table.or(host_header, default.host_header),
        forwarded_headers: forwarded_headers(&table.or(forwarded, vec![0, 1, 2])),
        rewriters: plugins(table, "rewriters", rewriters, context),
        replay_bytes: table.or(replay, default.replay_bytes),
        health: table.inner("health", "When an endpoint counts as offline", |table| {
            health(table, default.health)
        }),
    }
}

/// A text, or a table whose other keys are for balancers to read.
struct EndpointKind;

impl EndpointKind {
    fn table(table: &mut Table<'_>) -> Option<Endpoint> {
        table.later(&["max-connections"]);
        let address = key("address", ADDRESS, ENDPOINT);
        let address = table.required(address, "an address such as `10.0.0.1:80`");
        let weight = table.or(key("weight", "Its share, relative to the others", Weight), 100);
        let scalar = json!({ "type": ["string", "number", "boolean"] });
        let others = table.others(scalar);
        let attribute =
            |(key, value): (&str, Value<'_>)| Some((key.to_owned(), attribute(&value)?));
        let mut attributes: Vec<_> = others.into_iter().filter_map(attribute).collect();
        attributes.sort_unstable();
        Some(Endpoint { address: address?, weight, attributes })
    }
}

impl Kind for EndpointKind {
    type Value = Endpoint;

    fn read(&self, value: &Value<'_>) -> Option<Endpoint> {
        if matches!(value.item(), DeValue::Table(_)) {
            return value.table(Self::table)?;
        }
        Some(Endpoint { address: ENDPOINT.read(value)?, weight: 100, attributes: Vec::new() })
    }

    fn write(&self, value: &Endpoint) -> Json {
        let address = ENDPOINT.write(&value.address);
        if value.weight == 100 && value.attributes.is_empty() {
            return address;
        }
        let attributes = value.attributes.iter();
        let mut written: Map<_, _> =
            attributes.map(|(key, text)| (key.clone(), text.as_str().into())).collect();
        written.insert("address".to_owned(), address);
        written.insert("weight".to_owned(), Weight.write(&value.weight));
        written.into()
    }

    fn schema(&self) -> Json {
        let text = with(ENDPOINT.schema(), "description", ADDRESS);
        json!({ "anyOf": [text, schema::of_table(&Document::describe(Self::table))] })
    }
}

fn attribute(value: &Value<'_>) -> Option<String> {
    match value.item() {
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(date) => Some(date.to_string()),
        _ => Text.read(value),
    }
}

/// A weight, in hundredths.
struct Weight;

impl Kind for Weight {
    type Value = u32;

    fn read(&self, value: &Value<'_>) -> Option<u32> {
        let number: Option<f64> = match value.item() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .and_then(|whole| i32::try_from(whole).ok())
                .map(f64::from),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.and_then(units::weight).or_else(|| {
            let expected = "expected a number from 0.01 to 10000 with at most two decimals";
            value.refuse("this is not a weight", expected, None)
        })
    }

    fn write(&self, value: &u32) -> Json {
        if value.is_multiple_of(100) {
            (value / 100).into()
        } else {
            (f64::from(*value) / 100.0).into()
        }
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "minimum": 0.01, "maximum": 10_000 })
    }

    fn range(&self) -> String {
        " (0.01 to 10_000)".to_owned()
    }
}

/// The forwarding headers, by their place in [`ForwardedHeaders`].
const FORWARDED: Choice<usize> = Choice(&[
    ("x-forwarded-for", 0, "the client's address"),
    ("x-forwarded-proto", 1, "the scheme"),
    ("x-forwarded-host", 2, "the Host that the client sent"),
    ("x-host", 3, "the same under lighttpd's name"),
    ("x-request-id", 4, "the request's id"),
]);

fn forwarded_headers(chosen: &[usize]) -> ForwardedHeaders {
    ForwardedHeaders {
        x_forwarded_for: chosen.contains(&0),
        x_forwarded_proto: chosen.contains(&1),
        x_forwarded_host: chosen.contains(&2),
        x_host: chosen.contains(&3),
        x_request_id: chosen.contains(&4),
    }
}

fn health(table: &mut Table<'_>, default: Health) -> Health {
    table.later(&["check"]);
    let attempts = "Connect failures in a row until it is offline";
    let offline = "How long it is then left alone, where \"0s\" turns this off";
    Health {
        attempts: table.or(key("attempts", attempts, Whole(0..=1_000)), default.attempts),
        offline: table.or(key("offline", offline, Period(Duration::ZERO..=DAY)), default.offline),
    }
}

fn plugins(
    table: &mut Table<'_>,
    name: &'static str,
    about: &'static str,
    context: &Context<'_>,
) -> Vec<Name> {
    table.or(key(name, about, List(context.plugin())), Vec::new())
}

fn timeout(
    table: &mut Table<'_>,
    name: &'static str,
    about: &'static str,
    default: Duration,
) -> Duration {
    table.or(key(name, about, Period(TIMEOUT)), default)
}
