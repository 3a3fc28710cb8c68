//! Where requests go: routers in turn, then the default cluster, then 404.

mod answers;
mod host;
mod memcached;
mod patterns;
mod prefix;
mod recent;
mod remap;

use crate::support::{Origin, Proxy, one_cluster};

/// A listener that asks `routers`, in front of clusters of one origin each.
fn config(listener: &str, clusters: &[(&str, &Origin)], plugins: &str) -> String {
    let cluster = |(name, origin): &(&str, &Origin)| {
        format!("[clusters.{name}]\nendpoints = [\"{}\"]\n", origin.address())
    };
    let clusters: String = clusters.iter().map(cluster).collect();
    format!("[listeners.web]\nbind = \"127.0.0.1:0\"\n{listener}\n{clusters}{plugins}")
}

#[test]
fn what_no_router_decides_goes_to_the_default_cluster() {
    let origin = Origin::replying("hello");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let response = proxy.get("/anything?at=all");
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    assert_eq!(origin.request().target(), "/anything?at=all");
    let line = &proxy.access(1)[0];
    assert_eq!(line["status"], 200);
    assert_eq!(line["cluster"], "main");
    assert_eq!(line["route"], serde_json::Value::Null);
}

#[test]
fn the_first_pattern_that_is_found_in_the_decoded_path_decides() {
    let (php, files) = (Origin::replying("php"), Origin::replying("files"));
    let proxy = Proxy::start(&config(
        "routers = [\"by-path\"]",
        &[("php", &php), ("static", &files)],
        r"
        [plugins.by-path]
        component = 'regex-match'
        [[plugins.by-path.config.rules]]
        match = ['\.php$']
        cluster = 'php'
        [[plugins.by-path.config.rules]]
        match = ['\.(jpg|png|css|js|html)$', '^/php\.php/']
        cluster = 'static'
        ",
    ));
    let mut client = proxy.connect();
    for (target, expected) in [
        ("/a.php", "php"),
        ("/A.PHP?x=.png", "php"),
        ("/a%2Ephp", "php"),
        ("/php.php/a.css", "static"),
        ("/i/b.png?y=a.php", "static"),
        ("/php.php/rest", "static"),
    ] {
        let text = client.get(target).text();
        assert_eq!(text == "php", expected == "php", "{target} went to {text}");
    }
    let targets: Vec<_> = php.requests().iter().map(|r| r.target().to_owned()).collect();
    assert_eq!(targets, ["/a.php", "/A.PHP?x=.png", "/a%2Ephp"], "paths pass as they came");
    assert_eq!(files.hits(), 3);
    assert_eq!(proxy.access(6)[0]["route"], "by-path");
}

#[test]
fn host_method_and_header_narrow_a_rule_down() {
    let (special, usual) = (Origin::replying("special"), Origin::replying("usual"));
    let proxy = Proxy::start(&config(
        "routers = ['narrow']\ndefault-cluster = 'usual'",
        &[("special", &special), ("usual", &usual)],
        r"
        [plugins.narrow]
        component = 'regex-match'
        [[plugins.narrow.config.rules]]
        host = ['^special\.test$']
        method = ['POST']
        header = { x-kind = '^a' }
        cluster = 'special'
        ",
    ));
    let mut client = proxy.connect();
    let mut ask = |method: &str, host: &str, kind: &str| {
        client.ask(method, "/", &[("host", host), ("x-kind", kind)], b"").text()
    };
    assert_eq!(ask("POST", "SPECIAL.test:8080", "ab"), "special");
    assert_eq!(ask("GET", "special.test", "ab"), "usual");
    assert_eq!(ask("POST", "other.test", "ab"), "usual");
    assert_eq!(ask("POST", "special.test", "b"), "usual");
}

#[test]
fn a_rule_may_give_another_path_and_the_query_stays() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&config(
        "routers = ['moved']",
        &[("main", &origin)],
        r"
        [plugins.moved]
        component = 'regex-match'
        [[plugins.moved.config.rules]]
        match = ['^/old/(.*)$']
        path = '/new/$1'
        cluster = 'main'
        ",
    ));
    assert_eq!(proxy.get("/old/a/b?c=d").status(), 200);
    assert_eq!(origin.request().target(), "/new/a/b?c=d");
    assert_eq!(proxy.access(1)[0]["target"], "/old/a/b?c=d", "the log has what the client sent");
}

#[test]
fn a_router_may_answer_itself() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&config(
        "routers = ['answers']\ndefault-cluster = 'main'",
        &[("main", &origin)],
        r"
        [plugins.answers]
        component = 'regex-match'
        [[plugins.answers.config.rules]]
        match = ['^/gone']
        respond = { status = 410, body = 'this is gone' }
        [[plugins.answers.config.rules]]
        match = ['^/to/(.*)']
        redirect = { status = 301, location = 'https://elsewhere.test/$1' }
        ",
    ));
    let mut client = proxy.connect();
    let gone = client.get("/gone");
    assert_eq!((gone.status(), gone.text().as_str()), (410, "this is gone"));
    assert_eq!(gone.value("server"), Some("linkspan"));
    let head = client.ask("HEAD", "/gone", &[], b"");
    assert_eq!((head.status(), head.text().as_str()), (410, ""));
    let moved = client.get("/to/a?b");
    assert_eq!(moved.status(), 301);
    assert_eq!(moved.value("location"), Some("https://elsewhere.test/a?b"));
    let posted = client.ask("POST", "/gone", &[], b"small");
    assert_eq!(posted.status(), 410);
    assert_eq!(client.get("/").status(), 200, "the connection goes on");
    assert_eq!(origin.hits(), 1);
}

#[test]
fn without_a_default_cluster_what_nobody_decides_is_not_found() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&config(
        "routers = ['never']",
        &[("main", &origin)],
        r"
        [plugins.never]
        component = 'regex-match'
        [[plugins.never.config.rules]]
        match = ['^/never$']
        cluster = 'main'
        ",
    ));
    let mut client = proxy.connect();
    let response = client.get("/other");
    assert_eq!((response.status(), response.text().as_str()), (404, "404 Not Found\n"));
    assert_eq!(response.value("server"), Some("linkspan"));
    assert_eq!(client.get("/never").status(), 200, "the connection goes on");
    let line = &proxy.access(1)[0];
    assert_eq!(line["error"], "no router decided, and listener web has no default-cluster");
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "no_route")]), 1);
}

#[test]
fn a_router_that_answers_next_leaves_it_to_the_one_after() {
    let (one, two) = (Origin::replying("one"), Origin::replying("two"));
    let proxy = Proxy::start(&config(
        "routers = ['first', 'second']\ndefault-cluster = 'two'",
        &[("one", &one), ("two", &two)],
        r"
        [plugins.first]
        component = 'regex-match'
        [[plugins.first.config.rules]]
        match = ['^/a']
        cluster = 'two'
        [plugins.second]
        component = 'regex-match'
        [[plugins.second.config.rules]]
        match = ['^/[ab]']
        cluster = 'one'
        ",
    ));
    assert_eq!(proxy.get("/a").text(), "two");
    assert_eq!(proxy.get("/b").text(), "one");
    assert_eq!(proxy.get("/c").text(), "two");
    let routes: Vec<_> = proxy.access(3).iter().map(|line| line["route"].clone()).collect();
    assert_eq!(routes[..2], ["first", "second"]);
    assert!(routes[2].is_null());
}

#[test]
fn a_router_that_names_no_cluster_of_ours_has_failed() {
    let origin = Origin::replying("fine");
    // One that does not look whether there is such a cluster when it is configured.
    let config = |on_failure: &str| {
        config(
            "routers = ['lost']\ndefault-cluster = 'main'",
            &[("main", &origin)],
            &format!(
                "[plugins.lost]\n{on_failure}\ncomponent = 'misbehave'\nconfig.at = 'route'\n"
            ),
        )
    };
    let lost =
        |proxy: &Proxy| proxy.connect().ask("GET", "/lost", &[("x-do", "unknown-cluster")], b"");
    let proxy = Proxy::start_with(&config(""), &["misbehave"]);
    assert_eq!(lost(&proxy).status(), 503);
    assert_eq!(proxy.get("/").text(), "fine");
    assert_eq!(
        proxy.access(2)[0]["error"],
        "router lost failed: answered against the contract: there is no cluster \"no-such-cluster\""
    );

    let proxy = Proxy::start_with(&config("on-failure = 'next'"), &["misbehave"]);
    assert_eq!(lost(&proxy).text(), "fine");
    let targets: Vec<_> = origin.requests().iter().map(|r| r.target().to_owned()).collect();
    assert_eq!(targets, ["/", "/lost"], "nothing of a failed decision is done");
}
