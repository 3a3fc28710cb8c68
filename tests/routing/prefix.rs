//! The router `prefix`: what a path begins with decides.

use super::config;
use crate::support::{Origin, Proxy};

/// What an origin was asked for.
fn targets(origin: &Origin) -> Vec<String> {
    origin.requests().iter().map(|request| request.target().to_owned()).collect()
}

#[test]
fn the_first_rule_that_a_path_begins_like_decides() {
    let (snoop, rest) = (Origin::replying("snoop"), Origin::replying("rest"));
    let proxy = Proxy::start(&config(
        "routers = ['by-prefix']\ndefault-cluster = 'rest'",
        &[("snoop", &snoop), ("rest", &rest)],
        r"
        [plugins.by-prefix]
        component = 'prefix'
        [[plugins.by-prefix.config.rules]]
        prefix = '/snoop/private'
        next = true
        [[plugins.by-prefix.config.rules]]
        prefix = '/snoop'
        cluster = 'snoop'
        ",
    ));
    let mut client = proxy.connect();
    for (target, expected) in [
        ("/snoop", "snoop"),
        ("/snoop/a%20b?c=d", "snoop"),
        ("/snoop/%2e%2e/snoop//x?y", "snoop"),
        ("/snoopy", "rest"),
        ("/snoop/private/x", "rest"),
        ("/snoop%2Fprivate", "rest"),
        ("/snoop/../etc", "rest"),
        ("/snoop;v=1/private", "rest"),
        ("/snoop/..;/snoop/private", "rest"),
        ("/snoop%5cprivate", "rest"),
    ] {
        assert_eq!(client.get(target).text(), expected, "{target}");
    }
    assert_eq!(targets(&snoop), ["/snoop", "/snoop/a%20b?c=d", "/snoop/x?y"]);
    assert_eq!(targets(&rest)[3], "/snoop/../etc", "what is handed on stays as it came");
    assert_eq!(snoop.requests()[0].value("host"), Some("test"), "and Host as well");
    assert_eq!(client.get("/snoop/.%00/private").status(), 400);
    assert_eq!(proxy.access(1)[0]["route"], "by-prefix");
}

#[test]
fn a_prefix_is_stripped_or_replaced_and_the_query_stays() {
    let (one, two) = (Origin::replying("one"), Origin::replying("two"));
    let proxy = Proxy::start(&config(
        "routers = ['by-prefix']",
        &[("one", &one), ("two", &two)],
        "[plugins.by-prefix]\ncomponent = 'prefix'\n[plugins.by-prefix.config]\nlongest = true\n\
         rules = [ { prefix = '/', cluster = 'one', to = '/all' }, \
         { prefix = '/api', cluster = 'two', strip = true } ]\n",
    ));
    let mut client = proxy.connect();
    for (target, expected) in [
        ("/api?a", "two"),
        ("/api/group%2Fproject?a=/api", "two"),
        ("/api//evil.example", "two"),
        ("/api/x/../../y", "one"),
        ("/?q", "one"),
    ] {
        assert_eq!(client.get(target).text(), expected, "{target}");
    }
    assert_eq!(targets(&two), ["/?a", "/group%2Fproject?a=/api", "/evil.example"]);
    assert_eq!(targets(&one), ["/all/y", "/all/?q"]);
}

#[test]
fn a_path_that_grows_too_long_is_the_clients_fault() {
    let origin = Origin::replying("");
    let to = format!("/{}", "t".repeat(2_000));
    let proxy = Proxy::start(&config(
        "routers = ['by-prefix']\nmax-head-bytes = '128KiB'\nmax-target-bytes = '63KiB'",
        &[("main", &origin)],
        &format!(
            "[plugins.by-prefix]\ncomponent = 'prefix'\n\
             config.rules = [{{ prefix = '/', cluster = 'main', to = '{to}' }}]\n"
        ),
    ));
    let mut client = proxy.connect();
    for target in [format!("/{}", "p".repeat(64_000)), format!("/?{}", "q".repeat(64_000))] {
        for _ in 0..6 {
            assert_eq!(client.get(&target).status(), 414);
        }
    }
    for dots in [format!("/{}", "a/%2e%2e/".repeat(7_000)), format!("/{}..", "a/".repeat(31_000))] {
        assert_eq!(client.get(&dots).status(), 414, "long paths are no burden");
    }
    assert_eq!(client.get(&format!("/{}", "a/%2e%2e/".repeat(900))).status(), 200);
    assert_eq!(client.get("/short?query").status(), 200);
    assert_eq!(proxy.counter("linkspan_plugin_failures_total", &[]), 0);
    assert_eq!(targets(&origin), [format!("{to}/"), format!("{to}/short?query")]);
}

#[test]
fn faults_stand_where_they_are() {
    let origin = Origin::replying("");
    let refused = Proxy::try_start(
        &config(
            "routers = ['by-prefix']",
            &[("main", &origin)],
            "[plugins.by-prefix]\ncomponent = 'prefix'\nconfig.rules = [\n\
             { prefix = '/a', cluster = 'mian' },\n{ prefix = '/a/b', next = true },\n]\n",
        ),
        &[],
    );
    let said = refused.err().unwrap();
    assert!(said.contains("rules[0].cluster") && said.contains("`mian`"), "{said}");
    assert!(said.contains("rules[1].prefix: rules[0] gets all"), "{said}");
}
