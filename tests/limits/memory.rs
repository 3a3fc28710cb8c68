//! What clients cost that are slow, as long as they are there and when they are gone.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use crate::streaming::fill;
use crate::support::{Binary, Client, Origin, PATIENCE, eventually, one_cluster, reply, request};

/// So many that what else takes memory counts for little.
const CLIENTS: usize = 200;
/// What a program takes that is not optimised: half of what is read ahead without a limit alone.
const MOST_FOR_EACH: usize = 96 << 10;

/// A program in front of an origin that sends for as long as it can to whoever asks for `/`, reads what
/// comes otherwise, and tells when it is done.
fn program() -> (Origin, Binary, mpsc::Receiver<()>) {
    let (done, wait) = mpsc::channel();
    let origin = Origin::scripted(move |peer| {
        while let Some(head) = peer.request_head() {
            match head.target() {
                "/" => {
                    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
                    fill(peer, &[b'x'; 64 << 10], &AtomicUsize::default());
                }
                "/upload" => {}
                _ => {
                    peer.send(reply(200, &[], "quick"));
                    continue;
                }
            }
            done.send(()).unwrap();
            return peer.hang();
        }
    });
    let program = Binary::serve(&one_cluster(&[origin.address()], "", ""));
    (origin, program, wait)
}

/// Opens connections that send this, measures what they take, and waits until that is given back.
fn measure(program: &mut Binary, request: &[u8], done: &mpsc::Receiver<()>) {
    let address = program.address("web");
    // What as many others have left pinned before is not theirs.
    let mut others: Vec<_> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
    let quick = "GET /quick HTTP/1.1\r\nhost: test\r\n\r\n";
    others.iter_mut().for_each(|other| other.send(quick));
    others.iter_mut().for_each(|other| assert_eq!(other.response().text(), "quick"));
    drop(others);
    let before = program.resident_bytes();
    let open = |_| {
        let mut client = Client::small(address);
        client.send(request);
        client
    };
    let clients: Vec<_> = (0..CLIENTS).map(open).collect();
    clients.iter().for_each(|_| done.recv_timeout(PATIENCE).unwrap());
    let taken = program.resident_bytes().saturating_sub(before);
    assert!(taken <= CLIENTS * MOST_FOR_EACH, "{} bytes for each", taken / CLIENTS);
    drop(clients);
    let most = before + taken / 3;
    eventually("memory to be given back", || (program.resident_bytes() <= most).then_some(()));
}

#[test]
fn clients_that_read_nothing_take_little_memory_and_leave_none() {
    let (_origin, mut program, done) = program();
    measure(&mut program, &request("GET", "/", &[], b""), &done);
}

#[test]
fn clients_that_keep_back_a_body_take_little_memory_and_leave_none() {
    let (_origin, mut program, done) = program();
    let head = b"POST /upload HTTP/1.1\r\nhost: test\r\ncontent-length: 8192\r\n\r\nbeginning";
    measure(&mut program, head, &done);
}
