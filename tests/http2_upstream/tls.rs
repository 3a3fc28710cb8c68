//! What is spoken within TLS is agreed on there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use rustls::ServerConfig;

use crate::support::streams::Streams;
use crate::support::tls::Identity;
use crate::support::{Client, Origin, Proxy, eventually};

/// Somebody who speaks these.
fn speaking(protocols: &[&str]) -> Arc<ServerConfig> {
    let mut config = (*Identity::alone(&["127.0.0.1"]).server()).clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn before(address: SocketAddr, protocol: &str, cluster: &str) -> Proxy {
    Proxy::start(&format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['https://{address}']\nprotocol = '{protocol}'\n\
         tls = {{ verify = false }}\n{cluster}"
    ))
}

fn streams(protocols: &[&str]) -> Streams {
    Streams::secured(speaking(protocols), |mut call| async move { call.reply(200, &[], "ok") })
}

/// An HTTP/1 server that tells its protocol.
fn single(protocols: &[&str]) -> Origin {
    Origin::secured(speaking(protocols), |peer| {
        while peer.request().is_some() {
            if peer.write(crate::support::reply(200, &[], "http/1")).is_err() {
                return;
            }
        }
    })
}

#[test]
fn http_2_is_agreed_on_and_requests_are_of_https() {
    for protocol in ["h2", "auto"] {
        let origin = streams(&["h2", "http/1.1"]);
        let proxy = before(origin.address(), protocol, "");
        for _ in 0..3 {
            assert_eq!(proxy.get("/").text(), "ok");
        }
        assert_eq!(origin.connections(), 1);
        assert_eq!(origin.requests()[0].uri(), "https://test/");
    }
}

#[test]
fn who_does_not_agree_to_http_2_is_not_spoken_to() {
    for protocols in [&["http/1.1"][..], &[]] {
        let origin = single(protocols);
        let proxy = before(origin.address(), "h2", "");
        assert_eq!(proxy.get("/").status(), 502, "{protocols:?}");
        assert_eq!(origin.hits(), 0);
    }
}

#[test]
fn an_endpoint_may_choose_http_1() {
    for protocols in [&["http/1.1"][..], &[]] {
        let origin = single(protocols);
        let proxy = before(origin.address(), "auto", "");
        let address = proxy.address("web");
        let asking: Vec<_> = (0..8)
            .map(|_| thread::spawn(move || Client::connect(address).get("/").text()))
            .collect();
        for one in asking {
            assert_eq!(one.join().unwrap(), "http/1");
        }
        let connections = origin.connections();
        for _ in 0..5 {
            assert_eq!(proxy.get("/").text(), "http/1");
        }
        assert_eq!(origin.connections(), connections, "they are used again");
    }
}

#[test]
fn checks_agree_on_what_requests_do() {
    let check = "[clusters.main.health]\ncheck = { path = '/health', interval = '50ms' }";
    let (two, one) = (streams(&["h2"]), single(&["http/1.1"]));
    let _both = [before(two.address(), "auto", check), before(one.address(), "auto", check)];
    eventually("checks in HTTP/2", || (two.hits() > 1).then_some(()));
    eventually("checks in HTTP/1", || (one.hits() > 1).then_some(()));
}
