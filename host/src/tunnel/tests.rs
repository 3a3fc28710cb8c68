//! Tunnels between real sockets.

use std::cell::Cell;
use std::pin::pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SILENCE: Duration = Duration::from_secs(60);

/// Our end of a connection and theirs.
async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (Stream::Tcp(listener.accept().await.unwrap().0), theirs)
}

fn end(stream: Stream, early: &'static str) -> End {
    End { stream, early: Bytes::from_static(early.as_bytes()) }
}

#[tokio::test]
async fn what_was_read_ahead_goes_first_and_each_side_ends_by_itself() {
    let ((client_end, mut client), (origin_end, mut origin)) = (pair().await, pair().await);
    let (up, down) = (Cell::new(0), Cell::new(0));
    let count = |side, bytes| {
        let cell = if side == Side::Downstream { &up } else { &down };
        cell.set(cell.get() + bytes);
    };
    let tunnel = join(end(client_end, "early "), end(origin_end, "hello "), SILENCE, count);
    let peers = async {
        client.write_all(b"ask").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = String::new();
        origin.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "early ask", "the end of one direction is passed on");
        origin.write_all(b"answer").await.unwrap();
        drop(origin);
        let mut answered = String::new();
        client.read_to_string(&mut answered).await.unwrap();
        assert_eq!(answered, "hello answer", "the other goes on");
    };
    assert_eq!(tokio::join!(tunnel, peers).0, Ended::Complete);
    assert_eq!((up.get(), down.get()), (9, 12));
}

#[tokio::test]
async fn more_than_sockets_hold_arrives_as_it_was_sent() {
    let ((client_end, client), (origin_end, mut origin)) = (pair().await, pair().await);
    let sent: Vec<u8> =
        (0..8 << 20).map(|place: u32| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut from, mut to) = client.into_split();
    let tunnel = join(end(client_end, ""), end(origin_end, ""), SILENCE, |_, _| ());
    let echo = async {
        let (mut read, mut write) = origin.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let send = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut back = Vec::new();
    let (ended, (), (), read) = tokio::join!(tunnel, echo, send, from.read_to_end(&mut back));
    assert_eq!((ended, read.unwrap()), (Ended::Complete, sent.len()));
    assert!(back == sent);
}

#[tokio::test]
async fn a_reset_resets_the_other_side() {
    let ((client_end, mut client), (origin_end, origin)) = (pair().await, pair().await);
    let tunnel = join(end(client_end, ""), end(origin_end, ""), SILENCE, |_, _| ());
    socket2::SockRef::from(&origin).set_linger(Some(Duration::ZERO)).unwrap();
    drop(origin);
    assert_eq!(tunnel.await, Ended::Broken(Side::Upstream, io::ErrorKind::ConnectionReset));
    let error = client.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn silence_ends_it_and_bytes_put_that_off() {
    let ((client_end, mut client), (origin_end, mut origin)) = (pair().await, pair().await);
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let mut tunnel = pin!(join(end(client_end, ""), end(origin_end, ""), SILENCE, |_, _| ()));
    let talk = async {
        tokio::time::advance(SILENCE / 2).await;
        client.write_all(b"x").await.unwrap();
        origin.read_exact(&mut [0]).await.unwrap();
    };
    tokio::select! {
        ended = &mut tunnel => panic!("{ended:?}"),
        () = talk => {}
    }
    assert_eq!(tunnel.await, Ended::Silent);
    assert_eq!(begun.elapsed().as_secs(), (SILENCE * 3 / 2).as_secs());
}
