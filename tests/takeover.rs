//! A process that replaces another: it takes the listening sockets, and nobody notices.

pub(crate) mod meanwhile;
mod strangers;

use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::shutdown::patient;
use crate::support::{Binary, Client, Origin, Signal, one_cluster, request};

pub(crate) const TAKE_OVER: &[&str] = &["run", "--takeover"];

/// A process that can be replaced, with what else its configuration says.
fn first(origin: &Origin, server: &str, more: &str) -> Binary {
    let config = one_cluster(&[origin.address()], "", "");
    let own = format!("[server]\ntakeover = 'takeover.sock'\nworkers = 1\n{server}\n");
    Binary::serve(&format!("{own}{more}\n{config}"))
}

fn path(proxy: &Binary) -> PathBuf {
    proxy.file().with_file_name("takeover.sock")
}

/// One that asks for the sockets, and has them.
#[track_caller]
fn asks(proxy: &Binary) -> UnixStream {
    let mut socket = UnixStream::connect(path(proxy)).unwrap();
    socket.read_exact(&mut [0]).unwrap();
    socket
}

#[test]
fn the_successor_listens_where_the_one_before_did_which_then_leaves() {
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "", "");
    let address = before.address("web");
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/1").value("connection"), None);

    let mut after = before.beside(TAKE_OVER);
    assert_eq!(after.address("web"), address, "the port that the system chose is kept");
    before.wait_for_stderr("leaving");
    let last = idle.get("/2");
    assert_eq!((&*last.text(), last.value("connection")), ("ok", Some("close")));
    idle.expect_closed();
    assert_eq!(before.wait().code(), Some(0), "{}", before.stderr());
    assert_eq!(Client::connect(address).get("/3").text(), "ok");

    let mut third = after.beside(TAKE_OVER);
    assert_eq!(third.address("web"), address);
    assert_eq!(after.wait().code(), Some(0), "{}", after.stderr());
    assert_eq!(Client::connect(address).get("/4").text(), "ok");
    third.signal(Signal::TERM);
    assert_eq!(third.wait().code(), Some(0));
    assert!(!path(&third).exists(), "the last one takes the path along");
}

#[test]
fn what_is_open_comes_to_its_end_in_the_process_before() {
    let (origin, go_on) = patient();
    let mut before = first(&origin, "shutdown-grace = '1m'", "");
    let mut client = before.connect();
    client.send(request("GET", "/slow", &[], b""));
    origin.wait_for(1);
    let mut after = before.beside(TAKE_OVER);
    after.address("web");
    before.wait_for_stderr("leaving");
    assert_eq!(after.connect().get("/quick").text(), "quick");
    assert!(before.is_running());
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    let response = client.response();
    assert_eq!((&*response.text(), response.value("connection")), ("half", Some("close")));
    assert_eq!(before.wait().code(), Some(0));
    assert!(!before.stderr().contains("cut off"), "{}", before.stderr());
}

#[test]
fn without_anybody_to_replace_it_starts_as_usual() {
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "", "");
    before.address("web");
    before.signal(Signal::TERM);
    before.wait();
    let mut after = before.beside(TAKE_OVER);
    assert_eq!(after.connect().get("/").text(), "ok");
}

#[test]
fn without_a_path_nothing_can_be_taken_over() {
    let mut proxy = Binary::with("[listeners.web]\nbind = '127.0.0.1:0'\n", &[], TAKE_OVER);
    assert_eq!(proxy.wait().code(), Some(1));
    let said = proxy.stderr();
    assert!(said.contains("--takeover") && said.contains("`takeover` of [server]"), "{said}");
}

#[test]
fn a_successor_that_cannot_serve_changes_nothing() {
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "", "");
    let address = before.address("web");
    let config = std::fs::read_to_string(before.file()).unwrap();
    std::fs::write(before.file(), config.replace("balancer", "balance") + "\n[nonsense]\n")
        .unwrap();
    let mut faulty = before.beside(TAKE_OVER);
    assert_eq!(faulty.wait().code(), Some(1));

    // One that gets the sockets and ends before it serves.
    drop(asks(&before));
    before.wait_for_stderr("who was to take over has ended");
    assert!(before.is_running());
    assert_eq!(Client::connect(address).get("/").text(), "ok");

    std::fs::write(before.file(), config).unwrap();
    let mut after = before.beside(TAKE_OVER);
    assert_eq!(after.address("web"), address);
    assert_eq!(before.wait().code(), Some(0));
}

#[test]
fn the_administrator_goes_on_where_it_was() {
    let origin = Origin::replying("ok");
    let directory = tempfile::tempdir().unwrap();
    let admin = directory.path().join("admin.sock");
    let bind = format!("[admin]\nbind = 'unix:{}'\n", admin.display());
    let mut before = first(&origin, "", &bind);
    before.address("web");
    assert!(UnixStream::connect(&admin).is_ok());
    let mut after = before.beside(TAKE_OVER);
    after.address("web");
    assert_eq!(before.wait().code(), Some(0));
    assert!(UnixStream::connect(&admin).is_ok(), "the path is the successor's now");
    after.signal(Signal::TERM);
    after.wait();
    let gone = UnixStream::connect(&admin).map_err(|error| error.kind());
    assert_eq!(gone.err(), Some(ErrorKind::NotFound));
}

/// Requests without a pause over connections that are kept, and over one each, until it is told to stop. Gives
/// how many were answered.
fn load(address: SocketAddr, stop: &Arc<AtomicBool>, kept: bool) -> usize {
    let (mut answered, mut client) = (0, None::<Client>);
    while !stop.load(Ordering::Relaxed) {
        let connected = client.take();
        let mut used = connected.unwrap_or_else(|| Client::connect(address));
        let response = used.get("/");
        assert_eq!((response.status(), &*response.text()), (200, "ok"));
        answered += 1;
        if kept && response.value("connection").is_none() {
            client = Some(used);
        }
    }
    answered
}

#[test]
fn twenty_takeovers_under_load_lose_no_request() {
    let origin = Origin::replying("ok");
    let mut serving = first(&origin, "shutdown-grace = '20s'", "");
    let address = serving.address("web");
    let stop = Arc::<AtomicBool>::default();
    thread::scope(|scope| {
        let loads = [true, true, true, true, false, false].map(|kept| {
            let stop = Arc::clone(&stop);
            scope.spawn(move || load(address, &stop, kept))
        });
        let mut left = Vec::new();
        for _ in 0..20 {
            let mut next = serving.beside(TAKE_OVER);
            assert_eq!(next.address("web"), address);
            serving.wait_for_stderr("leaving");
            left.push(std::mem::replace(&mut serving, next));
        }
        stop.store(true, Ordering::Relaxed);
        let answered: Vec<usize> = loads.into_iter().map(|load| load.join().unwrap()).collect();
        assert!(answered.iter().all(|count| *count > 20), "{answered:?}");
        for mut process in left {
            assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
            assert!(!process.stderr().contains("cut off"), "{}", process.stderr());
        }
    });
    assert_eq!(Client::connect(address).get("/").text(), "ok");
}
