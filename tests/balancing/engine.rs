//! A compiled balancer in the real engine, with a cluster that is as a script says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::Request;
use linkspan::commands::BUILT_IN;
use linkspan::config::{Config, Name};
use linkspan::log::id::RequestIds;
use linkspan::metrics::Metrics;
use linkspan::plugin::{
    Around, Compiler, Connection, Endpoint, EndpointId, EndpointState, Exchange, Figures, Host,
    Kind, Members, Nursery, Order, Pick, Picked, Plugin, Settings, Taken, Trail,
};
use linkspan::proxy::WORDS;
use linkspan_plugin_balancing::Host as _;
use linkspan_plugin_balancing::bindings::exports::linkspan::plugin::balancer as guest;
use linkspan_plugin_balancing::bindings::linkspan::plugin::types;
use linkspan_plugin_balancing::testing::script::Report;
use linkspan_plugin_balancing::testing::{Script, Subject};
use serde_json::{Map, Value};
use smallvec::SmallVec;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc::Receiver;

use crate::support::cache_home;

/// Where components are loaded.
pub(super) struct Engine {
    runtime: LocalRuntime,
    host: Host,
    nursery: Nursery,
    /// Nothing is born to order: no call may fail.
    _orders: Receiver<Order>,
}

impl Engine {
    pub(super) fn start() -> Self {
        let program = env!("CARGO_BIN_EXE_linkspan").into();
        let settings = Settings {
            plugin_dir: None,
            cache_dir: Some(cache_home().join("linkspan")),
            cache_bytes: 1 << 30,
            compiler: Compiler { program, timeout: Duration::from_mins(1), memory_bytes: 2 << 30 },
            built_in: BUILT_IN,
            metrics: Arc::new(Metrics::new(1, WORDS)),
        };
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (nursery, orders) = Nursery::new(1);
        let host = Host::start(settings).unwrap();
        Self { runtime: runtime.unwrap(), host, nursery, _orders: orders }
    }

    /// A balancer with that configuration, and nobody to choose from.
    pub(super) fn balancer(&self, name: &str, config: &Map<String, Value>) -> Compiled<'_> {
        let entry = |(key, value): (&String, &Value)| format!("\"{key}\" = {value}");
        let entries: Vec<_> = config.iter().map(entry).collect();
        let text = format!(
            "[listeners.web]\nbind = '127.0.0.1:0'\n[plugins.it]\ncomponent = '{name}'\n\
             config = {{ {} }}\n",
            entries.join(", ")
        );
        let config = Config::parse(&text, Path::new("test.toml"));
        let config = config.unwrap_or_else(|faults| panic!("{faults}")).plugins;
        let cluster = Arc::new(Cluster::default());
        let plugin = self.runtime.block_on(async {
            let found = self.host.find(name, None).unwrap();
            let component = self.host.load(&found).await.unwrap();
            assert!(!component.waits, "{name} cannot be called synchronously");
            let members: Arc<dyn Members> = cluster.clone();
            let members = Some((&Name::from("main"), members));
            let around = Around { members, stores: Vec::new(), clusters: Vec::new().into() };
            let own = config.get("it").unwrap();
            let definition = self.host.define(own, component, &[Kind::Balancer], around);
            let definition = definition.unwrap();
            let newborn = definition.birth_apart().await.unwrap();
            Plugin::new(definition, self.nursery.clone(), 0, Some(newborn), None)
        });
        Compiled { engine: self, plugin, cluster, name: name.to_owned() }
    }
}

/// A compiled balancer.
pub(super) struct Compiled<'a> {
    engine: &'a Engine,
    plugin: Plugin,
    cluster: Arc<Cluster>,
    name: String,
}

impl Subject for Compiled<'_> {
    fn update(&mut self, endpoints: Vec<guest::Endpoint>, _script: &Script) {
        let mut facts = self.cluster.lock();
        facts.membership += 1;
        let endpoint = |it: guest::Endpoint| Endpoint {
            id: it.id,
            address: it.address,
            state: state(it.state),
            attributes: it.attributes,
        };
        facts.list = endpoints.into_iter().map(endpoint).collect();
    }

    fn change(&mut self, states: Vec<(u32, guest::EndpointState)>, _script: &Script) {
        let mut facts = self.cluster.lock();
        facts.states += 1;
        for (id, new) in states {
            let own = facts.list.iter_mut().filter(|endpoint| endpoint.id == id);
            own.for_each(|endpoint| endpoint.state = state(new));
        }
    }

    fn pick(
        &mut self,
        attempt: u32,
        previous: Option<types::Picked>,
        script: &Script,
    ) -> guest::Choice {
        self.cluster.lock().learn(script);
        let previous = previous.map(|it| Picked { id: it.id, token: it.token });
        let picking = self.plugin.pick(exchange(script), attempt, previous);
        let (exchange, pick) = self.engine.runtime.block_on(picking);
        let failed = exchange.trail.cost.failed;
        match pick {
            Ok(Pick::Endpoint(picked)) => {
                guest::Choice::Endpoint(types::Picked { id: picked.id, token: picked.token })
            }
            Ok(Pick::Next) => guest::Choice::Next,
            Ok(Pick::None) => guest::Choice::None,
            // A choice that is no member's is the only failure that a test provokes.
            Ok(Pick::Fallback) | Err(_) => panic!("{} failed: {failed:?}", self.name),
        }
    }
}

fn state(state: guest::EndpointState) -> EndpointState {
    let guest::EndpointState { usable, draining, weight } = state;
    EndpointState { usable, draining, weight }
}

/// The request that a script tells.
fn exchange(script: &Script) -> Box<Exchange> {
    let told = script.request();
    let query = told.query.map(|query| format!("?{query}")).unwrap_or_default();
    let path = if told.path.is_empty() { "/" } else { &told.path };
    let mut request = Request::get(format!("{path}{query}"));
    for (name, value) in &told.headers {
        request = request.header(name, value);
    }
    Box::new(Exchange {
        connection: Arc::new(Connection {
            listener: "web".into(),
            client: told.client.map(|client| (client, 40_000).into()),
            slot: told.slot,
            scheme: "http",
            tls: None,
        }),
        authority: told.host.into(),
        target_origin: None,
        request: Box::new(request.body(()).unwrap().into_parts().0),
        response: None,
        cluster: Some("main".into()),
        endpoint: None,
        attributes: SmallVec::new(),
        tried: script.tried().into(),
        taken: Taken::default(),
        trail: Trail::new(RequestIds::new().issue(), false),
        stream: None,
    })
}

/// A cluster whose figures are those of a script.
#[derive(Default)]
struct Cluster(Mutex<Facts>);

#[derive(Default)]
struct Facts {
    membership: u64,
    states: u64,
    list: Vec<Endpoint>,
    /// In the order of the list: in flight, bytes sent and received, latency.
    figures: Vec<(u32, u64, u64, u64)>,
    reports: BTreeMap<EndpointId, Report>,
}

impl Facts {
    fn learn(&mut self, script: &Script) {
        let figures = |it: &Endpoint| {
            let (sent, received) = script.bytes(it.id);
            (script.in_flight(it.id), sent, received, script.latency(it.id))
        };
        self.figures = self.list.iter().map(figures).collect();
        let report = |it: &Endpoint| Some((it.id, script.report(it.id)?));
        self.reports = self.list.iter().filter_map(report).collect();
    }
}

impl Cluster {
    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }
}

impl Members for Cluster {
    fn cluster(&self) -> u32 {
        0
    }

    fn membership_version(&self) -> u64 {
        self.lock().membership
    }

    fn states_version(&self) -> u64 {
        self.lock().states
    }

    fn endpoints(&self) -> (u64, Vec<Endpoint>) {
        let facts = self.lock();
        (facts.membership, facts.list.clone())
    }

    fn states(&self) -> Vec<(EndpointId, EndpointState)> {
        self.lock().list.iter().map(|it| (it.id, it.state)).collect()
    }

    fn has(&self, id: EndpointId) -> bool {
        self.lock().list.iter().any(|it| it.id == id)
    }

    fn figures(&self, id: EndpointId) -> Option<Figures> {
        let facts = self.lock();
        let place = facts.list.iter().position(|it| it.id == id)?;
        let (in_flight, bytes_sent, bytes_received, latency) = *facts.figures.get(place)?;
        Some(Figures { in_flight, bytes_sent, bytes_received, latency, ..Figures::default() })
    }

    fn reported(&self, id: EndpointId, name: &str) -> Option<u64> {
        self.lock().reports.get(&id)?.0.get(name).copied()
    }

    fn reported_of_all(&self, name: &str, younger_than: u64) -> Vec<Option<u64>> {
        let facts = self.lock();
        let number = |it: &Endpoint| {
            let (numbers, _) = facts.reports.get(&it.id).filter(|(_, age)| *age < younger_than)?;
            numbers.get(name).copied()
        };
        facts.list.iter().map(number).collect()
    }

    fn report_age(&self, id: EndpointId) -> Option<u64> {
        self.lock().reports.get(&id).map(|(_, age)| *age)
    }

    fn in_flight_of_all(&self) -> Vec<u32> {
        self.lock().figures.iter().map(|it| it.0).collect()
    }

    fn in_flight_from(&self, first: usize, room: &mut [u32]) {
        let facts = self.lock();
        let figures = facts.figures.iter().skip(first);
        room.iter_mut().zip(figures).for_each(|(it, figures)| *it = figures.0);
    }
}
