//! The call by which a version shows that it can be called, before it serves.

use crate::support::{Binary, Origin, Proxy, one_cluster};

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

#[test]
fn a_version_that_loops_when_it_is_first_asked_is_refused() {
    let nowhere = ["127.0.0.1:1".parse().unwrap()];
    let toml = format!(
        "[server]\nplugin-dir = 'plugins.d'\n{}[plugins.endless]\ncomponent = 'misbehave'\n\
         config = {{ at = 'route', do = 'loop' }}\n",
        one_cluster(&nowhere, "routers = ['endless']", "")
    );
    let mut check = Binary::with(&toml, &["misbehave"], &["check"]);
    assert_eq!(check.wait().code(), Some(1));
    let said = check.stderr();
    assert!(said.contains("endless") && said.contains("route") && said.contains("1s"), "{said}");
}
