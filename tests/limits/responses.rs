//! The heads of responses, and what a cluster lets them be.

use crate::support::{Message, Origin, Proxy, one_cluster, reply};

/// The answer that a client gets where the upstream's head has so many fields, or one so long.
fn relayed(cluster: &str, fields: usize, length: usize) -> (Message, Message, Option<String>) {
    let origin = Origin::answering(move |request| {
        let value = "x".repeat(length);
        let mut head = vec![("x-more", "1"); fields - 2];
        head.push(("x-long", &value));
        if request.target() == "/" { reply(200, &[], "ok") } else { reply(200, &head, "ok") }
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", cluster));
    let mut client = proxy.connect();
    let (answer, next) = (client.get("/large"), client.get("/"));
    let lines = proxy.access(2);
    let error = lines.first().and_then(|line| line.get("error")?.as_str());
    let error = error.map(str::to_owned);
    (answer, next, error)
}

#[test]
fn a_response_with_more_fields_than_allowed_is_a_bad_gateway() {
    for (cluster, most) in
        [("", 100), ("max-response-headers = 10", 10), ("max-response-headers = 300", 300)]
    {
        let (answer, ..) = relayed(cluster, most, 1);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{most}");
        let (answer, next, error) = relayed(cluster, most + 1, 1);
        assert_eq!((answer.status(), next.status()), (502, 200), "{most}");
        let limit = format!("max-response-headers = {most} of cluster main");
        let error = error.unwrap();
        assert!(error.ends_with(&format!("the head of its answer goes beyond {limit}")), "{error}");
    }
}

#[test]
fn a_response_with_a_larger_head_than_allowed_is_a_bad_gateway() {
    for (cluster, most, shown) in [
        ("", 64 << 10, "64KiB"),
        ("max-response-head-bytes = '8KiB'", 8 << 10, "8KiB"),
        ("max-response-head-bytes = '256KiB'", 256 << 10, "256KiB"),
    ] {
        let rest = reply(200, &[("x-long", "")], "ok").len() - "ok".len();
        let (answer, ..) = relayed(cluster, 2, most - rest);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "{most}");
        let (answer, next, error) = relayed(cluster, 2, most - rest + 1);
        assert_eq!((answer.status(), next.status()), (502, 200), "{most}");
        let limit = format!("max-response-head-bytes = {shown} of cluster main");
        let error = error.unwrap();
        assert!(error.ends_with(&format!("the head of its answer goes beyond {limit}")), "{error}");
    }
}

#[test]
fn a_limit_on_heads_that_a_reload_changes_holds_for_the_next_request() {
    let origin = Origin::answering(|_| reply(200, &[("x-more", "1"); 19], "ok"));
    let config = |most: usize| {
        let cluster = format!("max-response-headers = {most}");
        one_cluster(&[origin.address()], "", &cluster)
    };
    let mut proxy = Proxy::start(&config(20));
    assert_eq!(proxy.get("/").status(), 200);
    for (most, status) in [(19, 502), (20, 200)] {
        proxy.reload(&config(most)).unwrap();
        assert_eq!(proxy.get("/").status(), status, "{most}");
    }
}
