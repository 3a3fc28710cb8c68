//! What is legal about the TLS that is spoken to endpoints, and hardly what was meant.

use crate::config::fault::Fault;
use crate::config::places::{Part, Places, Spot};
use crate::config::{Address, Cluster, Endpoint, Scheme};

/// The warnings about how a cluster speaks TLS.
pub(super) fn of(
    cluster: &Cluster,
    places: &Places<'_>,
    spot: &Spot<'_>,
    warnings: &mut Vec<Fault>,
) {
    let Some(tls) = &cluster.tls else { return };
    let own = spot.get("tls");
    let secured = |endpoint: &&Endpoint| cluster.tls_of(endpoint).is_some();
    if cluster.endpoints.iter().find(secured).is_none() {
        if let Some(own) = own.filter(|_| !cluster.endpoints.is_empty()) {
            let message = "all endpoints are `http`, so that this has no effect";
            warnings.push(places.fault(&own, Part::Key, message));
        }
        return;
    }
    if !tls.verify {
        let shared = || places.find(&["defaults", "cluster", "tls", "verify"]);
        let verify = own.and_then(|own| own.get("verify")).or_else(shared);
        let place = verify.as_ref().unwrap_or(spot);
        let message = format!(
            "nobody has to prove to be an endpoint of {}: whoever is on the way can read and change all",
            cluster.name
        );
        let fault = places.fault(place, Part::Value, &message);
        let help = "name the authority that vouches for the endpoints as `ca`";
        warnings.push(fault.expected("expected true").help(Some(help.to_owned())));
    }
    let elements = spot.get("endpoints").map(|list| list.elements()).unwrap_or_default();
    for (element, endpoint) in elements.iter().zip(&cluster.endpoints) {
        let port = match &endpoint.address {
            Address::Socket(socket) => socket.port(),
            Address::Name(_, port) => *port,
            Address::Service(_) | Address::Unix(_) => continue,
        };
        if tls.always && endpoint.scheme == Scheme::Unsaid && port == 80 {
            let message = format!("`{}` is where HTTP is spoken without TLS", endpoint.address);
            let fault = places.fault(element, Part::Value, &message);
            let help = "write `https://` before it for port 443, or `http://` to do without TLS";
            warnings.push(fault.help(Some(help.to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Reading;

    #[test]
    fn what_is_not_verified_is_said_where_it_stands() {
        let warnings = |text: &str| {
            let text = format!("[listeners.web]\nbind = ':0'\ndefault-cluster = 'c'\n{text}");
            let reading = Reading::parse(&text, "linkspan.toml".as_ref());
            assert!(reading.sound().is_some(), "{}", reading.faults());
            let said = |fault: &crate::config::Fault| format!("{}: {}", fault.key, fault.message);
            reading.warnings().iter().map(said).collect::<Vec<_>>()
        };
        let unproved = "nobody has to prove to be an endpoint of c: whoever is on the way can read \
                        and change all";
        for (text, said) in [
            (
                "endpoints = ['a:8443']\ntls.verify = false",
                format!("clusters.c.tls.verify: {unproved}"),
            ),
            (
                "endpoints = ['https://a', 'http://a']\n[defaults.cluster]\ntls = { verify = false }",
                format!("defaults.cluster.tls.verify: {unproved}"),
            ),
            (
                "endpoints = ['http://a']\ntls.verify = false",
                "clusters.c.tls: all endpoints are `http`, so that this has no effect".to_owned(),
            ),
        ] {
            assert_eq!(warnings(&format!("[clusters.c]\n{text}")), [said], "{text}");
        }
        let port = warnings("[clusters.c]\nendpoints = ['a', 'b:443']\ntls = { verify = false }");
        assert!(port[1].starts_with("clusters.c.endpoints[0]: `a:80` is where HTTP"), "{port:?}");
        assert_eq!(port.len(), 2);
    }
}
