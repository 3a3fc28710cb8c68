//! Counts, queue and places outlive a reload, and a limit that has changed holds from then on.

use super::gate::Gate;
use super::{queue, send, text, wait_for_queue};
use crate::support::{Proxy, one_cluster};

fn config(origin: &Gate, limits: &str) -> String {
    one_cluster(&[origin.address()], "", &format!("queue-timeout = '10m'\n{limits}"))
}

#[test]
fn a_reload_leaves_counts_and_places_as_they_are() {
    let origin = Gate::new();
    let limit = "max-connections = 1";
    let mut proxy = Proxy::start(&config(&origin, limit));
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    let mut waiting = queue(&proxy, &["/2"]);
    proxy.reload(&config(&origin, &format!("{limit}\nconnect-timeout = '1s'"))).unwrap();
    waiting.extend(queue(&proxy, &["/3"]));
    assert_eq!(origin.order(), ["/1"], "what was in flight still is");
    origin.open();
    assert_eq!(text(first), "/1");
    assert_eq!(waiting.into_iter().map(text).collect::<Vec<_>>(), ["/2", "/3"]);
    assert_eq!((origin.order(), origin.most()), (["/1", "/2", "/3"].map(Into::into).into(), 1));
}

#[test]
fn a_limit_that_rises_lets_in_who_waits() {
    for limit in ["max-connections = 3", ""] {
        let origin = Gate::new();
        let mut proxy = Proxy::start(&config(&origin, "max-connections = 1"));
        let first = send(&proxy, "/1");
        origin.wait_for(1);
        let waiting = queue(&proxy, &["/2", "/3"]);
        proxy.reload(&config(&origin, limit)).unwrap();
        origin.wait_for(3);
        assert_eq!(origin.most(), 3, "while the first is still in flight");
        origin.open();
        assert_eq!(text(first), "/1");
        waiting.into_iter().for_each(|client| assert!(text(client).starts_with('/')));
    }
}

#[test]
fn a_limit_that_falls_or_is_new_counts_what_is_in_flight() {
    for before in ["max-connections = 3", ""] {
        let origin = Gate::new();
        let mut proxy = Proxy::start(&config(&origin, before));
        let clients: Vec<_> = ["/1", "/2", "/3"].iter().map(|path| send(&proxy, path)).collect();
        origin.wait_for(3);
        proxy.reload(&config(&origin, "max-connections = 1")).unwrap();
        let late = queue(&proxy, &["/4"]);
        origin.pass();
        origin.pass();
        // Two of three are answered, and there is still no room.
        let answered = crate::support::eventually("two answers", || {
            let lines = proxy.access(2);
            (lines.len() == 2).then_some(lines)
        });
        assert!(answered.iter().all(|line| line["status"] == 200));
        wait_for_queue(&proxy, 1);
        assert_eq!(origin.order().len(), 3);
        origin.open();
        clients.into_iter().for_each(|client| assert!(text(client).starts_with('/')));
        assert_eq!(late.into_iter().map(text).collect::<Vec<_>>(), ["/4"]);
    }
}

#[test]
fn what_is_refused_changes_no_limit() {
    let origin = Gate::new();
    let mut proxy = Proxy::start(&config(&origin, "max-connections = 1"));
    let first = send(&proxy, "/1");
    origin.wait_for(1);
    let waiting = queue(&proxy, &["/2"]);
    let refused = config(&origin, "max-connections = 5\nrewriters = ['misbehave']");
    proxy.add_plugin("configure-error");
    let refused = refused.replace("misbehave", "configure-error");
    assert!(proxy.reload(&refused).is_err());
    wait_for_queue(&proxy, 1);
    assert_eq!(origin.order(), ["/1"]);
    origin.open();
    assert_eq!(text(first), "/1");
    assert_eq!(waiting.into_iter().map(text).collect::<Vec<_>>(), ["/2"]);
}
