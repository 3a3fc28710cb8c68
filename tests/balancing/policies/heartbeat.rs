//! The balancer that goes by what endpoints answer to their checks.

use std::sync::{Arc, Mutex};

use super::{answers, config};
use crate::support::{Origin, Proxy, eventually, reply};

/// An origin that answers its checks as a test says, and everything else with its name.
fn beating(name: &'static str, first: &str) -> (Origin, Arc<Mutex<String>>) {
    let says = Arc::new(Mutex::new(first.to_owned()));
    let own = Arc::clone(&says);
    let origin = Origin::answering(move |request| match request.target() {
        "/beat" => reply(200, &[], own.lock().unwrap().as_bytes()),
        _ => reply(200, &[], name),
    });
    (origin, says)
}

fn start(origins: &[Origin], own: &str, every: &str) -> Proxy {
    let endpoints: Vec<_> = origins.iter().map(|origin| (origin.address(), "")).collect();
    let cluster = format!(
        "balancer = 'own'\nhealth.offline = '0s'\n\
         health.check = {{ path = '/beat', interval = '{every}', timeout = '1m', fall = 1000 }}"
    );
    let plugin = format!("[plugins.own]\ncomponent = 'heartbeat'\nconfig = {{ {own} }}\n");
    Proxy::start(&config(&endpoints, &cluster, &plugin))
}

#[test]
fn heartbeat_follows_what_endpoints_say_of_themselves() {
    let ((a, at_a), (b, at_b)) = (beating("a", "v=1&ready=0&busy=9"), beating("b", "hello"));
    let origins = [a, b];
    let proxy = start(&origins, "", "10ms");
    assert_eq!(proxy.get("/").status(), 503, "nobody has said that it is ready");
    "v=1&ready=8&busy=1".clone_into(&mut at_b.lock().unwrap());
    eventually("b to be heard", || (proxy.get("/").status() == 200).then_some(()));
    assert_eq!(answers(&proxy, 12), "b".repeat(12));
    "v=1&ready=8&busy=1".clone_into(&mut at_a.lock().unwrap());
    eventually("a to be heard", || (proxy.get("/").text() == "a").then_some(()));
    // The chance that one gets none of 60 is below one in ten to the 17.
    let drawn = answers(&proxy, 60);
    assert!(drawn.contains('a') && drawn.contains('b'), "{drawn}");
    "v=1&ready=0&busy=9".clone_into(&mut at_b.lock().unwrap());
    eventually("b to be full", || (answers(&proxy, 20) == "a".repeat(20)).then_some(()));
}

#[test]
fn heartbeat_goes_on_to_others_that_are_ready_and_no_further() {
    let [(a, _), (b, _), (c, _)] = [
        beating("a", "IdleWorkers: 0\nBusyWorkers: 9\n"),
        beating("b", "BusyWorkers: 1\nIdleWorkers: 5\n"),
        beating("c", "BusyWorkers: 1\nIdleWorkers: 5\n"),
    ];
    let mut origins = [a, b, c];
    // One check each, which counts for as long as the test lasts.
    let own = "ready = 'IdleWorkers', busy = 'BusyWorkers', max-age = '1h'";
    let proxy = start(&origins, own, "1h");
    for name in ["b", "c"] {
        eventually(name, || {
            let answer = proxy.get("/");
            (answer.status() == 200 && answer.text() == name).then_some(())
        });
    }
    origins[1].stop();
    assert_eq!(answers(&proxy, 40), "c".repeat(40));
    origins[2].stop();
    assert_eq!(proxy.get("/").status(), 503, "there is a, but it has no open slot");
    assert_eq!(origins[0].requests().iter().filter(|it| it.target() == "/").count(), 0);
    let lines = eventually("all lines", || {
        let lines = proxy.access(43);
        (lines.last()?["status"] == 503).then_some(lines)
    });
    let attempts = |attempts: u64| lines.iter().filter(|line| line["attempts"] == attempts).count();
    assert!(attempts(2) > 1, "some were tried at b first");
    assert_eq!(attempts(3), 0);
    assert_eq!(lines.last().unwrap()["attempts"], 2);
}

#[test]
fn an_old_answer_is_none() {
    let (origin, says) = beating("a", "ready=5&busy=1");
    let origins = [origin];
    let proxy = start(&origins, "max-age = '300ms'", "10ms");
    eventually("the answer to be heard", || (proxy.get("/").status() == 200).then_some(()));
    // The checks that come now wait for the lock, and are answered no more.
    let _silent = says.lock().unwrap();
    eventually("the answer to be old", || (proxy.get("/").status() == 503).then_some(()));
}

#[test]
fn heartbeat_says_what_is_wrong_with_its_configuration() {
    let error = |own: &str| {
        let rest = format!("[plugins.own]\ncomponent = 'heartbeat'\nconfig = {{ {own} }}\n");
        Proxy::try_start(&config(&[], "balancer = 'own'", &rest), &[]).err().unwrap()
    };
    assert!(error("max-age = '10'").contains("max-age: \"10\" is no time"));
    assert!(error("colour = 'blue'").contains("colour"));
}
