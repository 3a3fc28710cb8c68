//! Another configuration while serving: all of it takes effect at once, or nothing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::support::{
    Binary, Client, Down, Origin, PATIENCE, Proxy, Signal, eventually, one_cluster, reply, request,
};

fn to(origin: &Origin) -> String {
    one_cluster(&[origin.address()], "", "")
}

/// An origin that answers when it is told to.
fn patient() -> (Origin, mpsc::Sender<()>) {
    let (go_on, going) = mpsc::channel();
    let going = Mutex::new(going);
    let origin = Origin::answering(move |_| {
        going.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        reply(200, &[], "patient")
    });
    (origin, go_on)
}

#[test]
fn requests_that_begin_after_it_see_the_new_configuration() {
    let (old, new) = (Origin::replying("old"), Origin::replying("new"));
    let mut proxy = Proxy::start(&to(&old));
    let address = proxy.address("web");
    let mut client = proxy.connect();
    assert_eq!(client.get("/").text(), "old");
    proxy.reload(&to(&new)).unwrap();
    assert_eq!(client.get("/").text(), "new", "over a connection that was there before");
    assert_eq!(proxy.get("/").text(), "new");
    assert_eq!(proxy.address("web"), address, "the listener has not moved");
    eventually("the old one's connections to be closed", || {
        (old.open_connections() == 0).then_some(())
    });
}

#[test]
fn an_open_request_ends_under_the_configuration_that_it_began_with() {
    let (old, go_on) = patient();
    let new = Origin::replying("new");
    let stamped = |origin: &Origin, value: &str| {
        format!(
            "{}[plugins.stamp]\ncomponent = 'headers'\n\
             [plugins.stamp.config.response.set]\nx-version = '{value}'\n",
            one_cluster(&[origin.address()], "rewriters = ['stamp']", "")
        )
    };
    let mut proxy = Proxy::start(&stamped(&old, "one"));
    let mut client = proxy.connect();
    client.send(request("GET", "/", &[], b""));
    old.wait_for(1);
    proxy.reload(&stamped(&new, "two")).unwrap();
    assert_eq!(proxy.get("/").value("x-version"), Some("two"));
    go_on.send(()).unwrap();
    let response = client.response();
    assert_eq!((response.text().as_str(), response.value("x-version")), ("patient", Some("one")));
    let response = client.get("/");
    assert_eq!((response.text().as_str(), response.value("x-version")), ("new", Some("two")));
}

#[test]
fn a_configuration_with_faults_changes_nothing() {
    let origin = Origin::replying("old");
    let good = to(&origin);
    let mut proxy = Proxy::start(&good);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (address, taken)).unwrap();
    let refused = [
        ("what is this".to_owned(), ""),
        (good.replace("default-cluster = \"main\"", "default-cluster = \"mian\""), "mian"),
        (format!("{good}balancer = 'headers'"), "headers"),
        (format!("{good}balancer = 'absent'"), "absent"),
        (
            format!(
                "{good}rewriters = ['bad']\n[plugins.bad]\ncomponent = 'headers'\n\
                 config = {{ request = {{ set = {{ 'a b' = '1' }} }} }}"
            ),
            "a b",
        ),
        (
            format!("{good}[listeners.second]\nbind = '{}'\n", taken.0),
            taken.0.to_string().leak() as &str,
        ),
    ];
    for (config, expected) in refused {
        let said = proxy.reload(&config).unwrap_err();
        assert!(said.contains(expected), "{expected:?} is not in {said}");
        assert_eq!(proxy.get("/").text(), "old");
    }
    proxy.reload(&good).unwrap();
}

#[test]
fn listeners_come_and_go() {
    let origin = Origin::replying("ok");
    let one = to(&origin);
    let two = format!("{one}[listeners.extra]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n");
    let mut proxy = Proxy::start(&one);
    let web = proxy.address("web");
    proxy.reload(&two).unwrap();
    assert_eq!(proxy.address("web"), web);
    let extra = proxy.address("extra");
    let mut client = Client::connect(extra);
    assert_eq!(client.get("/").text(), "ok");
    proxy.reload(&one).unwrap();
    eventually("the port to be closed", || TcpStream::connect(extra).is_err().then_some(()));
    client.expect_closed();
    assert_eq!(proxy.get("/").text(), "ok");
}

#[test]
fn a_balancer_that_has_not_changed_keeps_its_place() {
    let origins = ["a", "b", "c"].map(Origin::replying);
    let endpoints: Vec<SocketAddr> = origins.iter().map(Origin::address).collect();
    let config = |listener: &str| one_cluster(&endpoints, listener, "balancer = 'round-robin'");
    let mut proxy = Proxy::start(&config(""));
    assert_eq!(proxy.get("/").text(), "a");
    proxy.reload(&config("max-headers = 50")).unwrap();
    assert_eq!(proxy.get("/").text(), "b");
    proxy.reload(&config("max-headers = 60")).unwrap();
    assert_eq!(proxy.get("/").text(), "c");
}

#[test]
fn what_is_known_of_an_endpoint_outlives_a_reload() {
    let down = Down::new();
    let alive = Origin::replying("alive");
    let config = |listener: &str| {
        let cluster = "balancer = 'first-alive'\nhealth = { attempts = 1, offline = '1h' }";
        one_cluster(&[down.address(), alive.address()], listener, cluster)
    };
    let mut proxy = Proxy::start(&config(""));
    assert_eq!(proxy.get("/").text(), "alive");
    proxy.reload(&config("max-headers = 50")).unwrap();
    assert_eq!(proxy.get("/").text(), "alive");
    let attempts: Vec<_> = proxy.access(2).iter().map(|line| line["attempts"].clone()).collect();
    assert_eq!(attempts, [2, 1], "the first is still known to be down");
    assert_eq!(alive.connections(), 1, "and the connection to the second is still used");
}

#[test]
fn new_limits_hold_for_the_listener_that_is_there() {
    let origin = Origin::echo();
    let config = |listener: &str| one_cluster(&[origin.address()], listener, "");
    let mut proxy = Proxy::start(&config("max-body-bytes = '10B'\nmax-connections = 1"));
    let mut client = proxy.connect();
    assert_eq!(client.ask("POST", "/", &[], b"0123456789").status(), 200);
    proxy.reload(&config("max-body-bytes = '20B'\nmax-connections = 2")).unwrap();
    assert_eq!(client.ask("POST", "/", &[], b"0123456789abc").status(), 200);
    assert_eq!(proxy.get("/").status(), 200, "a second connection");
    proxy.reload(&config("max-body-bytes = '5B'")).unwrap();
    assert_eq!(client.ask("POST", "/", &[], b"0123456789").status(), 413);
}

#[test]
fn a_component_that_was_put_into_the_plugin_directory_can_be_used() {
    let origin = Origin::replying("ok");
    let config = |rewriters: &str| one_cluster(&[origin.address()], rewriters, "");
    let plugin = "[plugins.guest]\ncomponent = 'misbehave'\nconfig = { at = 'on-response' }\n";
    let new = format!("{}{plugin}", config("rewriters = ['guest']"));
    let mut proxy = Proxy::start(&config(""));
    let said = proxy.reload(&new).unwrap_err();
    assert!(said.contains("misbehave"), "{said}");
    proxy.add_plugin("misbehave");
    proxy.reload(&new).unwrap();
    assert_eq!(proxy.get("/").value("x-misbehave"), Some("ok"));
}

#[test]
fn reloads_during_traffic_cost_no_request() {
    let origins = ["a", "b"].map(Origin::replying);
    let config = |turn: usize| {
        let plugin = format!(
            "[plugins.stamp]\ncomponent = 'headers'\n\
             [plugins.stamp.config.response.set]\nx-turn = '{turn}'\n[server]\nworkers = 2\n"
        );
        let endpoint = origins[turn % 2].address();
        format!("{}{plugin}", one_cluster(&[endpoint], "rewriters = ['stamp']", ""))
    };
    let mut proxy = Proxy::start(&config(0));
    let web = proxy.address("web");
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::connect(web);
                while !over.load(Ordering::SeqCst) {
                    let response = client.get("/");
                    let turn = response.value("x-turn").unwrap_or_else(|| panic!("{response:?}"));
                    let turn: usize = turn.parse().unwrap();
                    assert_eq!(response.text(), ["a", "b"][turn % 2], "half of each world");
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for turn in 1..=20 {
            proxy.reload(&config(turn)).unwrap();
            let before = served.load(Ordering::SeqCst);
            eventually("more requests", || (served.load(Ordering::SeqCst) > before).then_some(()));
        }
        over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn hup_reads_the_file_again_and_a_bad_one_is_reported() {
    let (old, new) = (Origin::replying("old"), Origin::replying("new"));
    let mut proxy = Binary::serve(&to(&old));
    let mut client = proxy.connect();
    assert_eq!(client.get("/").text(), "old");

    std::fs::write(proxy.file(), "[listeners.web]\nbnid = 1\n").unwrap();
    proxy.signal(Signal::HUP);
    proxy.wait_for_stderr("bnid");
    proxy.wait_for_stderr("not taken");
    assert_eq!(client.get("/").text(), "old");

    std::fs::write(proxy.file(), to(&new)).unwrap();
    proxy.signal(Signal::HUP);
    proxy.wait_for_stderr("configuration taken");
    assert_eq!(client.get("/").text(), "new");
    assert!(proxy.is_running());
}
