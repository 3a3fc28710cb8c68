//! Streams read through the gate for requests.

use std::future::poll_fn;

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::wire::{Limits, Requests};

const LIMITS: Limits = Limits { head_bytes: 4_096, fields: 20, target_bytes: 1_000 };
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

struct Reader {
    stream: DuplexStream,
    sluice: Sluice,
    gate: Requests,
}

impl Reader {
    fn new() -> (Self, DuplexStream) {
        let (stream, theirs) = duplex(1 << 20);
        (Self { stream, sluice: Sluice::default(), gate: Requests::new(LIMITS) }, theirs)
    }

    /// Reads once into `room` bytes.
    async fn read(&mut self, room: usize) -> Result<Vec<u8>, Reading> {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        let Self { stream, sluice, gate } = self;
        let reading = poll_fn(|context| {
            let (read, interim) = (&mut |_| (), &mut |_: &[u8]| ());
            let mut source = Source { stream, read, interim };
            Poll::Ready(sluice.read(&mut source, gate, context, &mut buffer).unwrap())
        })
        .await;
        match reading {
            Reading::Ready => Ok(buffer.filled().to_vec()),
            other => Err(other),
        }
    }
}

#[tokio::test]
async fn whole_heads_pass_and_parts_wait() {
    let (mut reader, mut client) = Reader::new();
    client.write_all(&[REQUEST, &REQUEST[..10]].concat()).await.unwrap();
    assert_eq!(reader.read(1_000).await.unwrap(), REQUEST);
    assert_eq!(reader.read(1_000).await, Err(Reading::Pending));
    assert!(reader.sluice.keeps());
    client.write_all(&[&REQUEST[10..], REQUEST].concat()).await.unwrap();
    assert_eq!(reader.read(40).await.unwrap(), REQUEST);
    assert_eq!(reader.read(7).await.unwrap(), &REQUEST[..7]);
    assert_eq!(reader.read(100).await.unwrap(), &REQUEST[7..]);
    assert!(!reader.sluice.keeps());
    drop(client);
    assert_eq!(reader.read(100).await.unwrap(), b"");
}

#[tokio::test]
async fn what_is_right_goes_on_before_what_is_wrong() {
    let (mut reader, mut client) = Reader::new();
    client.write_all(&[b"\r\n", REQUEST, b"\n"].concat()).await.unwrap();
    assert_eq!(reader.read(1_000).await.unwrap(), REQUEST);
    for _ in 0..2 {
        assert_eq!(reader.read(1_000).await, Err(Reading::Fault(Fault::BareLf)));
    }
    reader.sluice.replace(b"instead", Fault::BareLf);
    assert_eq!(reader.read(1_000).await.unwrap(), b"instead");
    assert_eq!(reader.read(1_000).await, Err(Reading::Fault(Fault::BareLf)));
}

#[tokio::test]
async fn what_waits_for_a_decision_is_bounded() {
    let (mut reader, mut client) = Reader::new();
    let upgrade = b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    let raw = vec![0; 1 << 18];
    client.write_all(&[&upgrade[..], &raw].concat()).await.unwrap();
    assert_eq!(reader.read(1_000).await.unwrap(), upgrade);
    for _ in 0..100 {
        assert_eq!(reader.read(1_000).await, Err(Reading::Pending));
    }
    assert!(reader.sluice.kept.len() < AHEAD_BYTES + 1_000);
    let kept = mem::take(&mut reader.sluice).into_kept();
    assert!(kept.iter().all(|byte| *byte == 0) && kept.len() >= AHEAD_BYTES);
}

#[tokio::test]
async fn what_was_held_goes_on_once_it_is_decided_to_be_http() {
    let (mut reader, mut client) = Reader::new();
    let upgrade = b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    client.write_all(&[&upgrade[..], &REQUEST.repeat(2_000)].concat()).await.unwrap();
    assert_eq!(reader.read(1_000).await.unwrap(), upgrade);
    assert_eq!(reader.read(1_000).await, Err(Reading::Pending));
    reader.gate.resume();
    reader.sluice.decided();
    let mut seen = 0;
    while seen < REQUEST.len() * 2_000 {
        match reader.read(1_000).await {
            Ok(bytes) => seen += bytes.len(),
            // The stream makes way for others.
            Err(_) => tokio::task::yield_now().await,
        }
    }
    assert_eq!((seen, reader.gate.begun()), (REQUEST.len() * 2_000, 2_001));
}
