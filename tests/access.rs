//! The access line: what it says of a request's way, of the plugins that decided, and of the time.
//! Why a request failed is in `access/reasons.rs`.

mod reasons;

use serde_json::Value;

use crate::support::{Down, Origin, Proxy, one_cluster, request};

/// The plugins of a line: name and calls.
fn plugins(line: &Value) -> Vec<(&str, u64)> {
    let list = line["plugins"].as_array().map_or(&[][..], Vec::as_slice);
    let call = |plugin: &Value| plugin["calls"].as_u64().unwrap();
    list.iter().map(|plugin| (plugin["plugin"].as_str().unwrap(), call(plugin))).collect()
}

#[test]
fn it_names_each_plugin_that_was_called_with_version_and_cost() {
    let (origin, down) = (Origin::replying(""), Down::new());
    let proxy = Proxy::start(&format!(
        "{}
        [plugins.by-path]
        component = 'regex-match'
        config = {{ rules = [ {{ match = ['^/none$'], cluster = 'main' }} ] }}
        [plugins.stamp]
        component = 'headers'
        config = {{ request = {{ set = {{ a = 'b' }} }}, response = {{ set = {{ c = 'd' }} }} }}",
        one_cluster(
            &[down.address(), origin.address()],
            "routers = ['by-path']\nrewriters = ['stamp']",
            "balancer = 'first-alive'",
        )
    ));
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(proxy.get("/none").status(), 200);
    let lines = proxy.access(2);
    assert_eq!(plugins(&lines[0]), [("by-path", 1), ("stamp", 2), ("first-alive", 2)]);
    assert!(lines[0]["route"].is_null());
    assert_eq!(lines[1]["route"], "by-path");
    for line in &lines {
        for plugin in line["plugins"].as_array().unwrap() {
            let version = plugin["version"].as_str().unwrap();
            assert!(version.len() == 12 && version.bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(plugin["us"].as_f64().unwrap() >= 0.0 && plugin["failed"].is_null());
        }
        assert_eq!(line["balancer"], "first-alive");
        assert!(line["fallback"].is_null());
    }
}

#[test]
fn the_versions_it_names_are_those_that_plugins_lists() {
    let origin = Origin::replying("");
    let toml = one_cluster(&[origin.address()], "", "balancer = 'first-alive'");
    let proxy = Proxy::start(&toml);
    assert_eq!(proxy.get("/").status(), 200);
    let mut listing = crate::support::Binary::with(&toml, &[], &["plugins"]);
    assert_eq!(listing.wait().code(), Some(0));
    let version = proxy.access(1)[0]["plugins"][0]["version"].clone();
    assert!(listing.stdout().contains(version.as_str().unwrap()), "{}", listing.stdout());
}

#[test]
fn it_says_how_a_plugin_failed_and_that_the_fallback_chose() {
    let origin = Origin::replying("ok");
    let toml = format!(
        "{}
        [plugins.bad]
        component = 'misbehave'
        config = {{ at = 'pick' }}",
        one_cluster(&[origin.address()], "", "balancer = 'bad'")
    );
    let proxy = Proxy::start_with(&toml, &["misbehave"]);
    let mut client = proxy.connect();
    for misdeed in ["trap", "bad-index", "none"] {
        assert_eq!(client.ask("GET", "/", &[("x-do", misdeed)], b"").text(), "ok");
    }
    let lines = proxy.access(3);
    let failed: Vec<_> = lines.iter().map(|line| &line["plugins"][0]["failed"]).collect();
    assert_eq!(
        failed,
        ["trap", "contract"].map(Value::from).iter().chain([&Value::Null]).collect::<Vec<_>>()
    );
    let fallback: Vec<_> = lines.iter().map(|line| line["fallback"].as_bool()).collect();
    assert_eq!(fallback, [Some(true), Some(true), None]);
    assert!(lines.iter().all(|line| line["balancer"] == "bad" && line["error"].is_null()));
}

#[test]
fn an_attempt_that_failed_before_one_that_succeeded_is_told() {
    let (origin, down) = (Origin::replying(""), [Down::new(), Down::new()]);
    let endpoints = [down[0].address(), down[1].address(), origin.address()];
    let proxy = Proxy::start(&one_cluster(&endpoints, "", "balancer = 'first-alive'"));
    assert_eq!(proxy.get("/").status(), 200);
    let line = &proxy.access(1)[0];
    let [one, other, _] = endpoints;
    assert_eq!(line["retried"], format!("{one}: connection refused; {other}: connection refused"));
    assert_eq!((&line["attempts"], &line["error"]), (&3.into(), &Value::Null));
    assert_eq!(line["endpoint"], origin.address().to_string());
}

#[test]
fn it_tells_no_time_of_what_did_not_happen() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").status(), 200);
    }
    client.send("nonsense\r\n\r\n");
    let lines = proxy.access(3);
    let has = |line: &Value| {
        ["queued_ms", "connect_ms", "first_byte_ms", "total_ms"].map(|key| line[key].is_number())
    };
    assert_eq!(has(&lines[0]), [false, true, true, true], "a new connection");
    assert_eq!(has(&lines[1]), [false, false, true, true], "a pooled one");
    assert_eq!(has(&lines[2]), [false; 4], "no head");
    let down = Down::new();
    let proxy = Proxy::start(&one_cluster(&[down.address()], "", ""));
    assert_eq!(proxy.get("/").status(), 503);
    assert_eq!(has(&proxy.access(1)[0]), [false, true, false, true], "no response");
}

#[test]
fn a_head_that_is_refused_is_told_by_its_first_line() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "head-timeout = '50ms'", ""));
    let cases = [
        (&b"PUT /a?b HTTP/1.1\r\nhost: a\r\nx : 1\r\n\r\n"[..], "PUT", "/a?b", 400),
        (b"GET /a HTTP/1.1\nhost: a\n\n", "GET", "/a", 400),
        (b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", "GET", "/a", 400),
        // What speaks TLS to a listener that does not.
        (b"\x16\x03\x01\x01\x20\x01", "-", "\x16\x03\x01\x01 \x01", 400),
        (b"GET", "GET", "-", 408),
        (b"GET /slow HTTP/1.1\r\nhost: a\r\n", "GET", "/slow", 408),
    ];
    for (place, (bytes, method, target, status)) in cases.into_iter().enumerate() {
        let mut client = proxy.connect();
        client.send([&request("GET", "/well", &[], b"")[..], bytes].concat());
        assert_eq!((client.response().status(), client.response().status()), (200, status));
        let lines = proxy.access(2 * (place + 1));
        let told = |line: &Value| (line["method"].clone(), line["target"].clone());
        assert_eq!(told(&lines[2 * place]), ("GET".into(), "/well".into()));
        assert_eq!(told(&lines[2 * place + 1]), (method.into(), target.into()));
    }
}

#[test]
fn the_first_byte_comes_before_a_body_that_streams_and_the_total_after() {
    use std::sync::{Mutex, mpsc};
    let (go_on, going) = mpsc::channel();
    let going = Mutex::new(going);
    let origin = Origin::scripted(move |peer| {
        let _ = peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf");
        going.lock().unwrap().recv_timeout(crate::support::PATIENCE).unwrap();
        peer.send("more");
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send(request("GET", "/", &[], b""));
    assert_eq!(client.response_head().status(), 200);
    client.skip(4).unwrap();
    go_on.send(()).unwrap();
    client.skip(4).unwrap();
    let line = &proxy.access(1)[0];
    let time = |key: &str| line[key].as_f64().unwrap();
    assert!(time("connect_ms") <= time("first_byte_ms"), "{line}");
    assert!(time("first_byte_ms") < time("total_ms"), "{line}");
    assert_eq!((&line["bytes_down"], &line["error"]), (&8.into(), &Value::Null));
}
