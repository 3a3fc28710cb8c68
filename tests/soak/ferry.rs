//! A proxy between two versions of a plugin that stamp what they see, which take turns.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::load::{origin, stamp};
use crate::loading::caching::section;
use crate::strangers::looping_start;
use crate::support::{Binary, Client, Origin, eventually, one_cluster, plugin};
use crate::swapping::stamped;

/// What makes a file that is refused, given a number that it has for itself, and a part of the reason.
pub(super) type Broken = (fn(usize) -> Vec<u8>, &'static str);

/// One of each kind.
pub(super) const BROKEN: [Broken; 5] = [
    (truncated, "cannot be compiled"),
    (|number| format!("no component, the {number}th").into_bytes(), "does not begin"),
    (|number| numbered(plugin("no-kind").to_vec(), number), "no known kind"),
    (|number| numbered(stamped("!"), number), "configure failed: trapped"),
    (|number| numbered(looping_start(), number), "instantiation failed: ran past"),
];

pub(super) struct Ferry {
    pub(super) linkspan: Binary,
    _origin: Origin,
    address: SocketAddr,
    admin: SocketAddr,
    /// The files that were dropped.
    dropped: usize,
    taken: u64,
    refused: u64,
}

/// The same with a section that says nothing, so that its digest is another.
fn numbered(bytes: Vec<u8>, number: usize) -> Vec<u8> {
    let text = number.to_string();
    let name = [&b"\x06number"[..], text.as_bytes()].concat();
    [bytes, section(0, name)].concat()
}

fn truncated(number: usize) -> Vec<u8> {
    let mut bytes = stamped("a");
    bytes.truncate(bytes.len() / 2 - number);
    bytes
}

impl Ferry {
    /// With so many workers, downloads that take so long, and further tables.
    pub(super) fn open(workers: usize, life: Duration, tables: &str) -> Self {
        let origin = origin(life);
        let toml = format!(
            "[server]\nplugin-dir = 'plugins.d'\ncache-dir = 'cache'\nworkers = {workers}\n\
             [admin]\nbind = '127.0.0.1:0'\n[log]\naccess = 'off'\n\
             [plugins.one]\ncomponent = 'stamps'\n{tables}{}",
            one_cluster(&[origin.address()], "rewriters = ['one']", "")
        );
        let mut linkspan = Binary::prepared(&toml, &["misbehave"], &["run"], |directory| {
            fs::write(directory.join("stamps.wasm"), stamped("a")).unwrap();
        });
        let (address, admin) = (linkspan.address("web"), linkspan.admin());
        Self { linkspan, _origin: origin, address, admin, dropped: 0, taken: 0, refused: 0 }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a file in the component's place, which is there at once and as a whole.
    fn put(&mut self, bytes: impl Fn(usize) -> Vec<u8>) {
        self.dropped += 1;
        let path = self.linkspan.file().with_file_name("plugins.d/stamps.wasm");
        let draft = path.with_extension("draft");
        fs::write(&draft, bytes(self.dropped)).unwrap();
        fs::rename(draft, path).unwrap();
    }

    /// The version whose turn it is.
    fn version(&self) -> &'static str {
        if self.taken.is_multiple_of(2) { "a" } else { "b" }
    }

    /// Has the other version take the place.
    #[track_caller]
    pub(super) fn swap(&mut self) {
        self.taken += 1;
        let version = self.version();
        self.put(|number| numbered(stamped(version), number));
        let mut client = Client::connect(self.address);
        eventually("the other version", || {
            (stamp(&client.get("/")).unwrap() == version).then_some(())
        });
    }

    /// Drops what is to be refused, and sees that the version before serves on.
    #[track_caller]
    pub(super) fn is_refused(&mut self, (bytes, reason): Broken) {
        self.refused += 1;
        self.put(bytes);
        eventually(reason, || {
            let all: Value = serde_json::from_str(&self.administrator("/api/plugins")).unwrap();
            let told = all.as_array()?.iter().find(|told| told["name"] == "one")?;
            told.pointer("/candidate/reason")?.as_str()?.contains(reason).then_some(())
        });
        let answer = Client::connect(self.address).get("/");
        assert_eq!(stamp(&answer).unwrap(), self.version(), "after {reason}");
    }

    fn administrator(&self, path: &str) -> String {
        let mut admin = Client::connect(self.admin);
        let answer = admin.ask("GET", path, &[("host", "localhost")], b"");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.text()
    }

    /// Whether the proxy has counted what was done.
    #[track_caller]
    pub(super) fn assert_counted(&mut self) {
        assert!(self.linkspan.is_running());
        for (outcome, count) in [("taken", self.taken), ("refused", self.refused)] {
            let name = format!("candidates_total{{plugin=\"one\",outcome=\"{outcome}\"}}");
            assert_eq!(self.count(&name), count, "{outcome}");
        }
    }

    /// What the proxy has counted, by the name of a plugin's metric with all its labels.
    #[track_caller]
    pub(super) fn count(&self, name: &str) -> u64 {
        let text = self.administrator("/metrics");
        let value = text.lines().find_map(|line| {
            line.strip_prefix("linkspan_plugin_")?.strip_prefix(name)?.strip_prefix(' ')
        });
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}
