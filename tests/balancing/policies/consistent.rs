//! Balancers that give each key its endpoint.

use std::collections::BTreeMap;

use linkspan_plugin_balancing::hash;

use super::{SESSION, config, origins, plain};
use crate::support::{Origin, Proxy};

fn paths() -> Vec<String> {
    (0..120).map(|n| format!("/w/file-{n}.html")).collect()
}

/// Who serves each path.
fn owners(proxy: &Proxy) -> BTreeMap<String, String> {
    let mut client = proxy.connect();
    paths().into_iter().map(|path| (path.clone(), client.get(&path).text())).collect()
}

#[test]
fn a_path_has_its_endpoint_and_only_those_of_one_that_is_gone_move() {
    for name in ["carp", "hash", "ring-hash", "maglev", "lighttpd-hash"] {
        let mut origins = origins(&["a", "b", "c", "d"]);
        let proxy = Proxy::start(&plain(&origins, &format!("balancer = '{name}'")));
        let before = owners(&proxy);
        assert_eq!(owners(&proxy), before, "{name}");
        let query = proxy.get("/w/file-7.html?x=1").text();
        assert_eq!(before["/w/file-7.html"], query, "{name}: the query is no part of it");

        let gone = before["/w/file-7.html"].clone();
        let place = ["a", "b", "c", "d"].iter().position(|name| *name == gone).unwrap();
        origins[place].stop();
        let after = owners(&proxy);
        for (path, owner) in &before {
            let same = after[path] == *owner;
            assert_eq!(same, *owner != gone, "{name}: {path} from {owner} to {}", after[path]);
        }
        let errors = proxy.access(1).iter().filter(|line| line["status"] != 200).count();
        assert_eq!(errors, 0, "{name}");
    }
}

#[test]
fn carp_and_the_sum_of_lighttpd_are_those_of_their_definitions() {
    let origins = origins(&["a", "b", "c"]);
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address().to_string()).collect();
    let highest = |score: &dyn Fn(&[u8]) -> u32| {
        let scores = addresses.iter().map(|address| score(address.as_bytes()));
        let best = scores.zip(["a", "b", "c"]).max_by_key(|(score, _)| *score);
        best.unwrap().1.to_owned()
    };
    let carp = owners(&Proxy::start(&plain(&origins, "balancer = 'carp'")));
    let sums = owners(&Proxy::start(&plain(&origins, "balancer = 'lighttpd-hash'")));
    for path in paths() {
        let url = hash::carp(path.as_bytes());
        let expected = highest(&|name| hash::carp_score(url, hash::carp_member(name)));
        assert_eq!(carp[&path], expected, "carp: {path}");
        let request = hash::crc32(path.as_bytes()).wrapping_add(hash::crc32(b"test"));
        let expected = highest(&|name| request.wrapping_add(hash::crc32(name)));
        assert_eq!(sums[&path], expected, "lighttpd-hash: {path}");
    }
}

#[test]
fn other_parts_of_a_request_can_be_the_key() {
    for component in ["carp", "ring-hash", "maglev"] {
        let origins = origins(&["a", "b", "c", "d"]);
        let endpoints: Vec<_> = origins.iter().map(|origin| (origin.address(), "")).collect();
        let own = |key: &str| {
            let rest =
                format!("[plugins.own]\ncomponent = '{component}'\nconfig = {{ key = '{key}' }}\n");
            Proxy::start(&config(&endpoints, "balancer = 'own'", &rest))
        };
        let by_header = own("header:X-User");
        let by_cookie = own("cookie:user");
        let mut users = BTreeMap::<String, usize>::new();
        for user in 0..24 {
            let user = format!("user-{user}");
            let cookie = format!("a=b; user={user}");
            let ask = |proxy: &Proxy, field: (&str, &str), path: &str| {
                proxy.connect().ask("GET", path, &[field], b"").text()
            };
            let first = ask(&by_header, ("x-user", &user), "/one");
            assert_eq!(ask(&by_header, ("X-User", &user), "/two"), first, "{component}");
            let same = ask(&by_cookie, ("cookie", &cookie), "/three");
            assert_eq!(same, first, "{component}: the same key, the same endpoint");
            *users.entry(first).or_default() += 1;
        }
        assert!(users.len() > 1, "{component}: {users:?}");
        let by_client = own("client-address");
        let first = by_client.get("/1").text();
        assert!((2..9).all(|n| by_client.get(&format!("/{n}")).text() == first), "{component}");
        // Without the key, chance decides.
        let drawn: Vec<_> = (0..60).map(|_| by_header.get("/").text()).collect();
        assert!(drawn.iter().any(|name| *name != drawn[0]), "{component}");
    }
}

#[test]
fn a_wrong_configuration_is_named_by_its_key() {
    let origin = Origin::replying("a");
    for (component, own, expected) in [
        ("carp", "key = 'query'", ["key: \"query\"", "expected \"path\", \"header:NAME\""]),
        ("maglev", "bounded-load = 1", ["bounded-load: 1", "a number from 1.01 to 100"]),
        ("ring-hash", "bounded-load = 'x'", ["bounded-load: this is", "expected a number"]),
        ("least-connections", "strict = 'yes'", ["strict: this is", "expected a boolean"]),
        ("p2c", "latency = 3", ["latency: this is an integer", "expected a boolean"]),
        ("sticky", "separator = '.'", ["refused: no session is named", "expected `cookie`"]),
        ("sticky", "cookie = 'a;b'", ["cookie: \"a;b\" does not fit", "expected a name"]),
    ] {
        let rest =
            format!("{SESSION}[plugins.own]\ncomponent = '{component}'\nconfig = {{ {own} }}");
        let text = config(&[(origin.address(), "")], "balancer = 'own'", &rest);
        let error = Proxy::try_start(&text, &[]).err().unwrap();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    }
}
