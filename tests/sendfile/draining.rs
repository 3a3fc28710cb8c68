//! What becomes of the upstream's own body.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::Scene;
use crate::support::{Origin, PATIENCE, Proxy, eventually, one_cluster, reply};

/// A proxy that may send `file` for this origin.
fn proxy(scene: &Scene, origin: &Origin) -> Proxy {
    scene.put("file", "file");
    let roots = format!("sendfile-roots = [{:?}]\nmax-connections = 1", scene.path(""));
    Proxy::start(&one_cluster(&[origin.address()], "", &roots))
}

#[test]
fn a_small_body_is_read_so_that_its_connection_is_used_again() {
    let scene = Scene::new("");
    let body = vec![b'x'; 60 << 10];
    let origin = Origin::answering(move |_| reply(200, &[("x-sendfile", "file")], &body));
    let proxy = proxy(&scene, &origin);
    let mut client = proxy.connect();
    for _ in 0..20 {
        assert_eq!(client.get("/").text(), "file");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn the_connection_of_a_large_body_is_closed() {
    let scene = Scene::new("");
    let (closed, closing) = channel();
    let closed = Mutex::new(closed);
    let origin = Origin::scripted(move |peer| {
        if peer.request().is_none() {
            return;
        }
        peer.send("HTTP/1.1 200 OK\r\nx-sendfile: file\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = [&b"10000\r\n"[..], &[b'x'; 1 << 16], b"\r\n"].concat();
        // It is endless: only the other side can end it.
        while peer.write(&chunk).is_ok() {}
        closed.lock().unwrap().send(()).unwrap();
    });
    let proxy = proxy(&scene, &origin);
    assert_eq!(proxy.get("/").text(), "file");
    closing.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn nobody_waits_for_a_body_that_does_not_come() {
    let scene = Scene::new("");
    let origin = Origin::scripted(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nx-sendfile: file\r\ncontent-length: 5\r\n\r\n");
            peer.hang();
        }
    });
    let proxy = proxy(&scene, &origin);
    let mut client = proxy.connect();
    assert_eq!(client.get("/").text(), "file", "before the upstream has said its last word");
    // It is given up in the end, and the endpoint has room again.
    assert_eq!(client.get("/").text(), "file");
    eventually("its connections to be closed", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn an_endpoint_is_done_while_the_file_is_on_its_way() {
    let scene = Scene::new("");
    let origin = Origin::answering(|request| {
        let file = if request.target() == "/big" { "big" } else { "file" };
        reply(200, &[("x-sendfile", file)], "junk")
    });
    let proxy = proxy(&scene, &origin);
    std::fs::File::create(scene.path("big")).unwrap().set_len(64 << 20).unwrap();
    let mut slow = crate::support::Client::small(proxy.address("web"));
    slow.send(crate::support::request("GET", "/big", &[], b""));
    assert_eq!(slow.response_head().length(), Some(64 << 20));
    assert_eq!(proxy.get("/").text(), "file", "with max-connections = 1");
    slow.skip(64 << 20).unwrap();
}
