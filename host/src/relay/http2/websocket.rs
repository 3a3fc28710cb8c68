//! WebSocket by a stream of HTTP/2 (RFC 8441), as an upstream of HTTP/1 is asked for it (RFC 6455).

use std::io;

use h2::ext::Protocol;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, request};
use rustix::rand::{GetRandomFlags, getrandom};

/// What follows a key where it is hashed.
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What an upstream has to answer that has understood.
#[derive(Debug)]
pub(super) struct Challenge(String);

impl Challenge {
    /// One for an upstream, and the answer to it.
    fn new() -> io::Result<(HeaderValue, Self)> {
        let mut bytes = [0; 16];
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        let key = base64(&bytes);
        let answer = Self::of(&key);
        HeaderValue::try_from(key).map(|key| (key, answer)).map_err(io::Error::other)
    }

    fn of(key: &str) -> Self {
        Self(base64(&sha1(&[key.as_bytes(), SUFFIX].concat())))
    }

    /// Whether an upstream has understood it. Takes its answer away.
    pub(super) fn is_met(&self, headers: &mut HeaderMap) -> bool {
        let accept = headers.remove(SEC_WEBSOCKET_ACCEPT);
        accept.is_some_and(|accept| accept.as_bytes() == self.0.as_bytes())
    }
}

/// Makes of a request for WebSocket by HTTP/2 one by HTTP/1; nothing if it is none.
pub(super) fn translate(parts: &mut request::Parts) -> Option<Challenge> {
    let protocol = parts.extensions.remove::<Protocol>()?;
    if parts.method != Method::CONNECT || !protocol.as_str().eq_ignore_ascii_case("websocket") {
        return None;
    }
    let (key, challenge) = Challenge::new().ok()?;
    parts.method = Method::GET;
    let headers = &mut parts.headers;
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_KEY, key);
    headers.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
    Some(challenge)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or_default());
        let three = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4_usize {
            let place = (three >> (18 - 6 * letter) & 63) as usize;
            let found = LETTERS.get(place).copied().unwrap_or_default();
            text.push(if letter > chunk.len() { '=' } else { char::from(found) });
        }
    }
    text
}

/// SHA-1 (RFC 3174). It keeps nothing secret here: it shows that the upstream speaks WebSocket.
fn sha1(text: &[u8]) -> [u8; 20] {
    let mut hash: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = text.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - text.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let bits = (text.len() as u64).wrapping_mul(8).to_be_bytes();
    let end = padded.len().saturating_sub(8);
    padded.truncate(end);
    padded.extend_from_slice(&bits);
    for block in padded.as_chunks::<64>().0 {
        round(&mut hash, block);
    }
    let mut bytes = [0; 20];
    let words = bytes.as_chunks_mut::<4>().0;
    words.iter_mut().zip(hash).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    bytes
}

fn round(hash: &mut [u32; 5], block: &[u8; 64]) {
    let mut words: [u32; 16] = [0; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *hash;
    for step in 0..80_u32 {
        // The first word is that of this step; those that follow, of the next.
        let word = words[0];
        let next = (words[13] ^ words[8] ^ words[2] ^ words[0]).rotate_left(1);
        words.rotate_left(1);
        words[15] = next;
        let (mixed, constant) = match step {
            0..20 => (b & c | !b & d, 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let sum = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e);
        (e, d, c, b) = (d, c, b.rotate_left(30), a);
        a = sum.wrapping_add(constant).wrapping_add(word);
    }
    for (of, more) in hash.iter_mut().zip([a, b, c, d, e]) {
        *of = of.wrapping_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_answer_of_the_rfc() {
        let Challenge(answer) = Challenge::of("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn texts_of_all_lengths_are_hashed() {
        let hex = |text: &[u8]| sha1(text).map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(long), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
