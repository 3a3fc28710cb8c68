//! Memory does not grow with a body that is transformed, and nothing is read that nobody takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::{MIB, with_bodies};
use crate::streaming::fill;
use crate::support::{Binary, Client, Origin, PATIENCE, UNHURRIED, reply, request};

const TOTAL: usize = 64 * MIB;
const ALLOWED: usize = 12 * MIB;

#[test]
fn a_large_body_for_a_slow_reader_takes_no_memory() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let (stalled, stopped) = mpsc::channel();
    let origin = Origin::scripted(move |peer| {
        let Some(head) = peer.request_head() else { return };
        if head.target() == "/small" {
            return peer.send(reply(200, &[("connection", "close")], "small"));
        }
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {TOTAL}\r\n\r\n"));
        let chunk = vec![b'x'; 256 << 10];
        fill(peer, &chunk, &counted);
        stalled.send(()).unwrap();
        peer.stream().set_write_timeout(Some(PATIENCE)).unwrap();
        let mut left = TOTAL - counted.load(Ordering::SeqCst);
        while left > 0 {
            let part = left.min(chunk.len());
            peer.send(&chunk[..part]);
            left -= part;
        }
    });
    let plugins = "[server]\nplugin-dir = 'plugins.d'\n";
    let toml = format!("{plugins}{}", with_bodies(&origin, UNHURRIED));
    let mut proxy = Binary::with(&toml, &["bodies"], &["run"]);
    let address = proxy.address("web");
    for _ in 0..20 {
        let mut client = Client::connect(address);
        let small = client.ask("GET", "/small", &[("x-do", "upper")], b"");
        assert_eq!(small.text(), "SMALL");
    }
    let before = proxy.resident_bytes();
    let mut client = Client::small(address);
    client.send(request("GET", "/", &[("x-do", "upper")], b""));
    stopped.recv_timeout(PATIENCE).unwrap();
    let read_ahead = taken.load(Ordering::SeqCst);
    assert!(read_ahead < 32 * MIB, "{read_ahead} bytes taken for nobody");
    let mut body = 0;
    assert!(client.response_head().is_chunked());
    loop {
        let size = usize::from_str_radix(&client.line().unwrap(), 16).unwrap();
        client.skip(size + 2).unwrap();
        body += size;
        if size == 0 {
            break;
        }
    }
    assert_eq!(body, TOTAL);
    let grown = proxy.peak_bytes().saturating_sub(before);
    assert!(grown < ALLOWED, "{} KiB", grown >> 10);
}
