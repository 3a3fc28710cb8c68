//! Whose turn it is, and that nobody exceeds a limit or is forgotten, over all workers.

use std::thread;

use super::gate::Gate;
use super::{count, proxy, queue, send, text, wait_for_queue};
use crate::support::{Client, Down, Proxy, eventually, one_cluster, reply, request};

const WORKERS: &str = "[server]\nworkers = 2\n";

#[test]
fn who_waits_is_served_in_the_order_of_arrival() {
    let origin = Gate::new();
    let proxy = proxy(&[origin.address()], "max-connections = 1");
    let first = send(&proxy, "/0");
    origin.wait_for(1);
    let targets = ["/1", "/2", "/3", "/4", "/5"];
    let waiting = queue(&proxy, &targets);
    origin.pass();
    assert_eq!(text(first), "/0");
    origin.wait_for(2);
    // Who comes now comes last, though others are on their way.
    let late = queue(&proxy, &["/6"]);
    for client in waiting.into_iter().chain(late) {
        origin.pass();
        text(client);
    }
    assert_eq!(origin.order(), ["/0", "/1", "/2", "/3", "/4", "/5", "/6"]);
    assert_eq!(origin.most(), 1);
}

#[test]
fn who_waits_on_any_worker_is_woken_by_any_other() {
    let origin = Gate::new();
    let config = one_cluster(&[origin.address()], "", "max-connections = 1");
    let proxy = Proxy::start(&format!("{WORKERS}{config}"));
    let targets = ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7"];
    let first = send(&proxy, targets[0]);
    origin.wait_for(1);
    // Connections go to the worker that has fewest, so that the two take turns.
    let waiting = queue(&proxy, &targets[1..]);
    for client in [first].into_iter().chain(waiting) {
        origin.pass();
        text(client);
    }
    assert_eq!(origin.order(), targets);
    assert_eq!(origin.most(), 1);
    wait_for_queue(&proxy, 0);
}

#[test]
fn no_limit_is_exceeded_under_load_on_several_workers() {
    let origins = [Gate::new(), Gate::new()];
    origins.iter().for_each(Gate::open);
    let endpoints = origins.each_ref().map(Gate::address);
    let limits = "max-connections = 2\nmax-queue = 1000\nqueue-timeout = '10m'";
    let config = one_cluster(&endpoints, "", limits);
    let proxy = Proxy::start(&format!("{WORKERS}{config}"));
    thread::scope(|scope| {
        for thread in 0..12 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = proxy.connect();
                for number in 0..40 {
                    let target = format!("/{thread}/{number}");
                    assert_eq!(client.get(&target).text(), target);
                }
            });
        }
    });
    wait_for_queue(&proxy, 0);
    let served: usize = origins.iter().map(|origin| origin.order().len()).sum();
    assert_eq!(served, 12 * 40);
    assert!(origins.iter().all(|origin| origin.most() <= 2));
    assert!(count(&proxy, "linkspan_upstream_waits") > 0, "or there was no load");
}

#[test]
fn exactly_as_many_as_may_are_in_flight() {
    let origins = [Gate::new(), Gate::new()];
    let endpoints = origins.each_ref().map(Gate::address);
    let limits = "max-connections = 3\nmax-queue = 1000\nqueue-timeout = '10m'";
    let config = one_cluster(&endpoints, "", limits);
    let proxy = Proxy::start(&format!("{WORKERS}{config}"));
    let clients: Vec<Client> = (0..40).map(|number| send(&proxy, &format!("/{number}"))).collect();
    origins.iter().for_each(|origin| origin.wait_for(3));
    wait_for_queue(&proxy, 34);
    for _ in 0..10 {
        origins.iter().for_each(Gate::pass);
    }
    wait_for_queue(&proxy, 14);
    origins.iter().for_each(Gate::open);
    clients.into_iter().for_each(|client| assert!(text(client).starts_with('/')));
    assert_eq!(origins.each_ref().map(Gate::most), [3, 3]);
}

/// Two endpoints of sessions, each with room for one.
fn sessions(origins: [&Gate; 2]) -> Proxy {
    let [a, b] = origins.map(Gate::address);
    Proxy::start(&format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nbalancer = ['session', 'round-robin']\nmax-connections = 1\n\
         endpoints = [{{ address = '{a}', route = 'a' }}, {{ address = '{b}', route = 'b' }}]\n\
         [plugins.session]\ncomponent = 'sticky'\n\
         config = {{ cookie = 'SID', no-failover = true }}\n"
    ))
}

fn of_session(proxy: &Proxy, target: &str, route: &str) -> Client {
    let mut client = proxy.connect();
    client.send(request("GET", target, &[("cookie", &format!("SID=x.{route}"))], b""));
    client
}

#[test]
fn a_session_waits_for_its_own_endpoint_and_holds_up_nobody() {
    let (a, b) = (Gate::new(), Gate::new());
    let proxy = sessions([&a, &b]);
    let holds = of_session(&proxy, "/holds", "a");
    a.wait_for(1);
    let waits = of_session(&proxy, "/waits", "a");
    wait_for_queue(&proxy, 1);
    // It is first in the queue, and yet others go by: to the other endpoint.
    b.open();
    for _ in 0..3 {
        assert_eq!(text(of_session(&proxy, "/other", "b")), "/other");
        assert_eq!(proxy.get("/any").text(), "/any");
    }
    // But not where it waits.
    let later = of_session(&proxy, "/later", "a");
    wait_for_queue(&proxy, 2);
    a.pass();
    assert_eq!(text(holds), "/holds");
    a.pass();
    assert_eq!(text(waits), "/waits");
    a.pass();
    assert_eq!(text(later), "/later");
    assert_eq!(a.order(), ["/holds", "/waits", "/later"]);
}

#[test]
fn who_waits_gets_the_first_endpoint_that_suits() {
    let (a, b) = (Gate::new(), Gate::new());
    let proxy = sessions([&a, &b]);
    let holds = [of_session(&proxy, "/a", "a"), of_session(&proxy, "/b", "b")];
    a.wait_for(1);
    b.wait_for(1);
    let session = of_session(&proxy, "/session", "a");
    wait_for_queue(&proxy, 1);
    let any = queue(&proxy, &["/any"]);
    // The one behind is served by what the first cannot use.
    b.pass();
    b.wait_for(2);
    assert_eq!(b.order(), ["/b", "/any"]);
    wait_for_queue(&proxy, 1);
    a.open();
    b.open();
    for (client, expected) in holds.into_iter().zip(["/a", "/b"]) {
        assert_eq!(text(client), expected);
    }
    assert_eq!(text(session), "/session");
    assert_eq!(any.into_iter().map(text).collect::<Vec<_>>(), ["/any"]);
}

#[test]
fn an_endpoint_that_is_back_is_first_of_use_to_who_waits() {
    let (down, busy) = (Down::new(), Gate::new());
    let limits = "max-connections = 1\nmax-attempts = 2\nqueue-timeout = '10m'\n\
                  health = { attempts = 1, offline = '20ms' }";
    let proxy = proxy(&[down.address(), busy.address()], limits);
    let first = send(&proxy, "/first");
    busy.wait_for(1);
    let waiting = queue(&proxy, &["/waits"]);
    let origin = down.up(|peer| peer.answer(|request| reply(200, &[], request.target())));
    // Somebody has to find out; that one is answered, and so is who has waited.
    let probe = eventually("a request that finds it back", || {
        let client = send(&proxy, "/probe");
        eventually("an answer or another in the queue", || {
            let waiting = count(&proxy, "linkspan_upstream_queued");
            (waiting != 1 || origin.hits() > 0).then_some(())
        });
        (origin.hits() > 0).then_some(client)
    });
    assert_eq!(text(probe), "/probe");
    assert_eq!(waiting.into_iter().map(text).collect::<Vec<_>>(), ["/waits"]);
    assert_eq!(busy.order(), ["/first"]);
    busy.open();
    assert_eq!(text(first), "/first");
}

#[test]
fn who_waits_tries_an_endpoint_whose_offline_time_has_elapsed() {
    let (down, full) = (Down::new(), Gate::new());
    let cluster = "balancer = 'first-alive'\nmax-connections = 1\nqueue-timeout = '1h'\n\
                   health = { attempts = 1, offline = '5s' }";
    let proxy = proxy(&[down.address(), full.address()], cluster);
    let first = send(&proxy, "/first");
    full.wait_for(1);
    // It finds one offline, and the other full.
    let second = send(&proxy, "/second");
    wait_for_queue(&proxy, 1);
    let _up = down.up(|peer| peer.answer(|_| reply(200, &[], "up")));
    assert_eq!(text(second), "up", "and no newcomer had to find that out");
    full.open();
    assert_eq!(text(first), "/first");
}
