//! What plugins may change of requests and responses, and in which order they do.

mod reverse;
mod rules;

use crate::support::{Client, Origin, Proxy, one_cluster, reply};

/// A `headers` plugin that appends its name to `x-order` in both phases.
fn stamp(name: &str) -> String {
    format!(
        "[plugins.{name}]\ncomponent = 'headers'\n\
         [plugins.{name}.config.request.append]\nx-order = '{name}'\n\
         [plugins.{name}.config.response.append]\nx-order = '{name}'\n"
    )
}

#[test]
fn requests_and_responses_are_edited() {
    let origin = Origin::answering(|_| {
        reply(200, &[("server", "secret"), ("x-kept", "1"), ("set-cookie", "a=1")], "body")
    });
    let plugin = r"
        [plugins.edits]
        component = 'headers'
        [plugins.edits.config.request]
        remove = ['X-Doomed']
        set = { x-set = 'new', x-both = ['1', '2'] }
        append = { x-more = 'mine' }
        [plugins.edits.config.response]
        remove = ['server']
        set = { x-proxy = 'linkspan' }
        append = { set-cookie = 'b=2' }
    ";
    let config = one_cluster(&[origin.address()], "rewriters = ['edits']", "");
    let proxy = Proxy::start(&format!("{config}{plugin}"));
    let fields =
        [("x-doomed", "1"), ("X-Doomed", "2"), ("x-set", "old"), ("x-more", "yours"), ("x-a", "b")];
    let response = proxy.connect().ask("GET", "/", &fields, b"");
    let request = origin.request();
    assert_eq!(request.values("x-doomed"), [""; 0]);
    assert_eq!(request.values("x-set"), ["new"]);
    assert_eq!(request.values("x-both"), ["1", "2"]);
    assert_eq!(request.values("x-more"), ["yours", "mine"]);
    assert_eq!(request.values("x-a"), ["b"]);
    assert_eq!(response.values("server"), [""; 0]);
    assert_eq!(response.values("x-kept"), ["1"]);
    assert_eq!(response.values("x-proxy"), ["linkspan"]);
    assert_eq!(response.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.text(), "body");
}

#[test]
fn the_listeners_rewriters_come_first_on_requests_and_last_on_responses() {
    let origin = Origin::replying("");
    let config =
        one_cluster(&[origin.address()], "rewriters = ['a', 'b']", "rewriters = ['c', 'd']");
    let plugins: String = ["a", "b", "c", "d"].map(stamp).concat();
    let proxy = Proxy::start(&format!("{config}{plugins}"));
    let response = proxy.get("/");
    assert_eq!(origin.request().values("x-order"), ["a", "b", "c", "d"]);
    assert_eq!(response.values("x-order"), ["d", "c", "b", "a"]);
}

#[test]
fn a_rewriter_that_is_listed_twice_is_called_twice() {
    let origin = Origin::replying("");
    let config = one_cluster(&[origin.address()], "rewriters = ['a']", "rewriters = ['a']");
    let proxy = Proxy::start(&format!("{config}{}", stamp("a")));
    assert_eq!(proxy.get("/").values("x-order"), ["a", "a"]);
    assert_eq!(origin.request().values("x-order"), ["a", "a"]);
}

#[test]
fn a_host_that_a_rewriter_sets_goes_before_the_clusters_rule() {
    let origin = Origin::replying("");
    let plugin = "[plugins.host]\ncomponent = 'headers'\n\
                  [plugins.host.config.request.set]\nhost = 'inner.test:81'\n";
    for rule in ["preserve", "endpoint"] {
        let cluster = format!("host-header = '{rule}'\nrewriters = ['host']");
        let config = one_cluster(&[origin.address()], "", &cluster);
        let proxy = Proxy::start(&format!("{config}{plugin}"));
        proxy.get("/");
    }
    for request in origin.requests() {
        assert_eq!(request.values("host"), ["inner.test:81"]);
        assert_eq!(request.values("x-forwarded-host"), ["test"], "what the client sent");
    }
    assert_eq!(origin.hits(), 2);
}

#[test]
fn edits_do_not_disturb_the_body_or_the_connection() {
    let origin = Origin::echo();
    let plugin = stamp("a");
    let config = one_cluster(&[origin.address()], "rewriters = ['a']", "");
    let proxy = Proxy::start(&format!("{config}{plugin}"));
    let mut client = proxy.connect();
    for length in [0, 1, 100_000] {
        let body = vec![b'x'; length];
        let response = client.ask("POST", "/", &[], &body);
        assert!(response.complete && response.body == body, "{length} bytes");
        assert_eq!(response.values("x-order"), ["a"]);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn answers_of_the_proxy_itself_are_not_rewritten() {
    let config = one_cluster(&[], "rewriters = ['a']", "rewriters = ['a']");
    let proxy = Proxy::start(&format!("{config}{}", stamp("a")));
    let response = proxy.get("/");
    assert_eq!(response.status(), 503);
    assert_eq!(response.values("x-order"), [""; 0]);
}

#[test]
fn a_plugin_may_not_touch_the_framing() {
    let origin = Origin::replying("");
    let plugin = "[plugins.bad]\ncomponent = 'headers'\n\
                  [plugins.bad.config.response.set]\ncontent-length = '5'\n";
    let config = one_cluster(&[origin.address()], "rewriters = ['bad']", "");
    let refused = Proxy::try_start(&format!("{config}{plugin}"), &[]).err().unwrap();
    assert!(refused.contains("bad") && refused.contains("content-length"), "{refused}");
    // Nothing is left running that could keep a port.
    drop(Client::connect(origin.address()));
}
