//! What judging the bytes of one exchange costs: both heads, and a body in chunks.
#![expect(
    clippy::panic,
    reason = "a benchmark that cannot go on has nothing better to do than to end"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use linkspan::wire::{Asked, Gate, Limits, Requests, Responses, Step};

const LIMITS: Limits = Limits { head_bytes: 64 << 10, fields: 100, target_bytes: 16 << 10 };

/// What `wrk` sends, and what a browser does.
const REQUESTS: [(&str, &str); 2] = [
    ("short", "GET /index.html HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"),
    (
        "browser",
        "GET /assets/app.js?v=17 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux \
         x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: */*\r\nAccept-Language: en-GB,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.com/\r\nConnection: \
         keep-alive\r\nCookie: session=4f1b2c3d4e5f60718293a4b5c6d7e8f9; theme=dark\r\nSec-Fetch-Dest: \
         script\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\nPriority: u=2\r\n\r\n",
    ),
];

/// What nginx answers.
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.26.3\r\nDate: Thu, 26 Nov 2026 12:00:00 GMT\r\n\
                        Content-Type: text/html\r\nContent-Length: 12\r\nLast-Modified: Thu, 26 Nov 2026 \
                        11:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"6928e2a0-c\"\r\n\
                        Accept-Ranges: bytes\r\n\r\nhello, world";

/// Shows a gate all of the bytes, all of which pass.
fn pass(gate: &mut impl Gate, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match gate.step(black_box(rest)) {
            Step::Pass(count) => rest = rest.get(count..).unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("wire");
    for (name, request) in REQUESTS {
        group.throughput(Throughput::Bytes(request.len() as u64));
        let mut gate = Requests::new(LIMITS);
        group.bench_function(BenchmarkId::new("request", name), |bencher| {
            bencher.iter(|| pass(&mut gate, request.as_bytes()));
        });
    }
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    let mut gate = Responses::new(LIMITS);
    group.bench_function("response", |bencher| {
        bencher.iter(|| {
            gate.ask(Asked::default());
            pass(&mut gate, RESPONSE.as_bytes());
        });
    });
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(16 << 10));
    let mut gate = Requests::new(LIMITS);
    pass(&mut gate, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    group.throughput(Throughput::Bytes(chunk.len() as u64));
    group.bench_function("chunk of 16 KiB", |bencher| {
        bencher.iter(|| pass(&mut gate, chunk.as_bytes()));
    });
    group.finish();
    criterion.final_summary();
}
