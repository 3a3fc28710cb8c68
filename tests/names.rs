//! Names of endpoints: what they stand for is followed while the proxy runs, and held while nobody
//! knows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::{
    Binary, Client, Down, Message, Mood, NameServer, Origin, Proxy, eventually, reply,
};

mod services;

/// Origins at these addresses, all on one port, which say where they are; and the port.
fn origins(addresses: &[&str]) -> (Vec<Origin>, u16) {
    let origins: Vec<_> = Down::together(addresses).into_iter().map(up).collect();
    let port = origins.first().unwrap().address().port();
    (origins, port)
}

fn up(down: Down) -> Origin {
    let name = down.address().ip().to_string();
    down.up(move |peer| peer.answer(|_: &Message| reply(200, &[], &name)))
}

/// A proxy in front of these endpoints that asks this name server, with an administrator.
fn config(dns: &NameServer, endpoints: &[&str], cluster: &str) -> String {
    format!(
        "{}[admin]\nbind = '127.0.0.1:0'\n\
         [listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = {endpoints:?}\n{cluster}\n",
        dns.section()
    )
}

/// What the administrator sees of the endpoints.
fn endpoints(proxy: &Proxy) -> Vec<Value> {
    let host = proxy.admin().to_string();
    let mut client = Client::connect(proxy.admin());
    let response = client.ask("GET", "/api/clusters", &[("host", &host)], b"");
    let clusters: Value = serde_json::from_slice(&response.body).unwrap();
    let found = clusters.pointer("/0/endpoints");
    let found = found.or_else(|| clusters.pointer("/clusters/0/endpoints"));
    found.and_then(Value::as_array).unwrap().clone()
}

fn addresses(proxy: &Proxy) -> Vec<String> {
    let address =
        |endpoint: &Value| endpoint.get("address").and_then(Value::as_str).unwrap().to_owned();
    endpoints(proxy).iter().map(address).collect()
}

/// Waits until the cluster consists of these addresses.
#[track_caller]
fn wait_for(proxy: &Proxy, expected: &[String]) {
    let what = format!("the endpoints {expected:?}");
    eventually(&what, || (addresses(proxy) == expected).then_some(()));
}

fn at(address: &str, port: u16) -> String {
    format!("{address}:{port}")
}

/// Who answers so many requests.
fn answered(proxy: &Proxy, requests: usize) -> Vec<String> {
    let mut client = proxy.connect();
    let answer = |_| {
        let response = client.get("/");
        assert_eq!(response.status(), 200, "{}", response.text());
        response.text()
    };
    (0..requests).map(answer).collect()
}

/// Waits until the name server has been asked for a name so many more times.
#[track_caller]
fn wait_for_queries(dns: &NameServer, name: &str, more: usize) {
    let before = dns.queries(name);
    eventually("queries", || (dns.queries(name) >= before + more).then_some(()));
}

#[test]
fn each_address_is_an_endpoint() {
    let (origins, port) = origins(&["127.0.0.1", "127.0.0.2", "::1"]);
    let dns = NameServer::start();
    dns.host("app.test", 60, &["127.0.0.2", "::1", "127.0.0.1"]);
    let proxy = Proxy::start(&config(&dns, &[&format!("app.test:{port}")], ""));
    answered(&proxy, 6);
    let hits: Vec<_> = origins.iter().map(Origin::hits).collect();
    assert_eq!(hits, [2, 2, 2]);
    assert_eq!(
        addresses(&proxy),
        [at("127.0.0.1", port), at("127.0.0.2", port), at("[::1]", port)],
        "in the order of the addresses, whatever the order of the answer"
    );
}

#[test]
fn addresses_join_and_leave_under_requests() {
    let (origins, port) = origins(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let dns = NameServer::start();
    dns.host("app.test", 0, &["127.0.0.1", "127.0.0.2"]);
    let proxy = Proxy::start(&config(&dns, &[&format!("app.test:{port}")], ""));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let requests = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                answered(&proxy, 10);
            }
        });
        origins[0].wait_for(1);
        dns.host("app.test", 0, &["127.0.0.2", "127.0.0.3"]);
        origins[2].wait_for(10);
        // Connections to who has left are closed, though requests go on.
        eventually("idle connections to close", || {
            (origins[0].open_connections() == 0).then_some(())
        });
        done.store(true, Ordering::SeqCst);
        requests.join().unwrap();
    });
    let before = origins[0].hits();
    answered(&proxy, 10);
    assert_eq!(origins[0].hits(), before);
    assert_eq!(proxy.counter("linkspan_errors", &[]), 0);
    assert_eq!(proxy.counter("linkspan_upstream_failures", &[]), 0);
}

#[test]
fn a_request_in_flight_to_who_leaves_finishes() {
    let (others, port) = origins(&["127.0.0.1"]);
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let slow = Down::at(format!("127.0.0.2:{port}").parse().unwrap()).unwrap();
    let slow = slow.up(move |peer| {
        if peer.request().is_some() {
            let _ = gate.lock().unwrap().recv();
            let _ = peer.write(reply(200, &[], "slow"));
        }
    });
    let dns = NameServer::start();
    dns.host("app.test", 0, &["127.0.0.2"]);
    let proxy = Proxy::start(&config(&dns, &[&format!("app.test:{port}")], ""));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| proxy.get("/").text());
        eventually("the request", || (slow.connections() == 1).then_some(()));
        dns.host("app.test", 0, &["127.0.0.1"]);
        wait_for(&proxy, &[at("127.0.0.1", port)]);
        assert_eq!(answered(&proxy, 2), ["127.0.0.1", "127.0.0.1"]);
        go.send(()).unwrap();
        assert_eq!(waiting.join().unwrap(), "slow");
    });
    assert_eq!(others[0].hits(), 2);
}

#[test]
fn what_was_good_is_held_while_nobody_knows() {
    let (_origins, port) = origins(&["127.0.0.1", "127.0.0.2"]);
    let dns = NameServer::start();
    dns.host("app.test", 0, &["127.0.0.1"]);
    let proxy = Proxy::start(&config(&dns, &[&format!("app.test:{port}")], ""));
    let troubles: [(&str, &dyn Fn()); 4] = [
        ("SERVFAIL", &|| dns.mood(Mood::Fails)),
        ("silence", &|| dns.mood(Mood::IsSilent)),
        ("there is no such name", &|| dns.remove("app.test")),
        ("it has no address", &|| dns.host("app.test", 0, &[])),
    ];
    for (trouble, begin) in troubles {
        begin();
        wait_for_queries(&dns, "app.test", 3);
        assert_eq!(answered(&proxy, 2), ["127.0.0.1", "127.0.0.1"], "{trouble}");
        dns.mood(Mood::Answers);
        dns.host("app.test", 0, &["127.0.0.1"]);
        wait_for_queries(&dns, "app.test", 3);
    }
    dns.host("app.test", 0, &["127.0.0.2"]);
    wait_for(&proxy, &[at("127.0.0.2", port)]);
}

#[test]
fn a_name_that_does_not_resolve_at_first_is_told_once_and_recovers() {
    let (_origins, port) = origins(&["127.0.0.1"]);
    let dns = NameServer::start();
    let toml = config(&dns, &[&format!("app.test:{port}")], "");
    let mut linkspan = Binary::serve(&toml);
    assert_eq!(linkspan.connect().get("/").status(), 503);
    wait_for_queries(&dns, "app.test", 5);
    let said = |text: &str| linkspan.stderr().matches(text).count();
    assert_eq!(said("\"name does not resolve\""), 1, "{}", linkspan.stderr());
    dns.host("app.test", 60, &["127.0.0.1"]);
    linkspan.wait_for_stderr("endpoint joins");
    assert!(linkspan.stderr().contains("name resolves again"), "{}", linkspan.stderr());
    assert_eq!(linkspan.connect().get("/").text(), "127.0.0.1");
}

#[test]
fn who_stays_keeps_figures_and_health() {
    let mut down = Down::together(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let port = down[0].address().port();
    let _third = up(down.remove(2));
    let _second = up(down.remove(1));
    let dns = NameServer::start();
    dns.host("app.test", 0, &["127.0.0.1", "127.0.0.2"]);
    let health = "health = { attempts = 1, offline = '1h' }";
    let proxy = Proxy::start(&config(&dns, &[&format!("app.test:{port}")], health));
    answered(&proxy, 4);
    let before = endpoints(&proxy);
    assert_eq!((&before[0]["state"], &before[1]["requests"]), (&"offline".into(), &4.into()));
    dns.host("app.test", 0, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    wait_for(&proxy, &["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|address| at(address, port)));
    let after = endpoints(&proxy);
    assert_eq!(after[..2], before);
    dns.host("app.test", 0, &["127.0.0.1", "127.0.0.2"]);
    wait_for(&proxy, &["127.0.0.1", "127.0.0.2"].map(|address| at(address, port)));
    assert_eq!(endpoints(&proxy), before);
}

#[test]
fn a_reload_and_a_resolution_leave_each_other_alone() {
    let (_origins, port) = origins(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let dns = NameServer::start();
    let endpoint = format!("app.test:{port}");
    dns.host("app.test", 0, &["127.0.0.1"]);
    let mut proxy = Proxy::start(&config(&dns, &[&endpoint], ""));
    dns.host("app.test", 0, &["127.0.0.2"]);
    wait_for(&proxy, &[at("127.0.0.2", port)]);
    proxy.reload(&config(&dns, &[&endpoint, &at("127.0.0.1", port)], "max-attempts = 2")).unwrap();
    assert_eq!(addresses(&proxy), [at("127.0.0.2", port), at("127.0.0.1", port)]);
    dns.mood(Mood::Fails);
    proxy.reload(&config(&dns, &[&endpoint], "")).unwrap();
    assert_eq!(addresses(&proxy), [at("127.0.0.2", port)], "held over a reload");
    dns.mood(Mood::Answers);
    dns.host("app.test", 0, &["127.0.0.3"]);
    wait_for(&proxy, &[at("127.0.0.3", port)]);
    // Other servers are believed from the reload on, and a refused configuration changes nothing.
    let other = NameServer::start();
    other.host("app.test", 0, &["127.0.0.1"]);
    let refused = format!(
        "{}[plugins.odd]\ncomponent = 'headers'\nconfig = {{ odd = 1 }}\n",
        config(&other, &[&endpoint], "")
    );
    assert!(proxy.reload(&refused).is_err());
    wait_for_queries(&dns, "app.test", 3);
    assert_eq!(addresses(&proxy), [at("127.0.0.3", port)]);
    proxy.reload(&config(&other, &[&endpoint], "")).unwrap();
    assert_eq!(addresses(&proxy), [at("127.0.0.1", port)]);
    wait_for_queries(&other, "app.test", 3);
    assert_eq!(addresses(&proxy), [at("127.0.0.1", port)]);
}

#[test]
fn two_names_of_one_address_are_two_endpoints() {
    let (origins, port) = origins(&["127.0.0.1", "127.0.0.2"]);
    let dns = NameServer::start();
    dns.host("one.test", 0, &["127.0.0.1"]);
    dns.host("two.test", 0, &["127.0.0.1"]);
    let names = [&*format!("one.test:{port}"), &*format!("two.test:{port}")];
    let proxy = Proxy::start(&config(&dns, &names, "host-header = 'endpoint'"));
    let (first, second) = (at("127.0.0.1", port), format!("127.0.0.1:{port}#two.test"));
    assert_eq!(addresses(&proxy), [first, second.clone()]);
    answered(&proxy, 2);
    let requests = origins[0].requests();
    let mut hosts: Vec<_> = requests.iter().filter_map(|request| request.value("host")).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, names);
    dns.host("one.test", 0, &["127.0.0.2"]);
    wait_for(&proxy, &[at("127.0.0.2", port), second]);
}

#[test]
fn an_answer_is_believed_as_long_as_configured() {
    let (_origins, port) = origins(&["127.0.0.1"]);
    let dns = NameServer::start();
    dns.host("always.test", 0, &["127.0.0.1"]);
    let begun = Instant::now();
    let _often = Proxy::start(&config(&dns, &[&format!("always.test:{port}")], ""));
    wait_for_queries(&dns, "always.test", 5);
    let most = begun.elapsed().as_millis() / 100 + 1;
    assert!(dns.queries("always.test") as u128 <= most, "no sooner than min-ttl says");

    dns.host("seldom.test", 0, &["127.0.0.1"]);
    dns.host("never.test", 86_400, &["127.0.0.1"]);
    let names = [&*format!("seldom.test:{port}"), "missing.test:1"];
    let toml = config(&dns, &names, "").replace("min-ttl = '100ms'", "min-ttl = '5m'");
    let _seldom = Proxy::start(&toml);
    wait_for_queries(&dns, "missing.test", 5);
    assert_eq!(dns.queries("seldom.test"), 1);
    let toml = config(&dns, &[&format!("never.test:{port}")], "");
    let _soon = Proxy::start(&toml.replace("retry", "max-ttl = '100ms'\nretry"));
    wait_for_queries(&dns, "never.test", 3);
}

#[test]
fn an_answer_that_is_cut_short_is_asked_for_over_tcp() {
    let (_origins, port) = origins(&["127.0.0.1"]);
    let dns = NameServer::start();
    dns.host("app.test", 60, &["127.0.0.1"]);
    dns.mood(Mood::Truncates);
    let proxy = Proxy::start(&config(&dns, &[&format!("app.test:{port}")], ""));
    assert_eq!(answered(&proxy, 1), ["127.0.0.1"]);
    assert!(dns.over_tcp() > 0);
}

#[test]
fn an_endless_answer_has_an_end() {
    let dns = NameServer::start();
    let many: Vec<_> = (0..300).map(|n| format!("127.1.{}.{}", n / 250, n % 250 + 1)).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    dns.host("many.test", 60, &many);
    let proxy = Proxy::start(&config(&dns, &["many.test:80"], ""));
    let addresses = addresses(&proxy);
    assert_eq!(addresses.len(), 256);
    assert_eq!(addresses[0], "127.1.0.1:80");
}

#[test]
fn names_of_the_system_need_no_server() {
    let (origins, port) = origins(&["127.0.0.1"]);
    let dns = NameServer::start();
    dns.mood(Mood::IsSilent);
    let proxy = Proxy::start(&config(&dns, &[&format!("localhost:{port}")], ""));
    answered(&proxy, 1);
    assert_eq!((origins[0].hits(), dns.queries("localhost")), (1, 0));
}

#[test]
fn a_name_that_a_router_gives_is_asked_of_the_same_servers() {
    let (_origins, port) = origins(&["127.0.0.1", "127.0.0.2"]);
    let dns = NameServer::start();
    dns.host("app.test", 0, &["127.0.0.1"]);
    let toml = format!(
        "{}[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['forwards']\n\
         [plugins.forwards]\ngrants = {{ addresses = ['app.test:*', 'missing.test:*'] }}\n",
        dns.section()
    );
    let proxy = Proxy::start_with(&toml, &["forwards"]);
    let mut client = proxy.connect();
    let mut ask = |to: &str| client.ask("GET", "/", &[("x-to", to)], b"");
    let url = format!("http://app.test:{port}");
    assert_eq!(ask(&url).text(), "127.0.0.1");
    assert_eq!(ask("http://missing.test").status(), 503);
    dns.host("app.test", 0, &["127.0.0.2"]);
    eventually("the other address", || (ask(&url).text() == "127.0.0.2").then_some(()));
}

/// What a proxy with these settings says.
fn refusal(dns: &str, endpoint: &str) -> String {
    let toml = format!(
        "[dns]\n{dns}\n[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{endpoint}']\n"
    );
    Proxy::try_start(&toml, &[]).err().unwrap_or_default()
}

#[test]
fn what_cannot_be_resolved_is_refused() {
    let cases = [
        ("servers = ['dns.test']", "127.0.0.1:1", "a name server is given by its IP address"),
        ("min-ttl = '2s'\nmax-ttl = '1s'", "127.0.0.1:1", "`min-ttl` is more than `max-ttl`"),
        ("", "srv+https://_https._tcp.app.test:443", "SRV records say which port it is"),
        ("", "srv+http://_http._tcp.app.test:80", "SRV records say which port it is"),
        ("", "srv+http://127.0.0.1", "is not the name of a host"),
    ];
    for (dns, endpoint, expected) in cases {
        let said = refusal(dns, endpoint);
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(
        refusal(&format!("timeout = '{}ms'", Duration::from_secs(1).as_millis()), "[::1]:1"),
        ""
    );
}
