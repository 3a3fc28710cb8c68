//! What a file means.

mod faults;
mod sockets;

use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;

use super::*;
use crate::config::{
    Address, AddressGrant, Endpoint, ForwardedHeaders, Grants, HostGrant, HostHeader, Instances,
    Limits, Listener, OnFailure, Probe, ProxyProtocol, Scheme, StoreKind, Tcp,
};

/// The example of the design, less what this version refuses.
const EXAMPLE: &str = r#"
[log]
level = "info"
format = "auto"
file = "stderr"
access = "off"

[defaults.cluster]
balancer = "first-alive"

[server]
workers = 2
plugin-dir = "plugins.d"
shutdown-grace = "10s"
cache-dir = "/var/tmp/cache"

[listeners.web]
bind = "0.0.0.0:8080"
protocol = "http"
routers = ["by-path"]
rewriters = ["links"]
default-cluster = "static"

[listeners.git]
bind = "0.0.0.0:9418"
protocol = "tcp"
stream-router = "by-repo"
max-buffer = "64KiB"
decide-timeout = "10s"

[clusters.php]
endpoints = ["unix:/run/php.sock"]

[clusters.static]
endpoints = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 3, route = "b", lbset = 1 }, "files.internal:80"]
balancer = ["sticky", "Weighted Round Robin"]
max-attempts = 3
connect-timeout = "5s"
response-timeout = "60s"
max-idle-per-endpoint = 64
host-header = "preserve"
forwarded-headers = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
rewriters = []
[clusters.static.health]
attempts = 2
offline = "60s"

[plugins.by-path]
component = "regex-match"
config = { rules = [ { match = ['\.php$'], cluster = "php" }, { match = ['\.(jpg|png|css|js|html)$'], cluster = "static" } ] }
instances = "per-worker"
on-failure = "reject"
limits = { memory = "16MiB", deadline = "5ms" }
grants = { stores = ["sites"], addresses = ["10.0.0.0/8:*"] }

[stores.sites]
type = "memory"
entries = { "http://shop.test:80/" = "http://127.0.0.1:9001" }
timeout = "50ms"
"#;

const SMALLEST: &str = "[listeners.web]\nbind = ':0'\n";

fn environment(name: &str) -> Option<OsString> {
    match name {
        "HOME" => Some(OsString::from("/home/u")),
        "PORT" => Some(OsString::from("8081")),
        _ => None,
    }
}

fn parsed(text: &str) -> Result<Config, Faults> {
    parse_with(text, Path::new("/etc/linkspan/linkspan.toml"), &environment).into_result()
}

#[test]
fn the_example_of_the_design() {
    let config = parsed(EXAMPLE).unwrap_or_else(|faults| panic!("{faults}"));
    let access = (config.log.file, config.log.access);
    assert_eq!(access, (LogTarget::Stderr, LogTarget::Off));
    assert_eq!(config.server.workers, 2);
    assert_eq!(config.server.plugin_dir.as_deref(), Some(Path::new("/etc/linkspan/plugins.d")));
    assert_eq!(config.server.cache_dir, Path::new("/var/tmp/cache"));

    let web = &config.listeners["web"];
    assert_eq!(web.bind.to_string(), "0.0.0.0:8080");
    assert_eq!((&web.routers, &web.rewriters), (&vec!["by-path".into()], &vec!["links".into()]));
    assert_eq!((web.default_cluster.as_deref(), &web.tcp), (Some("static"), &None));
    let git = &config.listeners["git"];
    assert_eq!(git.tcp, Some(Tcp { stream_router: Some("by-repo".into()), ..Tcp::default() }));
    assert_eq!(git.idle_timeout, 10 * web.idle_timeout);

    let php = &config.clusters["php"];
    assert_eq!(php.balancers, ["first-alive".into()]);
    assert_eq!(php.endpoints[0].address, Address::Unix(PathBuf::from("/run/php.sock")));
    let cluster = &config.clusters["static"];
    assert_eq!(cluster.balancers, ["sticky".into(), "round-robin".into()]);
    assert_eq!(cluster.max_attempts, Some(3));
    let socket = |text: &str| Address::Socket(text.parse().unwrap());
    let plain = |address| Endpoint {
        address,
        scheme: Scheme::Unsaid,
        weight: 100,
        max_connections: None,
        attributes: Vec::new(),
    };
    let weighted = Endpoint {
        address: socket("10.0.0.2:80"),
        scheme: Scheme::Unsaid,
        weight: 300,
        max_connections: None,
        attributes: vec![
            ("lbset".to_owned(), "1".to_owned()),
            ("route".to_owned(), "b".to_owned()),
        ],
    };
    let named = Address::Name(Arc::from("files.internal"), 80);
    assert_eq!(cluster.endpoints, [plain(socket("10.0.0.1:80")), weighted, plain(named)]);

    let plugins: Vec<_> = config.plugins.keys().map(AsRef::as_ref).collect();
    assert_eq!(plugins, ["by-path", "by-repo", "first-alive", "links", "round-robin", "sticky"]);
    let by_path = &config.plugins["by-path"];
    assert_eq!(by_path.component, "regex-match");
    let json: serde_json::Value = serde_json::from_str(&by_path.config).unwrap();
    assert_eq!(json["rules"][0]["match"][0], r"\.php$");
    assert_eq!(by_path.on_failure, Some(OnFailure::Reject));
    assert_eq!(by_path.limits.memory_bytes, 16 << 20);
    assert_eq!(by_path.limits.deadline, Duration::from_millis(5));
    let network = HostGrant::Network("10.0.0.0/8".parse().unwrap());
    let addresses = vec![AddressGrant { host: network, port: None }];
    assert_eq!(by_path.grants, Grants { stores: vec!["sites".into()], addresses });

    let entries = [("http://shop.test:80/".to_owned(), "http://127.0.0.1:9001".to_owned())];
    let kind =
        StoreKind::Memory { entries: entries.into(), max_bytes: 64 << 20, latency: Duration::ZERO };
    assert_eq!(config.stores["sites"].kind, kind);
}

#[test]
fn the_defaults_of_health_and_queues() {
    let text = "[clusters.c]\nendpoints = []\n[clusters.d]\nendpoints = []\nhealth.check = {}\n";
    let config = parsed(&format!("{SMALLEST}{text}")).unwrap_or_else(|faults| panic!("{faults}"));
    let cluster = &config.clusters["c"];
    assert_eq!((cluster.health.attempts, cluster.health.offline), (2, Duration::from_secs(60)));
    assert_eq!(cluster.health.check, None);
    assert!(cluster.fail_on_status.is_empty() && cluster.force_recovery);
    assert_eq!((cluster.fail_attempts, cluster.slow_start), (1, Duration::ZERO));
    assert_eq!((cluster.max_connections, cluster.max_queue), (None, 100));
    assert_eq!(cluster.queue_timeout, Duration::from_secs(5));

    let check = config.clusters["d"].health.check.as_ref().unwrap();
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!((check.rise, check.fall, check.port), (1, 3, None));
    let Probe::Http { method, path, host, status, body } = &check.probe else { panic!() };
    assert_eq!((method, path.as_str(), host, body), (&http::Method::GET, "/", &None, &None));
    let passing: Vec<_> = (100..600).filter(|each| status.contains(*each)).collect();
    assert_eq!((passing.first(), passing.last(), passing.len()), (Some(&200), Some(&399), 200));
}

#[test]
fn every_default() {
    let text = format!("{SMALLEST}[clusters.c]\nendpoints = []\n[plugins.p]\n[stores.s]\n");
    let Config { log, server, admin, dns, acme, listeners, clusters, plugins, stores, .. } =
        parsed(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let stderr = LogTarget::Stderr;
    let usual = Log {
        level: LogLevel::Info,
        format: LogFormat::Auto,
        file: stderr.clone(),
        access: stderr,
    };
    assert_eq!(log, usual);
    assert!(admin.is_none() && acme.is_none());
    let times = [dns.timeout, dns.retry, dns.min_ttl, dns.max_ttl].map(|time| time.as_secs());
    assert_eq!((dns.servers.len(), times), (0, [5, 1, 1, 300]));

    assert!((1..=256).contains(&server.workers));
    assert_eq!(server.plugin_dir, None);
    assert_eq!(server.shutdown_grace, Duration::from_secs(10));
    assert_eq!(server.cache_dir, Path::new("/home/u/.cache/linkspan"));
    assert_eq!(server.cache_bytes, 512 << 20);
    assert_eq!(server.compile_timeout, Duration::from_secs(60));
    assert_eq!(server.compile_memory_bytes, 2 << 30);

    let web = &listeners["web"];
    assert_eq!(web.name.as_ref(), "web");
    assert!(web.routers.is_empty() && web.rewriters.is_empty());
    assert_eq!(web.default_cluster, None);
    assert_eq!(web.head_timeout, Duration::from_secs(10));
    assert_eq!(web.idle_timeout, Duration::from_secs(60));
    assert_eq!(web.body_timeout, Duration::from_secs(60));
    assert_eq!(web.min_body_rate.map(NonZero::get), Some(240));
    assert_eq!((web.max_head_bytes, web.max_headers), (64 << 10, 100));
    assert_eq!(web.max_body_bytes, None);
    assert_eq!((web.trusted_proxies.len(), web.proxy_protocol), (0, ProxyProtocol::Off));
    assert_eq!((web.max_connections, web.max_connections_per_address), (10_000, 10_000));

    let cluster = &clusters["c"];
    assert_eq!((cluster.name.as_ref(), cluster.endpoints.len()), ("c", 0));
    assert_eq!(cluster.balancers, ["round-robin".into()]);
    assert_eq!(cluster.max_attempts, None);
    assert_eq!(cluster.connect_timeout, Duration::from_secs(5));
    assert_eq!(cluster.response_timeout, Duration::from_secs(60));
    assert_eq!(cluster.body_timeout, Duration::from_secs(60));
    assert_eq!(cluster.idle_timeout, Duration::from_secs(60));
    assert_eq!((cluster.max_idle_per_endpoint, cluster.proxy_protocol), (64, None));
    assert_eq!(cluster.host_header, HostHeader::Preserve);
    let sent = ForwardedHeaders {
        x_forwarded_for: true,
        x_forwarded_proto: true,
        x_forwarded_host: true,
        x_host: false,
        x_request_id: false,
    };
    assert_eq!(cluster.forwarded_headers, sent);
    assert!(cluster.rewriters.is_empty());
    assert_eq!(cluster.replay_bytes, 64 << 10);

    for (name, plugin) in &plugins {
        assert_eq!((&plugin.name, plugin.component.as_str()), (name, name.as_ref()));
        assert_eq!((plugin.config.as_str(), plugin.instances), ("{}", Instances::PerWorker));
        assert_eq!((plugin.on_failure, &plugin.grants), (None, &Grants::default()));
        let limits = Limits {
            memory_bytes: 64 << 20,
            deadline: Duration::from_millis(10),
            table_elements: 20_000,
            handles: 1_024,
            instances: None,
            host_call_bytes: 2 << 20,
            log_rate: 100,
        };
        assert_eq!(plugin.limits, limits);
    }
    assert_eq!(plugins.len(), 2, "the configured one, and the balancer by default");
    assert_eq!(stores["s"].timeout, Duration::from_millis(50));
}

/// The reference shows the defaults, so leaving all of it out changes nothing; and what it shows as
/// comments are keys.
#[test]
fn the_reference_tells_every_default() {
    let reference = Config::reference();
    let parsed = |text: &str| parsed(text).unwrap_or_else(|faults| panic!("{faults}"));
    let bare = "[listeners.web]\nbind = '127.0.0.1:8080'\n[clusters.files]\nendpoints = []\n\
                [plugins.example]\n[stores.example]\n";
    assert_eq!(format!("{:#?}", parsed(&reference)), format!("{:#?}", parsed(bare)));
    // A store has the keys of one type or the other.
    let (others, store) = reference.split_once("[stores.example]").unwrap();
    let every = others.replace("\n# ", "\n");
    assert!(every.len() < others.len());
    let every = every.replace("bind = \"127.0.0.1:8080\"", "bind = \"unix:/run/web.sock\"");
    // And a listener those of one protocol or the other.
    let of_tcp =
        ["stream-router", "max-buffer", "decide-timeout", "connect-attempts", "retry-delay"];
    let is_of_tcp = |line: &&str| of_tcp.iter().any(|key| line.starts_with(key));
    // Nor are the files there that are read with it.
    let files = ["tls = ", "ca = ", "dir = "];
    let every = every.lines().filter(|line| !files.iter().any(|key| line.starts_with(key)));
    let (tcp, every): (Vec<_>, Vec<_>) = every.partition(is_of_tcp);
    let (tcp, every) = (tcp.join("\n"), every.join("\n") + "\n");
    parsed(&every);
    let tcp = parsed(&format!("{SMALLEST}protocol = 'tcp'\n{tcp}")).listeners["web"].tcp.clone();
    assert_eq!(tcp, Some(Tcp { stream_router: Some("sni".into()), ..Tcp::default() }));
    let of_memory = ["type", "entries", "max-bytes", "latency"];
    let lines = store.lines().filter(|line| !of_memory.iter().any(|key| line.starts_with(key)));
    let store: Vec<_> = lines.map(|line| line.trim_start_matches("# ")).collect();
    let store = format!("{every}[stores.example]\ntype = 'memcached'\n{}", store.join("\n"));
    let kind = parsed(&store).stores["example"].kind.clone();
    assert!(matches!(kind, StoreKind::Memcached(it) if it.max_connections == 256), "{store}");
}

#[test]
fn defaults_are_inherited_key_by_key() {
    let text = r#"
[defaults.listener]
head-timeout = "1s"
routers = ["regex-match"]
[defaults.cluster]
connect-timeout = "1s"
health.offline = "5s"
[listeners.a]
bind = ":0"
[listeners.b]
bind = ":0"
head-timeout = "2s"
routers = []
[clusters.a]
endpoints = []
health.attempts = 7
[clusters.b]
endpoints = []
connect-timeout = "2s"
"#;
    let config = parsed(text).unwrap_or_else(|faults| panic!("{faults}"));
    let heads = ["a", "b"].map(|name| config.listeners[name].head_timeout.as_secs());
    assert_eq!(heads, [1, 2]);
    let routers = ["a", "b"].map(|name| config.listeners[name].routers.len());
    assert_eq!(routers, [1, 0]);
    let connects = ["a", "b"].map(|name| config.clusters[name].connect_timeout.as_secs());
    assert_eq!(connects, [1, 2]);
    let health = ["a", "b"].map(|name| &config.clusters[name].health);
    assert_eq!(health.map(|health| health.offline.as_secs()), [5, 5]);
    assert_eq!(health.map(|health| health.attempts), [7, 2]);
}

#[test]
fn variables_are_expanded_in_every_text() {
    let text = r#"
[listeners.web]
bind = "${HOST:-127.0.0.1}:${PORT}"
[clusters.c]
endpoints = [{ address = "${PORT}.example", note = "$${PORT}" }]
[plugins.p]
config = { a = "${PORT}", b = ["x${PORT}"], to = "/new/${1}" }
"#;
    let config = parsed(text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.listeners["web"].bind.to_string(), "127.0.0.1:8081");
    let endpoint = &config.clusters["c"].endpoints[0];
    assert_eq!(endpoint.address, Address::Name(Arc::from("8081.example"), 80));
    assert_eq!(endpoint.attributes, [("note".to_owned(), "${PORT}".to_owned())]);
    assert_eq!(config.plugins["p"].config, r#"{"a":"8081","b":["x8081"],"to":"/new/${1}"}"#);
}

#[test]
fn a_plugin_gets_its_table_as_json() {
    let text = r#"
[listeners.web]
bind = ":0"
[plugins.p.config]
text = "a\n\"b\""
hex = 0xff
least = -9223372036854775808
float = 1.5
yes = true
date = 1979-05-27T07:32:00Z
"a key" = [[], {}]
"#;
    let config = parsed(text).unwrap_or_else(|faults| panic!("{faults}"));
    let expected = serde_json::json!({
        "text": "a\n\"b\"", "hex": 255, "least": i64::MIN, "float": 1.5, "yes": true,
        "date": "1979-05-27T07:32:00Z", "a key": [[], {}],
    });
    let json: serde_json::Value = serde_json::from_str(&config.plugins["p"].config).unwrap();
    assert_eq!(json, expected);
}

#[test]
fn listeners_take_of_the_defaults_what_is_for_their_protocol() {
    let text = "[defaults.listener]\nmax-headers = 50\nmax-buffer = '1KiB'\nidle-timeout = '5s'\n\
                [listeners.web]\nbind = ':0'\n[listeners.git]\nbind = ':0'\nprotocol = 'tcp'\n";
    let config = parsed(text).unwrap_or_else(|faults| panic!("{faults}"));
    let (web, git) = (&config.listeners["web"], &config.listeners["git"]);
    assert_eq!((web.max_headers, git.max_headers), (50, 100));
    let kept = |listener: &Listener| listener.tcp.as_ref().map(|tcp| tcp.max_buffer_bytes);
    assert_eq!((kept(web), kept(git)), (None, Some(1 << 10)));
    assert_eq!(web.idle_timeout, git.idle_timeout);
    let all = text.replace("[defaults.listener]", "[defaults.listener]\nprotocol = 'tcp'");
    let config = parsed(&all).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(config.listeners.values().all(|listener| listener.tcp.is_some()));
}

#[test]
fn the_only_listener_can_be_moved() {
    let mut config = parsed(SMALLEST).unwrap_or_else(|faults| panic!("{faults}"));
    let host: IpAddr = "::1".parse().unwrap();
    config.override_bind(None, Some(81)).unwrap();
    assert_eq!(config.listeners["web"].bind.to_string(), "0.0.0.0:81");
    config.override_bind(Some(host), None).unwrap();
    assert_eq!(config.listeners["web"].bind.to_string(), "[::1]:81");
    let two = format!("{SMALLEST}[listeners.b]\nbind = ':0'");
    let error = parsed(&two).unwrap().override_bind(Some(host), None).unwrap_err();
    assert!(error.to_string().ends_with("this one has 2"));
}
