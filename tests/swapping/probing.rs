//! The call by which a version shows that it can be called, before it serves.

use crate::support::{Origin, Proxy, one_cluster};

#[test]
fn a_first_call_leaves_no_trace() {
    let origins = ["one", "two"].map(Origin::replying);
    let endpoints = origins.each_ref().map(Origin::address);
    let toml = one_cluster(&endpoints, "", "balancer = 'counts'");
    let proxy = Proxy::start_with(&toml, &["counts"]);
    let calls =
        |proxy: &Proxy| proxy.counter("linkspan_plugin_calls_total", &[("plugin", "counts")]);
    assert_eq!(calls(&proxy), 0);
    // Its cell counts turns, of which the first is not taken yet.
    assert_eq!(proxy.get("/").text(), "one");
    assert_eq!(proxy.get("/").text(), "two");
    assert_eq!(calls(&proxy), 2);
}
