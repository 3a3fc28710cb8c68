//! Who has no business at the path, or says something else than is understood there: nothing changes.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::geteuid;

use super::meanwhile::Predecessor;
use super::{TAKE_OVER, asks, first, path};
use crate::support::{Binary, Client, Origin, eventually};

#[test]
fn another_user_is_turned_away_whatever_the_rights_of_the_path() {
    // Nobody else can be somebody else.
    if !geteuid().is_root() {
        return;
    }
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "", "");
    let address = before.address("web");
    let path = path(&before);
    fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    stranger.args(["curl", "--silent", "--max-time", "60", "--unix-socket"]).arg(&path);
    let output = stranger.arg("http://linkspan/").output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    before.wait_for_stderr(
        "who would take over is turned away: it belongs to the user with the id 65534",
    );
    assert!(!before.stderr().contains("another process asks to take over"));
    assert_eq!(Client::connect(address).get("/").text(), "ok");
    let mut after = before.beside(TAKE_OVER);
    assert_eq!(after.address("web"), address);
    assert_eq!(before.wait().code(), Some(0));
}

#[test]
fn a_successor_that_is_not_understood_changes_nothing() {
    let origin = Origin::replying("ok");
    let mut before = first(&origin, "", "");
    let address = before.address("web");
    for said in [&b"serves\nserves\n"[..], b"nonsense\n", &[0xff; 100_000]] {
        let told = before.stderr().matches("is not understood").count();
        let mut successor = asks(&before);
        // It may be turned away before it has said all.
        let _ = successor.write_all(said);
        eventually("it to be turned away", || {
            (before.stderr().matches("is not understood").count() > told).then_some(())
        });
        let _ = successor.read_to_end(&mut Vec::new());
        assert_eq!(Client::connect(address).get("/").text(), "ok");
    }
    let mut after = before.beside(TAKE_OVER);
    assert_eq!(after.address("web"), address);
    assert_eq!(before.wait().code(), Some(0));
}

#[test]
fn a_process_before_that_is_not_understood_is_not_replaced() {
    for (said, why) in [
        (
            "{\"form\":2,\"version\":\"9.9.9\",\"sockets\":[],\"more\":false}\n".to_owned(),
            "version 9.9.9 hands over in another form",
        ),
        (
            "{\"form\":1,\"version\":\"0.0.1\",\"sockets\":[\"a\"],\"more\":false}\n".to_owned(),
            "version 0.0.1 hands over in another form",
        ),
        ("nonsense\n".to_owned(), "expected"),
        ("x".repeat(100_000), "more came than may"),
        (String::new(), "cannot be taken over"),
    ] {
        let before = Predecessor::new();
        let mut after = Binary::with(&before.config(), &[], TAKE_OVER);
        let mut successor = before.asked();
        // It may have seen enough before it has all.
        let _ = successor.write_all(said.as_bytes());
        drop(successor);
        assert_eq!(after.wait().code(), Some(1));
        let told = after.stderr();
        assert!(told.contains("cannot be taken over") && told.contains(why), "{told}");
        assert_eq!(after.stdout(), "", "it listens nowhere");
    }
}

#[test]
fn more_sockets_than_one_message_holds_are_handed_over_all() {
    const SOCKETS: usize = 150;
    let origin = Origin::replying("ok");
    let name = |number: usize| {
        format!("one-of-a-lot-of-listeners-with-names-that-are-rather-long-{number}")
    };
    let mut more = String::new();
    for number in 0..SOCKETS {
        let name = name(number);
        writeln!(more, "[listeners.{name}]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'")
            .unwrap();
    }
    let mut before = first(&origin, "", &more);
    let addresses: Vec<_> = (0..SOCKETS).map(|number| before.address(&name(number))).collect();
    let mut after = before.beside(TAKE_OVER);
    for (number, address) in addresses.iter().enumerate() {
        assert_eq!(after.address(&name(number)), *address, "{}", after.stderr());
    }
    assert_eq!(before.wait().code(), Some(0));
    for address in addresses.iter().step_by(50) {
        assert_eq!(Client::connect(*address).get("/").text(), "ok");
    }
}
