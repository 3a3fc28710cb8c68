//! A process that is about to be replaced: what its successor has seen of what serves stays true.

use std::cell::OnceCell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use tokio::time::Instant;

use super::canary::TOKEN;
use super::{Bridge, stamp, stamped};
use crate::support::{Binary, Client, Signal, eventually, request};

/// Long enough for anything that is not waited for.
const A_WHILE: Duration = Duration::from_millis(300);

const SERVER: &str = "takeover = 'takeover.sock'";

/// A successor that has the sockets, and takes its time.
fn successor(bridge: &Bridge) -> UnixStream {
    let path = bridge.linkspan.file().with_file_name("takeover.sock");
    let mut successor = UnixStream::connect(path).unwrap();
    successor.read_exact(&mut [0]).unwrap();
    successor
}

#[test]
fn a_rollback_is_not_undone_by_a_process_that_takes_over_meanwhile() {
    let mut bridge = Bridge::of(SERVER, "", "");
    let mut client = bridge.linkspan.connect();
    bridge.drop("stamps", &stamped("b"));
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
    let ask = |bridge: &Bridge| {
        let mut admin = Client::connect(bridge.admin);
        admin.send(request("POST", "/api/plugins/one/rollback", &TOKEN, b""));
        assert!(admin.is_quiet_for(A_WHILE), "the successor would not know of it");
        admin
    };

    // It ends before it serves.
    let first = successor(&bridge);
    let mut admin = ask(&bridge);
    assert_eq!(stamp(&client.get("/")), "b");
    drop(first);
    let answer = admin.response_to("POST");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(stamp(&client.get("/")), "a");

    bridge.drop("stamps", &stamped("c"));
    eventually("the next version", || (stamp(&client.get("/")) == "c").then_some(()));
    let mut second = successor(&bridge);
    let mut admin = ask(&bridge);
    second.write_all(b"serves\n").unwrap();
    assert_eq!(admin.response_to("POST").status(), 503);
    assert!(bridge.linkspan.wait().success());
}

#[test]
fn a_version_is_not_withdrawn_from_a_process_that_is_taken_over() {
    let canary = "[plugins.one.canary]\nshare = '50%'\nfor = '1h'";
    let mut bridge = Bridge::of(SERVER, "on-failure = 'skip'", canary);
    let mut client = bridge.linkspan.connect();
    // Traps when it is called.
    bridge.drop("stamps", &stamped("?"));
    eventually("the trial", || bridge.told("one")["trial"].is_object().then_some(()));
    let first = successor(&bridge);
    for _ in 0..50 {
        assert_eq!(client.get("/").status(), 200);
    }
    assert!(client.is_quiet_for(A_WHILE));
    assert_eq!(bridge.candidates("one", "withdrawn"), 0);
    drop(first);
    eventually("the verdict", || (bridge.candidates("one", "withdrawn") == 1).then_some(()));
}

#[test]
fn what_is_compiled_when_a_process_takes_over_does_not_come_to_serve_before_that_ends() {
    let mut bridge = Bridge::of(SERVER, "", "");
    let mut client = bridge.linkspan.connect();
    let first = successor(&bridge);
    bridge.drop("stamps", &stamped("b"));
    assert!(client.is_quiet_for(2 * A_WHILE));
    assert_eq!(stamp(&client.get("/")), "a");
    drop(first);
    eventually("the new version", || (stamp(&client.get("/")) == "b").then_some(()));
}

#[test]
fn half_a_configuration_is_not_taken_where_reading_it_has_to_wait() {
    // Who writes is held up at times on a busy machine, and half a file may be taken for a whole one then.
    for _ in 0..20 {
        let mut bridge = Bridge::of(SERVER, "", "");
        let mut client = bridge.linkspan.connect();
        let file = bridge.linkspan.file();
        let toml = fs::read_to_string(&file).unwrap();
        let half = format!("{toml}\n[clusters.half]\nendpoints = []\n");
        let first = successor(&bridge);
        bridge.linkspan.signal(Signal::HUP);
        assert!(client.is_quiet_for(A_WHILE), "nobody writes to files, as is seen meanwhile");
        let begun = Instant::now();
        fs::write(&file, &half).unwrap();
        drop(first);
        bridge.linkspan.wait_for_stderr("who was to take over has ended");
        fs::write(&file, format!("{half}\n[clusters.whole]\nendpoints = []\n")).unwrap();
        if begun.elapsed() > Duration::from_millis(100) {
            continue;
        }
        eventually("it", || bridge.ask("/api/clusters").contains("\"whole\"").then_some(()));
        bridge.linkspan.wait_for_stderr("configuration taken");
        assert_eq!(bridge.linkspan.stderr().matches("configuration taken").count(), 1);
        return;
    }
    panic!("this machine has no time to write a file");
}

#[test]
fn a_configuration_that_changes_while_a_process_waits_for_its_sockets_is_taken() {
    let toml = "[server]\ntakeover = 'takeover.sock'\n[listeners.web]\nbind = '127.0.0.1:0'\n";
    let before = OnceCell::new();
    let mut linkspan = Binary::prepared(toml, &[], &["run", "--takeover"], |plugins| {
        let path = plugins.with_file_name("takeover.sock");
        before.set(UnixListener::bind(path).unwrap()).unwrap();
    });
    let (mut before, _) = before.get().unwrap().accept().unwrap();
    fs::write(linkspan.file(), format!("{toml}[listeners.more]\nbind = '127.0.0.1:0'\n")).unwrap();
    before.write_all(b"{\"form\":1,\"version\":\"0\",\"sockets\":[],\"more\":false}\n").unwrap();
    // It begins with what it has read, and then is where it should be.
    linkspan.address("more");
}
