//! What holds of any bytes: fuzzers look for bytes of which it does not, and the tests play what they
//! have kept (`corpus/`) through the same functions.
//!
//! Each takes what a fuzzer makes up, and panics where a promise is broken. Where bytes come in pieces,
//! the first two of them say in which ([`cut`]).

mod agreement;
mod config;
mod cut;
mod forwarding;
mod hello;
mod introduction;
mod messages;
mod reference;
mod requests;
mod responses;

/// A promise about any bytes.
pub type Promise = fn(&[u8]);

/// The promises by the names of their targets.
pub const PROMISES: [(&str, Promise); 8] = [
    ("requests", requests),
    ("responses", responses),
    ("chunked", chunked),
    ("messages", messages),
    ("introduction", introduction),
    ("hello", hello),
    ("forwarding", forwarding),
    ("config", config),
];

/// The gate for requests lets pass what the rules of HTTP/1.1 allow, however it is cut, and hyper reads
/// it as those rules do.
pub fn requests(input: &[u8]) {
    let (cuts, bytes) = cut::split(input);
    requests::hold(cuts, bytes);
}

/// The gate for responses lets pass what the rules of HTTP/1.1 allow, however it is cut, and hyper reads
/// it as those rules do.
pub fn responses(input: &[u8]) {
    let (cuts, bytes) = cut::split(input);
    responses::hold(cuts, bytes);
}

/// Both, where a body of chunks has begun.
pub fn chunked(input: &[u8]) {
    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (cuts, bytes) = cut::split(input);
    requests::hold(cuts, &[REQUEST, bytes].concat());
    responses::hold(cuts, &[RESPONSE, bytes].concat());
}

/// What is taken apart of bytes are the messages that they are, however they are cut.
pub fn messages(input: &[u8]) {
    let (cuts, bytes) = cut::split(input);
    messages::hold(cuts, bytes);
}

/// What a proxy says of a connection is what the PROXY protocol has it say, however it is cut and
/// whatever follows, and what is said to upstreams is read as it was meant.
pub fn introduction(input: &[u8]) {
    let (cuts, bytes) = cut::split(input);
    introduction::hold(cuts, bytes);
}

/// What a TLS client says first is read as it was meant, however it is cut and whatever follows, and
/// nothing that is said of it is taken back.
pub fn hello(input: &[u8]) {
    let (cuts, bytes) = cut::split(input);
    hello::hold(cuts, bytes);
}

/// No header survives that ends at a hop, and nobody passes a client's word off as a proxy's.
pub fn forwarding(input: &[u8]) {
    forwarding::hold(input);
}

/// No text is too much for whoever reads configurations, and what they come to is a configuration that
/// comes to the same.
pub fn config(input: &[u8]) {
    if let Ok(text) = str::from_utf8(input) {
        config::hold(text);
    }
}
