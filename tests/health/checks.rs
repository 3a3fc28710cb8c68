//! Active checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{about, addresses, answers, proxy, set, toml, wait_for_state};
use crate::support::{Down, Origin, Peer, Proxy, eventually, reply};

/// Quick, and for good: what is tested does not wait for chance.
const QUICK: &str = "interval = '10ms', timeout = '1m'";

/// An origin that answers its checks with a status that tests set, and everything else with its name.
fn checked(name: &'static str) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let healthy = Arc::clone(&status);
    let origin = Origin::answering(move |request| match request.target() {
        "/healthz" => reply(healthy.load(Ordering::SeqCst), &[], "status: fine"),
        _ => reply(200, &[], name),
    });
    (origin, status)
}

fn checks(origin: &Origin) -> usize {
    origin.requests().iter().filter(|request| request.target() == "/healthz").count()
}

#[test]
fn an_endpoint_whose_checks_fail_gets_no_requests_until_they_pass() {
    let ((a, health), (b, _)) = (checked("a"), checked("b"));
    let check = format!("health.check = {{ path = '/healthz', fall = 2, rise = 2, {QUICK} }}");
    let proxy = proxy(&addresses(&[&a, &b]), &check);
    eventually("a check", || (checks(&a) > 0).then_some(()));
    assert_eq!(answers(&proxy, 4), ["a", "b", "a", "b"]);
    health.store(503, Ordering::SeqCst);
    wait_for_state(&proxy, a.address(), "unhealthy");
    assert_eq!(answers(&proxy, 3), ["b", "b", "b"]);
    assert_eq!(about(&proxy, a.address())["usable"], false);
    health.store(204, Ordering::SeqCst);
    wait_for_state(&proxy, a.address(), "alive");
    let mut served = answers(&proxy, 4);
    served.sort_unstable();
    assert_eq!(served, ["a", "a", "b", "b"]);
    // No request but the client's own was sent to find that out.
    let requests = a.requests();
    let own = requests.iter().filter(|request| request.target() == "/").count();
    assert_eq!(own, 4);
}

#[test]
fn a_check_is_an_ordinary_request_that_says_who_asks() {
    let (origin, _) = checked("a");
    let check = format!(
        "health.check = {{ path = '/healthz', method = 'HEAD', host = 'app.example', {QUICK} }}"
    );
    let _proxy = proxy(&addresses(&[&origin]), &check);
    origin.wait_for(1);
    let request = origin.requests().remove(0);
    assert_eq!((request.method(), request.target()), ("HEAD", "/healthz"));
    assert_eq!(request.value("host"), Some("app.example"));
    assert!(request.value("user-agent").unwrap().starts_with("linkspan/"), "{request:?}");
}

#[test]
fn the_first_check_decides_by_itself() {
    let ((a, health), (b, _)) = (checked("a"), checked("b"));
    health.store(500, Ordering::SeqCst);
    let check = "health.check = { path = '/healthz', fall = 9, interval = '1h' }";
    let proxy = proxy(&addresses(&[&a, &b]), check);
    wait_for_state(&proxy, a.address(), "unhealthy");
    assert_eq!(checks(&a), 1);
    assert_eq!(answers(&proxy, 2), ["b", "b"]);
}

#[test]
fn what_an_answer_must_be_is_configured() {
    for (keys, passes) in [
        ("status = [200]", true),
        ("status = ['3xx', '500-504']", false),
        ("status = ['2xx'], body = 'status: +fine'", true),
        ("body = 'status: up'", false),
        ("type = 'tcp'", true),
    ] {
        let (a, b) = (checked("a").0, checked("b").0);
        let path = if keys.contains("tcp") { "" } else { "path = '/healthz', " };
        let check = format!("health.check = {{ {path}{keys}, {QUICK} }}");
        let proxy = proxy(&addresses(&[&a, &b]), &check);
        let state = if passes { "alive" } else { "unhealthy" };
        // The first check decides, and the second has been made when it has.
        eventually("two checks", || (a.connections() > 1).then_some(()));
        wait_for_state(&proxy, a.address(), state);
    }
}

#[test]
fn whatever_answers_wrongly_or_not_at_all_does_not_pass() {
    let silent: fn(&mut Peer) = |peer| {
        let _ = peer.request();
        peer.hang();
    };
    let wrong = [
        Origin::raw("no such thing as HTTP\r\n\r\n"),
        Origin::raw(""),
        Origin::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal"),
        Origin::raw(format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200))),
        Origin::scripted(silent),
    ];
    let refusing = Down::new();
    let mut endpoints: Vec<_> = wrong.iter().map(Origin::address).collect();
    endpoints.push(refusing.address());
    let check = "health.check = { timeout = '300ms', interval = '1h', body = 'half' }";
    let proxy = proxy(&endpoints, check);
    for endpoint in endpoints {
        wait_for_state(&proxy, endpoint, "unhealthy");
    }
}

#[test]
fn another_port_can_be_asked() {
    let (origin, _) = checked("a");
    let (asked, health) = checked("");
    health.store(404, Ordering::SeqCst);
    let other = Origin::replying("other");
    let check = format!(
        "health.check = {{ path = '/healthz', port = {}, interval = '1h' }}",
        asked.address().port()
    );
    let proxy = proxy(&addresses(&[&origin, &other]), &check);
    wait_for_state(&proxy, origin.address(), "unhealthy");
    asked.wait_for(2);
    assert_eq!(origin.hits() + other.hits(), 0);
}

#[test]
fn a_check_that_passes_ends_the_offline_time() {
    let (a, b) = (Down::new(), Origin::replying("b"));
    let address = a.address();
    let check =
        format!("health = {{ attempts = 1, offline = '1h', check = {{ {QUICK}, fall = 1000 }} }}");
    let endpoints = [address, b.address()];
    let proxy = proxy(&endpoints, &format!("balancer = 'first-alive'\n{check}"));
    wait_for_state(&proxy, address, "unhealthy");
    assert_eq!(answers(&proxy, 1), ["b"]);
    let _a = a.up(|peer| peer.answer(|_| reply(200, &[], "a")));
    wait_for_state(&proxy, address, "alive");
    assert_eq!(answers(&proxy, 2), ["a", "a"]);
}

#[test]
fn what_checks_have_found_outlives_a_reload_and_goes_with_the_check() {
    let ((a, health), (b, _)) = (checked("a"), checked("b"));
    health.store(500, Ordering::SeqCst);
    let endpoints = addresses(&[&a, &b]);
    let check = "health.check = { path = '/healthz', interval = '1h' }";
    let mut proxy = proxy(&endpoints, check);
    wait_for_state(&proxy, a.address(), "unhealthy");
    b.wait_for(1);
    proxy.reload(&toml(&endpoints, &format!("{check}\nmax-attempts = 2"))).unwrap();
    assert_eq!(about(&proxy, a.address())["state"], "unhealthy");
    assert_eq!(checks(&a), 1, "it was not asked again");
    proxy.reload(&toml(&endpoints, "")).unwrap();
    assert_eq!(about(&proxy, a.address())["state"], "alive");
    assert!(answers(&proxy, 2).contains(&"a".to_owned()));
    // Configured anew, it is asked anew, and one that comes is asked as well.
    proxy.reload(&toml(&endpoints[..1], check)).unwrap();
    wait_for_state(&proxy, a.address(), "unhealthy");
    proxy.reload(&toml(&endpoints, check)).unwrap();
    eventually("a check of the one that came", || (checks(&b) == 2).then_some(()));
}

#[test]
fn endpoints_that_do_not_answer_hold_up_the_checks_of_no_other_cluster() {
    // They take connections, and nobody ever speaks.
    let silent: Vec<_> = (0..150).map(|_| Down::new().up(|peer| peer.hang())).collect();
    let silent: Vec<_> = silent.iter().map(|origin| format!("'{}'", origin.address())).collect();
    let (a, _) = checked("a");
    let proxy = Proxy::start(&format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{}']\nhealth.check = {{ path = '/healthz', {QUICK} }}\n\
         [clusters.dead]\nendpoints = [{}]\nhealth.check = {{ interval = '10ms', timeout = '1h' }}\n",
        a.address(),
        silent.join(", ")
    ));
    // By then, as many of the others wait as ever will.
    eventually("many checks", || (checks(&a) > 50).then_some(()));
    drop(proxy);
}

#[test]
fn an_endpoint_that_is_put_into_service_by_hand_is_checked() {
    let ((a, health), (b, _)) = (checked("a"), checked("b"));
    health.store(500, Ordering::SeqCst);
    let text = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [admin]\nbind = '127.0.0.1:0'\ntoken = 'open-sesame'\n\
         [clusters.main]\nhealth.check = {{ path = '/healthz', {QUICK} }}\n\
         endpoints = [{{ address = '{}', status = 'disabled' }}, '{}']\n",
        a.address(),
        b.address()
    );
    let proxy = Proxy::start(&text);
    eventually("checks", || (checks(&b) > 3).then_some(()));
    assert_eq!(checks(&a), 0);
    set(&proxy, a.address(), "ready");
    wait_for_state(&proxy, a.address(), "unhealthy");
    assert_eq!(answers(&proxy, 2), ["b", "b"]);
}
