//! How far requests go, and what they are told who may not go further.

use crate::support::{Down, Origin, Proxy, one_cluster};

#[test]
fn options_goes_as_many_hops_as_it_may() {
    let origin = Origin::replying("far");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    let mut ask = |method: &str, hops| client.ask(method, "/", &[("max-forwards", hops)], b"");
    let last = ask("OPTIONS", "0");
    assert_eq!((last.status(), last.length(), origin.hits()), (200, Some(0), 0));
    assert!(last.value("allow").is_some_and(|methods| methods.contains("OPTIONS")));
    assert_eq!(last.value("server"), Some("linkspan"));
    assert_eq!(ask("OPTIONS", "1").text(), "far");
    assert_eq!(ask("GET", "0").text(), "far", "the number is none of its business");
    let left: Vec<_> = origin
        .requests()
        .iter()
        .map(|request| request.value("max-forwards").unwrap().to_owned())
        .collect();
    assert_eq!(left, ["0", "0"]);
}

#[test]
fn methods_that_are_not_relayed_are_told_which_are() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    for (method, target) in [("TRACE", "/"), ("CONNECT", "test:443")] {
        for hops in ["0", "5"] {
            let mut client = proxy.connect();
            // The answer to CONNECT has a body, as it is none of success.
            let refused = client.ask(method, target, &[("max-forwards", hops)], b"");
            assert_eq!((refused.status(), refused.closes()), (405, true));
            assert!(refused.value("allow").is_some_and(|methods| !methods.contains(method)));
            client.expect_closed();
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_circle_is_broken_and_a_row_is_not() {
    let origin = Origin::replying("far");
    let inner = Proxy::start(&one_cluster(&[origin.address()], "max-hops = 1", ""));
    let outer = Proxy::start(&one_cluster(&[inner.address("web")], "", ""));
    assert_eq!(outer.get("/").text(), "far");
    assert_eq!(origin.request().values("via"), ["1.1 linkspan"; 2]);

    let mut client = outer.connect();
    let looped = client.ask("GET", "/", &[("via", "1.1 Linkspan (a comment)")], b"");
    assert_eq!((looped.status(), looped.closes()), (508, false));
    assert_eq!(client.ask("GET", "/", &[("via", "1.1 another")], b"").status(), 200);
    assert_eq!(inner.counter("linkspan_errors", &[("reason", "loop")]), 1);
    let reason = inner.access(2)[1]["error"].as_str().unwrap().to_owned();
    assert_eq!(reason, "it has passed 2 Linkspans before, of at most max-hops = 1 of listener web");
    assert_eq!(outer.counter("linkspan_errors", &[]), 0);
}

#[test]
fn a_proxy_that_is_its_own_upstream_answers_soon() {
    let port = Down::new();
    let address = port.address();
    drop(port);
    let config = one_cluster(&[address], "", "").replacen("127.0.0.1:0", &address.to_string(), 1);
    let proxy = Proxy::start(&config);
    assert_eq!(proxy.get("/").status(), 508);
    assert_eq!(proxy.counter("linkspan_errors", &[("reason", "loop")]), 1);
    assert_eq!(proxy.counter("linkspan_requests", &[]), 4);
}
