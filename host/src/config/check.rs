//! From the file to the domain: every section, every default, every reference.
//!
//! Each reader goes through all its keys and fills what is wrong with something harmless: a
//! configuration with a single fault is never handed out.

mod extension;
mod traffic;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::config::expand::Variables;
use crate::config::fault::{Fault, Faults};
use crate::config::file::{Document, Table, Value};
use crate::config::names;
use crate::config::{Config, Log, LogFormat, LogLevel, LogTarget, Name, Plugin, Server};

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;
const MAX_WORKERS: usize = 256;
const DAY: Duration = Duration::from_hours(24);
/// What a timeout can be: without one, a connection could be held for good.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;

/// Reads and checks a file.
pub(super) fn load(path: &Path) -> Result<Config, Faults> {
    let bytes = read(path).map_err(|error| {
        Faults::new(path, "", vec![Fault::whole(&format!("cannot be read: {error}"))])
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, path),
        Err(error) => {
            let start = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            let fault = Fault::at(&text, start..start + 1, "", "this is not UTF-8");
            Err(Faults::new(path, &text, vec![fault]))
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 MiB"));
    }
    Ok(bytes)
}

/// Checks a text with the variables of this process.
pub(super) fn parse(text: &str, origin: &Path) -> Result<Config, Faults> {
    parse_with(text, origin, &|name| env::var_os(name))
}

fn parse_with(text: &str, origin: &Path, variables: Variables<'_>) -> Result<Config, Faults> {
    let directory = origin.parent().unwrap_or_else(|| Path::new(""));
    Document::read(text, variables, |root| config(root, directory, variables))
        .map_err(|faults| Faults::new(origin, text, faults))
}

/// What the readers of all sections share.
struct Context<'c> {
    /// What relative paths start from.
    directory: &'c Path,
    clusters: BTreeSet<String>,
    plugins: BTreeSet<String>,
    stores: BTreeSet<String>,
    /// The listeners so far, by address.
    bound: RefCell<BTreeMap<SocketAddr, Name>>,
}

fn config(root: &mut Table<'_>, directory: &Path, variables: Variables<'_>) -> Config {
    let context = Context {
        directory,
        clusters: keys(root, "clusters"),
        plugins: keys(root, "plugins"),
        stores: keys(root, "stores"),
        bound: RefCell::default(),
    };
    root.later(&["admin"]);
    let log = root.inner("log", |table| log(table, &context));
    let server = root.inner("server", |table| server(table, &context, variables));
    let (of_listeners, of_clusters) = root.inner("defaults", |table| {
        // Read once for themselves, so that mistakes show even where nothing inherits them.
        table.inner("listener", |table| traffic::listener(table, None, &context));
        table.inner("cluster", |table| traffic::cluster(table, None, &context));
        (table.value("listener"), table.value("cluster"))
    });
    let clusters = named(root, "clusters", of_clusters.as_ref(), |name, table| {
        traffic::cluster(table, Some(name), &context)
    });
    let listeners = named(root, "listeners", of_listeners.as_ref(), |name, table| {
        traffic::listener(table, Some(name), &context)
    });
    if listeners.is_empty() {
        root.refuse("there is no listener", "add a table such as `[listeners.web]`");
    }
    let mut plugins =
        named(root, "plugins", None, |name, table| extension::plugin(table, name, &context));
    let stores = named(root, "stores", None, extension::store);
    let used =
        listeners.values().flat_map(|listener| listener.routers.iter().chain(&listener.rewriters));
    let used = used.chain(
        clusters.values().flat_map(|cluster| cluster.balancers.iter().chain(&cluster.rewriters)),
    );
    for name in used {
        plugins.entry(name.clone()).or_insert_with(|| Plugin::of_component(name.clone()));
    }
    Config { log, server, listeners, clusters, plugins, stores }
}

/// The words for levels.
const LEVELS: [(&str, LogLevel); 5] = [
    ("trace", LogLevel::Trace),
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warn", LogLevel::Warn),
    ("error", LogLevel::Error),
];

fn log(table: &mut Table<'_>, context: &Context<'_>) -> Log {
    const FORMATS: [(&str, LogFormat); 3] =
        [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let target = |value: &Value<'_>| match value.text()?.as_ref() {
        "off" => Some(LogTarget::Off),
        "stderr" => Some(LogTarget::Stderr),
        "stdout" => Some(LogTarget::Stdout),
        _ => context.path(value).map(LogTarget::File),
    };
    let file = |value: &Value<'_>| match target(value)? {
        LogTarget::Off => value.refuse(
            "only the access log can be off",
            "expected `stderr`, `stdout` or a path; for a file of this name, `./off`",
            None,
        ),
        target => Some(target),
    };
    Log {
        level: table.get("level", |value| value.choice(&LEVELS)).unwrap_or(LogLevel::Info),
        format: table.get("format", |value| value.choice(&FORMATS)).unwrap_or(LogFormat::Auto),
        file: table.get("file", file).unwrap_or(LogTarget::Stderr),
        access: table.get("access", target).unwrap_or(LogTarget::Stderr),
    }
}

fn server(table: &mut Table<'_>, context: &Context<'_>, variables: Variables<'_>) -> Server {
    let workers = table.get("workers", |value| value.integer(1..=MAX_WORKERS));
    let shutdown_grace = table.get("shutdown-grace", |value| value.duration(Duration::ZERO..=DAY));
    let cache_dir = table.get("cache-dir", |value| context.path(value));
    let cache_bytes = table.get("cache-bytes", |value| value.size(1 << 20..=1 << 40));
    let compile_timeout =
        table.get("compile-timeout", |value| value.duration(Duration::from_secs(1)..=DAY));
    let compile_memory_bytes =
        table.get("compile-memory-bytes", |value| value.size(64 << 20..=1 << 40));
    Server {
        workers: workers.unwrap_or_else(|| {
            thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_WORKERS))
        }),
        plugin_dir: table.get("plugin-dir", |value| context.path(value)),
        shutdown_grace: shutdown_grace.unwrap_or(Duration::from_secs(10)),
        cache_dir: cache_dir.unwrap_or_else(|| user_cache(variables)),
        cache_bytes: cache_bytes.unwrap_or(512 << 20),
        compile_timeout: compile_timeout.unwrap_or(Duration::from_mins(1)),
        compile_memory_bytes: compile_memory_bytes.unwrap_or(2 << 30),
    }
}

/// Where the XDG base directories put a user's cache; where a system keeps it if nobody's home is
/// known.
fn user_cache(variables: Variables<'_>) -> PathBuf {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let of_user = variables("XDG_CACHE_HOME").and_then(absolute);
    let of_home = || variables("HOME").and_then(absolute).map(|home| home.join(".cache"));
    of_user.or_else(of_home).unwrap_or_else(|| PathBuf::from("/var/cache")).join("linkspan")
}

/// The tables of `[key.*]`, each over its defaults.
fn named<'d, T>(
    root: &mut Table<'d>,
    key: &'static str,
    defaults: Option<&Value<'d>>,
    mut read: impl FnMut(Name, &mut Table<'d>) -> T,
) -> BTreeMap<Name, T> {
    root.inner(key, |tables| {
        let mut result = BTreeMap::new();
        for (name, value) in tables.entries() {
            if name.is_empty() || name.len() > 128 || name.contains(char::is_control) {
                let expected = "expected 1 to 128 bytes without control characters";
                value.refuse_name("this cannot be a name", expected);
            }
            let name = Name::from(name);
            if let Some(read) = value.table_over(defaults, |table| read(name.clone(), table)) {
                result.insert(name, read);
            }
        }
        result
    })
}

/// The keys of a table that may not be there.
fn keys(root: &mut Table<'_>, key: &'static str) -> BTreeSet<String> {
    let table = root.value(key);
    let table = table.as_ref().and_then(|value| value.item().as_table());
    table.into_iter().flat_map(|table| table.keys()).map(|key| key.get_ref().to_string()).collect()
}

impl Context<'_> {
    /// A path, from the directory of the file.
    fn path(&self, value: &Value<'_>) -> Option<PathBuf> {
        let text = value.text()?;
        if text.is_empty() || text.contains('\0') {
            return value.refuse("this cannot be a path", "expected the path of a file", None);
        }
        std::path::absolute(self.directory.join(text.as_ref())).ok().or_else(|| {
            value.refuse("the current directory is gone", "expected an absolute path", None)
        })
    }

    /// The name of something that has to be configured.
    fn one_of(value: &Value<'_>, what: &str, all: &BTreeSet<String>) -> Option<Name> {
        let name = value.text()?;
        if all.contains(name.as_ref()) {
            return Some(Name::from(name.as_ref()));
        }
        let help = names::did_you_mean(&name, all.iter().map(String::as_str));
        value.refuse(
            &format!("there is no {what} `{name}`"),
            &format!("expected the NAME of a table `[{what}s.NAME]`"),
            help,
        )
    }

    fn cluster(&self, value: &Value<'_>) -> Option<Name> {
        Self::one_of(value, "cluster", &self.clusters)
    }

    fn store(&self, value: &Value<'_>) -> Option<Name> {
        Self::one_of(value, "store", &self.stores)
    }

    /// The name of a plugin, or of a component that is used as it is.
    fn plugin(&self, value: &Value<'_>) -> Option<Name> {
        let name = value.text()?;
        if self.plugins.contains(name.as_ref()) || names::is_component(&name) {
            return Some(Name::from(name.as_ref()));
        }
        let help = names::did_you_mean(&name, self.plugins.iter().map(String::as_str));
        value.refuse(
            &format!("`{name}` is neither a plugin nor can it be a component"),
            "expected the NAME of a table `[plugins.NAME]`, or of a file NAME.wasm",
            help,
        )
    }

    /// The same of a balancer, in any spelling.
    fn balancer(&self, value: &Value<'_>) -> Option<Name> {
        let name = value.text()?;
        match names::canonical_balancer(&name).filter(|_| !self.plugins.contains(name.as_ref())) {
            Some(canonical) => Some(Name::from(canonical)),
            None if self.plugins.contains(name.as_ref()) || names::is_component(&name) => {
                Some(Name::from(name.as_ref()))
            }
            None => {
                let plugins = self.plugins.iter().map(String::as_str);
                let help = names::did_you_mean(&name, plugins.chain(names::BALANCERS));
                let expected = "expected the name of a balancer, or of a table `[plugins.NAME]`";
                value.refuse(&format!("there is no balancer `{name}`"), expected, help)
            }
        }
    }
}

#[cfg(test)]
mod tests;
