//! Vectors: clusters, what happens to them, and who gets which request, as JSON.
//!
//! A vector has a `title`, the name of its `balancer`, perhaps a `config`, its `endpoints` and
//! `steps`. Endpoints are tables as in a configuration; their addresses are their names. A step may
//! replace the `endpoints`, set `states` (`up`, `down`, `drain`), `weights`, `in-flight`, `bytes`
//! (sent and received), `reports` (numbers and how old they are; the list is then told again, as what
//! was looked at before may still count) and the properties of the `request`, and says whom another balancer has `tried` before, and who is
//! `refusing` connections.
//! Then come its `picks`, one for each request, blanks between them: `a` goes to a, `b>c` to b,
//! which refuses, and then to c; it ends in `-` where nobody is left, and in `next` where the next
//! balancer is to be asked.

use super::script::{Report, Request, Script};
use crate::bindings::exports::linkspan::plugin::balancer::{Choice, Endpoint, EndpointState};
use crate::bindings::linkspan::plugin::types::Picked;
use crate::{Balancer, Instance};
use serde::Deserialize;
use std::collections::BTreeMap;

const FILES: [&str; 4] = [
    include_str!("../../vectors/monkey.json"),
    include_str!("../../vectors/lighttpd.json"),
    include_str!("../../vectors/apache.json"),
    include_str!("../../vectors/others.json"),
];

/// One vector.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// What it is about.
    pub title: String,
    /// The component.
    pub balancer: String,
    /// Its configuration.
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
    endpoints: Vec<Table>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
struct Table {
    address: String,
    #[serde(default = "one")]
    weight: f64,
    #[serde(flatten)]
    attributes: BTreeMap<String, String>,
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Step {
    endpoints: Option<Vec<Table>>,
    states: BTreeMap<String, String>,
    weights: BTreeMap<String, f64>,
    in_flight: BTreeMap<String, u32>,
    bytes: BTreeMap<String, (u64, u64)>,
    reports: BTreeMap<String, Report>,
    request: Option<Asked>,
    tried: Vec<String>,
    refusing: Vec<String>,
    picks: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    path: Option<String>,
    query: Option<String>,
    host: Option<String>,
    client: Option<std::net::IpAddr>,
    slot: u32,
    headers: Vec<(String, String)>,
}

/// What vectors are played against.
pub trait Subject {
    /// Takes the members.
    fn update(&mut self, endpoints: Vec<Endpoint>, script: &Script);
    /// Takes states that have changed.
    fn change(&mut self, states: Vec<(u32, EndpointState)>, script: &Script);
    /// Picks.
    fn pick(&mut self, attempt: u32, previous: Option<Picked>, script: &Script) -> Choice;
}

impl<B: Balancer> Subject for Instance<B> {
    fn update(&mut self, endpoints: Vec<Endpoint>, script: &Script) {
        Self::update(self, endpoints, script);
    }

    fn change(&mut self, states: Vec<(u32, EndpointState)>, _script: &Script) {
        Self::change(self, states);
    }

    fn pick(&mut self, attempt: u32, previous: Option<Picked>, script: &Script) -> Choice {
        Self::pick(self, attempt, previous, script)
    }
}

/// All vectors.
///
/// # Panics
///
/// If the files are not as they should be.
#[must_use]
pub fn all() -> Vec<Vector> {
    let read = |file: &&str| serde_json::from_str::<Vec<Vector>>(file);
    let read = |file| read(file).unwrap_or_else(|error| panic!("a file of vectors: {error}"));
    FILES.iter().flat_map(read).collect()
}

/// Plays the vectors of a balancer against its Rust.
///
/// # Panics
///
/// If one is not followed, or there is none.
pub fn check<B: Balancer>(name: &str) {
    let vectors: Vec<_> = all().into_iter().filter(|vector| vector.balancer == name).collect();
    assert!(!vectors.is_empty(), "there is no vector for {name}");
    for vector in vectors {
        let mut instance = Instance::<B>::new();
        let configured = instance.configure(&vector.config_text());
        assert_eq!(configured, Ok(()), "{}", vector.title);
        play(&vector, &mut instance);
    }
}

impl Vector {
    /// The configuration as JSON text.
    #[must_use]
    pub fn config_text(&self) -> String {
        serde_json::Value::Object(self.config.clone()).to_string()
    }
}

/// Plays a vector.
///
/// # Panics
///
/// If it is not followed.
pub fn play(vector: &Vector, subject: &mut impl Subject) {
    let mut player = Player::default();
    player.take(&vector.endpoints, subject);
    for (number, step) in vector.steps.iter().enumerate() {
        player.prepare(step, subject);
        let expected: Vec<&str> = step.picks.split_whitespace().collect();
        let picks: Vec<_> = expected.iter().map(|_| player.request(step, subject)).collect();
        assert_eq!(picks, expected, "{}: {}, step {number}", vector.balancer, vector.title);
    }
}

#[derive(Default)]
struct Player {
    script: Script,
    /// The endpoints that there ever were. Numbers are given in no particular order.
    names: Vec<String>,
    list: Vec<Endpoint>,
    states: BTreeMap<u32, EndpointState>,
}

impl Player {
    fn id(&mut self, name: &str) -> u32 {
        let known = self.names.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        u32::try_from(place).map_or(0, |place| (7_000 - 13 * place) ^ 5)
    }

    fn name(&self, id: u32) -> &str {
        let place = usize::try_from((7_000 - (id ^ 5)) / 13).unwrap_or(usize::MAX);
        self.names.get(place).map_or("nobody", String::as_str)
    }

    fn take(&mut self, tables: &[Table], subject: &mut impl Subject) {
        let mut list = Vec::new();
        for table in tables {
            let id = self.id(&table.address);
            let state = EndpointState {
                usable: table.attributes.get("status").is_none_or(|it| it != "disabled"),
                draining: table.attributes.get("status").is_some_and(|it| it == "drain"),
                weight: hundredths(table.weight),
            };
            self.states.insert(id, state);
            let attributes = table.attributes.clone().into_iter().collect();
            list.push(Endpoint { id, address: table.address.clone(), state, attributes });
        }
        self.script.list(&list);
        self.list.clone_from(&list);
        subject.update(list, &self.script);
    }

    fn prepare(&mut self, step: &Step, subject: &mut impl Subject) {
        if let Some(tables) = &step.endpoints {
            self.take(tables, subject);
        }
        let mut changed = Vec::new();
        for (name, state) in &step.states {
            let (usable, draining) = match state.as_str() {
                "up" => (true, false),
                "down" => (false, false),
                "drain" => (true, true),
                other => panic!("{other} is no state"),
            };
            changed.push((name, EndpointState { usable, draining, ..self.state(name) }));
        }
        for (name, weight) in &step.weights {
            let weight = hundredths(*weight);
            changed.push((name, EndpointState { weight, ..self.state(name) }));
        }
        let changed: Vec<_> =
            changed.into_iter().map(|(name, state)| (self.id(name), state)).collect();
        if !changed.is_empty() {
            self.states.extend(changed.iter().copied());
            subject.change(changed, &self.script);
        }
        for (name, requests) in &step.in_flight {
            let id = self.id(name);
            self.script.set_in_flight(id, *requests);
        }
        for (name, (sent, received)) in &step.bytes {
            let id = self.id(name);
            self.script.set_bytes(id, *sent, *received);
        }
        for (name, report) in &step.reports {
            let id = self.id(name);
            self.script.set_report(id, report.clone());
        }
        if !step.reports.is_empty() {
            for endpoint in &mut self.list {
                endpoint.state = self.states.get(&endpoint.id).copied().unwrap_or(endpoint.state);
            }
            subject.update(self.list.clone(), &self.script);
        }
        if let Some(asked) = step.request.clone() {
            self.script.set_request(Request {
                path: asked.path.unwrap_or_else(|| "/".to_owned()),
                query: asked.query,
                host: asked.host.unwrap_or_else(|| "test".to_owned()),
                client: asked.client,
                slot: asked.slot,
                headers: asked.headers,
            });
        }
    }

    fn state(&mut self, name: &str) -> EndpointState {
        let id = self.id(name);
        self.states.get(&id).copied().unwrap_or_else(|| panic!("there is no {name}"))
    }

    fn request(&mut self, step: &Step, subject: &mut impl Subject) -> String {
        let mut tried: Vec<_> = step.tried.iter().map(|name| self.id(name)).collect();
        let mut told: Vec<&str> = Vec::new();
        let mut previous = None;
        for _ in 0..1_000 {
            let attempt = u32::try_from(tried.len()).unwrap_or(u32::MAX);
            self.script.set_tried(tried.clone());
            match subject.pick(attempt, previous, &self.script) {
                Choice::Endpoint(picked) => {
                    let name = self.name(picked.id);
                    told.push(name);
                    if !step.refusing.iter().any(|refusing| refusing == name) {
                        break;
                    }
                    tried.push(picked.id);
                    previous = Some(picked);
                }
                Choice::Next => {
                    told.push("next");
                    break;
                }
                Choice::None => {
                    told.push("-");
                    break;
                }
            }
        }
        told.join(">")
    }
}

fn hundredths(weight: f64) -> u32 {
    format!("{:.0}", weight * 100.0).parse().unwrap_or(100)
}
