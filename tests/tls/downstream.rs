//! Clients that speak TLS with a listener.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};

use super::{Vault, stapled};
use crate::support::tls::{Authority, Tls};
use crate::support::{Client, Origin, Proxy, UNHURRIED, eventually, one_cluster, request};

/// A proxy in front of an origin, whose listener has these settings.
fn proxy(origin: &Origin, listener: &str) -> Proxy {
    Proxy::start(&one_cluster(&[origin.address()], listener, ""))
}

/// Waits until so many connections are counted as turned away for a reason.
#[track_caller]
fn counted(proxy: &Proxy, reason: &str, times: u64) {
    let labels = [("listener", "web"), ("reason", reason)];
    let count = || proxy.counter("linkspan_connections_refused", &labels);
    eventually("the count", || (count() == times).then_some(()));
}

/// The certificate that a client is shown.
fn shown(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let mut client = Client::secure(address, config, name).unwrap();
    let connection = client.tls().unwrap().connection();
    connection.peer_certificates().and_then(<[_]>::first).unwrap().to_vec()
}

#[test]
fn requests_are_served_in_every_version_that_is_allowed() {
    let (vault, origin) = (Vault::new(), Origin::echo());
    vault.make("a", &["a.test"]);
    let proxy = proxy(&origin, &format!("tls = {{ {} }}", vault.files("a")));
    let body = vec![b'x'; 300_000];
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let builder = ClientConfig::builder_with_protocol_versions(&[version]);
        let config = builder.with_root_certificates(vault.authority.roots()).with_no_client_auth();
        let mut client = Client::secure(proxy.address("web"), &Arc::new(config), "a.test").unwrap();
        for _ in 0..3 {
            let answer = client.ask("POST", "/x", &[], &body);
            assert_eq!((answer.status(), answer.body.len()), (200, body.len()));
        }
    }
    let asked = origin.requests();
    assert!(asked.iter().all(|asked| asked.values("x-forwarded-proto") == ["https"]));
}

#[test]
fn a_least_version_turns_older_ones_away() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    let listener = format!("tls = {{ {}, min-version = '1.3' }}", vault.files("a"));
    let proxy = proxy(&origin, &listener);
    let builder = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12]);
    let config = builder.with_root_certificates(vault.authority.roots()).with_no_client_auth();
    let refused = Client::secure(proxy.address("web"), &Arc::new(config), "a.test").unwrap_err();
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
    counted(&proxy, "tls_handshake", 1);
}

#[test]
fn a_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    let names: [(&str, &[&str]); 3] =
        [("a", &["a.test", "127.0.0.1"]), ("b", &["*.b.test"]), ("c", &["c.b.test", "C.test"])];
    names.iter().for_each(|(file, names)| vault.make(file, names));
    let of = |file: &str| {
        let text = fs::read_to_string(vault.path().join(format!("{file}.pem"))).unwrap();
        let pem = rustls::pki_types::pem::PemObject::from_pem_slice(text.as_bytes());
        let certificate: rustls::pki_types::CertificateDer<'_> = pem.unwrap();
        certificate.to_vec()
    };
    let listener = format!(
        "tls = {{ {}, certificates = [{{ {} }}, {{ {} }}] }}",
        vault.files("a"),
        vault.files("b"),
        vault.files("c")
    );
    let proxy = proxy(&origin, &listener);
    let (config, address) = (vault.client(), proxy.address("web"));
    for (name, file) in [
        ("a.test", "a"),
        ("x.b.test", "b"),
        ("c.b.test", "c"),
        ("C.TEST", "c"),
        // Nobody asks for an address by name: that is what the first is for.
        ("127.0.0.1", "a"),
    ] {
        assert_eq!(shown(address, &config, name), of(file), "{name}");
    }
    // What an asterisk does not stand for gets the first, which is no good to it.
    for name in ["b.test", "x.y.b.test", "d.test"] {
        let refused = Client::secure(address, &config, name).unwrap_err();
        assert!(refused.to_string().contains("not valid for name"), "{refused}");
    }
}

#[test]
fn clients_show_certificates_that_somebody_vouches_for() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    fs::write(vault.path().join("ca.pem"), vault.authority.pem()).unwrap();
    let stranger = Authority::new("stranger");
    let known = vault.authority.vouch(&["client"]).client(&vault.authority);
    let unknown = stranger.vouch(&["client"]).client(&vault.authority);
    let ca = vault.path().join("ca.pem").display().to_string();
    for (mode, without) in [("required", false), ("optional", true)] {
        let listener =
            format!("tls = {{ {}, client-ca = '{ca}', client-cert = '{mode}' }}", vault.files("a"));
        let proxy = proxy(&origin, &listener);
        let served = |config: &Arc<ClientConfig>| {
            let Ok(mut client) = Client::secure(proxy.address("web"), config, "a.test") else {
                return false;
            };
            // In TLS 1.3 the client is done before it hears that it is turned away.
            let written = client.write(request("GET", "/", &[], b""));
            written.is_ok() && client.head().is_some_and(|head| head.status() == 200)
        };
        assert!(served(&known), "{mode}");
        assert!(!served(&unknown), "{mode}");
        assert_eq!(served(&vault.client()), without, "{mode}");
    }
}

#[test]
fn sessions_are_taken_up_again_by_any_worker_and_after_a_reload() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    let toml = one_cluster(&[origin.address()], &format!("tls = {{ {} }}", vault.files("a")), "");
    let toml = format!("{toml}[server]\nworkers = 4\n");
    let mut proxy = Proxy::start(&toml);
    let kind = |address, config: &Arc<ClientConfig>| {
        let mut client = Client::secure(address, config, "a.test").unwrap();
        assert_eq!(client.get("/").status(), 200);
        client.tls().unwrap().connection().handshake_kind().unwrap()
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let builder = ClientConfig::builder_with_protocol_versions(&[version]);
        let config = builder.with_root_certificates(vault.authority.roots()).with_no_client_auth();
        let (config, address) = (Arc::new(config), proxy.address("web"));
        let first = kind(address, &config);
        assert!(matches!(first, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest));
        // Each goes to the worker that has fewest connections.
        let _held: Vec<_> = (0..6).map(|_| Client::connect(address)).collect();
        for _ in 0..8 {
            assert_eq!(kind(address, &config), HandshakeKind::Resumed, "{version:?}");
        }
        proxy.reload(&toml).unwrap();
        assert_eq!(kind(address, &config), HandshakeKind::Resumed, "{version:?}");
    }
}

#[test]
fn a_session_is_not_taken_up_where_clients_have_to_show_more() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    fs::write(vault.path().join("ca.pem"), vault.authority.pem()).unwrap();
    let ca = vault.path().join("ca.pem").display().to_string();
    let files = vault.files("a");
    let open = one_cluster(&[origin.address()], &format!("tls = {{ {files} }}"), "");
    let closed = open.replace(&files, &format!("{files}, client-ca = '{ca}'"));
    let mut proxy = Proxy::start(&open);
    let (config, address) = (vault.client(), proxy.address("web"));
    for _ in 0..2 {
        let mut client = Client::secure(address, &config, "a.test").unwrap();
        assert_eq!(client.get("/").status(), 200);
    }
    proxy.reload(&closed).unwrap();
    let served = Client::secure(address, &config, "a.test").is_ok_and(|mut client| {
        client.write(request("GET", "/", &[], b"")).is_ok() && client.head().is_some()
    });
    assert!(!served, "it has shown no certificate");
}

#[test]
fn an_ocsp_response_is_stapled() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    let response = b"\x30\x03\x0a\x01\x01";
    fs::write(vault.path().join("a.ocsp"), response).unwrap();
    let ocsp = vault.path().join("a.ocsp").display().to_string();
    let proxy = proxy(&origin, &format!("tls = {{ {}, ocsp = '{ocsp}' }}", vault.files("a")));
    let seen = stapled(proxy.address("web"), "a.test");
    assert_eq!(seen, response);
}

#[test]
fn plain_http_to_a_port_that_speaks_tls_is_told_so() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    let proxy = proxy(&origin, &format!("tls = {{ {} }}", vault.files("a")));
    let mut client = proxy.connect();
    let answer = client.get("/");
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("This port speaks TLS"), "{}", answer.text());
    client.expect_closed();
    counted(&proxy, "not_tls", 1);
    assert_eq!(origin.hits(), 0);
    // What is neither is told nothing.
    let mut client = proxy.connect();
    client.send(b"\x80\x01nonsense");
    client.expect_closed();
}

#[test]
fn tls_to_a_port_that_does_not_speak_it_is_closed_with_one_line() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    let proxy = proxy(&origin, "");
    let refused = Client::secure(proxy.address("web"), &vault.client(), "a.test").unwrap_err();
    assert!(!refused.to_string().contains("corrupt message"), "it is sent nothing: {refused}");
    counted(&proxy, "tls", 1);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(proxy.access(1).len(), 1, "it is no request");
}

#[test]
fn a_handshake_has_so_much_time() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    let listener = format!("tls = {{ {} }}\nhead-timeout = '100ms'", vault.files("a"));
    let proxy = proxy(&origin, &listener);
    let mut client = proxy.connect();
    client.send(b"\x16\x03\x01");
    client.expect_closed();
    proxy.connect().expect_closed();
    counted(&proxy, "late_tls_handshake", 2);
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    let listener = format!(
        "tls = {{ {} }}\nproxy-protocol = 'require'\ntrusted-proxies = ['127.0.0.1']",
        vault.files("a")
    );
    let proxy = proxy(&origin, &listener);
    let mut client = proxy.connect();
    client.send("PROXY TCP4 192.0.2.7 192.0.2.8 4000 443\r\n");
    client.secure(Tls::client(&vault.client(), "a.test")).unwrap();
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(origin.request().values("x-forwarded-for"), ["192.0.2.7"]);
}

#[test]
fn the_end_of_a_response_is_told_in_tls() {
    let (vault, origin) = (Vault::new(), Origin::replying("ok"));
    vault.make("a", &["a.test"]);
    let proxy = proxy(&origin, &format!("tls = {{ {} }}", vault.files("a")));
    let mut client = Client::secure(proxy.address("web"), &vault.client(), "a.test").unwrap();
    client.send("GET / HTTP/1.0\r\nhost: a.test\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
    assert!(client.ends_in_order(), "the connection ends without a word");
}

#[test]
fn plugins_see_what_a_client_has_shown_and_asked_for() {
    let vault = Vault::new();
    vault.make("a", &["a.test"]);
    fs::write(vault.path().join("ca.pem"), vault.authority.pem()).unwrap();
    let ca = vault.path().join("ca.pem").display().to_string();
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['secured']\n\
         tls = {{ {}, client-ca = '{ca}', client-cert = 'optional' }}\n\
         [listeners.plain]\nbind = '127.0.0.1:0'\nrouters = ['secured']\n\
         [plugins.secured]\n{UNHURRIED}\n",
        vault.files("a")
    );
    let proxy = Proxy::start_with(&toml, &["secured"]);
    let told = |config: &Arc<ClientConfig>| {
        Client::secure(proxy.address("web"), config, "A.test").unwrap().get("/").text()
    };
    let subject = |params: &mut rcgen::CertificateParams| {
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Ex, Ltd");
    };
    let known = vault.authority.vouch_with(&["app"], subject).client(&vault.authority);
    let expected = r#"(Some("O=Ex\\, Ltd,CN=app"), Some(true), Some("a.test"), Some("1.3"))"#;
    assert_eq!(told(&known), expected);
    // A session that is taken up again is that client's.
    assert_eq!(told(&known), expected);
    assert_eq!(told(&vault.client()), r#"(None, None, Some("a.test"), Some("1.3"))"#);
    let plain = Client::connect(proxy.address("plain")).get("/").text();
    assert_eq!(plain, "(None, None, None, None)");
}

#[test]
fn a_stream_router_decides_by_what_is_said_within() {
    let vault = Vault::new();
    vault.make("a", &["a.test"]);
    let origin = Origin::scripted(|peer| {
        let mut bytes = Vec::new();
        while peer.take(1, &mut bytes).is_ok() {
            peer.send(&bytes);
            bytes.clear();
        }
    });
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\nstream-router = 'streams'\n\
         tls = {{ {} }}\n[clusters.app]\nendpoints = ['{}']\n[plugins.streams]\n{UNHURRIED}\n\
         config = {{ rules = [{{ begins = 'tell', do = 'tell' }}, {{ begins = 'e', to = ['app'] }}] }}\n",
        vault.files("a"),
        origin.address()
    );
    let proxy = Proxy::start_with(&toml, &["streams"]);
    let connect = || Client::secure(proxy.address("web"), &vault.client(), "a.test").unwrap();
    let mut client = connect();
    client.send("tell");
    let told = String::from_utf8(client.rest()).unwrap();
    assert!(told.starts_with("web 127.0.0.1 ") && told.ends_with(" a.test"), "{told}");
    let (mut client, mut answer) = (connect(), Vec::new());
    let much = vec![b'e'; 200_000];
    let (one, other) = much.split_at(100_000);
    client.send(one);
    client.take(100_000, &mut answer).unwrap();
    client.send(other);
    client.take(100_000, &mut answer).unwrap();
    assert_eq!(answer, much);
}

#[test]
fn a_websocket_goes_through_tls() {
    let vault = Vault::new();
    vault.make("a", &["a.test"]);
    let origin = Origin::scripted(|peer| {
        let Some(_) = peer.request() else { return };
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        );
        let mut bytes = Vec::new();
        while peer.take(1, &mut bytes).is_ok() {
            peer.send(&bytes);
            bytes.clear();
        }
    });
    let proxy = proxy(&origin, &format!("tls = {{ {} }}", vault.files("a")));
    let mut client = Client::secure(proxy.address("web"), &vault.client(), "a.test").unwrap();
    client.send(
        "GET /ws HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly",
    );
    assert_eq!(client.response_head().status(), 101);
    let mut answer = Vec::new();
    client.take(5, &mut answer).unwrap();
    client.send("later");
    client.take(5, &mut answer).unwrap();
    assert_eq!(answer, b"earlylater");
}

#[test]
fn a_client_that_takes_nothing_is_given_up_in_time() {
    let (vault, origin) = (Vault::new(), Origin::replying(&"x".repeat(32 << 20)));
    vault.make("a", &["a.test"]);
    let listener = format!("tls = {{ {} }}\nbody-timeout = '200ms'", vault.files("a"));
    let proxy = proxy(&origin, &listener);
    let mut client = Client::secure(proxy.address("web"), &vault.client(), "a.test").unwrap();
    client.send(request("GET", "/", &[], b""));
    let line = &proxy.access(1)[0];
    let error = line["error"].as_str().unwrap_or_default();
    assert!(error.contains("body-timeout"), "{line}");
    assert!(line["bytes_down"].as_u64().unwrap() < 16 << 20, "{line}");
    assert!(!client.ends_in_order(), "what is missing looks whole");
}

#[test]
fn memcached_remap_knows_the_keys_of_tls() {
    let (vault, page, chat) = (Vault::new(), Origin::replying("page"), Origin::replying("chat"));
    vault.make("shop", &["shop.test"]);
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['remap']\ntls = {{ {} }}\n\
         [plugins.remap]\ncomponent = 'memcached-remap'\n{UNHURRIED}\n\
         grants = {{ stores = ['sites'], addresses = ['127.0.0.1:*'] }}\n\
         [plugins.remap.config]\nstore = 'sites'\nkey-style = 'ats'\n\
         [stores.sites.entries]\n'https://shop.test:443/' = 'http://{}'\n\
         'wss://shop.test:443/' = 'http://{}'\n",
        vault.files("shop"),
        page.address(),
        chat.address()
    );
    let proxy = Proxy::start(&toml);
    let mut client = Client::secure(proxy.address("web"), &vault.client(), "shop.test").unwrap();
    let host = ("host", "shop.test");
    assert_eq!(client.ask("GET", "/", &[host], b"").text(), "page");
    let upgrade = [
        host,
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    assert_eq!(client.ask("GET", "/", &upgrade, b"").text(), "chat");
}
