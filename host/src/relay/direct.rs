//! Addresses that routers name: which of them the router's grants allow, and the cluster that serves
//! one.
//!
//! What is judged is what is dialled: a name is judged by what it resolves to, and is not resolved
//! again for connecting. Some addresses take more than a network that happens to cover them:
//! unspecified, link-local, broadcast and multicast ones must be granted one by one, and Linkspan's
//! own listeners with their port as well, lest requests run in circles.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cluster::registry::Registry;
use crate::config::{Address, AddressGrant, BadUrl, HostGrant, Location, Scheme};
use crate::dns::Failure;
use crate::log::id::RequestId;
use crate::log::in_milliseconds;
use crate::plugin::Plugin;
use crate::relay::error::Error;
use crate::view::{ClusterUse, Direct, View};
use crate::worker::Worker;

/// How long an address is kept that needs no resolving.
const FRESH: Duration = Duration::from_secs(30);

/// The longest address that is looked at: a scheme, the longest name and a port, with room to spare.
const MAX_BYTES: usize = 300;

/// Who names an address, and about what.
pub(crate) struct Naming<'a> {
    /// The router, whose grants count.
    pub(crate) router: &'a Plugin,
    /// The request or connection.
    pub(crate) id: &'a RequestId,
    /// Its listener.
    pub(crate) listener: &'a str,
    /// How addresses are written.
    pub(crate) read: fn(&str) -> Result<Location, BadUrl>,
}

/// The cluster of the address that a router has named.
pub(crate) async fn cluster(
    worker: &Worker,
    view: &View,
    url: String,
    naming: Naming<'_>,
) -> Result<Rc<ClusterUse>, Error> {
    let Naming { router, id, listener, read } = naming;
    let definition = router.definition();
    let key = (definition.id, url.into_boxed_str());
    if let Some(cluster) = view.direct.fresh(&key) {
        return Ok(cluster);
    }
    let grants = &definition.config.grants.addresses;
    let refused = |refusal: Refusal| {
        let url: String = key.1.chars().take(MAX_BYTES).collect();
        let router = &*definition.config.name;
        let text = "refused to forward";
        tracing::warn!(%id, listener, plugin = router, address = url, "{text}: {refusal}");
        definition.denied_address();
        let plugin = Arc::clone(&definition.config.name);
        Error::NotGranted { plugin, reason: format!("{url}: {refusal}").into() }
    };
    let Location { scheme, address } = parse(&key.1, read).map_err(refused)?;
    let (granted, believed) = match &address {
        Address::Unix(path) => {
            let covered = grants
                .iter()
                .any(|grant| matches!(&grant.host, HostGrant::Unix(own) if own == path));
            if !covered {
                return Err(refused(Refusal::NotCovered));
            }
            (Vec::new(), FRESH)
        }
        Address::Socket(socket) => {
            let found = granted(&address, vec![*socket], grants, &view.listening);
            (found.map_err(refused)?, FRESH)
        }
        Address::Name(host, port) if may_be_granted(grants, host, *port) => {
            let (found, believed) = resolve(worker, &view.direct, (host, *port), id).await?;
            (granted(&address, found, grants, &view.listening).map_err(refused)?, believed)
        }
        Address::Name(..) | Address::Service(_) => return Err(refused(Refusal::NotCovered)),
    };
    let tls = view.direct.tls.as_ref().filter(|_| scheme == Scheme::Https);
    if scheme == Scheme::Https && tls.is_none() {
        let text = format!("{address}: the system has no authorities to verify it by");
        return Err(Error::Tls(text.into()));
    }
    let location = Location { scheme, address };
    let make = |addresses| worker.plain(&Registry::unnamed(location, addresses, tls));
    Ok(view.direct.keep(key, (granted, believed), &worker.pool, make))
}

/// Why an address is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("it is too long")]
    TooLong,
    #[error(transparent)]
    Malformed(#[from] BadUrl),
    #[error("no grant covers it")]
    NotCovered,
    #[error("addresses of its kind are granted one by one")]
    Special,
    #[error("Linkspan itself listens there")]
    Own,
}

fn parse(url: &str, read: fn(&str) -> Result<Location, BadUrl>) -> Result<Location, Refusal> {
    if url.len() > MAX_BYTES {
        return Err(Refusal::TooLong);
    }
    Ok(read(url)?)
}

/// Whether a name could be allowed, depending on what it resolves to. Otherwise nobody is asked:
/// that, too, would tell something to somebody.
fn may_be_granted(grants: &[AddressGrant], host: &str, port: u16) -> bool {
    let by_network = |grant: &AddressGrant| {
        matches!(grant.host, HostGrant::Network(_))
            && grant.port.is_none_or(|granted| granted == port)
    };
    grants.iter().any(|grant| by_network(grant) || names(grant, host, port))
}

/// The addresses of a name, and how long they are believed.
async fn resolve(
    worker: &Worker,
    direct: &Direct,
    (host, port): (&Arc<str>, u16),
    id: &RequestId,
) -> Result<(Vec<SocketAddr>, Duration), Error> {
    let begun = Instant::now();
    let lookup = async {
        let _permit = direct.lookups.acquire().await;
        worker.resolve(host).await
    };
    let answer = timeout(direct.patience, lookup).await.unwrap_or(Err(Failure::Timeout));
    let answer = answer
        .map_err(|error| Error::Connect(format!("{host} does not resolve: {error}").into()))?;
    let found = answer.found.iter();
    let addresses: Vec<_> = found.map(|found| SocketAddr::new(found.address, port)).collect();
    let took_ms = in_milliseconds(begun.elapsed());
    tracing::trace!(%id, %host, port, ?addresses, took_ms, "resolved");
    Ok((addresses, answer.believed))
}

/// Those of the addresses that the grants allow, each once and in order.
fn granted(
    address: &Address,
    resolved: Vec<SocketAddr>,
    grants: &[AddressGrant],
    listening: &[SocketAddr],
) -> Result<Vec<SocketAddr>, Refusal> {
    let by_name = match address {
        Address::Name(host, port) => grants.iter().any(|grant| names(grant, host, *port)),
        Address::Socket(_) | Address::Service(_) | Address::Unix(_) => false,
    };
    let mut allowed = Vec::new();
    let mut last = Refusal::NotCovered;
    for mut socket in resolved {
        socket.set_ip(socket.ip().to_canonical());
        match judge(socket, by_name, grants, listening) {
            Ok(()) => allowed.push(socket),
            Err(refusal) => last = refusal,
        }
    }
    // Resolvers rotate their answers, which does not make them other answers.
    allowed.sort_unstable();
    allowed.dedup();
    if allowed.is_empty() { Err(last) } else { Ok(allowed) }
}

fn judge(
    socket: SocketAddr,
    by_name: bool,
    grants: &[AddressGrant],
    listening: &[SocketAddr],
) -> Result<(), Refusal> {
    let (ip, port) = (socket.ip(), socket.port());
    let mut covering = grants.iter().filter(|grant| grant.covers(ip, port)).peekable();
    if covering.peek().is_none() && !by_name {
        return Err(Refusal::NotCovered);
    }
    let alone: Vec<_> = covering.filter(|grant| is_single(grant)).collect();
    if is_special(ip) && alone.is_empty() {
        return Err(Refusal::Special);
    }
    if is_own(socket, listening) && alone.iter().all(|grant| grant.port.is_none()) {
        return Err(Refusal::Own);
    }
    Ok(())
}

/// Whether a grant is for a host by name, whatever that resolves to.
fn names(grant: &AddressGrant, host: &str, port: u16) -> bool {
    let HostGrant::Name(name) = &grant.host else { return false };
    name == host && grant.port.is_none_or(|granted| granted == port)
}

/// Whether a grant is for a single address.
fn is_single(grant: &AddressGrant) -> bool {
    matches!(grant.host, HostGrant::Network(net) if net.prefix_len() == net.max_prefix_len())
}

/// Whether an address is no ordinary host's.
fn is_special(ip: IpAddr) -> bool {
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    local || ip.is_unspecified() || ip.is_multicast()
}

/// Whether a listener answers there. One that listens on every address is known by the loopback
/// ones only.
fn is_own(socket: SocketAddr, listening: &[SocketAddr]) -> bool {
    listening.iter().any(|own| {
        let ip = own.ip().to_canonical();
        let same = ip == socket.ip() || ip.is_unspecified() && socket.ip().is_loopback();
        own.port() == socket.port() && same
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Grants as they are configured.
    fn grants(list: &[&str]) -> Vec<AddressGrant> {
        let text = format!(
            "[listeners.web]\nbind = ':80'\n[plugins.prefix]\ngrants = {{ addresses = {list:?} }}"
        );
        let config = Config::parse(&text, "linkspan.toml".as_ref()).unwrap();
        config.plugins["prefix"].grants.addresses.clone()
    }

    /// What is dialled for an address that resolves to these, or to itself.
    fn dialled(url: &str, resolved: &[&str], list: &[&str]) -> Result<Vec<String>, Refusal> {
        let address = parse(url, Location::from_url)?.address;
        let resolved = match &address {
            Address::Socket(socket) => vec![*socket],
            _ => resolved.iter().map(|socket| socket.parse().unwrap()).collect(),
        };
        let listening = ["127.0.0.1:8000", "0.0.0.0:8001"].map(|own| own.parse().unwrap());
        let granted = granted(&address, resolved, &grants(list), &listening)?;
        Ok(granted.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_literal_address_takes_a_network_and_its_port() {
        for (url, list, granted) in [
            ("http://10.1.2.3:80", &["10.0.0.0/8:*"][..], true),
            ("http://10.1.2.3", &["10.0.0.0/8:80"], true),
            ("http://10.1.2.3:81", &["10.0.0.0/8:80"], false),
            ("http://11.1.2.3", &["10.0.0.0/8:*"], false),
            ("http://[fd00::1]", &["10.0.0.0/8:*", "[fd00::/8]:*"], true),
            ("http://[::ffff:10.1.2.3]", &["10.0.0.0/8:*"], true),
            ("http://[::ffff:10.1.2.3]", &["[::/0]:*"], false),
            ("http://10.1.2.3", &[], false),
            ("http://10.1.2.3", &["files.internal:*"], false),
        ] {
            let expected = if granted { Ok(()) } else { Err(Refusal::NotCovered) };
            assert_eq!(dialled(url, &[], list).map(|_| ()), expected, "{url} by {list:?}");
        }
    }

    #[test]
    fn of_a_name_only_what_is_granted_is_dialled() {
        let url = "http://Files.internal:80";
        let all = ["10.0.0.2:80", "11.0.0.1:80", "10.0.0.1:80", "10.0.0.2:80", "169.254.0.1:80"];
        let dialled = |list| dialled(url, &all, list).map(|sockets| sockets.join(" "));
        assert_eq!(dialled(&["10.0.0.0/8:80"]).as_deref(), Ok("10.0.0.1:80 10.0.0.2:80"));
        let named = Ok("10.0.0.1:80 10.0.0.2:80 11.0.0.1:80");
        assert_eq!(dialled(&["files.INTERNAL:*"]).as_deref(), named);
        assert_eq!(dialled(&["files.internal:81"]), Err(Refusal::NotCovered));
        assert_eq!(dialled(&["other.internal:80"]), Err(Refusal::NotCovered));
        assert_eq!(dialled(&["12.0.0.0/8:*"]), Err(Refusal::NotCovered));
    }

    #[test]
    fn nobody_is_asked_about_a_name_that_no_answer_could_allow() {
        let may = |list: &[&str]| may_be_granted(&grants(list), "a.test", 80);
        assert!(may(&["a.test:80"]) && may(&["10.0.0.0/8:*"]));
        assert!(!may(&["b.test:80", "a.test:81", "10.0.0.0/8:81"]));
    }

    #[test]
    fn addresses_of_no_ordinary_host_are_granted_one_by_one() {
        let wide = ["0.0.0.0/0:*", "[::/0]:*", "a.test:*"];
        for host in [
            "0.0.0.0",
            "[::]",
            "169.254.1.1",
            "[fe80::1]",
            "224.0.0.1",
            "[ff02::1]",
            "255.255.255.255",
            "[::ffff:169.254.1.1]",
        ] {
            let (url, socket) = (format!("http://{host}"), format!("{host}:80"));
            assert_eq!(dialled(&url, &[], &wide), Err(Refusal::Special), "{url}");
            assert_eq!(dialled("http://a.test", &[&socket], &wide), Err(Refusal::Special), "{url}");
        }
        for (url, grant) in [
            ("http://169.254.1.1", "169.254.1.1:80"),
            ("http://[::ffff:169.254.1.1]", "169.254.1.1:*"),
            ("http://[fe80::1]", "[fe80::1]:*"),
        ] {
            assert!(dialled(url, &[], &[grant]).is_ok(), "{url}");
            assert!(dialled(&format!("{url}:81"), &[], &["169.254.1.1:80"]).is_err(), "{url}");
        }
    }

    #[test]
    fn own_listeners_are_granted_with_their_port_only() {
        let wide = &["0.0.0.0/0:*", "[::/0]:*", "127.0.0.1:*", "localhost:*"][..];
        for url in [
            "http://127.0.0.1:8000",
            "http://[::ffff:127.0.0.1]:8000",
            "http://127.0.0.1:8001",
            "http://127.9.9.9:8001",
            "http://[::1]:8001",
        ] {
            assert_eq!(dialled(url, &[], wide), Err(Refusal::Own), "{url}");
        }
        assert_eq!(dialled("http://localhost:8000", &["127.0.0.1:8000"], wide), Err(Refusal::Own));
        for url in ["http://127.0.0.2:8000", "http://127.0.0.1:8002", "http://10.0.0.1:8001"] {
            assert!(dialled(url, &[], wide).is_ok(), "{url}");
        }
        assert!(dialled("http://127.0.0.1:8000", &[], &["127.0.0.1:8000"]).is_ok());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let wide = &["0.0.0.0/0:*"];
        for url in ["", "127.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1/x", "http://a\r\nb"] {
            assert!(matches!(dialled(url, &[], wide), Err(Refusal::Malformed(_))), "{url:?}");
        }
        let long = format!("http://{}", "a".repeat(300));
        assert_eq!(parse(&long, Location::from_url), Err(Refusal::TooLong));
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_connected_to_makes_room_for_the_next() {
        let location = parse("http://a.test", Location::from_url).unwrap();
        let resolved = ["127.0.0.1:80", "127.0.0.2:80"].map(|socket| socket.parse().unwrap());
        let cluster = Registry::unnamed(location, resolved.into(), None);
        assert_eq!(cluster.max_attempts(), 2);
        let first = cluster.first_usable(1, &[]).unwrap();
        assert_eq!(
            (&**first.label(), first.authority().to_str().unwrap()),
            ("127.0.0.1:80", "a.test")
        );
        let second = cluster.first_usable(1, &[first.id()]).unwrap();
        assert_eq!(&**second.label(), "127.0.0.2:80");
        cluster.connect_failed(&first, 1);
        cluster.connect_failed(&first, 1);
        assert_eq!(cluster.first_usable(2, &[]).unwrap().id(), second.id());
    }
}
