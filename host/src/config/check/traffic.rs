//! Listeners and clusters.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use toml::de::DeValue;

use crate::config::check::{Context, DAY, TIMEOUT};
use crate::config::file::{Table, Value};
use crate::config::{
    Cluster, Endpoint, ForwardedHeaders, Health, HostHeader, Listener, Name, address, units,
};

const SILENCE: Duration = Duration::from_mins(1);

/// `[listeners.NAME]`, or `[defaults.listener]` without a name.
pub(super) fn listener(
    table: &mut Table<'_>,
    name: Option<Name>,
    context: &Context<'_>,
) -> Listener {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let bind = match &name {
        None => {
            table.forbid(&["bind"], "no two listeners can share an address");
            None
        }
        Some(name) => table.required("bind", "an address such as `0.0.0.0:8080`", |value| {
            bind(value, name, context)
        }),
    };
    if !table.chooses_later("protocol", "http", "tcp") {
        table.later(&["stream-router", "max-buffer", "decide-timeout"]);
    }
    table.later(&["tls", "status-path", "pin", "proxy-protocol"]);
    let max_connections =
        table.get("max-connections", |value| value.integer(1..=1_000_000)).unwrap_or(10_000);
    let per_address =
        table.get("max-connections-per-address", |value| value.integer(1..=1_000_000));
    Listener {
        name: name.unwrap_or_default(),
        bind: bind.unwrap_or(nowhere),
        routers: plugins(table, "routers", context),
        rewriters: plugins(table, "rewriters", context),
        default_cluster: table.get("default-cluster", |value| context.cluster(value)),
        trusted_proxies: table.get("trusted-proxies", networks).unwrap_or_default(),
        head_timeout: timeout(table, "head-timeout", Duration::from_secs(10)),
        idle_timeout: timeout(table, "idle-timeout", SILENCE),
        body_timeout: timeout(table, "body-timeout", SILENCE),
        max_head_bytes: table
            .get("max-head-bytes", |value| value.size(8 << 10..=1 << 20))
            .unwrap_or(64 << 10),
        max_headers: table.get("max-headers", |value| value.integer(1..=1_000)).unwrap_or(100),
        max_body_bytes: table.get("max-body-bytes", |value| value.size(0..=1 << 50)),
        max_connections,
        max_connections_per_address: per_address.unwrap_or(max_connections),
    }
}

fn networks(value: &Value<'_>) -> Option<Vec<ipnet::IpNet>> {
    let expected = "a network or an address, such as `10.0.0.0/8` or `::1`";
    value.list(|value| value.parse(expected, address::network))
}

fn bind(value: &Value<'_>, name: &Name, context: &Context<'_>) -> Option<SocketAddr> {
    let address =
        value.parse("an address such as `0.0.0.0:8080`, `[::]:8080` or `:8080`", address::bind)?;
    // Port 0 asks for any that is free.
    if address.port() != 0
        && let Some(other) = context.bound.borrow_mut().insert(address, name.clone())
    {
        let message = format!("`{address}` is taken by listeners.{other}");
        return value.refuse(&message, "expected an address of its own", None);
    }
    Some(address)
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
pub(super) fn cluster(table: &mut Table<'_>, name: Option<Name>, context: &Context<'_>) -> Cluster {
    let endpoints = if name.is_none() {
        table.forbid(&["endpoints"], "each cluster has its own endpoints");
        None
    } else {
        table.required("endpoints", "a list of addresses, which can be empty", |value| {
            value.list(endpoint)
        })
    };
    table.later(&[
        "fail-on-status",
        "force-recovery",
        "max-connections",
        "max-queue",
        "queue-timeout",
    ]);
    table.later(&["retry-budget", "sendfile-roots", "slow-start", "tls"]);
    let default = Cluster::default();
    Cluster {
        name: name.unwrap_or_default(),
        endpoints: endpoints.unwrap_or_default(),
        balancers: table
            .get("balancer", |value| balancers(value, context))
            .unwrap_or(default.balancers),
        max_attempts: table.get("max-attempts", |value| value.integer(1..=10_000)),
        connect_timeout: timeout(table, "connect-timeout", default.connect_timeout),
        response_timeout: timeout(table, "response-timeout", default.response_timeout),
        body_timeout: timeout(table, "body-timeout", default.body_timeout),
        idle_timeout: timeout(table, "idle-timeout", default.idle_timeout),
        max_idle_per_endpoint: table
            .get("max-idle-per-endpoint", |value| value.integer(0..=100_000))
            .unwrap_or(default.max_idle_per_endpoint),
        host_header: table
            .get("host-header", |value| {
                value.choice(&[
                    ("preserve", HostHeader::Preserve),
                    ("endpoint", HostHeader::Endpoint),
                ])
            })
            .unwrap_or(default.host_header),
        forwarded_headers: table
            .get("forwarded-headers", forwarded_headers)
            .unwrap_or(default.forwarded_headers),
        rewriters: plugins(table, "rewriters", context),
        replay_bytes: table
            .get("replay-bytes", |value| value.size(0..=64 << 20))
            .unwrap_or(default.replay_bytes),
        health: table.inner("health", |table| health(table, default.health)),
    }
}

fn balancers(value: &Value<'_>, context: &Context<'_>) -> Option<Vec<Name>> {
    let list = value.one_or_list(|value| context.balancer(value))?;
    if value.item().as_array().is_some_and(|array| array.is_empty()) {
        return value.refuse("the list is empty", "expected at least one balancer", None);
    }
    Some(list)
}

/// A text, or a table whose other keys are for balancers to read.
fn endpoint(value: &Value<'_>) -> Option<Endpoint> {
    let address = |value: &Value<'_>| {
        value.parse(
            "an address such as `10.0.0.1:80`, `files.internal:80` or `unix:/run/app.sock`",
            address::endpoint,
        )
    };
    if !matches!(value.item(), DeValue::Table(_)) {
        return Some(Endpoint { address: address(value)?, weight: 100, attributes: Vec::new() });
    }
    value.table(|table| {
        table.later(&["max-connections"]);
        let address = table.required("address", "an address such as `10.0.0.1:80`", address);
        let weight = table.get("weight", weight).unwrap_or(100);
        let others = table.others();
        let attribute =
            |(key, value): (&str, Value<'_>)| Some((key.to_owned(), attribute(&value)?));
        let mut attributes: Vec<_> = others.into_iter().filter_map(attribute).collect();
        attributes.sort_unstable();
        Some(Endpoint { address: address?, weight, attributes })
    })?
}

fn attribute(value: &Value<'_>) -> Option<String> {
    match value.item() {
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(date) => Some(date.to_string()),
        _ => value.text().map(std::borrow::Cow::into_owned),
    }
}

fn weight(value: &Value<'_>) -> Option<u32> {
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

fn forwarded_headers(value: &Value<'_>) -> Option<ForwardedHeaders> {
    const NAMES: [(&str, usize); 5] = [
        ("x-forwarded-for", 0),
        ("x-forwarded-proto", 1),
        ("x-forwarded-host", 2),
        ("x-host", 3),
        ("x-request-id", 4),
    ];
    let chosen = value.list(|value| value.choice(&NAMES))?;
    Some(ForwardedHeaders {
        x_forwarded_for: chosen.contains(&0),
        x_forwarded_proto: chosen.contains(&1),
        x_forwarded_host: chosen.contains(&2),
        x_host: chosen.contains(&3),
        x_request_id: chosen.contains(&4),
    })
}

fn health(table: &mut Table<'_>, default: Health) -> Health {
    table.later(&["check"]);
    Health {
        attempts: table
            .get("attempts", |value| value.integer(0..=1_000))
            .unwrap_or(default.attempts),
        offline: table
            .get("offline", |value| value.duration(Duration::ZERO..=DAY))
            .unwrap_or(default.offline),
    }
}

fn plugins(table: &mut Table<'_>, key: &'static str, context: &Context<'_>) -> Vec<Name> {
    table.get(key, |value| value.list(|value| context.plugin(value))).unwrap_or_default()
}

fn timeout(table: &mut Table<'_>, key: &'static str, default: Duration) -> Duration {
    table.get(key, |value| value.duration(TIMEOUT)).unwrap_or(default)
}
