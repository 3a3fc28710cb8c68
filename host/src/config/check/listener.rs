//! Listeners.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::time::Duration;

use crate::config::check::kinds::{BIND, TARGET_PATH, TRUSTED};
use crate::config::check::{Context, TIMEOUT, plugins, socket, timeout, tls};
use crate::config::file::{Checked, Choice, List, Period, Size, Table, Value, Whole, key};
use crate::config::{Listener, Name, ProxyProtocol, Tcp, Underscores, Versions};
use crate::socket::bind::Bind;
use crate::socket::path::Rights;

const SILENCE: Duration = Duration::from_mins(1);
/// That of a stream, of which nobody knows whether it has come to its end.
const STREAM_SILENCE: Duration = Duration::from_mins(10);

/// What is put in place of what is not known yet.
const NOWHERE: Bind = Bind::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));

const TRUSTED_PROXIES: &str = "trusted-proxies";
const PROXY_PROTOCOL: &str = "proxy-protocol";

/// `[listeners.NAME]`, or `[defaults.listener]` without a name.
pub(super) fn listener(
    table: &mut Table<'_>,
    name: Option<&Name>,
    context: &Context<'_>,
) -> Listener {
    let bind = match name {
        None => {
            table.forbid(&["bind"], "no two listeners can share an address");
            None
        }
        Some(name) => bind(table, name, context),
    };
    // One that cannot be read is not said to be of the wrong kind as well.
    let is_unix = bind.as_ref().is_none_or(|bind| bind.address().is_none());
    let rights = socket::rights(table, name, is_unix);
    let tcp = tcp(table, name, context);
    table.later(&["pin"]);
    let default_cluster = "Cluster of what no router decides";
    let default_cluster = key("default-cluster", default_cluster, context.cluster());
    let trusted = "Whose word on client and request id counts: networks, or \"unix\" for those who \
                   connect to a Unix socket";
    let trusted = key(TRUSTED_PROXIES, trusted, List(TRUSTED));
    let head =
        "The longest that a request's head takes to arrive, or a PROXY header, or a TLS handshake";
    let idle = "The longest between requests, or without a byte of a TCP stream";
    let idle = key("idle-timeout", idle, Period(TIMEOUT)).such_as("1m");
    let silence = if tcp.is_some() { STREAM_SILENCE } else { SILENCE };
    let connections = Whole(1..=1_000_000);
    let connections = key("max-connections", "The most open connections", connections);
    let per_address = "The most open connections of one client address";
    let per_address = key("max-connections-per-address", per_address, Whole(1..=1_000_000));
    let without = "requests get a 404, and TCP connections are closed";
    let mut listener = requests(table, tcp.is_some() && name.is_some(), context);
    let protocols: &[&[u8]] = match (&tcp, listener.versions) {
        (Some(_), _) => &[],
        (None, Versions { http1: true, http2: true }) => &[b"h2", b"http/1.1"],
        (None, Versions { http2: true, .. }) => &[b"h2"],
        (None, _) => &[b"http/1.1"],
    };
    let tls = tls::tls(table, name, protocols, context);
    listener.name = name.cloned().unwrap_or_default();
    listener.bind = bind.unwrap_or(NOWHERE);
    listener.rights = rights;
    listener.default_cluster = table.optional(default_cluster.such_as("files"), without);
    listener.trusted_proxies = table.or(trusted, Vec::new());
    listener.proxy_protocol = proxy_protocol(table, name);
    listener.head_timeout = timeout(table, "head-timeout", head, Duration::from_secs(10));
    listener.idle_timeout = table.or_else(idle, "1m, of TCP streams 10m", || silence);
    let all = table.or(connections, 10_000);
    listener.max_connections = all;
    listener.max_connections_per_address =
        table.or_else(per_address.such_as(100), "as many as `max-connections`", || all);
    listener.tcp = tcp;
    listener.tls = tls;
    listener
}

/// What a listener does with connections that it relays as they are, if it does.
fn tcp(table: &mut Table<'_>, name: Option<&Name>, context: &Context<'_>) -> Option<Tcp> {
    const PROTOCOLS: Choice<bool> = Choice(&[
        ("http", false, "HTTP"),
        ("tcp", true, "anything: connections are relayed as they are"),
    ]);
    const KEYS: [&str; 5] =
        ["stream-router", "max-buffer", "decide-timeout", "connect-attempts", "retry-delay"];
    // What else stands beside a protocol that is misspelt is not refused as well.
    let meant = table.has("protocol") && table.has("stream-router");
    let is_tcp = table.or(key("protocol", "What is spoken", PROTOCOLS), meant);
    // What listeners of either protocol share holds for those that it is meant for.
    if !is_tcp && !table.is_described() && name.is_some() {
        table.forbid_own(&KEYS, "only a listener of `protocol = \"tcp\"` has this");
        return None;
    }
    let usual = Tcp::default();
    let router = "Plugin or component that decides where a TCP connection goes";
    let router = key("stream-router", router, context.plugin()).such_as("sni");
    let buffer = "The most bytes of a TCP connection that nobody has decided about";
    let buffer = key("max-buffer", buffer, Size(1..=1 << 20)).such_as("64KiB");
    let decide = "How long a stream router may ask for more bytes";
    let decide = key("decide-timeout", decide, Period(TIMEOUT)).such_as("10s");
    let attempts =
        "How often upstreams of a TCP connection are tried again if none can be connected to";
    let attempts = key("connect-attempts", attempts, Whole(0..=1_000)).such_as(10);
    let delay = Period(Duration::ZERO..=Duration::from_mins(1));
    let delay = key("retry-delay", "How long to wait before that", delay).such_as("100ms");
    let tcp = Tcp {
        stream_router: table.optional(router, "the default cluster gets all TCP connections"),
        max_buffer_bytes: table.or_else(buffer, "64KiB", || usual.max_buffer_bytes),
        decide_timeout: table.or_else(decide, "10s", || usual.decide_timeout),
        connect_attempts: table.or_else(attempts, "10", || usual.connect_attempts),
        retry_delay: table.or_else(delay, "100ms", || usual.retry_delay),
    };
    Some(tcp).filter(|_| is_tcp)
}

/// What a listener does with requests. One for TCP has no use for that.
fn requests(table: &mut Table<'_>, is_tcp: bool, context: &Context<'_>) -> Listener {
    const KEYS: [&str; 16] = [
        "routers",
        "rewriters",
        "status-path",
        "request-timeout",
        "body-timeout",
        "min-body-rate",
        "min-body-rate-grace",
        "max-head-bytes",
        "max-target-bytes",
        "max-headers",
        "max-hops",
        "underscores",
        "max-body-bytes",
        "max-requests-per-connection",
        "http-versions",
        "max-streams",
    ];
    if is_tcp {
        table.forbid_own(&KEYS, "a listener of `protocol = \"tcp\"` knows of no requests");
        return table.nothing(|table| http(table, context));
    }
    http(table, context)
}

fn http(table: &mut Table<'_>, context: &Context<'_>) -> Listener {
    let routers = "Plugins or components, asked in this order until one decides";
    let rewriters =
        "Plugins or components, in this order on requests, in reverse order on responses";
    let status = "Path of the status page, which every client of this listener can then see";
    let status = key("status-path", status, TARGET_PATH).such_as("/proxy-status");
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
    let max_streams = "The most requests that are open at a time over one connection of HTTP/2";
    let max_streams = key("max-streams", max_streams, Whole(1..=1_000));
    let requests = "The most requests over one connection, the last of which it is told";
    let requests = key("max-requests-per-connection", requests, Whole(1..=1_000_000_000));
    Listener {
        name: Name::default(),
        bind: NOWHERE,
        rights: Rights::PRIVATE,
        tcp: None,
        tls: None,
        proofs: None,
        routers: plugins(table, "routers", routers, context),
        rewriters: plugins(table, "rewriters", rewriters, context),
        default_cluster: None,
        status_path: table.optional(status, "there is none"),
        trusted_proxies: Vec::new(),
        proxy_protocol: ProxyProtocol::Off,
        head_timeout: SILENCE,
        idle_timeout: SILENCE,
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
        versions: versions(table),
        max_streams: table.or(max_streams, 100),
        max_connections: 0,
        max_connections_per_address: 0,
    }
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

/// What is spoken. Where both are, a connection that begins with the preface of HTTP/2 speaks that.
fn versions(table: &mut Table<'_>) -> Versions {
    const VERSIONS: Choice<usize> =
        Choice(&[("h2", 2, "HTTP/2"), ("http/1.1", 1, "HTTP/1.1, and HTTP/1.0")]);
    let about = "The versions of HTTP that are spoken: TLS agrees on one, without it clients of HTTP/2 know of \
                 it beforehand";
    let usual = if table.has("tls") { vec![2, 1] } else { vec![1] };
    let versions = key("http-versions", about, List(VERSIONS)).such_as(vec!["h2", "http/1.1"]);
    let chosen = table.or_else(versions, "`http/1.1`, and with `tls` both", || usual);
    let versions = Versions { http1: chosen.contains(&1), http2: chosen.contains(&2) };
    if let Some(value) = table.value("http-versions")
        && value.is_empty()
    {
        let help = "leave it out for what is usual".to_owned();
        value.refuse::<()>("no version is spoken", "expected `h2`, `http/1.1` or both", Some(help));
    }
    versions
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

fn bind(table: &mut Table<'_>, name: &Name, context: &Context<'_>) -> Option<Bind> {
    let check = |value: &Value<'_>, bind: Bind| {
        let own = format!("listeners.{name}");
        if !bind.takes_any_port()
            && let Some(other) = context.bound.borrow_mut().insert(bind.clone(), own)
        {
            let message = format!("`{bind}` is taken by {other}");
            return value.refuse(&message, "expected an address of its own", None);
        }
        Some(bind)
    };
    let about = "Address to listen on, or a Unix socket; port 0 takes one that is free";
    let key = key("bind", about, Checked { kind: BIND, check }).such_as("127.0.0.1:8080");
    table.required(key, "an address such as `0.0.0.0:8080`")
}
