//! Plugins that are refused, and where in the file that is to be put right.

use std::error::Error;
use std::fmt;

use crate::config::{self, Fault, Name, Part, Places, Spot, Usage};
use crate::plugin::{Failure, Kind, Misuse, Refusal, Source};

/// The most faults that one plugin may find in its configuration: more are one mistake many times.
const MOST: usize = 100;

/// The most lines of a guest's stack, and the most names of a list.
const SHOWN: usize = 12;

/// A plugin that was refused, and why.
#[derive(Debug)]
pub struct Refused {
    /// The plugin.
    pub plugin: Name,
    /// Of a shadow: the plugin that it is called beside.
    pub beside: Option<Name>,
    /// The component that it names.
    pub component: String,
    /// Where that comes from, if it is known.
    pub source: Option<Source>,
    /// The first cluster that it balances.
    pub cluster: Option<Name>,
    /// Why.
    pub refusal: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "plugin {:?} (component {:?}) is refused: ",
            self.plugin, self.component
        )?;
        write!(formatter, "{}", self.refusal)?;
        let mut cause = Error::source(&self.refusal);
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Refused {
    /// A plugin of which a component from this source is refused.
    #[must_use]
    pub fn new(
        plugin: &config::Plugin,
        source: Option<Source>,
        cluster: Option<Name>,
        refusal: Refusal,
    ) -> Self {
        Self {
            plugin: Name::clone(&plugin.name),
            beside: plugin.beside.clone(),
            component: plugin.component.clone(),
            source,
            cluster,
            refusal,
        }
    }

    /// What is wrong, each thing where it stands.
    #[must_use]
    pub fn faults(&self, places: &Places<'_>) -> Vec<Fault> {
        let place = match &self.beside {
            Some(plugin) => Standing::beside(places, plugin),
            None => Standing::of(places, &self.plugin, self.cluster.as_deref()),
        };
        match &self.refusal {
            Refusal::Missing { name, directory, known } => {
                let note = match directory {
                    Some(directory) => format!(
                        "looked for {}, then among those built in; there are {}",
                        directory.join(format!("{name}.wasm")).display(),
                        listed(known)
                    ),
                    None => {
                        format!("no `server.plugin-dir` is set; built in are {}", listed(known))
                    }
                };
                self.missing(&place, known).map(|fault| fault.note(&note)).collect()
            }
            Refusal::Misused(misuses) => {
                misuses.iter().flat_map(|misuse| self.misused(&place, misuse)).collect()
            }
            Refusal::Configuration(text) => place.configuration(text),
            Refusal::Start { step, cause } => vec![self.broken(&place, step, cause)],
            Refusal::Unreadable { source, .. } => {
                vec![self.noted(place.component(&format!("{}: {source}", self.refusal)))]
            }
            Refusal::Unlisted(_)
            | Refusal::Written(_)
            | Refusal::NotComponent(_)
            | Refusal::Unfit(_)
            | Refusal::Compile(_)
            | Refusal::Restore(_)
            | Refusal::Save(_) => {
                let message = format!("`{}` is refused: {}", self.component, self.refusal);
                vec![self.noted(place.component(&message))]
            }
        }
    }

    fn missing<'s>(
        &'s self,
        place: &'s Standing<'_>,
        known: &'s [String],
    ) -> impl Iterator<Item = Fault> + 's {
        let message = format!("there is no component `{}`", self.component);
        let known = known.iter().map(String::as_str);
        let faults = match &place.table {
            Some(_) => vec![
                place
                    .component(&message)
                    .expected("expected the NAME of a file NAME.wasm, or of a built-in component")
                    .help(config::did_you_mean(&self.component, known)),
            ],
            None => {
                let mut known: Vec<&str> = known.chain(place.places.names("plugins")).collect();
                if self.cluster.is_some() {
                    config::balancer_names().for_each(|name| known.push(name));
                }
                let fault = |fault: Fault| {
                    fault
                        .expected(
                            "expected the NAME of a table `[plugins.NAME]`, or of a component",
                        )
                        .help(config::did_you_mean(&self.component, known.iter().copied()))
                };
                place.used(None, &message).into_iter().map(fault).collect()
            }
        };
        faults.into_iter()
    }

    fn misused(&self, place: &Standing<'_>, misuse: &Misuse) -> Vec<Fault> {
        match misuse {
            Misuse::Kind { used, is } => {
                let is: Vec<_> = is.iter().map(|kind| kind.name()).collect();
                let message =
                    format!("`{}` is used as a {used}, and is a {}", self.plugin, is.join(" and "));
                let faults = match self.beside {
                    Some(_) => vec![place.component(&message)],
                    None => place.used(usage(*used), &message),
                };
                let faults = faults.into_iter();
                faults.map(|fault| fault.expected(&format!("expected a {used}"))).collect()
            }
            Misuse::NoStores => {
                let message = format!("`{}` opens stores, and was granted none", self.component);
                let stores: Vec<_> = place
                    .places
                    .names("stores")
                    .map(|name| format!("{name:?}"))
                    .take(SHOWN)
                    .collect();
                let stores = if stores.is_empty() { "\"NAME\"".into() } else { stores.join(", ") };
                let granted = place.at(&["grants"], Part::Value, &message);
                let help = match &place.table {
                    // What else is granted is not to be lost.
                    Some(_) if granted.is_some() => format!("add `stores = [{stores}]` to it"),
                    Some(_) => format!("write `grants = {{ stores = [{stores}] }}`"),
                    None => format!(
                        "add a table `[plugins.{}]` with `grants = {{ stores = [{stores}] }}`",
                        self.plugin
                    ),
                };
                let fault = granted.unwrap_or_else(|| place.whole(&message));
                vec![fault.expected("expected stores").help(Some(help))]
            }
            Misuse::Shared(does) => {
                let message = format!("a plugin that {does} cannot have a single instance");
                let fault = place.at(&["instances"], Part::Value, &message);
                let fault = fault.unwrap_or_else(|| place.whole(&message));
                vec![fault.expected("expected `per-worker`")]
            }
            Misuse::OnFailure { given, kind } => {
                let message = format!("`{given}` is not for a {kind}");
                let fault = place.at(&["on-failure"], Part::Value, &message);
                let allowed: &[&str] = match kind {
                    Kind::Router => &["reject", "next"],
                    Kind::Balancer => &["fallback", "reject"],
                    Kind::Rewriter => &["reject", "skip"],
                    Kind::StreamRouter => &["reject", "next"],
                };
                let expected = format!("expected {}", config::one_of(allowed));
                vec![fault.unwrap_or_else(|| place.whole(&message)).expected(&expected)]
            }
        }
    }

    /// A guest that broke off while it began.
    fn broken(&self, place: &Standing<'_>, step: &str, cause: &Failure) -> Fault {
        let (reason, stack) = cause.brief();
        let message = format!("{step} failed: `{}` {reason}", self.component);
        let stack: Vec<_> = stack.lines().take(SHOWN).collect();
        let help = |text: &str| Some(text.to_owned());
        match cause {
            Failure::OutOfMemory(_) => {
                let limit = place.at(&["limits", "memory"], Part::Value, &message);
                limit.unwrap_or_else(|| place.config(&message)).help(help("raise `limits.memory`"))
            }
            Failure::TimedOut { .. } => place
                .config(&message)
                .help(help("no limit changes this: a plugin has to begin within that"))
                .note(&stack.join("\n")),
            // The engine has no other word for this limit.
            Failure::Trapped(_) if reason.contains("fuel allocated for hostcalls") => {
                let limit = place.at(&["limits", "host-call-bytes"], Part::Value, &message);
                limit
                    .unwrap_or_else(|| place.config(&message))
                    .help(help("raise `limits.host-call-bytes`"))
            }
            _ => place.config(&message).note(&stack.join("\n")),
        }
    }

    /// With the file that the component is.
    fn noted(&self, fault: Fault) -> Fault {
        match &self.source {
            Some(Source::File(path)) => fault.note(&format!("the component is {}", path.display())),
            Some(Source::BuiltIn | Source::Copy) | None => fault,
        }
    }
}

fn usage(kind: Kind) -> Option<Usage> {
    match kind {
        Kind::Router => Some(Usage::Router),
        Kind::Balancer => Some(Usage::Balancer),
        Kind::Rewriter => Some(Usage::Rewriter),
        Kind::StreamRouter => Some(Usage::StreamRouter),
    }
}

/// Some names of a list that can be long.
fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(4 * SHOWN).map(String::as_str).collect();
    let more = if shown.len() < names.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Where a plugin stands in the file.
pub(super) struct Standing<'p> {
    places: &'p Places<'p>,
    name: &'p str,
    /// The key that names its component.
    key: &'static str,
    /// `[plugins.NAME]`; without it, the plugin is a component that is used as it is.
    table: Option<Spot<'p>>,
    /// `[clusters.NAME]` of a cluster that has it by default.
    cluster: Option<Spot<'p>>,
}

impl<'p> Standing<'p> {
    pub(super) fn of(places: &'p Places<'p>, name: &'p str, cluster: Option<&str>) -> Self {
        let table = places.find(&["plugins", name]);
        let cluster = cluster.and_then(|cluster| places.find(&["clusters", cluster]));
        Self { places, name, key: "component", table, cluster }
    }

    /// That of what is called beside a plugin.
    pub(super) fn beside(places: &'p Places<'p>, plugin: &'p str) -> Self {
        Self { key: "shadow", ..Self::of(places, plugin, None) }
    }

    /// At a key of its table.
    pub(super) fn at(&self, keys: &[&str], part: Part, message: &str) -> Option<Fault> {
        let table = self.table.clone()?;
        let spot = keys.iter().try_fold(table, |spot, key| spot.get(key))?;
        Some(self.places.fault(&spot, part, message))
    }

    /// At each use, or at the cluster that uses it without saying so.
    fn used(&self, usage: Option<Usage>, message: &str) -> Vec<Fault> {
        let fault = |spot: &Spot<'_>| self.places.fault(spot, Part::Value, message);
        let faults: Vec<_> = self.places.uses(self.name, usage).iter().map(fault).collect();
        if !faults.is_empty() {
            return faults;
        }
        let cluster = self.cluster.as_ref();
        let fault = cluster.map(|spot| self.places.fault(spot, Part::Key, message));
        vec![fault.unwrap_or_else(|| Fault::whole(&format!("plugins.{}: {message}", self.name)))]
    }

    /// At its table, or else at its first use.
    fn whole(&self, message: &str) -> Fault {
        let fault = self.at(&[], Part::Key, message);
        fault.or_else(|| self.used(None, message).into_iter().next()).unwrap_or_else(|| {
            // There is always a use, and yet nothing here is worth a panic.
            Fault::whole(message)
        })
    }

    /// At the text that names its component.
    pub(super) fn component(&self, message: &str) -> Fault {
        self.at(&[self.key], Part::Value, message).unwrap_or_else(|| self.whole(message))
    }

    /// At its configuration, or else at its component.
    fn config(&self, message: &str) -> Fault {
        self.at(&["config"], Part::Value, message).unwrap_or_else(|| self.component(message))
    }

    /// What `configure` said: one fault a line, each at the key that it begins with.
    fn configuration(&self, text: &str) -> Vec<Fault> {
        let lines = faulty_lines(text);
        let config = self.table.as_ref().and_then(|table| table.get("config"));
        let fault = |line: &String| {
            let Some(config) = &config else {
                let (message, expected, help) = split(line);
                let message = format!("`{}` refuses its configuration: {message}", self.name);
                let note = match &self.table {
                    Some(_) => "the plugin has no `config`".to_owned(),
                    None => format!("there is no table `[plugins.{}]` with a `config`", self.name),
                };
                return self.component(&message).expected(&expected).help(help).note(&note);
            };
            let (spot, rest) = config.follow(line);
            let (message, expected, help) = split(rest);
            let part = if message.starts_with("unknown") { Part::Key } else { Part::Value };
            self.places.fault(&spot, part, message).expected(&expected).help(help)
        };
        let mut faults: Vec<_> = lines.iter().take(MOST).map(fault).collect();
        if lines.len() > MOST {
            let more = format!("and {} faults more", lines.len() - MOST);
            faults.push(self.config(&more));
        }
        faults
    }
}

/// The faults that a text tells; at least one. A line that begins with a blank belongs to the one
/// before.
fn faulty_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match lines.last_mut().filter(|_| line.starts_with(char::is_whitespace)) {
            Some(before) => {
                before.push(' ');
                before.push_str(line.trim());
            }
            None => lines.push(line.trim().to_owned()),
        }
    }
    if lines.is_empty() {
        lines.push("the plugin refuses this, and does not say why".to_owned());
    }
    lines
}

/// `what is wrong, expected something; did you mean another?` in its parts.
fn split(line: &str) -> (&str, String, Option<String>) {
    let (line, help) = match line.rsplit_once("; did you mean ") {
        Some((line, meant)) => (line, Some(format!("did you mean {meant}"))),
        None => (line, None),
    };
    match line.split_once(", expected ") {
        Some((message, expected)) => (message, format!("expected {expected}"), help),
        None => (line, String::new(), help),
    }
}
