//! A proxy in which all strangers are at home, each with a listener and a cluster of its own, on the
//! one worker that serves the innocents too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::forge::{ASKING, Call, Forged};
use super::rows::{Dropped, Seen, Stranger};
use super::table::{Innocents, Line, Met};
use crate::support::{
    Binary, Client, Down, NameServer, Origin, PATIENCE, eventually, eventually_within, reply,
    request,
};

/// How often each is asked: often enough to see it recover, and too seldom to have it parked.
pub(super) const TIMES: usize = 3;

/// What the name of an endpoint stands for, in turn, and how many seconds that is believed. Only the first
/// answers.
const HERE: [&str; 1] = ["127.0.0.1"];
const ELSEWHERE: [&str; 2] = ["127.0.0.1", "127.0.0.2"];
const TTL: u32 = 0;

/// What a request got whose client left within its body.
const LEFT: &str = "200, left";

pub(super) struct Harbour {
    pub(super) linkspan: Binary,
    dns: NameServer,
    _origin: Origin,
    /// Where nobody listens.
    _dead: Down,
}

/// What is counted of plugins, and of stores that are called like one, as `failures trap`, by their names.
type Figures = BTreeMap<String, BTreeSet<String>>;

impl Harbour {
    /// A proxy with all strangers, and what serves in the place of each that is yet to be dropped.
    pub(super) fn open(strangers: &[Stranger], dropped: &[Dropped]) -> Self {
        let origin = Origin::answering(|request| match request.target() {
            "/big" => reply(200, &[], vec![b'x'; 8 << 20]),
            _ => reply(200, &[], "hello"),
        });
        let (address, dead, dns) = (origin.address(), Down::new(), NameServer::start());
        let nobody = dead.address();
        let mut toml = format!(
            "[server]\nplugin-dir = 'plugins.d'\nworkers = 1\ncompile-timeout = '20s'\n\
             [admin]\nbind = '127.0.0.1:0'\n[log]\naccess = 'off'\n{}\
             [stores.a]\ntype = 'memory'\n[stores.b]\ntype = 'memory'\n\
             [stores.store-flood]\ntype = 'memory'\nmax-bytes = '64KiB'\n\
             [listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
             routers = ['innocent']\n\
             [clusters.main]\nendpoints = ['{address}']\nbalancer = 'innocent'\n\
             [clusters.dead]\nendpoints = ['{nobody}']\nhealth = {{ offline = '0s' }}\n\
             [plugins.innocent]\nlimits = {{ deadline = '1s' }}\n",
            dns.section()
        );
        for stranger in strangers {
            let limits = if stranger.keys.contains("limits") {
                ""
            } else {
                "limits = { deadline = '20ms' }"
            };
            let keys = format!("{}\n{limits}", stranger.keys);
            let after_dead = format!("'{nobody}', '{address}'");
            let (endpoints, health) = match stranger.forged.at {
                Call::Changed => (after_dead, "attempts = 1"),
                // Tried by every request.
                Call::Failed => (after_dead, "offline = '0s'"),
                Call::Update => {
                    dns.host(&host(stranger.name), TTL, &HERE);
                    (format!("'{}:{}'", host(stranger.name), address.port()), "")
                }
                _ => (format!("'{address}'"), ""),
            };
            settle(&mut toml, stranger.name, stranger.forged.at, &endpoints, &keys);
            if !health.is_empty() {
                let _ = writeln!(toml, "[clusters.{}.health]\n{health}", stranger.name);
            }
        }
        for file in dropped {
            let keys = "limits = { deadline = '20ms' }";
            settle(&mut toml, file.name, Call::Update, &format!("'{address}'"), keys);
        }
        let mut linkspan = Binary::prepared(&toml, &[], &["run"], |directory| {
            let put = |name: &str, bytes| fs::write(path(directory, name), bytes).unwrap();
            strangers.iter().for_each(|it| put(it.name, it.forged.bytes()));
            put("innocent", Forged::TAME.bytes());
            dropped.iter().for_each(|it| put(it.name, (it.before)()));
        });
        // Where nothing is cached, all of these are compiled first.
        eventually_within(5 * PATIENCE, "a proxy with so many strangers", || {
            assert!(linkspan.is_running(), "{}", linkspan.stderr());
            linkspan.stdout().contains("listening on").then_some(())
        });
        Self { linkspan, dns, _origin: origin, _dead: dead }
    }

    /// Puts files in the place of components that serve.
    pub(super) fn drop_in(&self, dropped: &[Dropped]) {
        let directory = self.linkspan.file().with_file_name("plugins.d");
        for file in dropped {
            fs::write(path(&directory, file.name), (file.bytes)()).unwrap();
        }
    }

    /// Has a stranger do its deed, and looks what comes of it.
    pub(super) fn meet(&mut self, stranger: &Stranger, innocents: &Innocents) -> Line {
        let before = innocents.so_far();
        let mut line = Line::new(stranger.name, stranger.mechanism, stranger.stopped);
        let mut client = Client::connect(self.linkspan.address(stranger.name));
        if client.get("/").status() != 200 {
            line.fault("fails without being asked to");
        }
        for time in 0..TIMES {
            if stranger.forged.at == Call::Update {
                self.have_members(stranger.name, if time % 2 == 0 { &ELSEWHERE } else { &HERE });
            }
            let seen = self.ask(stranger);
            let text = match seen {
                Seen::Status(status) => status.to_string(),
                Seen::Cut => "200, cut".to_owned(),
                Seen::Left => LEFT.to_owned(),
                Seen::Closed => "closed".to_owned(),
            };
            if seen != stranger.seen {
                line.fault(&format!("its request gets {text}"));
            }
            if !line.got.contains(&text) {
                line.got.push(text);
            }
        }
        if stranger.forged.at.is_of_stream() {
            // Of one that it has joined, it is asked nothing.
            client = Client::connect(self.linkspan.address(stranger.name));
        }
        if stranger.recovers {
            let answer = client.get("/");
            if answer.status() != 200 || answer.text() != "hello" {
                line.fault(&format!("is not what it was: {}", answer.status()));
            }
        }
        line.innocents = innocents.since(before);
        line
    }

    fn ask(&mut self, stranger: &Stranger) -> Seen {
        let address = self.linkspan.address(stranger.name);
        let host = address.to_string();
        let fields = [("x-do", "it"), ("host", host.as_str())];
        if stranger.forged.at.is_of_stream() {
            let mut client = Client::from(ASKING, address);
            // It may be closed before.
            let _ = client.write(request("GET", "/", &fields, b""));
            let rest = client.rest();
            let status = || String::from_utf8_lossy(&rest).split(' ').nth(1)?.parse().ok();
            return status().map_or(Seen::Closed, Seen::Status);
        }
        let mut client = Client::connect(address);
        if stranger.seen == Seen::Left {
            client.send(request("GET", "/big", &fields, b""));
            let status = client.response_head().status();
            return if status == 200 { Seen::Left } else { Seen::Status(status) };
        }
        let answer = client.ask("GET", "/", &fields, b"");
        if answer.complete { Seen::Status(answer.status()) } else { Seen::Cut }
    }

    /// Has the name of a cluster's endpoint stand for these addresses from now on, while the proxy serves.
    fn have_members(&mut self, name: &str, addresses: &[&str]) {
        self.dns.host(&host(name), TTL, addresses);
        eventually("members that change", || {
            let all: Value = serde_json::from_str(&self.administrator("/api/clusters")).unwrap();
            let cluster = all.as_array()?.iter().find(|it| it["name"] == name)?;
            let endpoints = cluster.get("endpoints")?.as_array()?;
            (endpoints.len() == addresses.len()).then_some(())
        });
    }

    /// Waits until all of these files are refused.
    pub(super) fn wait_for_refusals(&mut self, dropped: &[Dropped]) {
        eventually("the refusals", || {
            let told = self.told();
            dropped.iter().all(|file| told.contains_key(file.name)).then_some(())
        });
    }

    /// Looks whether a file was refused for its fault, and whether the component before it serves on.
    /// `met` is what innocents have met with meanwhile.
    pub(super) fn refused(&mut self, file: &Dropped, met: Met) -> Line {
        let mut line = Line::new(file.name, file.mechanism, file.stopped);
        let told = self.told();
        let reason = told.get(file.name).map_or("", String::as_str);
        if !reason.contains(file.reason) {
            line.fault(&format!("{:?} is not {reason:.1000}", file.reason));
        }
        let answer = Client::connect(self.linkspan.address(file.name)).get("/");
        if answer.status() != 200 || answer.text() != "hello" {
            line.fault(&format!("nobody serves on: {}", answer.status()));
        }
        line.got.push(format!("{}, of the one before", answer.status()));
        line.innocents = met;
        line
    }

    /// Looks what has risen meanwhile: of each what was expected, and, where that is to be `alone`,
    /// nothing else but calls.
    pub(super) fn count(&mut self, lines: &mut [Line], expected: &[(String, bool)]) {
        // What is counted of a call that nobody waits for comes when it comes.
        let mut figures = eventually("calls that nobody waits for", || {
            let figures = self.figures();
            let there = lines.iter().zip(expected).all(|(line, (rises, _))| {
                let unseen = line.got.contains(&LEFT.to_owned());
                !unseen || figures.get(line.name).is_some_and(|rose| rose.contains(rises))
            });
            there.then_some(figures)
        });
        for (line, (rises, alone)) in lines.iter_mut().zip(expected) {
            let rose = figures.remove(line.name).unwrap_or_default();
            // Who fails, or is refused, for having asked for too much has been denied it before.
            let beside = ["calls", "denied memory", "denied table"];
            let others = rose.iter().any(|it| it != rises && !beside.contains(&it.as_str()));
            if !rose.contains(rises) || *alone && others {
                line.fault(&format!("not {rises} alone: {rose:?}"));
            }
            let only = rose.len() == 1;
            line.rose = rose.into_iter().filter(|it| only || it != "calls").collect();
        }
    }

    /// What the administrator is told.
    fn administrator(&mut self, path: &str) -> String {
        let mut admin = Client::connect(self.linkspan.admin());
        let answer = admin.ask("GET", path, &[("host", "localhost")], b"");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.text()
    }

    /// Why the successors of plugins are refused, by their names.
    fn told(&mut self) -> BTreeMap<String, String> {
        let all: Value = serde_json::from_str(&self.administrator("/api/plugins")).unwrap();
        let reason = |told: &Value| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            Some((text(told.get("name")?)?, text(told.pointer("/candidate/reason")?)?))
        };
        all.as_array().unwrap().iter().filter_map(reason).collect()
    }

    /// How many numbers of a store have been incremented.
    pub(super) fn asked_of_store(&mut self, store: &str) -> u64 {
        let name = "linkspan_store_operations_total";
        let line = format!("{name}{{store=\"{store}\",operation=\"increment\",outcome=\"done\"}} ");
        let text = self.administrator("/metrics");
        text.lines().find_map(|it| it.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
    }

    /// What of each plugin is counted and not 0, but for its own figures and what is no count.
    fn figures(&mut self) -> Figures {
        let mut figures = Figures::new();
        for line in self.administrator("/metrics").lines() {
            let rest = ["linkspan_plugin_", "linkspan_store_"];
            let rest = rest.iter().find_map(|family| line.strip_prefix(family));
            let Some(rest) = rest else { continue };
            let Some((name, rest)) = rest.split_once('{') else { continue };
            let Some((labels, value)) = rest.rsplit_once("} ") else { continue };
            let own = name == "events_total" || !name.ends_with("_total");
            let mut labels = labels.split(',').filter_map(|label| label.split('"').nth(1));
            let (false, true, Some(plugin)) = (own, value != "0", labels.next()) else { continue };
            let name = name.trim_end_matches("_total");
            let key: Vec<_> = std::iter::once(name).chain(labels).collect();
            figures.entry(plugin.to_owned()).or_default().insert(key.join(" "));
        }
        figures
    }
}

impl Stranger {
    /// As [`Figures`] call it.
    pub(super) fn rises(&self) -> String {
        let (name, label) = self.rises;
        [name, label].join(" ").trim_end().to_owned()
    }
}

fn path(directory: &Path, name: &str) -> std::path::PathBuf {
    directory.join(format!("{name}.wasm"))
}

/// The name of the endpoint of a stranger that is told of changes.
fn host(name: &str) -> String {
    format!("{name}.test")
}

/// A listener, a cluster and a plugin of that name.
fn settle(toml: &mut String, name: &str, at: Call, endpoints: &str, keys: &str) {
    let (listener, cluster) = match at {
        Call::Update => (format!("routers = ['{name}']"), format!("balancer = '{name}'")),
        at if at.is_outcome() => (String::new(), format!("balancer = '{name}'")),
        at if at.is_of_stream() => (
            format!("protocol = 'tcp'\nstream-router = '{name}'\nconnect-attempts = 0"),
            String::new(),
        ),
        Call::Changed | Call::Pick => (String::new(), format!("balancer = '{name}'")),
        Call::Route | Call::Start | Call::Configure => {
            (format!("routers = ['{name}']"), String::new())
        }
        _ => (format!("rewriters = ['{name}']"), String::new()),
    };
    let _ = write!(
        toml,
        "[listeners.{name}]\nbind = '127.0.0.1:0'\ndefault-cluster = '{name}'\n{listener}\n\
         [clusters.{name}]\nendpoints = [{endpoints}]\n{cluster}\n\
         [plugins.{name}]\ncomponent = '{name}'\n{keys}\n"
    );
}
