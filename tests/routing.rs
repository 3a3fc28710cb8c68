//! Where requests go.

use crate::support::{Origin, Proxy, one_cluster};

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
}
