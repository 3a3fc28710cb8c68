//! Listeners.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::time::Duration;

use crate::config::check::kinds::{BIND, NETWORK, TARGET_PATH};
use crate::config::check::{Context, TIMEOUT, plugins, timeout};
use crate::config::file::{Checked, Choice, List, Period, Size, Table, Value, Whole, key};
use crate::config::{Listener, Name, ProxyProtocol, Underscores};

const SILENCE: Duration = Duration::from_mins(1);

const TRUSTED_PROXIES: &str = "trusted-proxies";
const PROXY_PROTOCOL: &str = "proxy-protocol";

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
    table.later(&["tls", "pin"]);
    let routers = "Plugins or components, asked in this order until one decides";
    let rewriters =
        "Plugins or components, in this order on requests, in reverse order on responses";
    let default_cluster = "Cluster of the requests that no router decides";
    let default_cluster = key("default-cluster", default_cluster, context.cluster());
    let status = "Path of the status page, which every client of this listener can then see";
    let status = key("status-path", status, TARGET_PATH).such_as("/proxy-status");
    let trusted = "Networks whose word on client and request id counts";
    let trusted = key(TRUSTED_PROXIES, trusted, List(NETWORK));
    let head = "The longest that a request's head takes to arrive";
    let body = "The longest silence within a body, in either direction";
    let request = "The longest from a request's head to the end of its response";
    let request = key("request-timeout", request, Period(TIMEOUT)).such_as("1h");
    let rate = "The least bytes per second of a request's body, where 0B turns this off";
    let rate = key("min-body-rate", rate, Size(0..=1 << 30));
    let grace = "How long a body may keep the proxy waiting before that counts";
    let max_head = key("max-head-bytes", "The largest request head", Size(8 << 10..=1 << 20));
    let max_target = "The longest request target";
    let max_target = key("max-target-bytes", max_target, Size(1 << 10..=63 << 10));
    let max_headers = key("max-headers", "The most fields of a request head", Whole(1..=1_000));
    let max_body = key("max-body-bytes", "The largest request body", Size(0..=1 << 50));
    let requests = "The most requests over one connection, the last of which it is told";
    let requests = key("max-requests-per-connection", requests, Whole(1..=1_000_000_000));
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
        status_path: table.optional(status, "there is none"),
        trusted_proxies: table.or(trusted, Vec::new()),
        proxy_protocol: proxy_protocol(table, name),
        head_timeout: timeout(table, "head-timeout", head, Duration::from_secs(10)),
        idle_timeout: timeout(table, "idle-timeout", "The longest between requests", SILENCE),
        request_timeout: table.optional(request, "no limit"),
        body_timeout: timeout(table, "body-timeout", body, SILENCE),
        min_body_rate: NonZero::new(table.or(rate, 240)),
        min_body_rate_grace: timeout(table, "min-body-rate-grace", grace, Duration::from_secs(10)),
        max_head_bytes: table.or(max_head, 64 << 10),
        max_target_bytes: table.or(max_target, 16 << 10),
        max_headers: table.or(max_headers, 100),
        max_hops: max_hops(table),
        underscores: underscores(table),
        max_body_bytes: table.optional(max_body.such_as("1GiB"), "no limit"),
        max_requests_per_connection: table.optional(requests.such_as(10_000), "no limit"),
        max_connections: table.or(connections, 10_000),
        max_connections_per_address: 0,
    };
    let all = listener.max_connections;
    listener.max_connections_per_address =
        table.or_else(per_address.such_as(100), "as many as `max-connections`", || all);
    listener
}

/// The header is believed, so that somebody must be named who may send one. `[defaults.listener]` may
/// leave that to the listeners.
fn proxy_protocol(table: &mut Table<'_>, name: Option<&Name>) -> ProxyProtocol {
    const WHO: Choice<ProxyProtocol> = Choice(&[
        ("off", ProxyProtocol::Off, "none"),
        ("require", ProxyProtocol::Require, "all; others than `trusted-proxies` are turned away"),
        (
            "from-trusted",
            ProxyProtocol::FromTrusted,
            "those from `trusted-proxies`; others are clients",
        ),
    ]);
    let about =
        "Connections that begin with a PROXY header, version 1 or 2, with the client's address";
    let chosen = table.or(key(PROXY_PROTOCOL, about, WHO), ProxyProtocol::Off);
    let trusted = table.value(TRUSTED_PROXIES);
    if chosen != ProxyProtocol::Off
        && name.is_some()
        && trusted.is_none_or(|list| list.is_empty())
        && let Some(value) = table.value(PROXY_PROTOCOL)
    {
        let message = "nobody may send the header, as there are no `trusted-proxies`";
        let help = "set `trusted-proxies` to the addresses of the proxies in front".to_owned();
        value.refuse::<()>(message, "expected networks in `trusted-proxies`", Some(help));
    }
    chosen
}

fn max_hops(table: &mut Table<'_>) -> usize {
    let about = "The most Linkspans that a request may have passed before";
    table.or(key("max-hops", about, Whole(0..=100)), 2)
}

fn underscores(table: &mut Table<'_>) -> Underscores {
    const UNDERSCORES: Choice<Underscores> = Choice(&[
        ("drop", Underscores::Drop, "they go no further"),
        ("pass", Underscores::Pass, "they go on like others"),
    ]);
    let about = "What becomes of request fields with an underscore in their name";
    table.or(key("underscores", about, UNDERSCORES), Underscores::Drop)
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
