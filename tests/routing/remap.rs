//! The router `memcached-remap`, on a store in memory: what the store holds for the host decides.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::memcached::SLOW;
use super::{config, memcached};
use crate::support::memcached::{FakeMemcached, Say};
use crate::support::{Binary, Client, Down, Message, Origin, Proxy, eventually};

/// A listener that asks the store, which has these entries; `keys` are further ones of the router,
/// and `store` of the store.
fn remap(entries: &[(&str, &str)], keys: &str, store: &str) -> String {
    let entry = |(key, value): &(&str, &str)| format!("'{key}' = '{value}'\n");
    let entries: String = entries.iter().map(entry).collect();
    let plugins = format!(
        "[plugins.remap]\ncomponent = 'memcached-remap'\n\
         grants = {{ stores = ['sites'], addresses = ['127.0.0.1:*', '[::1]:*'] }}\n\
         [plugins.remap.config]\nstore = 'sites'\n{keys}\n\
         [stores.sites]\ntype = 'memory'\n{store}\n[stores.sites.entries]\n{entries}"
    );
    config("routers = ['remap']", &[], &plugins)
}

fn ask(client: &mut Client, target: &str, host: &str) -> Message {
    client.ask("GET", target, &[("host", host)], b"")
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// What the router has counted under a name.
fn events(proxy: &Proxy, name: &str) -> u64 {
    proxy.counter("linkspan_plugin_events", &[("plugin", "remap"), ("name", name)])
}

/// Waits for a line of the router's in the log. Gives its level.
#[track_caller]
fn told(linkspan: &Binary, message: &str) -> String {
    let is_it = |line: &Value| line["message"] == message && line["plugin"] == "remap";
    eventually(message, || {
        let log = linkspan.stderr();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(is_it)?.get("level")?.as_str().map(str::to_owned)
    })
}

#[test]
fn a_request_goes_where_the_store_says_and_is_given_that_host() {
    let origin = Origin::replying("a");
    let plain = url(origin.address());
    let slash = format!("{plain}/");
    let entries = [("http://shop.test:80/", plain.as_str()), ("http://shop.test:8080/", &slash)];
    let proxy = Proxy::start(&remap(&entries, "", ""));
    let mut client = proxy.connect();
    let hosts =
        ["shop.test", "SHOP.Test", "shop.test:80", "shop.test:8080", "Shop.test.", "shop.test.:80"];
    for host in hosts {
        let response = ask(&mut client, "/p?q=1", host);
        assert_eq!((response.status(), response.text().as_str()), (200, "a"), "{host}");
    }
    for request in origin.requests() {
        assert_eq!((request.target(), request.value("host")), ("/p?q=1", Some("127.0.0.1")));
    }
    assert_eq!(origin.requests()[0].value("x-forwarded-host"), Some("shop.test"));
    let line = &proxy.access(1)[0];
    assert_eq!((&line["route"], &line["cluster"]), (&"remap".into(), &Value::Null));
    assert_eq!((events(&proxy, "hits"), events(&proxy, "misses")), (6, 0));
}

#[test]
fn what_the_store_does_not_hold_or_holds_malformed_is_not_found() {
    let origin = Origin::replying("a");
    let [path, query] = ["/zzz", "?x"].map(|rest| format!("{}{rest}", url(origin.address())));
    let values = ["http://127.0.0.1/", "garbage", "http://[::1]/", "", &path, &query];
    let keys: Vec<_> =
        (0..values.len()).map(|place| format!("http://bad{place}.test:80/")).collect();
    let entries: Vec<_> = keys.iter().map(String::as_str).zip(values).collect();
    let proxy = Proxy::start(&remap(&entries, "", ""));
    let mut client = proxy.connect();
    for (place, value) in values.iter().enumerate() {
        let response = ask(&mut client, "/", &format!("bad{place}.test"));
        let expected = (404, "404 Not Found\n");
        assert_eq!((response.status(), response.text().as_str()), expected, "{value}");
    }
    assert_eq!(ask(&mut client, "/", "nope.test").status(), 404);
    assert_eq!((events(&proxy, "malformed"), events(&proxy, "misses")), (6, 1));
    let tell = Proxy::start(&remap(&entries, "on-miss = 421\nkey-style = 'ats'", ""));
    assert_eq!(tell.connect().ask("GET", "/", &[("host", "bad0.test")], b"").status(), 421);
    assert_eq!(origin.hits(), 0);
}

#[test]
fn a_store_that_cannot_be_asked_is_no_miss() {
    let origin = Origin::replying("a");
    let entries = [("http://a.test:80/", url(origin.address()))];
    let entries = entries.each_ref().map(|(key, value)| (*key, value.as_str()));
    let slow = "latency = '10s'\ntimeout = '20ms'";
    for (keys, status) in [("on-miss = 410", 503), ("on-error = 404", 404)] {
        let proxy = Proxy::start(&remap(&entries, keys, slow));
        let mut client = proxy.connect();
        assert_eq!(ask(&mut client, "/", "a.test").status(), status);
        assert_eq!(ask(&mut client, "/", "nope.test").status(), status);
        assert_eq!((events(&proxy, "errors"), events(&proxy, "misses")), (2, 0));
        assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
    }
    assert_eq!(origin.hits(), 0);
}

#[test]
fn hosts_that_make_no_key_are_not_asked_for() {
    let proxy = Proxy::start(&remap(&[], "", "latency = '10s'\ntimeout = '20ms'"));
    let mut client = proxy.connect();
    assert_eq!(ask(&mut client, "/", &"h".repeat(300)).status(), 404, "asked for, it were 503");
    for head in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nhost:\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\rget b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut client = proxy.connect();
        client.send(head.as_bytes());
        assert_eq!(client.response().status(), 400, "{head:?}");
    }
    assert_eq!(events(&proxy, "errors"), 0);
}

#[test]
fn an_origin_that_is_down_is_no_miss() {
    let down = Down::new();
    // The second is read, and allowed; whether anybody listens there does not matter.
    let six = format!("http://[::1]:{}/", down.address().port());
    let entries = [("http://a.test:80/", url(down.address())), ("http://b.test:80/", six)];
    let entries = entries.each_ref().map(|(key, value)| (*key, value.as_str()));
    let proxy = Proxy::start(&remap(&entries, "", ""));
    for host in ["a.test", "b.test"] {
        assert_eq!(ask(&mut proxy.connect(), "/", host).status(), 503, "{host}");
    }
    assert_eq!(events(&proxy, "hits"), 2);
}

#[test]
fn what_is_not_granted_or_no_tls_is_refused() {
    let origin = Origin::scripted(|peer| peer.send("220 mail ready\r\n"));
    let tls = format!("https://{}/", origin.address());
    let entries = [("http://a.test:80/", "http://127.0.0.2:80/"), ("http://b.test:80/", &tls)];
    let proxy = Proxy::start(&remap(&entries, "", ""));
    let mut client = proxy.connect();
    for host in ["a.test", "b.test"] {
        assert_eq!(ask(&mut client, "/", host).status(), 502, "{host}");
    }
    for reason in ["not_granted", "tls"] {
        assert_eq!(proxy.counter("linkspan_errors", &[("reason", reason)]), 1, "{reason}");
    }
    let errors = proxy.access(2).iter().map(|line| line["error"].to_string()).collect::<String>();
    for part in ["no grant covers it", "it does not speak TLS"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert_eq!(origin.hits(), 0);
}

#[test]
fn the_host_of_the_client_may_be_kept() {
    let origin = Origin::replying("a");
    let value = url(origin.address());
    let proxy = Proxy::start(&remap(&[("http://a.test:80/", &value)], "keep-host = true", ""));
    assert_eq!(ask(&mut proxy.connect(), "/", "A.test").status(), 200);
    assert_eq!(origin.request().value("host"), Some("A.test"));
}

#[test]
fn keys_may_be_those_of_traffic_server() {
    let names = ["folded", "exact", "port", "absolute", "socket", "own"];
    let origins = names.map(Origin::replying);
    let values = origins.each_ref().map(|origin| url(origin.address()));
    let keys = [
        "http://a.test:80/",
        "http://A.Test:80/",
        "http://a.test:8080:80/",
        "http://a.test:8080:8080/",
        "ws://a.test:80/",
        "http://own.test:8080/",
    ];
    let entries: Vec<_> = keys.into_iter().zip(values.iter().map(String::as_str)).collect();
    let proxy = Proxy::start(&remap(&entries, "key-style = 'ats'", ""));
    let mut client = proxy.connect();
    for (host, expected) in [("a.test", "folded"), ("A.Test", "exact"), ("a.test:8080", "port")] {
        assert_eq!(ask(&mut client, "/", host).text(), expected);
    }
    assert_eq!(ask(&mut client, "/", "A.TEST").status(), 404);
    client.send(b"GET http://a.test:8080/x HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(client.response().text(), "absolute");
    let upgrade = [
        ("host", "a.test"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(client.ask("GET", "/", &upgrade, b"").text(), "socket");
    for (place, other) in [(1, "keep-alive"), (2, "h2c"), (3, "8")] {
        let mut upgrade = upgrade;
        upgrade[place].1 = other;
        assert_eq!(client.ask("GET", "/", &upgrade, b"").text(), "folded", "{other}");
    }
    for (forwards, expected) in [("0", "own"), ("1", "absolute")] {
        let head = "GET http://a.test:8080/x HTTP/1.1\r\nhost: own.test\r\nmax-forwards:";
        client.send(format!("{head} {forwards}\r\n\r\n").as_bytes());
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn routers_in_a_row_hand_on_what_is_not_theirs() {
    let names = ["mapped", "prefixed", "hosted", "rest"];
    let [mapped, prefixed, hosted, rest] = &names.map(Origin::replying);
    let clusters = [("prefixed", prefixed), ("hosted", hosted), ("rest", rest)];
    let toml = config(
        "routers = ['remap', 'by-prefix', 'by-host']\ndefault-cluster = 'rest'",
        &clusters,
        &format!(
            "[stores.sites]\ntype = 'memory'\nentries = {{ 'http://a.test:80/' = 'http://{}/' }}\n\
             [plugins.remap]\ncomponent = 'memcached-remap'\n\
             grants = {{ stores = ['sites'], addresses = ['127.0.0.1:*'] }}\n\
             config = {{ store = 'sites', on-miss = 'next' }}\n\
             [plugins.by-prefix]\ncomponent = 'prefix'\n\
             config.rules = [{{ prefix = '/p', cluster = 'prefixed' }}]\n\
             [plugins.by-host]\ncomponent = 'host'\nconfig.hosts = {{ 'b.test' = 'hosted' }}\n",
            mapped.address()
        ),
    );
    let proxy = Proxy::start(&toml);
    let mut client = proxy.connect();
    for (host, path, expected) in [
        ("a.test", "/p", "mapped"),
        ("b.test", "/p/x", "prefixed"),
        ("b.test", "/x", "hosted"),
        ("c.test", "/x", "rest"),
    ] {
        assert_eq!(ask(&mut client, path, host).text(), expected);
    }
    let routes: Vec<_> = proxy.access(4).iter().map(|line| line["route"].clone()).collect();
    assert_eq!(routes[..3], ["remap", "by-prefix", "by-host"]);
    assert!(routes[3].is_null());
}

#[test]
fn faults_stand_where_they_are() {
    let said = |toml: &str| Proxy::try_start(toml, &[]).err().unwrap();
    let good = remap(&[], "", "");
    let other = good.replace("store = 'sites'", "store = 'stes'");
    assert!(
        said(&other).contains("store: the plugin is granted no store `stes`"),
        "{}",
        said(&other)
    );
    let wrong = said(&remap(&[], "on-miss = 'nxt'\ncache = 'soon'", ""));
    assert!(wrong.contains("on-miss: ") && wrong.contains("cache: "), "{wrong}");
    let storeless = said(&good.replace("stores = ['sites'], ", ""));
    assert!(storeless.contains("which nobody granted"), "{storeless}");
    let nowhere = said(&good.replace(", addresses = ['127.0.0.1:*', '[::1]:*']", ""));
    assert!(nowhere.contains("is granted no address that the values"), "{nowhere}");
}

#[test]
fn what_is_wrong_with_the_store_is_told_in_words() {
    const KEY: &str = "http://a.test:80/";
    let down = Down::new();
    let down =
        format!("[stores.sites]\ntype = 'memcached'\nservers = ['{}']\n{SLOW}", down.address());
    let slow = FakeMemcached::answering_after(Duration::from_secs(1), |_| Say::miss());
    let large = FakeMemcached::answering(|_| Say::value(KEY, &"x".repeat(2_000)));
    let full = FakeMemcached::answering(|_| Say::this("SERVER_ERROR out of memory\r\n"));
    for (store, words) in [
        (down, "it is down or out of reach"),
        (slow.store("timeout = '20ms'"), "it took longer than its `timeout`"),
        (
            large.store(&format!("max-value = '1KiB'\n{SLOW}")),
            "the value is larger than its `max-value`",
        ),
        (full.store(SLOW), "its answer is of no use: out of memory"),
    ] {
        let mut linkspan = Binary::serve(&memcached::remap(&store, "", ""));
        assert_eq!(ask(&mut linkspan.connect(), "/", "a.test").status(), 503, "{words}");
        let message = format!("store sites was asked for {KEY}: {words}");
        assert_eq!(told(&linkspan, &message), "ERROR");
    }
}

#[test]
fn what_the_store_holds_malformed_is_told_as_one_short_line() {
    let long = format!("http://{}", "x".repeat(300));
    let entries = [("http://odd.test:80/", "ODD"), ("http://long.test:80/", &long)];
    let toml = remap(&entries, "", "").replace("'ODD'", r#""http://h:80\r\n\u001b[31m""#);
    let mut linkspan = Binary::serve(&toml);
    let mut client = linkspan.connect();
    for (host, value, fault) in [
        ("odd.test", r#""http://h:80\r\n\x1b[31m""#.to_owned(), "its port is none"),
        ("long.test", format!("{:?}... (307 bytes)", &long[..100]), "it has no port"),
    ] {
        assert_eq!(ask(&mut client, "/", host).status(), 404, "{host}");
        let message = format!(
            "store sites holds {value} for http://{host}:80/: {fault}, \
             expected one such as http://10.0.0.7:8080/"
        );
        assert_eq!(told(&linkspan, &message), "WARN");
    }
}

#[test]
fn misses_are_told_to_who_debugs_and_crowd_nothing_out() {
    let entries = [("http://bad.test:80/", "garbage")];
    let table = "[plugins.remap.config]";
    let toml = remap(&entries, "", "").replace(table, &format!("limits.log-rate = 1\n{table}"));
    let message = "store sites holds nothing for http://nope.test:80/";
    let mut linkspan = Binary::serve(&format!("[log]\nlevel = 'debug'\n{toml}"));
    assert_eq!(ask(&mut linkspan.connect(), "/", "nope.test").status(), 404);
    assert_eq!(told(&linkspan, message), "DEBUG");
    let mut linkspan = Binary::serve(&toml);
    let mut client = linkspan.connect();
    for _ in 0..5 {
        assert_eq!(ask(&mut client, "/", "nope.test").status(), 404);
    }
    assert_eq!(ask(&mut client, "/", "bad.test").status(), 404);
    let message = "store sites holds \"garbage\" for http://bad.test:80/: it has no scheme, \
                   expected one such as http://10.0.0.7:8080/";
    assert_eq!(told(&linkspan, message), "WARN");
    assert!(!linkspan.stderr().contains("holds nothing"), "nobody asked for it");
}
