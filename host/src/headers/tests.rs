//! The rules on examples, and on whatever a peer may send.

use proptest::prelude::*;

use http::Version;
use http::header::HOST;

use super::*;
use crate::config::ForwardedHeaders;
use crate::log::id::RequestId;

const ALL: ForwardedHeaders = ForwardedHeaders {
    x_forwarded_for: true,
    x_forwarded_proto: true,
    x_forwarded_host: true,
    x_host: true,
    x_request_id: true,
};

pub(super) fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn list(headers: &HeaderMap) -> Vec<String> {
    let field =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut fields: Vec<_> = headers.iter().map(field).collect();
    fields.sort();
    fields
}

fn clean(headers: &mut HeaderMap) {
    clean_request(headers, false, Underscores::Drop);
}

fn clean_trusted(headers: &mut HeaderMap) {
    clean_request(headers, true, Underscores::Drop);
}

fn completed(fields: &[(&str, &str)], enabled: ForwardedHeaders) -> Vec<String> {
    completed_after(clean, fields, enabled)
}

fn completed_after(
    clean: impl Fn(&mut HeaderMap),
    fields: &[(&str, &str)],
    enabled: ForwardedHeaders,
) -> Vec<String> {
    let mut headers = map(fields);
    let sent = headers.get(HOST).cloned();
    clean(&mut headers);
    let with = Forwarding {
        enabled,
        client: &client_address(Some([192, 0, 2, 7].into())),
        scheme: &HeaderValue::from_static("http"),
        sent_host: sent.as_ref(),
        id: &RequestId::given(&HeaderValue::from_static("id-1")).unwrap(),
        version: Version::HTTP_11,
    };
    complete_request(&mut headers, &with).unwrap();
    let endpoint = HeaderValue::from_static("10.0.0.1:8080");
    let host = upstream_host(HostHeader::Preserve, None, sent.as_ref(), &endpoint);
    headers.insert(HOST, host.clone());
    list(&headers)
}

#[test]
fn what_ends_at_a_hop_ends_in_both_directions() {
    let fields = [
        ("Connection", "close, X-Secret"),
        ("Connection", "keep-alive, x-OTHER ,, "),
        ("X-Secret", "1"),
        ("X-Other", "2"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eA=="),
        ("Proxy-Authenticate", "Basic"),
        ("TE", "gzip"),
        ("Trailer", "X-Sum"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "websocket"),
        ("Accept", "a"),
        ("Accept", "b"),
    ];
    for clean in [clean, clean_response] {
        let mut headers = map(&fields);
        clean(&mut headers);
        assert_eq!(list(&headers), ["accept: a", "accept: b", "trailer: X-Sum"]);
    }
}

#[test]
fn the_client_may_still_ask_for_trailers() {
    let fields = completed(&[("TE", "gzip, Trailers"), ("Connection", "TE")], ALL);
    assert!(fields.contains(&"te: trailers".to_owned()), "{fields:?}");
    assert!(fields.contains(&"connection: te".to_owned()), "{fields:?}");
    let fields = completed(&[("TE", "gzip"), ("Connection", "TE")], ALL);
    assert!(!fields.iter().any(|field| field.starts_with("te:")), "{fields:?}");
    let mut response = map(&[("TE", "trailers")]);
    clean_response(&mut response);
    assert!(response.is_empty());
}

#[test]
fn a_client_is_not_believed_about_itself() {
    let none = ForwardedHeaders {
        x_forwarded_for: false,
        x_forwarded_proto: false,
        x_forwarded_host: false,
        x_host: false,
        x_request_id: false,
    };
    let claims = [
        ("Host", "a.test"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X_Forwarded_For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "admin.test"),
        ("X-Forwarded-User", "root"),
        ("X-Host", "admin.test"),
        ("X_Host", "admin.test"),
        ("X-Real-IP", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Hosting", "stays"),
    ];
    assert_eq!(completed(&claims, none), ["host: a.test", "via: 1.1 linkspan", "x-hosting: stays"]);
    assert_eq!(
        completed(&claims, ALL),
        [
            "host: a.test",
            "via: 1.1 linkspan",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: a.test",
            "x-forwarded-proto: http",
            "x-host: a.test",
            "x-hosting: stays",
            "x-request-id: id-1",
        ]
    );
}

#[test]
fn a_trusted_proxy_is_believed_and_joins_those_that_it_names() {
    let believed = |fields| completed_after(clean_trusted, fields, ALL);
    let told = [
        ("Host", "a.test"),
        ("X-Forwarded-For", "10.1.1.1, 10.2.2.2"),
        ("X-Forwarded-For", ""),
        ("X-Forwarded-For", "10.3.3.3"),
        ("X_Forwarded_For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "www.test"),
        ("X-Forwarded-User", "root"),
        ("X-Real-IP", "10.1.1.1"),
        ("X_Real_IP", "127.0.0.1"),
        ("Forwarded", "for=10.1.1.1"),
        ("X_Request_Id", "forged"),
        ("X-Request-Id", "other"),
    ];
    let expected = [
        "forwarded: for=10.1.1.1",
        "host: a.test",
        "via: 1.1 linkspan",
        "x-forwarded-for: 10.1.1.1, 10.2.2.2, 10.3.3.3, 192.0.2.7",
        "x-forwarded-host: www.test",
        "x-forwarded-proto: https",
        "x-forwarded-user: root",
        "x-host: a.test",
        "x-real-ip: 10.1.1.1",
        "x-request-id: id-1",
    ];
    assert_eq!(believed(&told), expected);
    assert_eq!(believed(&[("Host", "a.test")]), completed(&[("Host", "a.test")], ALL));
    let none = ForwardedHeaders {
        x_forwarded_for: false,
        x_forwarded_proto: false,
        x_forwarded_host: false,
        ..ALL
    };
    let fields = completed_after(clean_trusted, &told, none);
    assert_eq!(
        fields,
        [
            "forwarded: for=10.1.1.1",
            "host: a.test",
            "via: 1.1 linkspan",
            "x-forwarded-user: root",
            "x-host: a.test",
            "x-real-ip: 10.1.1.1",
            "x-request-id: id-1"
        ],
        "what Linkspan would say and is not asked for is not sent"
    );
}

#[test]
fn nominations_take_nothing_that_others_rely_on() {
    let fields = [
        ("Host", "a.test"),
        ("Connection", "Host, Content-Length, Authorization, Cookie, X-Forwarded-For, Via"),
        ("Connection", "Cache-Control, If-None-Match"),
        ("Content-Length", "0"),
        ("Cookie", "s=1"),
        ("Authorization", "Basic eA=="),
        ("Via", "1.1 other"),
        ("Cache-Control", "no-store"),
        ("If-None-Match", "\"a\""),
    ];
    let completed = completed(&fields, ALL);
    let names = ["host: a.test", "content-length: 0", "cookie: s=1", "authorization: Basic eA=="];
    let others = ["cache-control: no-store", "x-forwarded-for: 192.0.2.7", "if-none-match: \"a\""];
    for field in names.iter().chain(&others) {
        assert!(completed.contains(&(*field).to_owned()), "{field} in {completed:?}");
    }
    assert!(completed.contains(&"via: 1.1 other".to_owned()));
    assert!(completed.contains(&"via: 1.1 linkspan".to_owned()));
}

#[test]
fn host_is_whatever_the_last_word_says() {
    let [given, sent, endpoint] = ["given", "sent", "endpoint"].map(HeaderValue::from_static);
    let host = |rule, given, sent| upstream_host(rule, given, sent, &endpoint);
    assert_eq!(host(HostHeader::Preserve, Some(&given), Some(&sent)), "given");
    assert_eq!(host(HostHeader::Endpoint, Some(&given), Some(&sent)), "given");
    assert_eq!(host(HostHeader::Preserve, None, Some(&sent)), "sent");
    assert_eq!(host(HostHeader::Preserve, None, None), "endpoint");
    assert_eq!(host(HostHeader::Endpoint, None, Some(&sent)), "endpoint");
}

#[test]
fn via_tells_the_version_that_was_received() {
    let mut headers = HeaderMap::new();
    append_via(&mut headers, Version::HTTP_10).unwrap();
    append_via(&mut headers, Version::HTTP_11).unwrap();
    assert_eq!(list(&headers), ["via: 1.0 linkspan", "via: 1.1 linkspan"]);
}

#[test]
fn trailers_cannot_pass_for_a_head() {
    let mut trailers = map(&[
        ("Content-Length", "0"),
        ("Host", "evil.test"),
        ("Transfer-Encoding", "chunked"),
        ("Authorization", "x"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Sum", "1"),
        ("grpc-status", "0"),
    ]);
    clean_trailers(&mut trailers);
    assert_eq!(list(&trailers), ["grpc-status: 0", "x-sum: 1"]);
}

#[test]
fn addresses_are_written_plainly() {
    let of = |text: &str| client_address(text.parse().ok());
    assert_eq!(of("2001:db8::10"), "2001:db8::10");
    assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    assert_eq!(client_address(None), "unknown");
}

#[test]
fn plugins_write_no_framing_and_no_line_ends() {
    assert_eq!(given_name("X-Ok").unwrap(), "x-ok");
    for name in ["", "a b", "a:", "a\r\nb", "é"] {
        assert!(matches!(given_name(name), Err(Fault::Name(_))), "{name:?}");
    }
    for name in ["Connection", "content-length", "TE", "Transfer-Encoding", "upgrade", "Trailer"] {
        assert!(matches!(given_name(name), Err(Fault::Framing(_))), "{name}");
    }
    assert_eq!(given_value(b" a\xffb\t".to_vec()).unwrap().as_bytes(), b"a\xffb");
    for value in [&b"a\r\nb"[..], b"a\nb", b"a\0b", b"\x7f"] {
        assert!(matches!(given_value(value.to_vec()), Err(Fault::Value(_))), "{value:?}");
    }
}

#[test]
fn plugins_give_paths_that_fit_a_request_line() {
    assert_eq!(given_path("/a%20b", Some("q=1")).unwrap(), "/a%20b?q=1");
    assert_eq!(given_path("/a?p", Some("q=1")).unwrap(), "/a?p");
    assert_eq!(given_path("/", None).unwrap(), "/");
    for path in ["", "a", "*", "http://a/", "/a b", "/a\r\n", "/a#b", "/é", "/\0"] {
        assert!(matches!(given_path(path, None), Err(Fault::Path)), "{path:?}");
    }
    assert!(given_path(&"/".repeat(70_000), None).is_err());
}

#[test]
fn plugins_give_hosts_without_users() {
    for host in ["a.test", "a.test:8080", "[::1]", "[::1]:80", "10.0.0.1:1", "a_b"] {
        assert_eq!(given_host(host).unwrap(), host);
    }
    assert_eq!(given_host("a.test:").unwrap(), "a.test", "the port is empty");
    for host in ["", "a b", "u@a.test", "a.test:x", "a.test:99999", "a/b", ":80", "a\r"] {
        assert!(given_host(host).is_err(), "{host:?}");
    }
}

#[test]
fn a_full_head_takes_no_more() {
    let mut headers = HeaderMap::new();
    let name = HeaderName::from_static("a");
    for _ in 0..MAX_FIELDS {
        append(&mut headers, name.clone(), HeaderValue::from_static("b")).unwrap();
    }
    let more = append(&mut headers, name, HeaderValue::from_static("b"));
    assert!(matches!(more, Err(Fault::TooMany)));
}

fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Host",
        "X-Forwarded-For",
        "x_forwarded_host",
        "Forwarded",
        "Via",
        "X-Custom",
        "Cookie",
        "Proxy-Authorization",
        "Content-Length",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "[a-zA-Z_-]{1,12}"]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let options = proptest::collection::vec(name(), 0..5);
    prop_oneof![
        (options, "[, \t]{1,3}").prop_map(|(names, comma)| names.join(&*comma).into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn nothing_that_ends_here_is_left(fields in proptest::collection::vec((name(), value()), 0..30)) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(name, value);
            }
        }
        let before = headers.clone();
        let connections = before.get_all(CONNECTION).iter();
        let nominated: Vec<_> = connections
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
            .collect();
        clean(&mut headers);
        for (name, value) in &headers {
            prop_assert!(name == TE && value == "trailers" || !ends_at_hop(name.as_str()), "{}", name);
            prop_assert!(!is_forwarding(name.as_str()) && !name.as_str().contains('_'), "{}", name);
            let kept = !may_be_nominated(name.as_str()) || name == TE;
            prop_assert!(kept || !nominated.contains(name), "{} was nominated", name);
        }
        // Whatever else there was is left as it was.
        for name in before.keys() {
            let doomed = ends_at_hop(name.as_str()) || is_forwarding(name.as_str());
            if !doomed && !name.as_str().contains('_') && !nominated.contains(name) {
                prop_assert!(before.get_all(name).iter().eq(headers.get_all(name).iter()));
            }
        }
        let again = headers.clone();
        clean(&mut headers);
        prop_assert_eq!(again, headers);
    }

    #[test]
    fn what_plugins_give_is_one_line_or_nothing(
        name: String, value: Vec<u8>, path in "/?\\PC{0,20}", host in "\\PC{0,20}",
    ) {
        let clean = |bytes: &[u8]| !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        if let Ok(name) = given_name(&name) {
            prop_assert!(clean(name.as_str().as_bytes()));
        }
        if let Ok(value) = given_value(value) {
            prop_assert!(clean(value.as_bytes()));
        }
        if let Ok(path) = given_path(&path, None) {
            prop_assert!(clean(path.as_str().as_bytes()) && !path.as_str().contains(' '));
        }
        if let Ok(host) = given_host(&host) {
            prop_assert!(clean(host.as_bytes()));
        }
    }
}
