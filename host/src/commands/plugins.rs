//! Listing the plugins of a configuration, then the components that no plugin uses.
//!
//! They are judged here, from their files. What a process that serves by this configuration has refused or
//! withdrawn for reasons of its own is asked of it.

mod serving;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::Plugins;
use crate::commands::terminal::{Cell, Paint, Table, Terminal, printable};
use crate::commands::{check, fail, json, options, say, uncounted};
use crate::config::{self, Config, Name, Reading};
use crate::plugin::{self, Component, Host, Source};
use crate::proxy::plugin_host;
use serving::{Candidate, Serving};

/// The most lines that are shown of why a process refuses a component.
const LINES: usize = 20;

/// A plugin, or a component that none uses.
#[derive(Serialize)]
struct Entry {
    name: Option<Name>,
    component: String,
    kinds: Option<Vec<&'static str>>,
    version: Option<String>,
    source: Option<&'static str>,
    path: Option<String>,
    size_bytes: Option<usize>,
    digest: Option<String>,
    imports: Option<Vec<String>>,
    used_by: Vec<String>,
    grants: Grants,
    needs: Option<Vec<&'static str>>,
    serving: Option<Serving>,
    error: Option<String>,
}

#[derive(Default, Serialize)]
struct Grants {
    stores: Vec<Name>,
    addresses: Vec<String>,
}

impl Grants {
    fn of(grants: &config::Grants) -> Self {
        let addresses = grants.addresses.iter().map(ToString::to_string).collect();
        Self { stores: grants.stores.clone(), addresses }
    }
}

/// Lists them.
pub async fn plugins(wanted: &Plugins) -> ExitCode {
    let path = match wanted.file.find() {
        Ok(path) => path,
        Err(text) => return fail(&text),
    };
    let mut reading = Reading::load(&path);
    let Some(config) = reading.sound().cloned() else { return check::refuse(&mut reading).await };
    let host = options(None).map_err(|error| error.to_string()).and_then(|options| {
        plugin_host(&config, &options, &uncounted()).map_err(|error| error.to_string())
    });
    let host = match host {
        Ok(host) => host,
        Err(text) => return fail(&text),
    };
    let mut entries = Vec::new();
    for plugin in config.plugins.values() {
        let mut entry = Entry::new(&host, &plugin.component, Some(plugin)).await;
        entry.used_by = config.uses_of(&plugin.name);
        entries.push(entry);
    }
    for (name, _) in host.names() {
        if !config.plugins.values().any(|plugin| plugin.component == name) {
            entries.push(Entry::new(&host, &name, None).await);
        }
    }
    // Whether they may serve, and take their configurations, shows when they are to.
    let judged = check::judge_with(&mut reading, &host).await;
    for refused in judged.err().unwrap_or_default() {
        let mut own = entries.iter_mut().filter(|e| e.name.as_ref() == Some(&refused.plugin));
        if let Some(entry) = own.find(|entry| entry.error.is_none()) {
            entry.error = Some(refused.refusal.to_string());
        }
    }
    let asked = asked(&config, &mut entries).await;
    if wanted.json {
        say(&json(&entries));
    } else {
        say(&table(&entries).render(Terminal::stdout()));
        for entry in &entries {
            entry.complain();
        }
        if let Err(text) = asked {
            fail(&text);
        }
    }
    if !reading.faults().is_empty() {
        return check::tell(reading.faults());
    }
    let fit = entries.iter().all(|entry| entry.error.is_none());
    if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Adds what the process says that serves, if there is a way to ask it; or tells why that is not known.
async fn asked(config: &Config, entries: &mut [Entry]) -> Result<(), String> {
    let Some(admin) = &config.admin else { return Ok(()) };
    let served = serving::ask(&admin.bind).await.map_err(|why| {
        let place = admin.bind.url("http");
        format!("only the files were judged, as nobody who serves them was heard at {place}: {why}")
    });
    let mut served: BTreeMap<_, _> = served?;
    for entry in entries {
        let serving = entry.name.as_deref().and_then(|name| served.remove(name));
        serving.into_iter().for_each(|serving| entry.is_served(serving));
    }
    Ok(())
}

impl Entry {
    async fn new(host: &Host, component: &str, plugin: Option<&config::Plugin>) -> Self {
        let mut entry = Self {
            name: plugin.map(|plugin| Name::clone(&plugin.name)),
            component: component.to_owned(),
            kinds: None,
            version: None,
            source: None,
            path: None,
            size_bytes: None,
            digest: None,
            imports: None,
            used_by: Vec::new(),
            grants: plugin.map_or_else(Grants::default, |plugin| Grants::of(&plugin.grants)),
            needs: None,
            serving: None,
            error: None,
        };
        let loaded = match host.find(component, None) {
            Ok(found) => {
                entry.source = Some(found.source.name());
                if let Source::File(path) = &found.source {
                    entry.path = Some(path.display().to_string());
                }
                entry.size_bytes = Some(found.bytes.len());
                entry.digest = Some(found.digest.to_string());
                host.load(&found).await
            }
            Err(refusal) => Err(refusal),
        };
        match loaded {
            Ok(component) => entry.judged(&component, plugin),
            Err(refusal) => entry.error = Some(refusal.to_string()),
        }
        entry
    }

    fn judged(&mut self, component: &Component, plugin: Option<&config::Plugin>) {
        self.kinds = Some(component.kinds.iter().map(|kind| kind.name()).collect());
        self.version = plugin.map(|plugin| plugin::version(plugin, component));
        self.imports = Some(component.imports.clone());
        self.needs = Some(component.needs());
    }

    /// A process serves by it, or by what was there before.
    fn is_served(&mut self, serving: Serving) {
        let serving = self.serving.insert(serving);
        let digest = self.digest.as_deref().filter(|_| self.error.is_none());
        let refused = digest.and_then(|digest| serving.against(digest));
        if let Some(refused) = refused {
            self.error = Some(refused.reason.clone());
        }
    }

    /// What makes a process refuse it, where nothing else is wrong with it.
    fn refused_there(&self) -> Option<(&Serving, &Candidate)> {
        let (serving, digest) = (self.serving.as_ref()?, self.digest.as_deref()?);
        let candidate = serving.against(digest)?;
        (self.error.as_ref() == Some(&candidate.reason)).then_some((serving, candidate))
    }

    /// Says on standard error why a component that no plugin uses is refused, if it is, and why the process
    /// that serves refuses one. Plugins that are refused here are told of with their places in the file.
    fn complain(&self) {
        if let (Some(error), None) = (&self.error, &self.name) {
            fail(&format_args!("{}.wasm, unused: {error}", self.component));
        }
        if let Some((serving, candidate)) = self.refused_there() {
            let lines: Vec<_> = candidate.reason.lines().take(LINES).map(printable).collect();
            let (version, reason) = (printable(serving.version()), lines.join("\n"));
            fail(&format_args!("version {version} serves still, as its process says: {reason}"));
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let plain = |text: String| Cell::new(text, Paint::Plain);
        let name = self.name.as_deref().unwrap_or_default();
        let version = match (&self.error, &self.name) {
            (Some(_), _) => Cell::new("refused", Paint::Bad),
            (None, None) => Cell::new("unused", Paint::Dim),
            (None, Some(_)) => plain(self.version.clone().unwrap_or_default()),
        };
        let source = match &self.path {
            Some(path) => plain(from_here(path)),
            None => Cell::new(self.source.unwrap_or_default(), Paint::Dim),
        };
        vec![
            Cell::new(name, Paint::Name),
            plain(self.component.clone()),
            plain(self.kinds.as_ref().map(|kinds| kinds.join(",")).unwrap_or_default()),
            version,
            source,
            plain(self.size_bytes.map(|size| size.to_string()).unwrap_or_default()),
            plain(self.imports.as_deref().map(short).unwrap_or_default()),
        ]
    }
}

fn table(entries: &[Entry]) -> Table {
    let headings = ["NAME", "COMPONENT", "KIND", "VERSION", "SOURCE", "SIZE", "IMPORTS"];
    let mut table = Table::new(&headings);
    for entry in entries {
        table.row(entry.cells());
    }
    table
}

/// The imports in a few words.
fn short(imports: &[String]) -> String {
    let (wasi, own): (Vec<_>, Vec<_>) =
        imports.iter().partition(|import| import.starts_with("wasi:"));
    let name = |import: &String| {
        let import = import.strip_prefix("linkspan:plugin/").unwrap_or(import);
        import.split('@').next().unwrap_or_default().to_owned()
    };
    let mut names: Vec<_> = own.into_iter().map(name).collect();
    if !wasi.is_empty() {
        // A dozen interfaces come with any toolchain, and all of them deny.
        names.push(format!("wasi({})", wasi.len()));
    }
    names.join(" ")
}

/// A path as it would be typed here.
fn from_here(path: &str) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.and_then(|here| Path::new(path).strip_prefix(here).ok());
    inside.map_or_else(|| path.to_owned(), |inside| inside.display().to_string())
}
