//! What each side is told of the other, and what ends at the hop.

use crate::support::{Client, Origin, Proxy, one_cluster, reply};

/// What the origin gets of a request with these fields.
fn upstream_fields(cluster: &str, sent: &[(&str, &str)]) -> Vec<(String, String)> {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", cluster));
    assert_eq!(proxy.connect().ask("GET", "/", sent, b"").status(), 200);
    origin.request().head.fields
}

fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let own = fields.iter().filter(|field| field.0.eq_ignore_ascii_case(name));
    own.map(|field| field.1.as_str()).collect()
}

#[test]
fn what_belongs_to_the_clients_connection_goes_no_further() {
    let fields = upstream_fields(
        "",
        &[
            ("connection", "keep-alive, x-nominated"),
            ("connection", "X-Other , close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "gzip"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABk"),
            ("x-nominated", "1"),
            ("x-other", "1"),
            ("x-end-to-end", "1"),
            ("authorization", "Basic eQ=="),
            ("trailer", "x-sum"),
        ],
    );
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
        "x-nominated",
        "x-other",
    ] {
        assert_eq!(values(&fields, name), [""; 0], "{name}");
    }
    assert_eq!(values(&fields, "x-end-to-end"), ["1"]);
    assert_eq!(values(&fields, "authorization"), ["Basic eQ=="]);
    assert_eq!(values(&fields, "trailer"), ["x-sum"]);
}

#[test]
fn a_nomination_takes_away_nothing_that_others_rely_on() {
    let fields = upstream_fields(
        "",
        &[
            ("connection", "host, authorization, cookie, x-forwarded-for, via, content-length"),
            ("authorization", "Basic eA=="),
            ("cookie", "a=b"),
        ],
    );
    assert_eq!(values(&fields, "host"), ["test"]);
    assert_eq!(values(&fields, "authorization"), ["Basic eA=="]);
    assert_eq!(values(&fields, "cookie"), ["a=b"]);
    assert_eq!(values(&fields, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&fields, "via"), ["1.1 linkspan"]);
}

#[test]
fn a_client_that_takes_trailers_is_announced() {
    let fields = upstream_fields("", &[("te", "gzip, trailers;q=0.5, trailers")]);
    assert_eq!(values(&fields, "te"), ["trailers"]);
    assert_eq!(values(&fields, "connection"), ["te"]);
}

#[test]
fn what_belongs_to_the_upstreams_connection_goes_no_further() {
    let origin = Origin::answering(|_| {
        reply(
            200,
            &[
                ("connection", "keep-alive, x-nominated"),
                ("keep-alive", "timeout=5"),
                ("proxy-authenticate", "Basic"),
                ("upgrade", "h2c"),
                ("x-nominated", "1"),
                ("x-end-to-end", "1"),
                ("www-authenticate", "Basic"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("server", "its own"),
                ("via", "1.1 other"),
            ],
            "",
        )
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let response = proxy.get("/");
    for name in ["connection", "keep-alive", "proxy-authenticate", "upgrade", "x-nominated"] {
        assert_eq!(response.values(name), [""; 0], "{name}");
    }
    assert_eq!(response.values("x-end-to-end"), ["1"]);
    assert_eq!(response.values("www-authenticate"), ["Basic"]);
    assert_eq!(response.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.values("server"), ["its own"]);
    assert_eq!(response.values("via"), ["1.1 other", "1.1 linkspan"]);
}

#[test]
fn the_upstream_is_told_who_the_client_is_by_us_alone() {
    let claims = [
        ("x-forwarded-for", "1.2.3.4"),
        ("X-Forwarded-For", "5.6.7.8"),
        ("x_forwarded_for", "1.2.3.4"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-port", "443"),
        ("x-host", "evil.test"),
        ("x-real-ip", "1.2.3.4"),
        ("forwarded", "for=1.2.3.4"),
        ("via", "1.0 before"),
    ];
    let fields = upstream_fields("", &claims);
    assert_eq!(values(&fields, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&fields, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&fields, "x-forwarded-host"), ["test"]);
    assert_eq!(values(&fields, "via"), ["1.0 before", "1.1 linkspan"]);
    for name in ["x_forwarded_for", "x-forwarded-port", "x-host", "x-real-ip", "forwarded"] {
        assert_eq!(values(&fields, name), [""; 0], "{name}");
    }
}

#[test]
fn fields_with_underscores_pass_only_where_they_may() {
    let sent = [
        ("x_plain", "1"),
        ("_", "2"),
        ("transfer_encoding", "chunked"),
        ("content_length", "3"),
        ("x-forwarded_for", "1.2.3.4"),
        ("x-plain", "4"),
    ];
    let told = |listener: &str| {
        let origin = Origin::replying("");
        let proxy = Proxy::start(&one_cluster(&[origin.address()], listener, ""));
        assert_eq!(proxy.connect().ask("GET", "/", &sent, b"").status(), 200);
        let fields = origin.request().head.fields;
        assert_eq!(values(&fields, "x-plain"), ["4"]);
        let names = fields.into_iter().map(|(name, _)| name).filter(|name| name.contains('_'));
        names.collect::<Vec<_>>()
    };
    assert_eq!(told(""), [""; 0]);
    assert_eq!(told("underscores = 'drop'"), [""; 0]);
    let mut passed = told("underscores = 'pass'");
    passed.sort();
    assert_eq!(passed, ["_", "x_plain"], "what is Linkspan's to say is not a client's");
}

#[test]
fn a_trusted_proxy_is_believed_about_its_client_and_nobody_else() {
    let origin = Origin::replying("");
    let trust = "trusted-proxies = ['127.0.0.8/31', '::1']";
    let proxy = Proxy::start(&one_cluster(&[origin.address()], trust, ""));
    let told = [
        ("x-forwarded-for", "10.1.1.1"),
        ("x-forwarded-for", "10.2.2.2"),
        ("x_forwarded_for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-user", "root"),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-prefix", "/app"),
        ("x-real-ip", "10.1.1.1"),
        ("x_real_ip", "127.0.0.1"),
        ("forwarded", "for=10.1.1.1"),
        ("connection", "x-real-ip, forwarded"),
    ];
    let others =
        ["x-forwarded-user", "x-forwarded-port", "x-forwarded-prefix", "x-real-ip", "forwarded"];
    let fields_from = |own| {
        let mut client = Client::from(own, proxy.address("web"));
        assert_eq!(client.ask("GET", "/", &told, b"").status(), 200);
        origin.requests().pop().unwrap().head.fields
    };
    let fields = fields_from([127, 0, 0, 9]);
    assert_eq!(values(&fields, "x-forwarded-for"), ["10.1.1.1, 10.2.2.2, 127.0.0.9"]);
    assert_eq!(values(&fields, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&fields, "x-forwarded-host"), ["test"], "said by nobody else");
    let said = ["root", "8443", "/app", "10.1.1.1", "for=10.1.1.1"];
    assert_eq!(others.map(|name| values(&fields, name)), said.map(|value| vec![value]));
    for name in ["x_forwarded_for", "x_real_ip"] {
        assert_eq!(values(&fields, name), [""; 0], "{name}");
    }
    let fields = fields_from([127, 0, 0, 10]);
    for name in others {
        assert_eq!(values(&fields, name), [""; 0], "{name}");
    }
    assert_eq!(values(&fields, "x-forwarded-for"), ["127.0.0.10"]);
    assert_eq!(values(&fields, "x-forwarded-proto"), ["http"]);
}

#[test]
fn what_a_trusted_proxy_says_of_host_and_scheme_stays_and_is_not_nominated_away() {
    let origin = Origin::replying("");
    let trust = "trusted-proxies = ['127.0.0.9']";
    let cluster = "forwarded-headers = ['x-forwarded-for', 'x-forwarded-host', 'x-host']";
    let proxy = Proxy::start(&one_cluster(&[origin.address()], trust, cluster));
    let told = [
        ("x-forwarded-for", "10.1.1.1"),
        ("x-forwarded-host", "www.test"),
        ("x-host", "other.test"),
        ("x-forwarded-proto", "https"),
        ("connection", "x-forwarded-for, x-forwarded-host, x-host"),
    ];
    let fields_from = |own| {
        let mut client = Client::from(own, proxy.address("web"));
        assert_eq!(client.ask("GET", "/", &told, b"").status(), 200);
        origin.requests().pop().unwrap().head.fields
    };
    let (trusted, other) = (fields_from([127, 0, 0, 9]), fields_from([127, 0, 0, 8]));
    for (fields, expected) in [
        (&trusted, ["10.1.1.1, 127.0.0.9", "www.test", "other.test"]),
        (&other, ["127.0.0.8", "test", "test"]),
    ] {
        let names = ["x-forwarded-for", "x-forwarded-host", "x-host"];
        assert_eq!(names.map(|name| values(fields, name)), expected.map(|value| vec![value]));
        assert_eq!(values(fields, "x-forwarded-proto"), [""; 0], "the cluster did not ask for it");
    }
}

#[test]
fn a_trusted_proxy_is_known_in_either_family_and_as_long_as_it_is_one() {
    let origin = Origin::replying("");
    let config = |trusted: &str| {
        let trust = format!("trusted-proxies = [{trusted}]");
        one_cluster(&[origin.address()], &trust, "").replace("127.0.0.1:0", "[::]:0")
    };
    let mut proxy = Proxy::start(&config("'127.0.0.9', '::1'"));
    let port = proxy.address("web").port();
    let told_by = |client: &mut Client| {
        let told = [("x-forwarded-for", "10.1.1.1")];
        assert_eq!(client.ask("GET", "/", &told, b"").status(), 200);
        origin.requests().pop().unwrap().value("x-forwarded-for").unwrap().to_owned()
    };
    let v4 = |last| Client::from([127, 0, 0, last], ([127, 0, 0, 1], port).into());
    let mut v6 = Client::connect((std::net::Ipv6Addr::LOCALHOST, port).into());
    assert_eq!(told_by(&mut v4(9)), "10.1.1.1, 127.0.0.9");
    assert_eq!(told_by(&mut v4(8)), "127.0.0.8");
    assert_eq!(told_by(&mut v6), "10.1.1.1, ::1");
    let lines = proxy.access(3);
    let client = |line: usize| lines[line]["client"].as_str().unwrap();
    assert!(client(0).starts_with("127.0.0.9:"), "an IPv4 client of an IPv6 socket: {lines:?}");
    assert!(client(2).starts_with("[::1]:"), "{lines:?}");
    proxy.reload(&config("'127.0.0.9'")).unwrap();
    assert_eq!(told_by(&mut v6), "::1", "also over a connection that was there before");
}

/// The ids that the origin gets and the access log has, of a request with these from an address.
fn ids(own: [u8; 4], cluster: &str, sent: &[&str]) -> (Vec<String>, String) {
    let origin = Origin::replying("");
    let trust = "trusted-proxies = ['127.0.0.9']";
    let proxy = Proxy::start(&one_cluster(&[origin.address()], trust, cluster));
    let fields: Vec<_> = sent.iter().map(|value| ("x-request-id", *value)).collect();
    let mut client = Client::from(own, proxy.address("web"));
    assert_eq!(client.ask("GET", "/", &fields, b"").status(), 200);
    let fields = origin.request().head.fields;
    let told = values(&fields, "x-request-id").into_iter().map(str::to_owned).collect();
    let line = proxy.access(1).swap_remove(0);
    (told, line.get("id").and_then(|id| id.as_str()).unwrap().to_owned())
}

#[test]
fn a_requests_id_is_a_trusted_clients_or_a_new_one() {
    const ASKED: &str = "forwarded-headers = ['x-request-id']";
    let is_new = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (trusted, other) = ([127, 0, 0, 9], [127, 0, 0, 8]);
    let (told, logged) = ids(trusted, ASKED, &["edge-7:A"]);
    assert_eq!((told, logged.as_str()), (vec!["edge-7:A".to_owned()], "edge-7:A"));
    for (own, sent) in [
        (other, &["edge-7:A"][..]),
        (trusted, &[]),
        (trusted, &["two", "ids"]),
        (trusted, &["a b"]),
        (trusted, &["a\"b"]),
        (trusted, &[&"x".repeat(129)]),
    ] {
        let (told, logged) = ids(own, ASKED, sent);
        assert!(is_new(&logged), "{sent:?}: {logged}");
        assert_eq!(told, [logged], "{sent:?}");
    }
    let (told, logged) = ids(other, "", &["its own"]);
    assert_eq!(told, ["its own"], "like any other header, where nobody asked for it");
    assert!(is_new(&logged));
}

#[test]
fn which_forwarding_headers_are_sent_is_the_clusters_choice() {
    let fields =
        upstream_fields("forwarded-headers = ['x-host']", &[("x-forwarded-for", "1.1.1.1")]);
    assert_eq!(values(&fields, "x-host"), ["test"]);
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
        assert_eq!(values(&fields, name), [""; 0], "{name}");
    }
    let fields = upstream_fields("forwarded-headers = []", &[("x-host", "evil.test")]);
    assert_eq!(values(&fields, "x-host"), [""; 0]);
    assert_eq!(values(&fields, "via"), ["1.1 linkspan"], "always");
}

#[test]
fn host_is_the_clients_or_the_endpoints() {
    let sent = [("host", "www.example:8080")];
    let fields = upstream_fields("host-header = 'preserve'", &sent);
    assert_eq!(values(&fields, "host"), ["www.example:8080"]);

    let origin = Origin::replying("");
    let config = one_cluster(&[origin.address()], "", "host-header = 'endpoint'");
    let proxy = Proxy::start(&config);
    proxy.connect().ask("GET", "/", &sent, b"");
    let request = origin.request();
    assert_eq!(request.value("host"), Some(origin.address().to_string().as_str()));
    assert_eq!(request.value("x-forwarded-host"), Some("www.example:8080"));
}

#[test]
fn an_absolute_target_goes_before_host_and_becomes_a_path() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    assert_eq!(client.get("http://real.test/a?b=c").status(), 200);
    assert_eq!(client.get("http://real.test").status(), 200);
    let requests = origin.requests();
    assert_eq!(requests[0].target(), "/a?b=c");
    assert_eq!(requests[0].value("host"), Some("real.test"));
    assert_eq!(requests[0].value("x-forwarded-host"), Some("real.test"));
    assert_eq!(requests[1].target(), "/");
}

#[test]
fn header_values_pass_byte_by_byte() {
    let origin = Origin::answering(|request| {
        let value: Vec<u8> = request.value("x-bytes").unwrap().chars().map(|c| c as u8).collect();
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-bytes: ";
        [&head[..], &value, b"\r\n\r\n"].concat()
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send(b"GET / HTTP/1.1\r\nhost: test\r\nx-bytes: \xe4\xff \x80,\t\"\r\n\r\n");
    let response = client.response();
    assert_eq!(response.value("x-bytes"), Some("\u{e4}\u{ff} \u{80},\t\""));
}

#[test]
fn the_clients_address_is_that_of_its_connection() {
    let origin = Origin::replying("");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = Client::from([127, 0, 0, 77], proxy.address("web"));
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(origin.request().value("x-forwarded-for"), Some("127.0.0.77"));
    let client = proxy.access(1)[0]["client"].as_str().unwrap().to_owned();
    assert!(client.starts_with("127.0.0.77:"), "{client}");
}

#[test]
fn lengths_are_passed_on_as_everyone_reads_them() {
    for (sent, told) in [("010", "10"), ("00", "0"), ("0", "0"), ("10", "10")] {
        let length: usize = told.parse().unwrap();
        let (body, told_up) = ("x".repeat(length), told);
        let origin = Origin::answering(move |request| {
            assert_eq!(request.value("content-length"), Some(told_up));
            format!("HTTP/1.1 200 OK\r\ncontent-length: {sent}\r\n\r\n{}", request.text()).into()
        });
        let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
        let mut client = proxy.connect();
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {sent}\r\n\r\n{body}"));
        let response = client.response();
        assert_eq!(response.value("content-length"), Some(told), "{sent}");
        assert_eq!(response.text(), body);
    }
}

#[test]
fn a_length_beside_chunked_goes_no_further() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nab\r\n0\r\n\r\n",
    );
    // RFC 9112 leaves it open whether such a request is refused.
    if client.response().status() == 200 {
        let request = origin.request();
        assert_eq!((request.length(), request.text().as_str()), (None, "ab"));
    }
}
