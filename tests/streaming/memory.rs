//! Memory does not grow with bodies, whatever their readers do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::{MIB, fill};
use crate::support::{Binary, Client, Origin, PATIENCE, one_cluster, reply, request};

const TOTAL: usize = 256 * MIB;
const ALLOWED: usize = 8 * MIB;

#[test]
fn a_large_download_by_a_slow_reader_takes_no_memory() {
    let (stalled, stopped) = mpsc::channel();
    let origin = Origin::scripted(move |peer| {
        let Some(head) = peer.request_head() else { return };
        if head.target() == "/small" {
            return peer.send(reply(200, &[("connection", "close")], "small"));
        }
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {TOTAL}\r\n\r\n"));
        let chunk = vec![b'x'; 256 << 10];
        let taken = AtomicUsize::new(0);
        fill(peer, &chunk, &taken);
        stalled.send(()).unwrap();
        peer.stream().set_write_timeout(Some(PATIENCE)).unwrap();
        let mut left = TOTAL - taken.into_inner();
        while left > 0 {
            let part = left.min(chunk.len());
            peer.send(&chunk[..part]);
            left -= part;
        }
    });
    let mut proxy = Binary::serve(&one_cluster(&[origin.address()], "", ""));
    let address = proxy.address("web");
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/small").text(), "small");
    }
    let before = proxy.resident_bytes();
    let mut client = Client::connect(address);
    client.send(request("GET", "/", &[], b""));
    stopped.recv_timeout(PATIENCE).unwrap();
    assert_eq!(client.response_head().length(), Some(TOTAL));
    client.skip(TOTAL).unwrap();
    let grown = proxy.peak_bytes().saturating_sub(before);
    assert!(grown < ALLOWED, "{} KiB", grown >> 10);
}

#[test]
fn a_large_upload_to_a_slow_origin_takes_no_memory() {
    let (go_on, going) = mpsc::channel::<()>();
    let going = std::sync::Mutex::new(going);
    let origin = Origin::scripted(move |peer| {
        let Some(head) = peer.request_head() else { return };
        let length = head.length().unwrap_or(0);
        if length > 0 {
            going.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            peer.skip(length).unwrap();
        }
        peer.send(reply(200, &[("connection", "close")], "thanks"));
    });
    let mut proxy = Binary::serve(&one_cluster(&[origin.address()], "", ""));
    let address = proxy.address("web");
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/").text(), "thanks");
    }
    let before = proxy.resident_bytes();
    let mut client = Client::connect(address);
    client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {TOTAL}\r\n\r\n"));
    let sent = Arc::new(AtomicUsize::new(0));
    let (mut writer, counted) = (client.stream().try_clone().unwrap(), Arc::clone(&sent));
    let writing = thread::spawn(move || {
        use std::io::Write;
        let chunk = vec![b'x'; 256 << 10];
        writer.set_write_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..TOTAL / chunk.len() {
            writer.write_all(&chunk).unwrap();
            counted.fetch_add(chunk.len(), Ordering::SeqCst);
        }
    });
    // Nothing comes, and after a while nothing is taken any more either.
    let mut last = 0;
    loop {
        assert!(client.is_quiet_for(Duration::from_millis(300)));
        let now = sent.load(Ordering::SeqCst);
        if now == last {
            break;
        }
        last = now;
    }
    assert!(last < 64 * MIB, "{last} bytes taken for nobody");
    go_on.send(()).unwrap();
    assert_eq!(client.response().text(), "thanks");
    writing.join().unwrap();
    let grown = proxy.peak_bytes().saturating_sub(before);
    assert!(grown < ALLOWED, "{} KiB", grown >> 10);
}
