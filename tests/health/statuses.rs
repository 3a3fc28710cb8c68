//! Responses that count as failures of their endpoint: `fail-on-status`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{about, addresses, answers, proxy};
use crate::support::{Origin, reply};

/// An origin that answers with its name, or with a status that tests set.
fn origin(name: &'static str) -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let set = Arc::clone(&status);
    (Origin::answering(move |_| reply(set.load(Ordering::SeqCst), &[], name)), status)
}

#[test]
fn an_endpoint_that_answers_500_once_is_left_alone_and_its_client_gets_the_500() {
    let ((a, status), (b, _)) = (origin("a"), origin("b"));
    let cluster = "balancer = 'first-alive'\nfail-on-status = [500]\nhealth.offline = '1h'";
    let proxy = proxy(&addresses(&[&a, &b]), cluster);
    assert_eq!(answers(&proxy, 2), ["a", "a"]);
    status.store(500, Ordering::SeqCst);
    assert_eq!(answers(&proxy, 4), ["500", "b", "b", "b"]);
    assert_eq!(about(&proxy, a.address())["state"], "failing");
    assert_eq!(about(&proxy, a.address())["failures"], 0, "it has answered");
}

#[test]
fn it_takes_as_many_in_a_row_as_configured() {
    let ((a, status), (b, _)) = (origin("a"), origin("b"));
    let cluster = "balancer = 'first-alive'\nfail-on-status = ['5xx']\nfail-attempts = 3";
    let proxy = proxy(&addresses(&[&a, &b]), cluster);
    status.store(503, Ordering::SeqCst);
    assert_eq!(answers(&proxy, 2), ["503", "503"]);
    status.store(404, Ordering::SeqCst);
    assert_eq!(answers(&proxy, 1), ["404"]);
    status.store(503, Ordering::SeqCst);
    assert_eq!(answers(&proxy, 5), ["503", "503", "503", "b", "b"]);
}

#[test]
fn an_endpoint_that_does_not_answer_counts_as_502_and_504() {
    for (status, script) in [(502, "broken"), (504, "silent")] {
        let a = Origin::scripted(move |peer| {
            let _ = peer.request();
            if script == "silent" {
                peer.hang();
            }
        });
        let b = Origin::replying("b");
        let cluster = format!(
            "balancer = 'first-alive'\nfail-on-status = [{status}]\nresponse-timeout = '50ms'\n\
             max-attempts = 1"
        );
        let proxy = proxy(&addresses(&[&a, &b]), &cluster);
        assert_eq!(answers(&proxy, 3), [status.to_string().as_str(), "b", "b"]);
    }
}

#[test]
fn without_it_no_status_matters() {
    let ((a, status), (b, _)) = (origin("a"), origin("b"));
    let proxy = proxy(&addresses(&[&a, &b]), "balancer = 'first-alive'");
    status.store(500, Ordering::SeqCst);
    assert_eq!(answers(&proxy, 9), ["500"; 9]);
    assert_eq!(about(&proxy, a.address())["state"], "alive");
}

#[test]
fn when_all_answer_so_they_are_tried_all_the_same() {
    let (a, status) = origin("a");
    let cluster = "fail-on-status = ['5xx']\nhealth.offline = '1h'";
    let proxy = proxy(&addresses(&[&a]), cluster);
    status.store(500, Ordering::SeqCst);
    assert_eq!(answers(&proxy, 3), ["500"; 3]);
    status.store(200, Ordering::SeqCst);
    assert_eq!(answers(&proxy, 1), ["a"]);
    assert_eq!(about(&proxy, a.address())["state"], "alive");
}
