//! Sessions, and the endpoints that they belong to.

use super::{PATIENT, config, origins};
use crate::support::{Origin, Proxy};

/// A cluster of `a` and `b` with their routes and what else their tables say, and a sticky balancer
/// with that configuration before `by-requests`.
fn start(origins: &[Origin], tables: [&str; 2], own: &str, cluster: &str) -> Proxy {
    let endpoints: Vec<_> = origins.iter().map(Origin::address).zip(tables).collect();
    let cluster = format!("balancer = ['session', 'by-requests']\n{cluster}\n{PATIENT}");
    let plugin = format!("[plugins.session]\ncomponent = 'sticky'\nconfig = {{ {own} }}\n");
    Proxy::start(&config(&endpoints, &cluster, &plugin))
}

fn with_cookie(proxy: &Proxy, cookie: &str) -> String {
    let answer = proxy.connect().ask("GET", "/", &[("cookie", cookie)], b"");
    if answer.status() == 200 { answer.text() } else { answer.status().to_string() }
}

#[test]
fn a_cookie_or_a_parameter_names_the_endpoint() {
    let origins = origins(&["a", "b"]);
    let own = "cookie = 'SID', parameter = 'sid'";
    let proxy = start(&origins, ["route = 'ra'", "route = 'rb'"], own, "");
    for _ in 0..3 {
        assert_eq!(with_cookie(&proxy, "x=1; SID=abc.rb"), "b");
        assert_eq!(proxy.get("/path?y=1&sid=abc.rb").text(), "b");
        assert_eq!(proxy.get("/path;sid=abc.rb").text(), "b");
        assert_eq!(with_cookie(&proxy, "SID=abc.ra"), "a");
    }
    let turns: String = (0..4).map(|_| proxy.get("/").text()).collect();
    assert_eq!(turns, "abab", "who has no session takes turns");
    let turns: String = (0..4).map(|_| with_cookie(&proxy, "SID=abc.rz")).collect();
    assert_eq!(turns, "abab", "a route that no endpoint has is as good as none");
}

#[test]
fn who_is_drained_keeps_its_sessions() {
    let origins = origins(&["a", "b"]);
    let tables = ["route = 'ra'", "route = 'rb', status = 'drain'"];
    let proxy = start(&origins, tables, "cookie = 'SID'", "");
    assert_eq!(with_cookie(&proxy, "SID=abc.rb"), "b", "AP-8");
    for cookie in ["", "SID=abc", "SID=abc.rz"] {
        let served: String = (0..3).map(|_| with_cookie(&proxy, cookie)).collect();
        assert_eq!(served, "aaa", "{cookie}");
    }
}

#[test]
fn a_session_whose_endpoint_is_down_moves_or_ends() {
    let tables = ["route = 'r1'", "route = 'r2'"];
    let mut served = Vec::new();
    for own in ["cookie = 'SID'", "cookie = 'SID', no-failover = true"] {
        let mut origins = origins(&["a", "b"]);
        let proxy = start(&origins, tables, own, "");
        assert_eq!(with_cookie(&proxy, "SID=abc.r2"), "b");
        origins[1].stop();
        served.push(with_cookie(&proxy, "SID=abc.r2"));
    }
    assert_eq!(served, ["a", "503"], "AP-10");
}

#[test]
fn a_redirected_route_goes_to_the_other() {
    let origins = origins(&["a", "b"]);
    let tables = ["route = 'r1'", "route = 'r2', status = 'disabled', redirect = 'r1'"];
    let proxy = start(&origins, tables, "cookie = 'SID', no-failover = true", "");
    assert_eq!(with_cookie(&proxy, "SID=abc.r2"), "a", "AP-10");
}

#[test]
fn the_next_balancer_does_not_try_again_who_has_failed() {
    let mut origins = origins(&["a", "b", "c"]);
    let routes = ["route = 'ra'", "route = 'rb'", "route = 'rc', redirect = 'rb'"];
    let endpoints: Vec<_> = origins.iter().map(Origin::address).zip(routes).collect();
    let cluster = format!("balancer = ['session', 'first-alive']\n{PATIENT}");
    let plugin = "[plugins.session]\ncomponent = 'sticky'\nconfig = { cookie = 'SID' }\n";
    let proxy = Proxy::start(&config(&endpoints, &cluster, plugin));
    origins[0].stop();
    assert_eq!(with_cookie(&proxy, "SID=.ra"), "b");
    origins[2].stop();
    assert_eq!(with_cookie(&proxy, "SID=.rc"), "b", "by its redirect");
    origins[1].stop();
    assert_eq!(with_cookie(&proxy, "SID=.rc"), "503");
    let attempts: Vec<_> = proxy.access(3).iter().map(|it| it["attempts"].clone()).collect();
    assert_eq!(attempts, [2, 2, 3], "each once");
}

#[test]
fn clients_are_given_the_cookie_of_their_endpoint() {
    let mut origins = origins(&["a", "b"]);
    let own = "cookie = 'home', set-cookie = 'Path=/; HttpOnly'";
    let proxy = start(&origins, ["", "route = 'rb'"], own, "rewriters = ['session']");
    for _ in 0..4 {
        let first = proxy.get("/");
        let cookie = first.value("set-cookie").unwrap().to_owned();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        let route = pair.strip_prefix("home=.").unwrap();
        assert_eq!(route == "rb", first.text() == "b", "{cookie}: its route, if it has one");
        assert_eq!(attributes, "Path=/; HttpOnly");
        for _ in 0..3 {
            let next = proxy.connect().ask("GET", "/", &[("cookie", pair)], b"");
            assert_eq!(next.text(), first.text());
            assert_eq!(next.value("set-cookie"), None, "the client has it");
        }
        let strange = proxy.connect().ask("GET", "/", &[("cookie", "home=.nowhere")], b"");
        assert!(strange.value("set-cookie").is_some(), "it is given a better one");
    }
    let home = proxy.get("/").value("set-cookie").unwrap().split("; ").next().unwrap().to_owned();
    let place = usize::from(with_cookie(&proxy, &home) == "b");
    origins[place].stop();
    let moved = proxy.connect().ask("GET", "/", &[("cookie", &home)], b"");
    assert_eq!(moved.text(), ["b", "a"][place]);
    assert_ne!(moved.value("set-cookie").unwrap().split("; ").next().unwrap(), home);
}
