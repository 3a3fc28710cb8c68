//! The rewriter `reverse-map`: what upstreams say of themselves, as clients see it.

mod session;

use std::fmt::Write;

use crate::support::{Client, Message, Origin, Proxy, reply};

/// An origin that answers with the fields that the request's `x-say` lists, `name: value` each,
/// with a `|` between two.
fn saying() -> Origin {
    Origin::answering(|request: &Message| {
        let said = request.value("x-say").unwrap_or_default();
        let fields: Vec<_> = said.split('|').filter_map(|field| field.split_once(": ")).collect();
        reply(301, &fields, "")
    })
}

/// A cluster whose paths stay, one below `/app`, which is taken away, and one below `/front`, for
/// which the upstream has `/inner`. `cluster` are further keys of all three, `map` is the config.
fn config(origins: &[&Origin], cluster: &str, map: &str) -> String {
    let endpoints: Vec<_> = origins.iter().map(|o| o.address().to_string()).collect();
    let mut toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['by-path']\ndefault-cluster = 'plain'\n\
         rewriters = ['back']\ntrusted-proxies = ['127.0.0.9']\n\
         [plugins.by-path]\ncomponent = 'regex-match'\n[plugins.by-path.config]\nrules = [\n\
         {{ match = ['^/app(/.*)$'], path = '$1', cluster = 'stripped' }},\n\
         {{ match = ['^/front(/.*|$)'], path = '/inner$1', cluster = 'moved' }} ]\n\
         [plugins.back]\ncomponent = 'reverse-map'\nconfig = {{ {map} }}\n"
    );
    for name in ["plain", "stripped", "moved"] {
        let _ = writeln!(toml, "[clusters.{name}]\nendpoints = {endpoints:?}\n{cluster}");
    }
    toml
}

/// What becomes of a field's value that the answer to a client of `front.test:81` has.
#[track_caller]
fn told(client: &mut Client, target: &str, name: &str, value: &str) -> String {
    let say = format!("{name}: {value}");
    let fields = [("host", "front.test:81"), ("x-say", say.as_str())];
    let answer = client.ask("GET", target, &fields, b"");
    assert_eq!(answer.status(), 301, "{value}");
    answer.value(name).unwrap().to_owned()
}

/// Each value of a field becomes what stands beside it.
#[track_caller]
fn become_of(client: &mut Client, target: &str, name: &str, pairs: &[(&str, &str)]) {
    for (value, expected) in pairs {
        assert_eq!(told(client, target, name, value), *expected, "{value} of {target}");
    }
}

#[test]
fn a_redirect_inside_the_cluster_is_mapped_back_whichever_endpoint_it_names() {
    let (origin, other) = (saying(), saying());
    let proxy = Proxy::start(&config(&[&origin, &other], "balancer = 'first-alive'", ""));
    let mut client = proxy.connect();
    for own in [&origin, &other] {
        let own = format!("http://{}", own.address());
        let cases = [
            ("/app/a", "/login?a#b", "http://front.test:81/app/login?a#b"),
            ("/app/a", "", "http://front.test:81/app/"),
            ("/front/a", "/inner/login", "http://front.test:81/front/login"),
            ("/front", "/inner/", "http://front.test:81/front/"),
            ("/front/a", "/else", "http://front.test:81/else"),
            ("/plain", "/login", "http://front.test:81/login"),
        ];
        for (target, path, expected) in cases {
            let location = format!("{own}{path}");
            become_of(&mut client, target, "location", &[(&location, expected)]);
        }
    }
    assert_eq!((origin.hits(), other.hits()), (12, 0), "the first one answered all");
    become_of(
        &mut client,
        "/app/a",
        "location",
        &[
            ("/login", "/app/login"),
            ("//front.test:81/login", "//front.test:81/app/login"),
            ("next", "next"),
        ],
    );
    become_of(
        &mut client,
        "/front/a",
        "location",
        &[("/inner/b", "/front/b"), ("/innermost", "/innermost")],
    );
}

#[test]
fn what_points_elsewhere_is_left_alone() {
    let origin = saying();
    let proxy = Proxy::start(&config(&[&origin], "", ""));
    let mut client = proxy.connect();
    let near = format!("http://127.0.0.2:{}/", origin.address().port());
    let user = format!("http://{}@evil.test/", origin.address());
    let longer = format!("http://{}0/", origin.address());
    for value in [
        "http://127.0.0.1/",
        &near,
        &user,
        &longer,
        "https://front.test:81/",
        "//evil.test/",
        "ftp://a/",
    ] {
        for name in ["location", "content-location", "uri"] {
            become_of(&mut client, "/app/a", name, &[(value, value)]);
        }
    }
}

#[test]
fn every_field_in_which_upstreams_speak_of_themselves_is_mapped() {
    let origin = saying();
    let proxy = Proxy::start(&config(&[&origin], "", ""));
    let own = origin.address();
    let say = format!(
        "content-location: http://{own}/a|uri: http://{own}/b|refresh: 5; url=http://{own}/c|\
         x-other: http://{own}/d|set-cookie: a=b; Path=/|set-cookie: c=d|\
         set-cookie: e=f; domain=127.0.0.1; path=/x"
    );
    let fields = [("host", "front.test"), ("x-say", say.as_str())];
    let answer = proxy.connect().ask("GET", "/app/", &fields, b"");
    assert_eq!(answer.value("content-location"), Some("http://front.test/app/a"));
    assert_eq!(answer.value("uri"), Some("http://front.test/app/b"));
    assert_eq!(answer.value("refresh"), Some("5; url=http://front.test/app/c"));
    assert_eq!(answer.value("x-other"), Some(format!("http://{own}/d").as_str()));
    let cookies = ["a=b; Path=/app", "c=d", "e=f; domain=front.test; path=/app/x"];
    assert_eq!(answer.values("set-cookie"), cookies);
}

#[test]
fn of_a_cookie_only_domain_and_path_are_mapped() {
    let origin = saying();
    let map = "cookie-domain = { local = 'remote' }, cookie-path = { '/local' = '/remote' }";
    let proxy = Proxy::start(&config(&[&origin], "", map));
    become_of(
        &mut proxy.connect(),
        "/",
        "set-cookie",
        &[
            ("fakedomain=local;domain=local", "fakedomain=local;domain=remote"),
            ("fakepath=/local;path=/local", "fakepath=/local;path=/remote"),
            ("domain=local;path=/local;foo=bar", "domain=remote;path=/remote;foo=bar"),
            ("domain=local; Path=/locale; Secure", "domain=local; Path=/locale; Secure"),
        ],
    );
}

#[test]
fn the_host_that_went_up_is_the_upstreams_whoever_chose_it() {
    let origin = saying();
    let port = origin.address().port();
    let inner = format!("http://127.0.0.1:{port}/a");
    let appended = format!("http://front.test:{port}/a");
    for (cluster, own) in [
        ("host-header = 'endpoint'", inner.as_str()),
        ("rewriters = ['host']", "http://INNER.test:80/a"),
        ("", "http://front.test:81/a"),
        // As nginx does.
        ("", &appended),
    ] {
        let host =
            "[plugins.host]\ncomponent = 'headers'\nconfig.request.set.host = 'inner.test'\n";
        let proxy = Proxy::start(&format!("{}{host}", config(&[&origin], cluster, "")));
        let mut client = proxy.connect();
        become_of(&mut client, "/app/", "location", &[(own, "http://front.test:81/app/a")]);
    }
}

#[test]
fn a_trusted_proxy_in_front_says_what_its_client_addressed() {
    let origin = saying();
    let proxy = Proxy::start(&config(&[&origin], "", ""));
    let say = format!("location: http://{}/a", origin.address());
    let ask = |own| {
        let fields = [
            ("host", "edge.test"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "www.test"),
            ("x-say", say.as_str()),
        ];
        let answer = Client::from(own, proxy.address("web")).ask("GET", "/app/", &fields, b"");
        answer.value("location").unwrap().to_owned()
    };
    assert_eq!(ask([127, 0, 0, 9]), "https://www.test/app/a");
    assert_eq!(ask([127, 0, 0, 8]), "http://edge.test/app/a", "nobody else is believed");
}

#[test]
fn an_address_that_a_router_named_is_its_own_only_endpoint() {
    let (origin, other) = (saying(), saying());
    let (own, others) = (origin.address(), other.address());
    let toml = "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['forwards']\n\
                rewriters = ['reverse-map']\n\
                [plugins.forwards]\ngrants = { addresses = ['127.0.0.1:*'] }\n";
    let proxy = Proxy::start_with(toml, &["forwards"]);
    let to = format!("http://{own}");
    let say = format!(
        "location: http://{own}/inner/a|content-location: http://{others}/inner/a|\
         uri: http://inner.test/inner/a"
    );
    let fields = [
        ("x-to", to.as_str()),
        ("x-give-path", "/inner/b"),
        ("x-give-host", "inner.test"),
        ("x-say", say.as_str()),
    ];
    let answer = proxy.connect().ask("GET", "/b", &fields, b"");
    assert_eq!(answer.value("location"), Some("http://test/a"));
    assert_eq!(answer.value("uri"), Some("http://test/a"));
    let untouched = format!("http://{others}/inner/a");
    assert_eq!(answer.value("content-location"), Some(untouched.as_str()));
}

#[test]
fn maps_go_first_and_can_stand_alone() {
    let origin = saying();
    let map = "map = [ { from = 'http://backend.internal:8080/app', to = '/front' }, \
               { from = '/old', to = 'https://archive.test/' } ]";
    let own = format!("http://{}/old/a?b", origin.address());
    let automatic = format!("http://{}/a", origin.address());
    let proxy = Proxy::start(&config(&[&origin], "", map));
    become_of(
        &mut proxy.connect(),
        "/app/",
        "location",
        &[
            ("http://Backend.internal:8080/app/x", "http://front.test:81/front/x"),
            ("http://backend.internal:8080/apple", "http://backend.internal:8080/apple"),
            (&own, "https://archive.test/a?b"),
            (&automatic, "http://front.test:81/app/a"),
        ],
    );
    let proxy = Proxy::start(&config(&[&origin], "", &format!("automatic = false, {map}")));
    become_of(
        &mut proxy.connect(),
        "/app/",
        "location",
        &[(&own, "https://archive.test/a?b"), (&automatic, &automatic)],
    );
    let wrong = config(&[&origin], "", "map = [ { from = 'backend', to = '/a?b' } ]");
    let refused = Proxy::try_start(&wrong, &[]).err().unwrap();
    assert!(refused.contains("`backend` is none that can be mapped"), "{refused}");
    assert!(refused.contains("`/a?b` is none that can be mapped"), "{refused}");
}
