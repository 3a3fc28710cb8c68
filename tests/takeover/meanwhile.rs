//! What goes on while one process is to replace another.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

use super::{TAKE_OVER, asks, first};
use crate::loading::caching::long;
use crate::support::{Binary, Client, Origin, PATIENCE, Signal, eventually};

const MORE: &str = "\n[listeners.more]\nbind = '127.0.0.1:0'\n";

/// A process before that has no sockets to give, and does as the test says.
pub(crate) struct Predecessor {
    listener: UnixListener,
    directory: tempfile::TempDir,
}

impl Predecessor {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, directory }
    }

    /// The configuration of its successor.
    pub(crate) fn config(&self) -> String {
        let path = self.directory.path().join("socket");
        format!(
            "[server]\nworkers = 1\ntakeover = '{}'\n[listeners.web]\nbind = '127.0.0.1:0'\n",
            path.display()
        )
    }

    /// Waits until the successor asks.
    #[track_caller]
    pub(crate) fn asked(&self) -> UnixStream {
        let (stream, _) = eventually("the successor", || self.listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// Gives a successor no sockets, and waits until it says that it serves.
#[track_caller]
pub(crate) fn hand_over_nothing(successor: &mut UnixStream) {
    let line = b"{\"form\":1,\"version\":\"0.0.0\",\"sockets\":[],\"more\":false}\n";
    successor.write_all(line).unwrap();
    let mut said = [0; 7];
    successor.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"serves\n");
}

#[test]
fn what_changes_while_a_successor_starts_waits_for_it() {
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "", "");
    let address = before.address("web");
    let successor = asks(&before);
    let config = fs::read_to_string(before.file()).unwrap();
    fs::write(before.file(), config + MORE).unwrap();
    before.signal(Signal::HUP);
    before.wait_for_stderr("is read again if the process that is to take over ends");
    assert_eq!(Client::connect(address).get("/").text(), "ok");
    assert!(!before.stdout().contains("(more)"), "another process may want to listen there");
    drop(successor);
    before.wait_for_stdout("(more)");
}

#[test]
fn a_configuration_that_is_being_made_ready_is_not_in_the_way_of_a_successor() {
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "plugin-dir = 'plugins.d'", "");
    let address = before.address("web");
    let admin = before.file().with_file_name("admin.sock");
    let config = fs::read_to_string(before.file()).unwrap();
    // Its component takes minutes to compile, while the administrator's new socket is there.
    let config = config.replace("[listeners.web]", "[listeners.web]\nrouters = ['long']");
    let long = long(150);
    fs::write(before.file().with_file_name("plugins.d").join("long.wasm"), long).unwrap();
    let bind = format!("\n[admin]\nbind = 'unix:{}'\n", admin.display());
    fs::write(before.file(), config + &bind).unwrap();
    let is_there = || admin.exists().then_some(());
    eventually("the new socket", is_there);
    let successor = asks(&before);
    eventually("it to be let go", || (!admin.exists()).then_some(()));
    assert_eq!(Client::connect(address).get("/").text(), "ok");
    drop(successor);
    eventually("it to be made again", is_there);
    assert!(before.is_running());
}

#[test]
fn what_changes_before_the_sockets_are_there_is_served_by_the_successor() {
    let before = Predecessor::new();
    let config = before.config();
    let mut after = Binary::with(&config, &[], TAKE_OVER);
    // It has read its configuration by now.
    let mut successor = before.asked();
    fs::write(after.file(), config + MORE).unwrap();
    hand_over_nothing(&mut successor);
    drop((successor, before));
    assert_eq!(after.connect().get("/").status(), 404);
    after.wait_for_stdout("(more)");
}

#[test]
fn two_that_would_take_over_do_not_both() {
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "", "");
    let address = before.address("web");
    let one = asks(&before);
    let mut other = before.beside(TAKE_OVER);
    assert_eq!(other.wait().code(), Some(1));
    let said = other.stderr();
    assert!(said.contains("cannot be taken over: it does not answer within 10s"), "{said}");
    drop(one);
    let mut third = before.beside(TAKE_OVER);
    assert_eq!(third.address("web"), address);
    assert_eq!(before.wait().code(), Some(0));
}

#[test]
fn a_process_that_leaves_meanwhile_leaves_its_sockets_to_the_successor() {
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "", "");
    let address = before.address("web");
    let mut after = before.beside(TAKE_OVER);
    before.wait_for_stderr("another process asks to take over");
    before.signal(Signal::TERM);
    assert_eq!(before.wait().code(), Some(0));
    assert_eq!(after.address("web"), address);
    assert_eq!(Client::connect(address).get("/").text(), "ok");
}
