//! The rewriter `rewrite`: lighttpd's rules, over real messages.

use crate::support::{Message, Origin, Proxy, one_cluster, reply};

/// A plugin `rules` with these lists of rules, and a listener that asks it.
fn with_rules(origin: &Origin, phases: &str, cluster: &str) -> String {
    let listener = "rewriters = ['rules']\nmax-target-bytes = '63KiB'";
    let config = one_cluster(&[origin.address()], listener, cluster);
    format!("{config}[plugins.rules]\ncomponent = 'rewrite'\n[plugins.rules.config]\n{phases}\n")
}

fn targets(origin: &Origin) -> Vec<String> {
    origin.requests().iter().map(|request| request.target().to_owned()).collect()
}

#[test]
fn the_target_and_the_host_are_rewritten() {
    let origin = Origin::replying("");
    let rules = r"request = [
        { header = '_uri', match = '^/proxyme(/.*)', to = '$1' },
        { header = 'Host', match = '.*', to = 'en.example' },
    ]";
    let config = with_rules(&origin, rules, "forwarded-headers = ['x-host']");
    let proxy = Proxy::start(&config);
    let mut client = proxy.connect();
    for target in ["/proxyme/a?b=1", "/other", "/proxyme/a", "/proxyme//evil.test/?"] {
        assert_eq!(client.ask("GET", target, &[("host", "www.test:81")], b"").status(), 200);
    }
    assert_eq!(targets(&origin), ["/a?b=1", "/other", "/a", "//evil.test/"]);
    for request in origin.requests() {
        assert_eq!(request.values("host"), ["en.example"]);
        assert_eq!(request.values("x-host"), ["www.test:81"]);
    }
}

#[test]
fn what_a_router_gave_is_what_is_rewritten() {
    let origin = Origin::replying("");
    let toml = "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['forwards']\n\
                rewriters = ['rules']\n\
                [plugins.forwards]\ngrants = { addresses = ['127.0.0.1:*'] }\n\
                [plugins.rules]\ncomponent = 'rewrite'\n[plugins.rules.config]\nrequest = [\n\
                { header = '_uri', match = '^/given(.*)', to = '/made$1' },\n\
                { header = 'Host', match = '^given(.*)', to = 'made$1' } ]\n";
    let proxy = Proxy::start_with(toml, &["forwards"]);
    let to = format!("http://{}", origin.address());
    let fields =
        [("x-to", to.as_str()), ("x-give-path", "/given/a"), ("x-give-host", "given.test")];
    assert_eq!(proxy.connect().ask("GET", "/b?c", &fields, b"").status(), 200);
    let request = origin.request();
    assert_eq!((request.target(), request.value("host")), ("/made/a?c", Some("made.test")));
    assert_eq!(request.value("x-forwarded-host"), Some("test"), "what the client sent");
}

#[test]
fn what_a_response_says_is_rewritten_as_a_whole_or_not_at_all() {
    let origin = Origin::answering(|request| {
        let location = request.value("x-location").unwrap();
        reply(302, &[("location", location)], "")
    });
    let rules = r"response = [
        { header = 'Location', match = '^http://en.example/(.*)', to = 'http://127.0.0.1:1445/$1' },
        { header = 'location', match = 'inner', to = 'http://front.test/' },
    ]";
    let proxy = Proxy::start(&with_rules(&origin, rules, ""));
    let mut client = proxy.connect();
    for (sent, expected) in [
        ("http://en.example/w?x", "http://127.0.0.1:1445/w?x"),
        ("http://en.example/inner", "http://127.0.0.1:1445/inner"),
        ("https://else/", "https://else/"),
        ("http://EN.example/w", "http://EN.example/w"),
        ("http://a.inner.test/b", "http://front.test/"),
    ] {
        let response = client.ask("GET", "/", &[("x-location", sent)], b"");
        assert_eq!((response.status(), response.value("location")), (302, Some(expected)));
    }
}

#[test]
fn an_encoded_target_goes_up_unharmed() {
    let origin = Origin::replying("");
    let rules = r"request = [
        { header = 'URI', match = '^/rewrite/all(/.*)', to = '/cgi?$1' },
        { header = '_uri', match = '^/strip(/.*)', to = '$1' },
        { header = '_uri', match = '^/bare', to = '/bare' },
    ]";
    let proxy = Proxy::start(&with_rules(&origin, rules, ""));
    let mut client = proxy.connect();
    let encoded = "/some+test%3axxx%20with%20space";
    for prefix in ["/rewrite/all", "/strip", "/bare/a?b"] {
        assert_eq!(client.get(&format!("{prefix}{encoded}")).status(), 200);
    }
    assert_eq!(
        targets(&origin),
        [format!("/cgi?{encoded}"), encoded.to_owned(), "/bare".to_owned()]
    );
}

#[test]
fn each_field_of_a_name_is_rewritten_on_its_own() {
    let origin = Origin::answering(|_| {
        let cookies = ["a=1; Path=/x", "b=2", "a=3; Path=/y"].map(|cookie| ("set-cookie", cookie));
        reply(200, &cookies, "")
    });
    let rules = r"
        request = [{ header = 'X-Tag', match = '^old-(.*)', to = 'new-$1$2' }]
        response = [{ header = 'Set-Cookie', match = '^a=(\d); Path=/(.)', to = 'a=$2$1; Path=/' }]";
    let proxy = Proxy::start(&with_rules(&origin, rules, ""));
    let tags = [("x-tag", "old-1"), ("x-tag", "other"), ("X-TAG", "old-2")];
    let response = proxy.connect().ask("GET", "/", &tags, b"");
    assert_eq!(origin.request().values("x-tag"), ["new-1", "other", "new-2"]);
    assert_eq!(response.values("set-cookie"), ["a=x1; Path=/", "b=2", "a=y3; Path=/"]);
}

#[test]
fn values_are_bytes() {
    let origin = Origin::answering(|request| {
        let value: Vec<u8> = request.value("x-a").unwrap().chars().map(|c| c as u8).collect();
        [&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-b: "[..], &value, b"\r\n\r\n"].concat()
    });
    let rules = r#"
        request = [{ header = "x-a", match = '^(\xff)(.)', to = "<$2$1>" }]
        response = [{ header = "x-b", match = '^(?-u:<(.*)>)$', to = "$1é" }]"#;
    let proxy = Proxy::start(&with_rules(&origin, rules, ""));
    let mut client = proxy.connect();
    client.send(b"GET / HTTP/1.1\r\nhost: test\r\nx-a: \xff\xfe\r\n\r\n");
    let latin = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    assert_eq!(client.response().value("x-b"), Some(latin(b"\xfe\xff\xc3\xa9").as_str()));
    assert_eq!(origin.request().value("x-a"), Some(latin(b"<\xfe\xff>").as_str()));
}

#[test]
fn a_target_or_host_that_is_none_costs_its_request_and_reaches_nobody() {
    let rules = r"request = [
        { header = '_uri', match = '^/go/(.*)', to = '$1' },
        { header = 'Host', match = '^(.*)-(.*)$', to = '$1:$2' },
    ]";
    let ask = |proxy: &Proxy, target: &str, host: &str| -> Message {
        proxy.connect().ask("GET", target, &[("host", host)], b"")
    };
    let origin = Origin::replying("hello");
    let proxy = Proxy::start(&with_rules(&origin, rules, ""));
    let refused = [("/go/a", "a"), ("/go/", "a"), ("/go/%0d%0ax:y", "a"), ("/", "a-b")];
    for (place, (target, host)) in refused.into_iter().cycle().take(12).enumerate() {
        assert_eq!(ask(&proxy, target, host).status(), 502, "{target} of {host}");
        let failures = [("plugin", "rules"), ("cause", "contract")];
        let counted = proxy.counter("linkspan_plugin_failures_total", &failures);
        assert_eq!(counted, place as u64 + 1);
    }
    assert_eq!(origin.hits(), 0);
    for (target, host) in [("/go//a", "a"), ("/", "a-1")] {
        assert_eq!(ask(&proxy, target, host).status(), 200, "nobody else pays for it");
    }
    assert_eq!(targets(&origin), ["/a", "/"]);
    assert_eq!(origin.requests()[1].value("host"), Some("a:1"));

    let origin = Origin::replying("hello");
    let skipping = with_rules(&origin, rules, "")
        .replace("component = 'rewrite'", "component = 'rewrite'\non-failure = 'skip'");
    assert_eq!(ask(&Proxy::start(&skipping), "/go/a", "a").status(), 200);
    assert_eq!(targets(&origin), ["/go/a"], "as it was");
}

#[test]
fn rules_that_cannot_be_followed_are_refused_at_their_place() {
    let origin = Origin::replying("");
    let rules = r"
        request = [{ header = '_docroot', match = '', to = '/' }, { header = 'x-a', match = '(', to = '' }]
        response = [{ header = 'Transfer-Encoding', match = '.*', to = 'identity' }]";
    let refused = Proxy::try_start(&with_rules(&origin, rules, ""), &[]).err().unwrap();
    for said in [
        "`_docroot` is for FastCGI and SCGI backends",
        "unclosed group",
        "`Transfer-Encoding` belongs to the connection",
    ] {
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn a_target_too_long_to_look_for_groups_in_costs_nobody_else() {
    let origin = Origin::replying("ok");
    let rule = "request = [{ header = '_uri', match = '^/proxyme(/.*)', to = '$1' }]";
    let config = with_rules(&origin, rule, "");
    let proxy = Proxy::start(&config);
    let mut client = proxy.connect();
    for _ in 0..10 {
        let target = format!("/proxyme/{}", "a".repeat(60_000));
        assert_eq!(client.get(&target).status(), 502);
        assert_eq!(client.get("/proxyme/a").text(), "ok");
    }
    assert_eq!(targets(&origin), ["/a"; 10]);
    let failures = [("plugin", "rules"), ("cause", "contract")];
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &failures), 10);
}
