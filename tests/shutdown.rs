//! Beginning and end of the process: what it prints, whom it waits for, and its exit code.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::{
    Binary, Client, Origin, PATIENCE, Proxy, Signal, eventually, one_cluster, reply, request,
};

/// An origin that answers when it is told to, in two halves.
pub(crate) fn patient() -> (Origin, mpsc::Sender<()>) {
    let (go_on, going) = mpsc::channel();
    let going = Mutex::new(going);
    let origin = Origin::scripted(move |peer| {
        while let Some(request) = peer.request() {
            if request.target() == "/quick" {
                peer.send(reply(200, &[], "quick"));
                continue;
            }
            let go_on = || going.lock().unwrap().recv_timeout(PATIENCE).is_ok();
            if !go_on() || peer.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").is_err() {
                return;
            }
            if !go_on() || peer.write("lf").is_err() {
                return;
            }
        }
    });
    (origin, go_on)
}

/// A proxy with one open request, and the client that waits for it.
fn busy(origin: &Origin, server: &str) -> (Binary, Client) {
    let config = one_cluster(&[origin.address()], "", "");
    let mut proxy = Binary::serve(&format!("{config}[server]\n{server}\n"));
    let mut client = proxy.connect();
    client.send(request("GET", "/slow", &[], b""));
    origin.wait_for(1);
    (proxy, client)
}

#[track_caller]
pub(crate) fn expect_refused(address: SocketAddr) {
    eventually("connections to be refused", || TcpStream::connect(address).is_err().then_some(()));
}

#[test]
fn term_and_int_let_the_open_request_finish() {
    for signal in [Signal::TERM, Signal::INT] {
        let (origin, go_on) = patient();
        let (mut proxy, mut client) = busy(&origin, "shutdown-grace = '1m'");
        let address = proxy.address("web");
        let mut idle = proxy.connect();
        assert_eq!(idle.get("/quick").text(), "quick");
        let mut fresh = proxy.connect();

        proxy.signal(signal);
        expect_refused(address);
        idle.expect_closed();
        fresh.expect_closed();
        assert!(proxy.is_running());
        go_on.send(()).unwrap();
        assert_eq!(client.response_head().status(), 200);
        go_on.send(()).unwrap();
        let mut body = Vec::new();
        client.take(4, &mut body).unwrap();
        assert_eq!(body, b"half");
        client.expect_closed();
        assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.stderr());
    }
}

#[test]
fn a_connection_ends_after_the_answer_that_was_open() {
    let (origin, go_on) = patient();
    let (proxy, mut client) = busy(&origin, "");
    proxy.signal(Signal::TERM);
    proxy.wait_for_stderr("leaving");
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    let response = client.response();
    assert_eq!(response.text(), "half");
    client.expect_closed();
}

#[test]
fn term_cuts_off_after_the_grace_period() {
    let (origin, _go_on) = patient();
    let (mut proxy, mut client) = busy(&origin, "shutdown-grace = '200ms'");
    proxy.signal(Signal::TERM);
    client.expect_closed();
    assert_eq!(proxy.wait().code(), Some(0), "it left as it was told to");
    let said = proxy.stderr();
    assert!(
        said.contains("connections were cut off") && said.contains("\"connections\":1"),
        "{said}"
    );
}

#[test]
fn a_second_int_or_term_cuts_off_at_once() {
    for (first, second) in [(Signal::INT, Signal::INT), (Signal::TERM, Signal::INT)] {
        let (origin, _go_on) = patient();
        let (mut proxy, mut client) = busy(&origin, "shutdown-grace = '1h'");
        proxy.signal(first);
        proxy.wait_for_stderr("leaving");
        assert!(proxy.is_running());
        proxy.signal(second);
        client.expect_closed();
        assert_eq!(proxy.wait().code(), Some(0));
        assert!(proxy.stderr().contains("connections were cut off"), "{}", proxy.stderr());
    }
}

#[test]
fn term_after_quit_waits_for_the_grace_and_no_longer() {
    let (origin, _go_on) = patient();
    let (mut proxy, mut client) = busy(&origin, "shutdown-grace = '200ms'");
    proxy.signal(Signal::QUIT);
    proxy.wait_for_stderr("leaving");
    assert!(client.is_quiet_for(Duration::from_millis(400)), "longer than the grace");
    proxy.signal(Signal::TERM);
    client.expect_closed();
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn while_it_leaves_files_are_reopened_and_nothing_is_taken() {
    let (origin, go_on) = patient();
    let directory = tempfile::tempdir().unwrap();
    let (file, moved) = (directory.path().join("own.log"), directory.path().join("moved"));
    let server = format!("shutdown-grace = '1m'\n[log]\nfile = '{}'", file.display());
    let (mut proxy, mut client) = busy(&origin, &server);
    let says = |what: &str| fs::read_to_string(&file).is_ok_and(|text| text.contains(what));
    proxy.signal(Signal::TERM);
    eventually("it to leave", || says("leaving").then_some(()));
    fs::rename(&file, &moved).unwrap();
    proxy.signal(Signal::USR1);
    eventually("the file to be made anew", || file.exists().then_some(()));
    proxy.signal(Signal::HUP);
    eventually("the reload to be refused", || says("nothing is taken any more").then_some(()));
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    assert_eq!(client.response().text(), "half");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn quit_waits_without_limit() {
    let (origin, go_on) = patient();
    let (mut proxy, mut client) = busy(&origin, "shutdown-grace = '100ms'");
    let address = proxy.address("web");
    proxy.signal(Signal::QUIT);
    expect_refused(address);
    assert!(client.is_quiet_for(Duration::from_millis(400)), "longer than the grace");
    assert!(proxy.is_running());
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    assert_eq!(client.response().text(), "half");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn the_last_lines_of_the_access_log_are_written() {
    let origin = Origin::replying("ok");
    let mut proxy = Binary::serve(&one_cluster(&[origin.address()], "", ""));
    assert_eq!(proxy.connect().get("/last").text(), "ok");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(proxy.stderr().contains("\"target\":\"/last\""), "{}", proxy.stderr());
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut proxy = Binary::serve(&format!(
        "[listeners.first]\nbind = '127.0.0.1:0'\n[listeners.web]\nbind = '{address}'\n"
    ));
    assert_eq!(proxy.wait().code(), Some(1));
    let said = proxy.stderr();
    assert!(said.contains(&address.to_string()) && said.contains("web"), "{said}");
    assert_eq!(proxy.stdout(), "", "it says not to listen anywhere");
}

#[test]
fn a_configuration_with_faults_ends_it_with_all_of_them() {
    let mut proxy = Binary::serve("[listeners.web]\nbind = '1.2.3'\n[cluster.main]\n");
    assert_eq!(proxy.wait().code(), Some(1));
    let said = proxy.stderr();
    assert!(said.contains("1.2.3") && said.contains("cluster"), "{said}");
    assert!(said.contains("linkspan.toml"), "{said}");
}

#[test]
fn without_a_configuration_it_says_where_it_has_looked() {
    let mut proxy = Binary::run(&[]);
    assert_eq!(proxy.wait().code(), Some(1));
    let said = proxy.stderr();
    assert!(said.contains("-c FILE") && said.contains("/etc/linkspan/linkspan.toml"), "{said}");
}

#[test]
fn each_listener_is_announced_with_its_bound_address() {
    let config = "[listeners.web]\nbind = '127.0.0.1:0'\n[listeners.more]\nbind = '[::1]:0'\n";
    let mut proxy = Binary::serve(config);
    let (web, more) = (proxy.address("web"), proxy.address("more"));
    assert!(web.port() != 0 && more.port() != 0 && more.is_ipv6());
    assert_eq!(Client::connect(more).get("/").status(), 404);
    assert_eq!(proxy.stdout().lines().count(), 2);
}

#[test]
fn host_and_port_of_the_command_line_go_before_the_file() {
    let config = "[listeners.web]\nbind = '127.0.0.1:1'\n";
    let mut proxy =
        Binary::with(config, &[], &["-c", "linkspan.toml", "-h", "127.0.0.2", "-p", "0"]);
    let address = proxy.address("web");
    assert_eq!(address.ip().to_string(), "127.0.0.2");
    assert_ne!(address.port(), 1);
    assert_eq!(Client::connect(address).get("/").status(), 404);
}

#[test]
fn a_proxy_in_this_process_drains_too() {
    let (origin, go_on) = patient();
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send(request("GET", "/slow", &[], b""));
    origin.wait_for(1);
    let done = proxy.shut_down(None);
    expect_refused(proxy.address("web"));
    assert!(done.try_recv().is_err());
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    assert_eq!(client.response().text(), "half");
    assert!(done.recv_timeout(PATIENCE).unwrap(), "nothing was cut off");
}

#[test]
fn a_response_of_no_length_that_is_cut_off_at_shutdown_ends_in_a_reset() {
    let origin = Origin::scripted(|peer| {
        let _ = peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\nhello");
        peer.hang();
    });
    let proxy = Proxy::start(&one_cluster(&[origin.address()], "", ""));
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: test\r\n\r\n");
    assert_eq!(client.response_head().status(), 200);
    assert!(!proxy.shut_down(Some(Duration::ZERO)).recv().unwrap());
    let end = client.stream().read_to_end(&mut Vec::new());
    assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
}
