//! Which upstream a stream gets: clusters with their balancers, addresses that are granted, and the next of
//! a list where one cannot be connected to.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::thread;

use tempfile::TempDir;

use super::{answer, echo, errors, events, next, reason, routed, tcp, text};
use crate::support::{Down, Proxy};

#[test]
fn a_list_of_upstreams_is_gone_through_until_one_can_be_connected_to() {
    let (down, empty, up) = (Down::new(), Down::new(), echo());
    let to = format!("['main', '{}', '{}', 'main']", tcp(empty.address()), tcp(up.address()));
    let cluster = format!("[clusters.main]\nendpoints = ['{}']", down.address());
    let proxy = routed(&format!("rules = [{{ begins = 'x', to = {to} }}]"), "", &cluster);
    assert_eq!(answer(&proxy, "x"), format!("{}:x", up.address().port()));
    let line = &proxy.access(1)[0];
    assert_eq!((&line["attempts"], &line["error"]), (&3.into(), &serde_json::Value::Null));
    assert_eq!(line["endpoint"], up.address().to_string());
    let refused = |down: &Down| format!("{}: connection refused", down.address());
    assert_eq!(line["retried"], format!("{}; {}", refused(&down), refused(&empty)));
    assert_eq!(events(&proxy, "connect_failed"), 0);
}

#[test]
fn a_clusters_balancer_chooses_and_is_asked_again_where_connecting_fails() {
    let (one, other, down) = (echo(), echo(), Down::new());
    let cluster = format!(
        "[clusters.main]\nbalancer = 'round-robin'\nendpoints = ['{}', '{}', '{}']",
        one.address(),
        down.address(),
        other.address()
    );
    let proxy = routed("rules = [{ begins = 'x', to = ['main'] }]", "", &cluster);
    let ports = [one.address().port(), other.address().port()];
    let got: Vec<_> = (0..4).map(|_| answer(&proxy, "x")).collect();
    for port in ports {
        assert!(got.contains(&format!("{port}:x")), "{got:?}");
    }
    assert!(got.iter().all(|answer| answer.ends_with(":x")), "{got:?}");
    assert_eq!(proxy.access(1)[0]["balancer"], "round-robin");
}

#[test]
fn all_connections_of_an_address_go_where_its_hash_says() {
    let (one, other) = (echo(), echo());
    let cluster = format!(
        "[clusters.main]\nbalancer = 'by-address'\nendpoints = ['{}', '{}']\n\
         [plugins.by-address]\ncomponent = 'carp'\nconfig.key = 'client-address'",
        one.address(),
        other.address()
    );
    let proxy = routed("rules = [{ begins = 'x', to = ['main'] }]", "", &cluster);
    let first = answer(&proxy, "x");
    assert!(first.ends_with(":x"), "{first:?}");
    assert!((0..4).all(|_| answer(&proxy, "x") == first));
}

#[test]
fn addresses_are_dialled_that_are_granted_and_no_others() {
    let origin = echo();
    let own = format!("tcp://127.0.0.1:{}", origin.address().port());
    let rules = format!(
        "rules = [{{ begins = 'a', to = ['{own}'] }}, {{ begins = 'b', to = ['tcp://127.0.0.2:1'] }},
          {{ begins = 'c', to = ['http://127.0.0.1:1'] }}, {{ begins = 'd', to = ['unix:/run/x'] }}]"
    );
    let proxy = routed(&rules, "", "");
    assert_eq!(answer(&proxy, "a"), format!("{}:a", origin.address().port()));
    for (number, (bytes, why)) in [
        ("b", "tcp://127.0.0.2:1: no grant covers it"),
        ("c", "http://127.0.0.1:1: it is neither `tcp://host:port` nor `unix:/path`"),
        ("d", "unix:/run/x: no grant covers it"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(answer(&proxy, bytes), "");
        let expected = format!("router streams may not forward to {why}");
        assert_eq!(reason(&proxy, number + 2), expected);
    }
    assert_eq!(errors(&proxy, "not_granted"), 3);
    assert_eq!(events(&proxy, "connect_failed"), 0, "nothing was connected to");
}

#[test]
fn a_unix_socket_is_an_upstream_by_its_path_or_in_a_cluster() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            bytes.reverse();
            stream.write_all(&bytes).unwrap();
        }
    });
    let path = path.display();
    let toml = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\nprotocol = 'tcp'\nstream-router = 'streams'\n\
         [clusters.main]\nendpoints = ['unix:{path}']\n\
         [plugins.streams]\ngrants.addresses = ['unix:{path}']\n\
         config.rules = [{{ begins = 'a', to = ['unix:{path}'] }}, {{ begins = 'b', to = ['main'] }}]"
    );
    let proxy = Proxy::start_with(&toml, &["streams"]);
    for asked in ["abc", "bcd"] {
        let mut client = proxy.connect();
        client.send(asked);
        client.stream().shutdown(Shutdown::Write).unwrap();
        let reversed: String = asked.chars().rev().collect();
        assert_eq!(text(client.rest()), reversed);
    }
    serving.join().unwrap();
}

#[test]
fn who_speaks_first_can_be_the_proxy() {
    let origin = echo();
    let rules = format!(
        "greeting = '220 ready ', rules = [{{ begins = 'EHLO', to = ['{}'] }}]",
        tcp(origin.address())
    );
    let proxy = routed(&rules, "", "");
    let mut client = proxy.connect();
    assert_eq!(next(&mut client, 10), "220 ready ");
    client.send("EHLO");
    assert_eq!(text(client.rest()), format!("{}:EHLO", origin.address().port()));
    drop(client);
    assert_eq!(proxy.access(1)[0]["bytes_down"], 20);
}
