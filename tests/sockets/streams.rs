//! TCP listeners, whose clients may as well come by a Unix socket.

use std::io::Write;
use std::net::Shutdown;
use std::thread;

use super::Folder;
use crate::support::{Client, Origin, Proxy, UNHURRIED, eventually};

/// A listener with the guest `streams`, which sends what begins with `x` to a server.
fn routed(folder: &Folder, origin: &Origin, more: &str) -> Proxy {
    let toml = format!(
        "[listeners.web]\n{}\nprotocol = 'tcp'\nstream-router = 'streams'\n{more}\n\
         [plugins.streams]\n{UNHURRIED}\ngrants = {{ addresses = ['127.0.0.1:*'] }}\n\
         config = {{ rules = [{{ begins = 'x', to = ['tcp://{}'] }}] }}\n",
        folder.bind("web"),
        origin.address()
    );
    Proxy::start_with(&toml, &["streams"])
}

/// A server that sends back whatever comes, until the other side has no more; then it says so.
fn mirror() -> Origin {
    Origin::scripted(|peer| {
        loop {
            let bytes = peer.some();
            if bytes.is_empty() {
                peer.send("end");
                return;
            }
            peer.send(&bytes);
        }
    })
}

#[test]
fn a_stream_router_decides_about_a_unix_socket() {
    let (folder, origin) = (Folder::new(), mirror());
    let proxy = routed(&folder, &origin, "");
    let mut client = Client::at(&folder.path("web"));
    client.send("x and more");
    let mut echoed = Vec::new();
    client.take(10, &mut echoed).unwrap();
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"end", "the client has ended its side only");
    assert_eq!(echoed, b"x and more");
    let line = &proxy.access(1)[0];
    assert_eq!((&line["client"], &line["protocol"]), (&"unix:".into(), &"TCP".into()));
    assert_eq!((&line["bytes_up"], &line["bytes_down"]), (&10.into(), &13.into()));
    assert_eq!(line["error"], serde_json::Value::Null);
}

#[test]
fn much_goes_through_both_ways() {
    let (folder, origin) = (Folder::new(), mirror());
    let proxy = routed(&folder, &origin, "");
    let sent = b"xseventeen bytes.\n".repeat(2_000_000);
    let mut client = Client::at(&folder.path("web"));
    let mut writer = client.stream().try_clone().unwrap();
    let mut echoed = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        client.take(sent.len(), &mut echoed).unwrap();
    });
    assert!(echoed == sent);
    assert_eq!(client.rest(), b"end");
    eventually("the stream to end", || {
        (proxy.counter("linkspan_streams_open", &[]) == 0).then_some(())
    });
}

#[test]
fn the_header_of_a_proxy_is_read_there_too() {
    let (folder, origin) = (Folder::new(), mirror());
    let trust = "trusted-proxies = ['unix']\nproxy-protocol = 'require'";
    let proxy = routed(&folder, &origin, trust);
    let mut client = Client::at(&folder.path("web"));
    client.send("PROXY TCP6 2001:db8::7 2001:db8::1 5 6\r\nx");
    let mut echoed = Vec::new();
    client.take(1, &mut echoed).unwrap();
    drop(client);
    assert_eq!(proxy.access(1)[0]["client"], "[2001:db8::7]:5");
}
