//! A body of many megabytes, replaced in as it passes.

use super::with_rules;
use crate::support::{Binary, Client, Origin, reply, request};

const MIB: usize = 1 << 20;
const TOTAL: usize = 64 * MIB;
const ALLOWED: usize = 16 * MIB;

/// 32 bytes, of which the pattern is replaced by one more.
const LINE: &[u8; 32] = b"0123456789 http://old.test/ 9876";

#[test]
fn memory_does_not_grow_with_the_body() {
    let origin = Origin::scripted(|peer| {
        let Some(head) = peer.request_head() else { return };
        let html = [("content-type", "text/html"), ("connection", "close")];
        if head.target() == "/small" {
            return peer.send(reply(200, &html, LINE));
        }
        peer.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {TOTAL}\r\n\r\n"
        ));
        // Chunks begin and end within the pattern.
        let chunk = LINE.repeat(3001);
        let mut left = TOTAL;
        while left > 0 {
            let part = left.min(chunk.len() - 15);
            let from = (TOTAL - left) % LINE.len();
            let part = part.min(chunk.len() - from);
            peer.send(&chunk[from..from + part]);
            left -= part;
        }
    });
    let mut proxy = Binary::serve(&with_rules(origin.address(), ""));
    let address = proxy.address("web");
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/small").body.len(), LINE.len() + 1);
    }
    let before = proxy.resident_bytes();
    let mut client = Client::connect(address);
    client.send(request("GET", "/", &[], b""));
    assert!(client.response_head().is_chunked());
    let expected = b"0123456789 https://new.test/ 9876".repeat(8_000);
    let mut total = 0;
    loop {
        let size = usize::from_str_radix(&client.line().unwrap(), 16).unwrap();
        let mut chunk = Vec::new();
        client.take(size, &mut chunk).unwrap();
        client.line().unwrap();
        let from = total % 33;
        assert!(expected[from..].starts_with(&chunk), "wrong behind {total} bytes");
        total += size;
        if size == 0 {
            break;
        }
    }
    assert_eq!(total, TOTAL / 32 * 33);
    let grown = proxy.peak_bytes().saturating_sub(before);
    assert!(grown < ALLOWED, "{} KiB", grown >> 10);
}
