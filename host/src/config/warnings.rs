//! What is legal in a configuration and yet hardly what was meant.
//!
//! Each of these must be right nearly always: an operator who has learnt to look past warnings
//! looks past the one that matters.

mod endpoints;
mod sendfile;
mod tls;

use std::collections::BTreeSet;

use crate::config::fault::Fault;
use crate::config::places::{Part, Places, Spot};
use crate::config::{Check, Cluster, Config, Name, Probe, StoreKind};

/// The warnings about a configuration that has no faults.
pub(super) fn of(config: &Config, places: &Places<'_>) -> Vec<Fault> {
    let mut warnings = Vec::new();
    listeners(config, places, &mut warnings);
    clusters(config, places, &mut warnings);
    plugins(config, places, &mut warnings);
    stores(config, places, &mut warnings);
    for (key, tables) in [("listener", "listeners"), ("cluster", "clusters")] {
        defaults(places, key, tables, &mut warnings);
    }
    warnings.into_iter().map(Fault::warning).collect()
}

fn listeners(config: &Config, places: &Places<'_>, warnings: &mut Vec<Fault>) {
    for (name, listener) in &config.listeners {
        let Some(spot) = places.find(&["listeners", name]) else { continue };
        let serves = listener.default_cluster.is_some() || listener.status_path.is_some();
        if listener.routers.is_empty() && listener.stream_routers().is_empty() && !serves {
            let (message, expected, help) = match listener.tcp {
                None => (
                    "nothing says where its requests go",
                    "each of them gets a 404",
                    "set `default-cluster`, or name `routers`",
                ),
                Some(_) => (
                    "nothing says where its connections go",
                    "each of them is closed",
                    "set `default-cluster`, or name a `stream-router`",
                ),
            };
            let fault = places.fault(&spot, Part::Key, message);
            warnings.push(fault.expected(expected).help(Some(help.to_owned())));
        }
        for key in ["routers", "rewriters"] {
            repeated(places, spot.get(key).as_ref(), warnings);
        }
        if listener.max_connections_per_address > listener.max_connections
            && let Some(limit) = spot.get("max-connections-per-address")
        {
            let message = "more than the listener's `max-connections`, and so without effect";
            let expected = format!("expected at most {}", listener.max_connections);
            warnings.push(places.fault(&limit, Part::Value, message).expected(&expected));
        }
    }
}

fn clusters(config: &Config, places: &Places<'_>, warnings: &mut Vec<Fault>) {
    let routed = routed(config);
    for (name, cluster) in &config.clusters {
        let Some(spot) = places.find(&["clusters", name]) else { continue };
        if cluster.endpoints.is_empty()
            && let Some(endpoints) = spot.get("endpoints")
        {
            let fault = places.fault(&endpoints, Part::Value, "the cluster has no endpoints");
            warnings.push(fault.expected("each of its requests gets a 503"));
        }
        if routed.as_ref().is_some_and(|routed| !routed.contains(&**name)) {
            let message = "no request goes to this cluster";
            let expected = "no `default-cluster` and no router's `config` names it";
            warnings.push(places.fault(&spot, Part::Key, message).expected(expected));
        }
        for key in ["balancer", "rewriters", "sendfile-roots"] {
            repeated(places, spot.get(key).as_ref(), warnings);
        }
        failing(cluster, places, &spot, warnings);
        heartbeat(config, cluster, places, &spot, warnings);
        endpoints::of(cluster, places, &spot, warnings);
        sendfile::of(cluster, places, &spot, warnings);
        tls::of(cluster, places, &spot, warnings);
        waiting(cluster, places, &spot, warnings);
    }
}

/// What is said of requests that wait, where none does.
fn waiting(cluster: &Cluster, places: &Places<'_>, spot: &Spot<'_>, warnings: &mut Vec<Fault>) {
    let of_endpoints = cluster.endpoints.iter().filter_map(|each| each.max_connections);
    if cluster.max_connections.into_iter().chain(of_endpoints).next().is_some() {
        return;
    }
    // The defaults are said of every cluster by whoever prints them all.
    let usual = Cluster::default();
    let set = [
        ("max-queue", cluster.max_queue != usual.max_queue),
        ("queue-timeout", cluster.queue_timeout != usual.queue_timeout),
    ];
    let set = set.into_iter().filter(|(_, own)| *own);
    for spot in set.filter_map(|(key, _)| spot.get(key)) {
        let message = "without `max-connections` this has no effect";
        let expected = "expected `max-connections` of the cluster, or of its endpoints";
        warnings.push(places.fault(&spot, Part::Key, message).expected(expected));
    }
}

/// What is said of failures by status, and comes to nothing.
fn failing(cluster: &Cluster, places: &Places<'_>, spot: &Spot<'_>, warnings: &mut Vec<Fault>) {
    let mut idle = |key, without: &str| {
        if let Some(spot) = spot.get(key) {
            let message = format!("without {without} this has no effect");
            warnings.push(places.fault(&spot, Part::Key, &message));
        }
    };
    if cluster.fail_on_status.is_empty() {
        // The default is said of every cluster by whoever prints them all.
        if cluster.fail_attempts != Cluster::default().fail_attempts {
            idle("fail-attempts", "`fail-on-status`");
        }
    } else if cluster.health.offline.is_zero() {
        idle("fail-on-status", "an offline time, `health.offline`,");
    }
}

/// A balancer that goes by the answers to checks, where there are none.
fn heartbeat(
    config: &Config,
    cluster: &Cluster,
    places: &Places<'_>,
    spot: &Spot<'_>,
    warnings: &mut Vec<Fault>,
) {
    let of = |name| config.plugins.get(name).map(|plugin| &*plugin.component);
    if cluster.balancers.iter().any(|name| of(name) == Some("heartbeat"))
        && !answers(cluster.health.check.as_deref())
    {
        let own = spot.get("balancer");
        let (place, part) = own.as_ref().map_or((spot, Part::Key), |own| (own, Part::Value));
        let message = "`heartbeat` goes by what active checks are answered, and there are none";
        let fault = places.fault(place, part, message);
        let help = "set `health.check`, with a `path` whose answer says what is `ready`";
        let fault = fault.expected("without one it picks nobody");
        warnings.push(fault.help(Some(help.to_owned())));
    }
}

/// Whether a check has an answer with a body.
fn answers(check: Option<&Check>) -> bool {
    check.is_some_and(|check| match &check.probe {
        Probe::Http { method, .. } => method != http::Method::HEAD,
        Probe::Tcp => false,
    })
}

/// A plugin that is named again in the same list.
fn repeated(places: &Places<'_>, list: Option<&Spot<'_>>, warnings: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for spot in list.into_iter().flat_map(Spot::elements) {
        let Some(name) = spot.text() else { continue };
        if !seen.insert(name.clone()) {
            let message = format!("`{name}` stands in this list before");
            warnings.push(places.fault(&spot, Part::Value, &message));
        }
    }
}

/// The names that requests may go to; `None` if a router may name any, for all that can be known:
/// one without a configuration has the names from elsewhere.
fn routed(config: &Config) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for listener in config.listeners.values() {
        names.extend(listener.default_cluster.as_ref().map(ToString::to_string));
        for router in listener.routers.iter().chain(listener.stream_routers()) {
            let plugin = config.plugins.get(router)?;
            let json: serde_json::Value = serde_json::from_str(&plugin.config).ok()?;
            if json.as_object().is_none_or(serde_json::Map::is_empty) {
                return None;
            }
            collect(&json, &mut names);
            let granted = plugin.grants.stores.iter().filter_map(|name| config.stores.get(name));
            for store in granted {
                // What servers hold is not known here.
                let StoreKind::Memory { entries, .. } = &store.kind else { return None };
                names.extend(entries.iter().flat_map(|(key, value)| [key.clone(), value.clone()]));
            }
        }
    }
    Some(names)
}

/// All texts of a value, and all its keys.
fn collect(json: &serde_json::Value, texts: &mut BTreeSet<String>) {
    match json {
        serde_json::Value::String(text) => {
            texts.insert(text.clone());
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| collect(value, texts)),
        serde_json::Value::Object(table) => {
            for (key, value) in table {
                texts.insert(key.clone());
                collect(value, texts);
            }
        }
        _ => {}
    }
}

fn plugins(config: &Config, places: &Places<'_>, warnings: &mut Vec<Fault>) {
    let of_listeners = config.listeners.values();
    let of_listeners = of_listeners
        .flat_map(|it| it.routers.iter().chain(&it.rewriters).chain(it.stream_routers()));
    let of_clusters = config.clusters.values();
    let of_clusters = of_clusters.flat_map(|it| it.balancers.iter().chain(&it.rewriters));
    let used: BTreeSet<&Name> = of_listeners.chain(of_clusters).collect();
    for name in config.plugins.keys().filter(|name| !used.contains(name)) {
        if let Some(spot) = places.find(&["plugins", name]) {
            let fault = places.fault(&spot, Part::Key, "nothing uses this plugin");
            let expected = "no `routers`, `rewriters`, `balancer` or `stream-router` names it";
            warnings.push(fault.expected(expected));
        }
    }
}

fn stores(config: &Config, places: &Places<'_>, warnings: &mut Vec<Fault>) {
    for name in config.stores.keys() {
        if !config.plugins.values().any(|plugin| plugin.grants.stores.contains(name))
            && let Some(spot) = places.find(&["stores", name])
        {
            let fault = places.fault(&spot, Part::Key, "no plugin may open this store");
            warnings.push(fault.expected("no `grants.stores` names it"));
        }
    }
}

/// Defaults that every table sets for itself, or that there is no table to take.
fn defaults(places: &Places<'_>, key: &str, tables: &str, warnings: &mut Vec<Fault>) {
    let Some(default) = places.find(&["defaults", key]) else { return };
    let takers: Vec<_> =
        places.names(tables).filter_map(|name| places.find(&[tables, name])).collect();
    if takers.is_empty() {
        let message = format!("there are no `[{tables}.*]` that could take these");
        warnings.push(places.fault(&default, Part::Key, &message));
        return;
    }
    for spot in default.keys().filter_map(|key| default.get(key).map(|spot| (key, spot))) {
        let (key, spot) = spot;
        // Tables within tables are taken key by key.
        if !spot.is_table() && takers.iter().all(|taker| taker.get(key).is_some()) {
            let message = format!("all `[{tables}.*]` set this themselves");
            warnings.push(places.fault(&spot, Part::Key, &message));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Reading, Severity};

    /// The warnings about a text after one that has none.
    fn warnings(text: &str) -> Vec<String> {
        // What begins with the table of the cluster goes on with it.
        let main = if text.contains("[clusters.main]") { "" } else { "[clusters.main]\n" };
        let text = format!(
            "[listeners.web]\nbind = ':0'\ndefault-cluster = 'main'\n{text}\n\
             {main}endpoints = ['a']\n"
        );
        let reading = Reading::parse(&text, Path::new("l.toml"));
        assert!(reading.sound().is_some(), "{}", reading.faults());
        let warnings = reading.warnings();
        assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
        let said = |warning: &crate::config::Fault| format!("{}: {}", warning.key, warning.message);
        warnings.iter().map(said).collect()
    }

    #[test]
    fn a_usual_file_has_none() {
        for text in [
            "",
            "routers = ['any']",
            "rewriters = ['headers']",
            "routers = ['a']\n[plugins.a]\nconfig.rules = [{ cluster = 'b' }]\n\
             [clusters.b]\nendpoints = ['b']",
            "routers = ['a']\n[plugins.a]\nconfig.b = 1\n[clusters.b]\nendpoints = ['b']",
            "routers = ['a']\n[clusters.b]\nendpoints = ['b']",
            "routers = ['a']\n[plugins.a]\nconfig.c = 'd'\ngrants.stores = ['s']\n\
             [stores.s.entries]\nx = 'b'\n[clusters.b]\nendpoints = ['b']",
            "[defaults.cluster]\nhealth.attempts = 3\nbalancer = 'first-alive'",
            "[defaults.listener]\nmax-headers = 50",
            "routers = ['a']\n[clusters.b]\nendpoints = ['a', { address = 'b', route = 'r1', \
             redirect = 'r2' }, { address = 'c', route = 'r2', redirect = '0123456789abcdef' }, 'a']",
            "[defaults.cluster]\nbalancer = 'heartbeat'\nhealth.check.path = '/'",
            "routers = ['a']\n[clusters.b]\nmax-queue = 5\n\
             endpoints = [{ address = 'b', max-connections = 1 }]",
            "routers = ['a']\n[clusters.b]\nendpoints = ['b']\nqueue-timeout = '1s'\n\
             max-connections = 1",
            "routers = ['a']\n[defaults.cluster]\nmax-queue = 5\n\
             [clusters.b]\nendpoints = ['b']",
        ] {
            assert_eq!(warnings(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_is_odd_about_an_endpoint_is_told_where_it_stands() {
        for (table, said) in [
            (
                "address = 'b', wieght = 3",
                "[1].wieght: `wieght` means something to your own balancers only",
            ),
            (
                "address = 'a', max-connections = 3",
                "[1]: `a:80` stands in this list before, with another `max-connections`",
            ),
            (
                "address = 'a', status = 'drain'",
                "[1]: `a:80` stands in this list before, with another `status`",
            ),
        ] {
            let text = format!("routers = ['any']\n[clusters.b]\nendpoints = ['a', {{ {table} }}]");
            assert_eq!(warnings(&text), [format!("clusters.b.endpoints{said}")]);
        }
        let fine = "address = 'a', weight = 3, route-group = 1, x = 2";
        let text = format!("routers = ['any']\n[clusters.b]\nendpoints = ['a', {{ {fine} }}]");
        assert_eq!(warnings(&text), Vec::<String>::new());
    }

    #[test]
    fn what_is_odd_is_told_where_it_stands() {
        let two = "[clusters.b]\nendpoints = ['b']\n";
        for (text, said) in [
            (two.to_owned(), "clusters.b: no request goes to this cluster"),
            (
                format!("routers = ['a']\n[plugins.a]\nconfig.rules = ['bb']\n{two}"),
                "clusters.b: no request goes to this cluster",
            ),
            (
                format!("routers = ['a']\n{two}balancer = 'Heartbeat'\nhealth.check.type = 'tcp'"),
                "clusters.b.balancer: `heartbeat` goes by what active checks are answered, and there \
                 are none",
            ),
            (
                "routers = ['a']\n[clusters.b]\nendpoints = [{ address = 'b', route = 'r1' }, \
                 { address = 'c', route = 'r2', redirect = 'r3' }]"
                    .to_owned(),
                "clusters.b.endpoints[1].redirect: no endpoint of this cluster has the route `r3`",
            ),
            (
                "[defaults.cluster]\nbalancer = ['heartbeat']".to_owned(),
                "clusters.main: `heartbeat` goes by what active checks are answered, and there are \
                 none",
            ),
            ("[plugins.p]".to_owned(), "plugins.p: nothing uses this plugin"),
            ("[stores.s]".to_owned(), "stores.s: no plugin may open this store"),
            (
                "rewriters = ['a', 'b', 'a']".to_owned(),
                "listeners.web.rewriters[2]: `a` stands in this list before",
            ),
            (
                "max-connections = 5\nmax-connections-per-address = 6".to_owned(),
                "listeners.web.max-connections-per-address: more than the listener's \
                 `max-connections`, and so without effect",
            ),
            (
                "[clusters.main]\nmax-queue = 5".to_owned(),
                "clusters.main.max-queue: without `max-connections` this has no effect",
            ),
            (
                "[clusters.main]\nfail-attempts = 3".to_owned(),
                "clusters.main.fail-attempts: without `fail-on-status` this has no effect",
            ),
            (
                "[clusters.main]\nfail-on-status = [500]\nhealth.offline = '0s'".to_owned(),
                "clusters.main.fail-on-status: without an offline time, `health.offline`, this \
                 has no effect",
            ),
            (
                "[listeners.b]\nbind = ':0'".to_owned(),
                "listeners.b: nothing says where its requests go",
            ),
            (
                "max-headers = 60\n[defaults.listener]\nmax-headers = 50".to_owned(),
                "defaults.listener.max-headers: all `[listeners.*]` set this themselves",
            ),
        ] {
            assert_eq!(warnings(&text), [said], "{text}");
        }
        let reading = Reading::parse(
            "[listeners.web]\nbind = ':0'\nrouters = ['a']\n[defaults.cluster]\nmax-attempts = 1",
            Path::new("l.toml"),
        );
        let said: Vec<_> = reading.warnings().into_iter().map(|fault| fault.key).collect();
        assert_eq!(said, ["defaults.cluster"]);
    }
}
