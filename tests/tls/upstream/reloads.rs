//! What a reload makes of connections and endpoints when it changes how TLS is spoken.

use super::{Files, authority, behind, error, telling};
use crate::support::tls::Authority;
use crate::support::{Origin, Proxy, eventually};

#[test]
fn who_is_not_believed_any_more_gets_no_further_request() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let origin = telling(&authority.vouch(&["127.0.0.1"]).server());
    let endpoint = origin.address().to_string();
    let mut proxy = Proxy::start(&behind(&endpoint, &ca));
    let mut client = proxy.connect();
    assert_eq!(client.get("/").status(), 200);
    // What changes nothing keeps what is open.
    proxy.reload(&(behind(&endpoint, &ca) + "max-attempts = 1\n")).unwrap();
    assert_eq!((client.get("/").status(), origin.connections()), (200, 1));
    // The same file, and another authority in it.
    files.put("ca.pem", Authority::new("another").pem());
    proxy.reload(&behind(&endpoint, &ca)).unwrap();
    assert_eq!(client.get("/").status(), 502);
    eventually("its end", || (origin.open_connections() == 0).then_some(()));
    assert!(error(&proxy, 3).contains("is not vouched for"), "{}", error(&proxy, 3));
    files.put("ca.pem", authority.pem());
    proxy.reload(&behind(&endpoint, &ca)).unwrap();
    assert_eq!((client.get("/").status(), origin.hits()), (200, 3));
    let endpoints = proxy.access(4);
    assert!(endpoints.iter().all(|line| line["endpoint"] == endpoint.as_str()), "{endpoints:?}");
}

#[test]
fn a_file_that_is_broken_leaves_what_there_was() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let origin = telling(&authority.vouch(&["127.0.0.1"]).server());
    let config = behind(&origin.address().to_string(), &ca);
    let mut proxy = Proxy::start(&config);
    files.put("ca.pem", "half a certi");
    let refused = proxy.reload(&config).unwrap_err();
    assert!(refused.contains("clusters.main.tls.ca: "), "{refused}");
    let mut client = proxy.connect();
    assert_eq!((client.get("/").status(), client.get("/").status()), (200, 200));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn tls_begins_and_ends_with_a_reload() {
    let files = Files::new();
    let (authority, ca) = authority(&files);
    let plain = Origin::replying("plain");
    let endpoint = plain.address().to_string();
    let without = behind(&format!("http://{endpoint}"), &ca);
    let mut proxy = Proxy::start(&without);
    let mut client = proxy.connect();
    assert_eq!(client.get("/").text(), "plain");
    // It answers no handshake, but its connection is not used either.
    proxy.reload(&(behind(&endpoint, &ca) + "connect-timeout = '100ms'\n")).unwrap();
    assert_eq!(client.get("/").status(), 503);
    proxy.reload(&without).unwrap();
    assert_eq!(client.get("/").text(), "plain");
    let secure = telling(&authority.vouch(&["127.0.0.1"]).server());
    let endpoint = secure.address().to_string();
    proxy.reload(&behind(&endpoint, &ca)).unwrap();
    assert!(client.get("/").text().starts_with("name=none "));
    proxy.reload(&behind(&endpoint, &format!("{ca}, server-name = 'b.test'"))).unwrap();
    assert_eq!(client.get("/").status(), 502);
}
