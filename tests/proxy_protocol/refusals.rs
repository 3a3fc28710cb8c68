//! Connections that do not begin as they have to.

use std::time::Duration;

use super::{TRUSTED, behind, block, expecting, refused, v1, v2};
use crate::support::{Binary, Client, Origin, eventually, one_cluster, request};

#[test]
fn what_is_no_header_ends_the_connection_without_an_answer() {
    let (origin, proxy) = expecting(TRUSTED);
    let absent = [
        request("GET", "/", &[], b""),
        b"\x16\x03\x01\x02\x00\x01".to_vec(),
        b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIZ\n".to_vec(),
        b"\0".to_vec(),
        vec![0xff; 100_000],
    ];
    for bytes in &absent {
        let mut client = proxy.connect();
        // It may be closed before all is sent.
        let _ = client.write(bytes);
        client.expect_closed();
    }
    let udp = [192, 0, 2, 7, 10, 9, 8, 7, 0, 1, 0, 2];
    let bad = [
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 100_000][..]].concat(),
        block(0x21, 0x12, &udp),
        block(0x21, 0x11, &udp[..11]),
        block(0x11, 0x11, &udp),
        block(0x22, 0x11, &udp),
        block(0x20, 0x00, &[0; 65_535]),
    ];
    for bytes in &bad {
        let mut client = proxy.connect();
        let _ = client.write([bytes, &request("GET", "/", &[], b"")[..]].concat());
        client.expect_closed();
    }
    let count = |list: &[Vec<u8>]| u64::try_from(list.len()).unwrap();
    assert_eq!(refused(&proxy, "no_proxy_header"), count(&absent));
    assert_eq!(refused(&proxy, "bad_proxy_header"), count(&bad));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_header_that_is_cut_off_reaches_nobody() {
    let (origin, proxy) = expecting(TRUSTED);
    let mut cut_off = 0;
    for header in [v1("192.0.2.7:1"), v2("192.0.2.7:1")] {
        for cut in 0..header.len() {
            let mut client = behind(&header[..cut], &proxy);
            client.stream().shutdown(std::net::Shutdown::Write).unwrap();
            client.expect_closed();
            cut_off += u64::from(cut > 0);
        }
    }
    // Who leaves without a word, as many do that look whether somebody is there, is nobody's fault.
    assert_eq!(refused(&proxy, "bad_proxy_header"), cut_off);
    let open = || proxy.counter("linkspan_connections_open", &[("listener", "web")]);
    eventually("all to be counted out", || (open() == 0).then_some(()));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_header_has_as_long_as_a_head() {
    let listener = format!("{TRUSTED}head-timeout = '300ms'\nidle-timeout = '1h'\n");
    let (_origin, proxy) = expecting(&listener);
    proxy.connect().expect_closed();
    behind(b"PROXY TCP4 ", &proxy).expect_closed();
    assert_eq!(refused(&proxy, "late_proxy_header"), 2);
    // Bytes that come now and then win no time.
    let mut client = proxy.connect();
    let begun = tokio::time::Instant::now();
    for byte in b"PROXY UNKNOWN ".iter().chain(std::iter::repeat(&b'x')) {
        if client.write([*byte]).is_err() || !client.is_quiet_for(Duration::from_millis(50)) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "bytes put the end off");
    }
    assert_eq!(refused(&proxy, "late_proxy_header"), 3);
    // A request has its own time.
    let mut patient = behind(&v1("192.0.2.7:1"), &proxy);
    assert!(patient.is_quiet_for(Duration::from_millis(600)));
    assert_eq!(patient.get("/").text(), "ok");
}

#[test]
fn nobody_else_may_connect_where_headers_are_required() {
    let (origin, proxy) = expecting(TRUSTED);
    for bytes in [v1("192.0.2.7:1"), v2("192.0.2.7:1"), request("GET", "/", &[], b""), vec![]] {
        let mut stranger = Client::from([127, 0, 0, 9], proxy.address("web"));
        // It is closed as soon as it is accepted.
        let _ = stranger.write(bytes);
        stranger.expect_closed();
    }
    assert_eq!(refused(&proxy, "untrusted"), 4);
    assert_eq!(origin.connections(), 0);
    assert_eq!(behind(&v1("127.0.0.9:1"), &proxy).get("/").text(), "ok");
}

#[test]
fn connections_without_a_header_yet_are_limited_and_do_not_hold_up_the_end() {
    let listener = format!("{TRUSTED}max-connections = 2\nhead-timeout = '1h'\n");
    let (_origin, proxy) = expecting(&listener);
    let mut held = [proxy.connect(), behind(b"PROXY ", &proxy)];
    let mut third = behind(&v1("192.0.2.7:1"), &proxy);
    third.send(request("GET", "/", &[], b""));
    assert!(third.is_quiet_for(Duration::from_millis(200)));
    let [first, second] = &mut held;
    first.send(v2("192.0.2.8:1"));
    assert_eq!(first.get("/").text(), "ok");
    let done = proxy.shut_down(None);
    second.expect_closed();
    assert!(done.recv_timeout(crate::support::PATIENCE).unwrap());
}

#[test]
fn who_is_refused_is_told_with_the_reason() {
    let origin = Origin::replying("ok");
    let mut proxy = Binary::serve(&one_cluster(&[origin.address()], TRUSTED, ""));
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n"[..], "there is no PROXY header"),
        (
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "the PROXY header is malformed: it has no two ports",
        ),
    ] {
        let mut client = proxy.connect();
        client.send(bytes);
        client.expect_closed();
        proxy.wait_for_stderr(&format!("connection refused: {reason}"));
    }
    // A flood of them is told once a second and kind.
    for _ in 0..50 {
        let mut client = proxy.connect();
        let _ = client.write(b"GET");
        client.expect_closed();
    }
    let mut stranger = Client::from([127, 0, 0, 9], proxy.address("web"));
    let _ = stranger.write(b"GET");
    stranger.expect_closed();
    proxy.wait_for_stderr("connection refused: it is from none of the trusted-proxies");
    let told = proxy.stderr().matches("there is no PROXY header").count();
    assert!(told < 25, "{told}");
}
