//! What goes through a stream once it is joined.

use std::io::Write as _;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use super::{
    all_closed, answer, echo, errors, events, mirror, next, reason, routed, tcp, text, toml,
};
use crate::support::{Binary, Client, Origin, Proxy, eventually};

/// A listener without a router in front of a cluster of one.
fn plain(origin: &Origin, listener: &str, cluster: &str) -> Proxy {
    Proxy::start(&format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\ndefault-cluster = 'main'\n\
         {listener}\n[clusters.main]\nendpoints = ['{}']\n{cluster}\n",
        origin.address()
    ))
}

fn pattern(length: u32) -> Vec<u8> {
    (0..length).map(|place| place.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

#[test]
fn without_a_router_everything_goes_to_the_default_cluster_at_once() {
    let origin = Origin::scripted(|peer| {
        peer.send("hello ");
        let asked = peer.some();
        peer.send(asked);
    });
    let proxy = plain(&origin, "", "");
    let mut client = proxy.connect();
    assert_eq!(next(&mut client, 6), "hello ");
    client.send("you");
    assert_eq!(text(client.rest()), "you");
    drop(client);
    let line = &proxy.access(1)[0];
    assert_eq!((&line["cluster"], &line["error"]), (&"main".into(), &serde_json::Value::Null));
    assert_eq!((&line["bytes_up"], &line["bytes_down"]), (&3.into(), &9.into()));
    let bytes = |direction| {
        proxy.counter("linkspan_stream_bytes", &[("listener", "web"), ("direction", direction)])
    };
    assert_eq!((bytes("up"), bytes("down")), (3, 9));
    assert_eq!(proxy.counter("linkspan_streams", &[("listener", "web")]), 1);
    all_closed(&proxy);
}

#[test]
fn a_side_that_has_no_more_to_say_still_gets_what_the_other_says() {
    let origin = Origin::scripted(|peer| {
        let asked = peer.rest();
        peer.send(asked);
    });
    let proxy = plain(&origin, "", "");
    let mut client = proxy.connect();
    client.send("question");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(text(client.rest()), "question");
    assert_eq!(reason(&proxy, 1), "");
}

#[test]
fn megabytes_arrive_as_they_were_sent_in_both_directions() {
    let origin = mirror();
    let proxy = plain(&origin, "", "");
    let sent = pattern(24 << 20);
    let mut client = proxy.connect();
    let mut writer = client.stream().try_clone().unwrap();
    let of_thread = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&of_thread).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let back = client.rest();
    writing.join().unwrap();
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
}

#[test]
fn streams_that_have_moved_much_hold_no_pipes_when_they_are_idle() {
    const EACH: usize = 4 << 20;
    let origin = mirror();
    let mut binary = Binary::serve(&format!(
        "[server]\nworkers = 1\n[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\n\
         default-cluster = 'main'\n[clusters.main]\nendpoints = ['{}']\n",
        origin.address()
    ));
    binary.wait_for_stdout("listening on tcp://");
    let before = binary.pipe_ends();
    let streams: Vec<_> = (0..20)
        .map(|_| {
            let mut client = binary.connect();
            let mut writer = client.stream().try_clone().unwrap();
            let sending = thread::spawn(move || writer.write_all(&vec![b'x'; EACH]).unwrap());
            client.skip(EACH).unwrap();
            sending.join().unwrap();
            client
        })
        .collect();
    // What is kept for the next to need one are a few.
    let few = || binary.pipe_ends() <= before + 16;
    eventually("the pipes to be let go", || few().then_some(()));
    drop(streams);
}

#[test]
fn a_slow_reader_is_waited_for_and_holds_nobody_up() {
    let data = pattern(32 << 20);
    let all = data.clone();
    let origin = Origin::scripted(move |peer| {
        if peer.some() == b"all" {
            let _ = peer.write(&all);
        } else {
            peer.send("quick");
        }
    });
    let proxy = plain(&origin, "", "");
    let mut slow = Client::small(proxy.address("web"));
    slow.send("all");
    let down = || proxy.counter("linkspan_stream_bytes", &[("direction", "down")]);
    eventually("the beginning", || (down() > 0).then_some(()));
    for _ in 0..3 {
        let mut quick = proxy.connect();
        quick.send("x");
        assert_eq!(text(quick.rest()), "quick");
    }
    assert!(down() < data.len() as u64, "what nobody reads stays where it is");
    assert!(slow.rest() == data);
}

#[test]
fn a_stream_in_which_nothing_moves_is_cut_off() {
    let origin = mirror();
    let proxy = plain(&origin, "idle-timeout = '300ms'", "");
    let mut client = proxy.connect();
    client.send("x");
    assert_eq!(next(&mut client, 1), "x");
    assert!(client.skip(1).is_err());
    let why = "nothing went through the stream for idle-timeout = 300ms of listener web";
    assert_eq!(reason(&proxy, 1), why);
    assert_eq!(errors(&proxy, "idle"), 1);
}

#[test]
fn a_proxy_that_leaves_waits_for_streams_as_long_as_it_may() {
    let origin = mirror();
    let proxy = plain(&origin, "", "");
    let mut client = proxy.connect();
    client.send("1");
    assert_eq!(next(&mut client, 1), "1");
    let done = proxy.shut_down(None);
    client.send("2");
    assert_eq!(next(&mut client, 1), "2");
    drop(client);
    assert!(done.recv().unwrap(), "nothing was cut off");

    let proxy = plain(&origin, "", "");
    let mut client = proxy.connect();
    client.send("1");
    assert_eq!(next(&mut client, 1), "1");
    assert!(!proxy.shut_down(Some(Duration::from_millis(50))).recv().unwrap());
    assert!(client.skip(1).is_err());
    assert_eq!(reason(&proxy, 1), "cut off at shutdown, after 1 bytes for the client");
}

#[test]
fn a_reload_leaves_streams_alone() {
    let (one, other) = (mirror(), echo());
    let mut proxy = plain(&one, "", "");
    let mut client = proxy.connect();
    client.send("1");
    assert_eq!(next(&mut client, 1), "1");
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{}']\n",
        other.address()
    );
    proxy.reload(&toml).unwrap();
    client.send("2");
    assert_eq!(next(&mut client, 1), "2");
    let mut new = proxy.connect();
    new.send("x");
    assert_eq!(text(new.rest()), format!("{}:x", other.address().port()));
}

#[test]
fn a_connection_sees_one_version_of_its_router() {
    let (one, other) = (echo(), echo());
    let rules = |origin: &Origin| {
        format!("rules = [{{ begins = '12', to = ['{}'] }}]", tcp(origin.address()))
    };
    let mut proxy = routed(&rules(&one), "", "");
    let mut client = proxy.connect();
    client.send("1");
    eventually("the router to be asked", || (events(&proxy, "decided") == 2).then_some(()));
    proxy.reload(&toml(&rules(&other), "", "")).unwrap();
    assert_eq!(answer(&proxy, "12"), format!("{}:12", other.address().port()));
    client.send("2");
    assert_eq!(text(client.rest()), format!("{}:12", one.address().port()));
}

#[test]
fn upstreams_are_told_whose_connection_it_is_if_they_are_to_be() {
    let origin = Origin::scripted(|peer| {
        let line = peer.line().unwrap();
        peer.send(line);
    });
    let proxy = plain(&origin, "", "proxy-protocol = 'v1'");
    let mut client = proxy.connect();
    let own = client.stream().local_addr().unwrap();
    client.send("x");
    let told = text(client.rest());
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} ", own.port());
    assert!(told.starts_with(&expected), "{told}");
}
