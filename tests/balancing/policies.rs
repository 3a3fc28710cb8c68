//! Who gets which request, over real sockets, for every balancer by its name.

mod consistent;
mod failover;
mod heartbeat;
mod live;
mod sticky;

use std::net::SocketAddr;

use crate::support::{Client, Down, Origin, Proxy, eventually};

/// Every balancer of the program, and how a cluster names it.
const NAMES: [&str; 18] = [
    "'by-busyness'",
    "'by-requests'",
    "'by-traffic'",
    "'carp'",
    "'first-alive'",
    "'least-connections'",
    "'lighttpd-hash'",
    "'locking-round-robin'",
    "'maglev'",
    "'naive'",
    "'p2c'",
    "'random'",
    "'ring-hash'",
    "'round-robin'",
    "'source-hash'",
    "'sqf'",
    "'static'",
    "['session', 'static']",
];

/// Nobody goes offline, so that each request shows who is tried.
const PATIENT: &str = "health = { offline = '0s' }";

const SESSION: &str = "[plugins.session]\ncomponent = 'sticky'\nconfig = { cookie = 'SID' }\n";

/// Origins that answer with their names.
fn origins(names: &[&str]) -> Vec<Origin> {
    names.iter().map(|name| Origin::replying(name)).collect()
}

/// A cluster of these endpoints, each with what else its table says.
fn config(endpoints: &[(SocketAddr, &str)], cluster: &str, rest: &str) -> String {
    let table = |(address, rest): &(SocketAddr, &str)| {
        let comma = if rest.is_empty() { "" } else { ", " };
        format!("{{ address = '{address}'{comma}{rest} }}")
    };
    let endpoints: Vec<_> = endpoints.iter().map(table).collect();
    format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = [{}]\n{cluster}\n{rest}\n",
        endpoints.join(", ")
    )
}

fn plain(origins: &[Origin], cluster: &str) -> String {
    let endpoints: Vec<_> = origins.iter().map(|origin| (origin.address(), "")).collect();
    config(&endpoints, cluster, "")
}

/// What so many requests over one connection are answered with.
fn answers(proxy: &Proxy, requests: usize) -> String {
    let mut client = proxy.connect();
    (0..requests).map(|_| client.get("/").text()).collect()
}

#[test]
fn every_balancer_gets_past_those_who_refuse() {
    for name in NAMES {
        let (one, two, alive) = (Down::new(), Down::new(), Origin::replying("alive"));
        let endpoints = [(one.address(), ""), (alive.address(), ""), (two.address(), "")];
        let cluster = format!("balancer = {name}\n{PATIENT}");
        let proxy = Proxy::start(&config(&endpoints, &cluster, SESSION));
        assert_eq!(answers(&proxy, 4), "alive".repeat(4), "{name}");
        let attempts = |line: &serde_json::Value| line["attempts"].as_u64().unwrap();
        assert!(proxy.access(4).iter().all(|line| attempts(line) <= 3), "{name}");
    }
}

#[test]
fn with_everybody_down_every_balancer_tries_each_once() {
    for name in NAMES {
        let down = [Down::new(), Down::new(), Down::new()];
        let endpoints = [0, 1, 2].map(|place| (down[place].address(), ""));
        let cluster = format!("balancer = {name}\nmax-attempts = 9\n{PATIENT}");
        let proxy = Proxy::start(&config(&endpoints, &cluster, SESSION));
        assert_eq!(proxy.get("/").status(), 503, "{name}");
        assert_eq!(proxy.access(1)[0]["attempts"], 3, "{name}");
    }
}

#[test]
fn every_balancer_refuses_keys_that_it_does_not_know() {
    for name in NAMES.iter().filter_map(|name| name.strip_prefix('\'')?.strip_suffix('\'')) {
        let rest = format!("[plugins.own]\ncomponent = '{name}'\nconfig = {{ colour = 'blue' }}\n");
        let error = Proxy::try_start(&config(&[], "balancer = 'own'", &rest), &[]).err().unwrap();
        assert!(error.contains("colour"), "{name}: {error}");
    }
}

#[test]
fn naive_goes_by_the_slot_of_the_connection() {
    let mut origins = origins(&["a", "b", "c"]);
    let proxy = Proxy::start(&plain(&origins, &format!("balancer = 'naive'\n{PATIENT}")));
    let mut clients: Vec<Client> = Vec::new();
    for expected in ["a", "b", "c", "a"] {
        let mut client = proxy.connect();
        assert_eq!(client.get("/").text(), expected);
        assert_eq!(client.get("/other").text(), expected, "a connection keeps its slot");
        clients.push(client);
    }
    drop(clients.remove(1));
    eventually("the slot to be free again", || (proxy.get("/").text() == "b").then_some(()));
    origins[2].stop();
    assert_eq!(clients[1].get("/").text(), "a", "the next of the list");
}

#[test]
fn static_and_first_alive_go_down_the_list() {
    for name in ["static", "first-alive", "First Alive"] {
        let mut origins = origins(&["a", "b", "c"]);
        let proxy = Proxy::start(&plain(&origins, &format!("balancer = '{name}'\n{PATIENT}")));
        assert_eq!(answers(&proxy, 2), "aa");
        origins[0].stop();
        assert_eq!(answers(&proxy, 2), "bb");
        origins[1].stop();
        assert_eq!(answers(&proxy, 1), "c");
        let attempts: Vec<_> = proxy.access(5).iter().map(|it| it["attempts"].clone()).collect();
        assert_eq!(attempts, [1, 1, 2, 2, 3]);
    }
}

#[test]
fn a_locking_round_robin_is_exact_over_workers() {
    let origins = origins(&["a", "b", "c"]);
    let config = plain(&origins, "balancer = 'Locking Round Robin'");
    let proxy = Proxy::start(&format!("{config}[server]\nworkers = 3\n"));
    let turns: String = (0..12).map(|_| proxy.get("/").text()).collect();
    assert_eq!(turns, "abc".repeat(4));
}

#[test]
fn source_hash_goes_by_the_client() {
    let origins = origins(&["0", "1", "2"]);
    let get = |proxy: &Proxy, last: u8| {
        Client::from([127, 0, 0, last], proxy.address("web")).get("/any").text()
    };
    let proxy = Proxy::start(&plain(&origins, "balancer = 'SourceHash'"));
    for (last, expected) in [(1, "2"), (2, "0"), (3, "1"), (1, "2")] {
        assert_eq!(get(&proxy, last), expected, "127.0.0.{last}");
    }
    let [zero, one, two] = <[Origin; 3]>::try_from(origins).unwrap();
    let addresses = [&zero, &one, &two].map(|origin| (origin.address(), ""));
    drop(two);
    let proxy = Proxy::start(&config(&addresses, "balancer = 'source-hash'", ""));
    assert_eq!(get(&proxy, 1), "0", "the next of the list");
    let strict = "[plugins.own]\ncomponent = 'source-hash'\nconfig = { strict = true }\n";
    let proxy = Proxy::start(&config(&addresses, "balancer = 'own'", strict));
    let refused = Client::from([127, 0, 0, 1], proxy.address("web")).get("/").status();
    assert_eq!((refused, get(&proxy, 2).as_str()), (503, "0"), "one attempt");
}

#[test]
fn random_reaches_everybody_who_is_there() {
    let mut origins = origins(&["a", "b", "c"]);
    let proxy = Proxy::start(&plain(&origins, "balancer = 'random'"));
    let drawn = answers(&proxy, 120);
    // The chance that one gets fewer than ten of 120 is below one in ten million.
    assert!(["a", "b", "c"].iter().all(|name| drawn.matches(name).count() >= 10), "{drawn}");
    origins[1].stop();
    let drawn = answers(&proxy, 40);
    assert!(drawn.len() == 40 && !drawn.contains('b'), "{drawn}");
}

#[test]
fn by_requests_gives_the_sequences_of_apache() {
    for (weights, expected) in [
        (vec!["1", "1", "1", "2"], "dabcddabcd"),
        (vec!["70", "30"], "abaaabaabaabaaabaaba"),
        (vec!["5", "1", "1"], "aabacaa"),
        (vec!["1", "2", "3"], "cbacbc"),
    ] {
        let origins = origins(&["a", "b", "c", "d"][..weights.len()]);
        let weights: Vec<_> = weights.iter().map(|weight| format!("weight = {weight}")).collect();
        let endpoints: Vec<_> =
            origins.iter().zip(&weights).map(|(it, weight)| (it.address(), &**weight)).collect();
        let proxy = Proxy::start(&config(&endpoints, "balancer = 'byrequests'", ""));
        assert_eq!(answers(&proxy, expected.len()), expected);
    }
}

#[test]
fn spares_and_standbys_come_in_when_others_go() {
    let mut origins = origins(&["a", "b", "s", "t", "h", "z"]);
    let roles = ["", "", "status = 'spare'", "status = 'spare'", "status = 'standby'", "lbset = 1"];
    let endpoints: Vec<_> =
        origins.iter().zip(roles).map(|(origin, role)| (origin.address(), role)).collect();
    let cluster = "balancer = 'by-requests'\nhealth = { attempts = 1, offline = '1h' }";
    let proxy = Proxy::start(&config(&endpoints, cluster, ""));
    assert_eq!(answers(&proxy, 4), "abab");
    for (gone, expected) in [(0, "bs"), (1, "st"), (2, "t"), (3, "h"), (4, "z")] {
        origins[gone].stop();
        // Whoever finds out goes to another; from then on it is known.
        answers(&proxy, 2);
        let served = answers(&proxy, 4);
        assert!(served.chars().all(|name| expected.contains(name)), "{served}, not {expected}");
        assert!(expected.chars().all(|name| served.contains(name)), "{served}, not {expected}");
    }
}

#[test]
fn by_traffic_evens_out_bytes() {
    let (large, small) = (Origin::replying(&"a".repeat(1_000)), Origin::replying(&"b".repeat(100)));
    let origins = [large, small];
    let proxy = Proxy::start(&plain(&origins, "balancer = 'bytraffic'"));
    let mut client = proxy.connect();
    let mut served = String::new();
    for request in 1..=23 {
        served.extend(client.get("/").text().chars().next());
        // What a request has brought is counted when it is over.
        proxy.access(request);
    }
    assert_eq!(served, format!("a{0}a{0}a", "b".repeat(10)));
}
