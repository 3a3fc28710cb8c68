//! What happens when nobody is left, and when somebody comes back.

use super::{about, answers, proxy, set, toml, wait_for_state};
use crate::support::{Down, Origin, Proxy, eventually, reply};

const ONCE: &str = "health = { attempts = 1, offline = '1h' }";

#[test]
fn a_cluster_that_is_wholly_down_is_tried_on_every_request_unless_that_is_turned_off() {
    for (recovery, expected) in [("", ["503", "a"]), ("force-recovery = false", ["503", "503"])] {
        let (a, b) = (Down::new(), Down::new());
        let endpoints = [a.address(), b.address()];
        let proxy = proxy(&endpoints, &format!("balancer = 'first-alive'\n{ONCE}\n{recovery}"));
        let first = answers(&proxy, 1).remove(0);
        let _a = a.up(|peer| peer.answer(|_| reply(200, &[], "a")));
        assert_eq!([first.as_str(), &answers(&proxy, 1)[0]], expected);
        let attempts = proxy.counter("linkspan_upstream_attempts", &[("cluster", "main")]);
        assert_eq!(attempts, if recovery.is_empty() { 3 } else { 2 });
    }
}

/// Weights of a tenth, a whole and so on are told by what the smooth order makes of them.
#[test]
fn an_endpoint_that_comes_back_gets_a_tenth_of_its_share_at_first() {
    let (a, b) = (Down::new(), Origin::replying("b"));
    let address = a.address();
    let endpoints = [address, b.address()];
    let cluster = "balancer = 'by-requests'\nslow-start = '1d'\n\
                   health = { attempts = 1, offline = '1ms' }";
    let proxy = proxy(&endpoints, cluster);
    assert_eq!(answers(&proxy, 3), ["b", "b", "b"]);
    let revived = a.up(|peer| peer.answer(|_| reply(200, &[], "a")));
    eventually("the probe", || answers(&proxy, 1).contains(&"a".into()).then_some(()));
    // What it was owed by its whole weight is paid first.
    answers(&proxy, 22);
    let before = revived.hits();
    assert_eq!(answers(&proxy, 22).iter().filter(|name| *name == "a").count(), 2);
    assert_eq!(revived.hits() - before, 2);
    assert_eq!(about(&proxy, address)["weight"], 0.1);
}

#[test]
fn an_endpoint_that_a_reload_brings_starts_slowly_and_one_that_was_there_does_not() {
    let (a, b) = (Origin::replying("a"), Origin::replying("b"));
    let cluster = "balancer = 'by-requests'\nslow-start = '1d'";
    let mut proxy = Proxy::start(&toml(&[a.address()], cluster));
    assert_eq!(about(&proxy, a.address())["weight"], 1.0);
    proxy.reload(&toml(&[a.address(), b.address()], cluster)).unwrap();
    assert_eq!(about(&proxy, a.address())["weight"], 1.0);
    assert_eq!(about(&proxy, b.address())["weight"], 0.1);
    assert_eq!(answers(&proxy, 11).iter().filter(|name| *name == "b").count(), 1);
}

#[test]
fn the_state_of_an_endpoint_outlives_a_reload_that_keeps_its_cluster_and_address() {
    let (a, b) = (Down::new(), Origin::replying("b"));
    let endpoints = [a.address(), b.address()];
    let first_alive = format!("balancer = 'first-alive'\n{ONCE}");
    let mut proxy = proxy(&endpoints, &first_alive);
    assert_eq!(answers(&proxy, 2), ["b", "b"]);
    wait_for_state(&proxy, endpoints[0], "offline");
    proxy.reload(&toml(&endpoints, &format!("{first_alive}\nmax-attempts = 9"))).unwrap();
    assert_eq!(about(&proxy, endpoints[0])["failures_in_a_row"], 1);
    assert_eq!(answers(&proxy, 2), ["b", "b"]);
    assert_eq!(about(&proxy, endpoints[0])["requests"], 1, "it was left alone");
    assert_eq!(about(&proxy, endpoints[1])["requests"], 4, "its figures go on");
}

#[test]
fn what_is_set_by_hand_lasts_although_the_endpoint_leaves_for_a_while() {
    let (a, b) = (Origin::replying("a"), Origin::replying("b"));
    let token = |text: String| text.replace("[admin]", "[admin]\ntoken = 'open-sesame'");
    let with = |endpoints: &[std::net::SocketAddr]| token(toml(endpoints, ""));
    let both = [a.address(), b.address()];
    let mut proxy = Proxy::start(&with(&both));
    set(&proxy, a.address(), "maintenance");
    assert_eq!(answers(&proxy, 2), ["b", "b"]);
    // Whatever looks at the endpoints meanwhile must not be what keeps them.
    proxy.reload(&with(&both[1..])).unwrap();
    assert_eq!(answers(&proxy, 2), ["b", "b"]);
    proxy.reload(&with(&both[1..])).unwrap();
    assert_eq!(answers(&proxy, 2), ["b", "b"]);
    proxy.reload(&with(&both)).unwrap();
    assert_eq!(about(&proxy, a.address())["state"], "maintenance");
    assert_eq!(answers(&proxy, 2), ["b", "b"]);
    set(&proxy, a.address(), "ready");
    assert!(answers(&proxy, 2).contains(&"a".to_owned()));
}
