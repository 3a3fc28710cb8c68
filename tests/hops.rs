//! How far requests go, and what they are told who may not go further.

use crate::support::{Origin, Proxy, one_cluster};

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
