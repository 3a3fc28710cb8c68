//! Upstream connections: kept, reused, and what their failures cost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Down, Message, Origin, Peer, Proxy, eventually, one_cluster, reply};

fn ok() -> Vec<u8> {
    reply(200, &[], "ok")
}

fn to(origin: &Origin) -> Proxy {
    Proxy::start(&one_cluster(&[origin.address()], "", ""))
}

/// The status of a request by this method over a connection of its own.
fn status(proxy: &Proxy, method: &str, body: &[u8]) -> u16 {
    proxy.connect().ask(method, "/", &[], body).status()
}

fn first_alive(endpoints: &[SocketAddr]) -> Proxy {
    Proxy::start(&one_cluster(endpoints, "", "balancer = 'first-alive'"))
}

#[test]
fn connections_are_kept_on_both_sides() {
    let origin = Origin::replying("ok");
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(client.ask("POST", "/", &[], b"body").text(), "ok");
    }
    for _ in 0..10 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
    assert_eq!((origin.hits(), origin.connections()), (30, 1));
    assert_eq!(proxy.counter("linkspan_connections", &[("listener", "web")]), 11);
}

#[test]
fn requests_at_the_same_time_have_connections_of_their_own() {
    let origin = Origin::replying("ok");
    let hung = Origin::scripted(|peer| {
        while peer.request().is_some() {
            peer.hang();
        }
    });
    let proxy = Proxy::start(&one_cluster(&[hung.address(), origin.address()], "", ""));
    let mut waiting = proxy.connect();
    waiting.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    hung.wait_for(1);
    assert_eq!(proxy.get("/").text(), "ok", "one that waits holds up nobody");
}

#[test]
fn an_upstream_that_wants_its_connection_closed_gets_it_closed() {
    let closing = [
        reply(200, &[("connection", "close")], "ok"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(),
    ];
    for answer in closing {
        let origin = Origin::answering(move |_| answer.clone());
        let proxy = to(&origin);
        let mut client = proxy.connect();
        for _ in 0..3 {
            assert_eq!(client.get("/").text(), "ok", "the client's is kept");
        }
        assert_eq!(origin.connections(), 3);
        eventually("them to be closed", || (origin.open_connections() == 0).then_some(()));
    }
}

#[test]
fn unused_connections_are_closed_after_their_idle_timeout() {
    let origin = Origin::replying("ok");
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", "idle-timeout = '100ms'"));
    assert_eq!(proxy.get("/").text(), "ok");
    eventually("it to be closed", || (origin.open_connections() == 0).then_some(()));
    assert_eq!(proxy.get("/").text(), "ok");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn no_more_connections_are_kept_than_configured() {
    let origin = Origin::replying("ok");
    let config = one_cluster(&[origin.address()], "", "max-idle-per-endpoint = 0");
    let proxy = Proxy::start(&config);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
    assert_eq!(origin.connections(), 3);
    eventually("them to be closed", || (origin.open_connections() == 0).then_some(()));
}

/// An origin that closes each connection after one answer, without having said so.
fn forgetful() -> Origin {
    Origin::scripted(|peer| {
        if peer.request().is_some() {
            peer.send(ok());
        }
    })
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_costs_no_request() {
    let origin = forgetful();
    let proxy = to(&origin);
    for (method, body) in [("GET", &b""[..]), ("POST", b"body"), ("POST", b""), ("PUT", b"x")] {
        assert_eq!(status(&proxy, method, body), 200, "{method}");
        // A POST that crosses the closing on its way could not be repeated.
        eventually("it to be closed", || (origin.open_connections() == 0).then_some(()));
    }
    assert_eq!((origin.hits(), origin.connections()), (4, 4));
    assert!(proxy.access(4).iter().all(|line| line["attempts"] == 1), "it is no failure");
}

#[test]
fn closing_that_crosses_a_request_without_a_body_costs_nothing() {
    let origin = forgetful();
    let proxy = to(&origin);
    let mut client = proxy.connect();
    for _ in 0..50 {
        assert_eq!(client.get("/").status(), 200);
    }
}

/// Answers the first request of the first connection; reads one more and breaks off.
fn breaks_second(peer: &mut Peer) {
    if peer.request().is_some() && peer.number == 0 {
        peer.send(ok());
        let _ = peer.request();
    } else if peer.number > 0 {
        peer.send(ok());
        peer.answer(|_| ok());
    }
}

#[test]
fn an_idempotent_request_is_repeated_when_a_kept_connection_breaks() {
    for (method, body) in [("GET", &b""[..]), ("PUT", b"body"), ("DELETE", b"")] {
        let origin = Origin::scripted(breaks_second);
        let proxy = to(&origin);
        assert_eq!(status(&proxy, "GET", b""), 200);
        assert_eq!(status(&proxy, method, body), 200, "{method}");
        let requests = origin.requests();
        assert_eq!(requests.len(), 3, "{method}");
        let seen = |request: &Message| (request.method().to_owned(), request.body.clone());
        assert_eq!(seen(&requests[1]), seen(&requests[2]));
    }
}

#[test]
fn a_post_is_never_delivered_twice() {
    // Over a kept connection, and over a fresh one.
    let kept = Origin::scripted(breaks_second);
    let proxy = to(&kept);
    assert_eq!(status(&proxy, "GET", b""), 200);
    assert_eq!(status(&proxy, "POST", b"once"), 502);
    assert_eq!(kept.hits(), 2);

    for reset in [false, true] {
        let fresh = Origin::scripted(move |peer| {
            let _ = peer.request();
            if reset {
                peer.reset();
            }
        });
        let other = Origin::replying("other");
        let proxy = first_alive(&[fresh.address(), other.address()]);
        assert_eq!(status(&proxy, "POST", b"once"), 502);
        assert_eq!((fresh.hits(), other.hits()), (1, 0));
        assert_eq!(status(&proxy, "GET", b""), 200, "a GET may be repeated elsewhere");
        assert_eq!((fresh.hits(), other.hits()), (2, 1));
    }
}

#[test]
fn a_post_that_cannot_have_been_sent_goes_elsewhere() {
    let down = Down::new();
    let other = Origin::replying("other");
    let proxy = first_alive(&[down.address(), other.address()]);
    let response = proxy.connect().ask("POST", "/", &[], &[b'x'; 200_000]);
    assert_eq!((response.status(), response.text().as_str()), (200, "other"));
    assert_eq!(other.request().body.len(), 200_000);
    assert_eq!(proxy.access(1)[0]["attempts"], 2);
}

#[test]
fn a_body_beyond_replay_bytes_is_sent_once() {
    for (length, expected) in [(1000, 200), (1001, 502)] {
        let breaking = Origin::scripted(|peer| drop(peer.request()));
        let other = Origin::replying("other");
        let endpoints = [breaking.address(), other.address()];
        let cluster = "balancer = 'first-alive'\nreplay-bytes = 1000";
        let proxy = Proxy::start(&one_cluster(&endpoints, "", cluster));
        assert_eq!(status(&proxy, "PUT", &vec![b'x'; length]), expected, "{length} bytes");
        assert_eq!(other.hits(), usize::from(expected == 200));
    }
}

#[test]
fn an_upstream_that_breaks_off_or_talks_nonsense_is_502() {
    let answers: [&[u8]; 9] = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 banana OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: chat\r\nconnection: upgrade\r\n\r\n",
    ];
    for answer in answers {
        let origin = Origin::raw(answer);
        let proxy = to(&origin);
        let mut client = proxy.connect();
        let text = String::from_utf8_lossy(answer);
        let response = client.get("/");
        assert_eq!(response.status(), 502, "{text:?}");
        assert_eq!(response.text(), "502 Bad Gateway\n");
        assert_eq!(client.get("/").status(), 502, "the client's connection goes on: {text:?}");
        assert!(!proxy.access(2)[0]["error"].as_str().unwrap().is_empty());
    }
}

#[test]
fn an_answer_that_has_begun_is_never_asked_for_again() {
    let broken = Origin::raw("HTTP/1.1 200 OK\r\ncontent-le");
    let other = Origin::replying("other");
    let proxy = first_alive(&[broken.address(), other.address()]);
    assert_eq!(status(&proxy, "GET", b""), 502);
    assert_eq!((broken.hits(), other.hits()), (1, 0));
}

#[test]
fn a_response_head_that_is_too_large_is_502() {
    let origin = Origin::answering(|_| reply(200, &[("x-large", &"x".repeat(300_000))], ""));
    let proxy = to(&origin);
    assert_eq!(status(&proxy, "GET", b""), 502);
}

#[test]
fn an_upstream_that_is_too_slow_is_504_and_not_asked_again() {
    let slow = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.hang();
    });
    let other = Origin::replying("other");
    let endpoints = [slow.address(), other.address()];
    let cluster = "balancer = 'first-alive'\nresponse-timeout = '200ms'";
    let proxy = Proxy::start(&one_cluster(&endpoints, "", cluster));
    let mut client = proxy.connect();
    assert_eq!(client.get("/").status(), 504);
    assert_eq!((slow.hits(), other.hits()), (1, 0));
    eventually("the upstream to be let go", || (slow.open_connections() == 0).then_some(()));
    assert_eq!(client.ask("POST", "/", &[], b"x").status(), 504, "the connection goes on");
}

#[test]
fn an_upstream_that_does_not_accept_is_503_after_the_connect_timeout() {
    // A listener with a full queue leaves further connections unanswered.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _queued = std::net::TcpStream::connect(address).unwrap();
    let proxy = Proxy::start(&one_cluster(&[address], "", "connect-timeout = '100ms'"));
    assert_eq!(proxy.get("/").status(), 503);
    let error = proxy.access(1)[0]["error"].as_str().unwrap().to_owned();
    let words = "connecting took longer than connect-timeout = 100ms of cluster main";
    assert_eq!(error, format!("{address}: {words}"));
}

#[test]
fn a_body_that_breaks_off_shows_as_such() {
    let closed = ("closed the connection", "");
    let size = ": the size of a chunk is not a hexadecimal number alone";
    let chunked = "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    for (answer, (words, why)) in [
        ("content-length: 10\r\n\r\nhalf", closed),
        (chunked, closed),
        (&format!("{chunked}nonsense\r\n"), ("sent what is not HTTP/1,", size)),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{answer}");
        let origin = Origin::raw(&*answer);
        let proxy = to(&origin);
        let mut client = proxy.connect();
        let response = client.get("/");
        assert_eq!((response.status(), response.text().as_str()), (200, "half"), "{answer:?}");
        assert!(!response.complete, "{answer:?}");
        client.expect_closed();
        let line = &proxy.access(1)[0];
        let address = origin.address();
        let expected = format!("{address}: {words} after 4 bytes of its response{why}");
        assert_eq!((&line["error"], &line["bytes_down"]), (&expected.into(), &4.into()));
    }
}

#[test]
fn a_body_in_which_the_upstream_falls_silent_is_broken_off() {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        peer.hang();
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", "body-timeout = '200ms'"));
    let response = proxy.get("/");
    assert_eq!((response.text().as_str(), response.complete), ("half", false));
    eventually("the upstream to be let go", || (origin.open_connections() == 0).then_some(()));
    let silence = "sent nothing for body-timeout = 200ms of cluster main";
    let expected = format!("{}: {silence}, after 4 bytes of its response", origin.address());
    assert_eq!(proxy.access(1)[0]["error"], expected);
}

#[test]
fn a_client_that_leaves_frees_its_upstream() {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.hang();
    });
    let proxy = to(&origin);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    origin.wait_for(1);
    drop(client);
    eventually("the upstream to be let go", || (origin.open_connections() == 0).then_some(()));
    let line = &proxy.access(1)[0];
    let words = "the client went away before the response";
    assert_eq!((&line["status"], &line["error"]), (&0.into(), &words.into()));
}

#[test]
fn repetitions_have_a_budget() {
    let down = [Down::new(), Down::new()];
    let endpoints = [down[0].address(), down[1].address()];
    let cluster = "balancer = 'round-robin'\nhealth = { attempts = 1000, offline = '0s' }";
    let proxy = Proxy::start(&one_cluster(&endpoints, "", cluster));
    let mut client = proxy.connect();
    for _ in 0..200 {
        assert_eq!(client.get("/").status(), 503);
    }
    let retries = proxy.counter("linkspan_upstream_retries", &[("cluster", "main")]);
    assert!((100..=140).contains(&retries), "10 a second over 10 s, and a fifth: {retries}");
}

#[test]
fn an_origin_that_leaves_gracefully_costs_no_request() {
    let mut first = Origin::replying("ok");
    let second = Origin::replying("ok");
    let proxy = Proxy::start(&one_cluster(
        &[first.address(), second.address()],
        "",
        "balancer = 'round-robin'",
    ));
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = proxy.connect();
                for _ in 0..100 {
                    assert_eq!(client.get("/").text(), "ok");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        eventually("some requests", || (done.load(Ordering::SeqCst) >= 40).then_some(()));
        first.stop();
    });
    assert!(first.hits() + second.hits() >= 400);
}

#[test]
fn a_unix_socket_is_an_endpoint_too() {
    use std::io::{Read, Write};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("origin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let origin = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        stream.write_all(&ok()).unwrap();
        String::from_utf8(seen).unwrap()
    });
    let proxy = Proxy::start(&format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['unix:{}']\n",
        path.display()
    ));
    assert_eq!(proxy.get("/a").text(), "ok");
    assert!(origin.join().unwrap().starts_with("GET /a HTTP/1.1\r\n"));
}
