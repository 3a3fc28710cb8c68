//! From the file to the domain: every section, every default, every reference.
//!
//! Each reader goes through all its keys and fills what is wrong with something harmless: what is
//! read of a configuration with a fault is good for finding more of them, and for nothing else.

mod acme;
mod admin;
mod cluster;
mod dns;
mod endpoint;
mod extension;
mod health;
mod kinds;
mod listener;
mod percent;
mod sample;
mod sendfile;
mod socket;
mod store;
mod tls;
mod upstream_tls;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;

use crate::config::expand::Variables;
use crate::config::fault::{Fault, Faults, Lines};
use crate::config::file::{
    Choice, Document, List, Period, Record, Recording, Size, Table, Tables, Value, Whole, key,
};
use crate::config::reading::Reading;
use crate::config::{Acme, Config, Log, LogFormat, LogLevel, LogTarget, Name, Plugin, Server};
use crate::socket::bind::Bind;

pub use acme::is_loopback;
use kinds::{DIGEST, EXAMPLE_DIGEST, Target};

/// The path that stands for standard input.
pub const STDIN: &str = "-";
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;
const MAX_WORKERS: usize = 256;
const DAY: Duration = Duration::from_hours(24);
/// What a timeout can be: without one, a connection could be held for good.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;

/// Reads and checks a file, or standard input.
pub(super) fn load(path: &Path) -> Reading {
    let before = SystemTime::now();
    match text_of(path) {
        Ok((text, origin)) => parse(&text, origin),
        Err(faults) => Reading::new(None, faults, before),
    }
}

/// The same, with a record of what each key came to.
pub(super) fn effective(path: &Path) -> Result<Record, Faults> {
    let (text, origin) = text_of(path)?;
    effective_with(&text, origin, &|name| env::var_os(name))
}

/// The same for a text, with variables from elsewhere.
pub(super) fn effective_with(
    text: &str,
    origin: &Path,
    variables: Variables<'_>,
) -> Result<Record, Faults> {
    match read_with(text, origin, variables, Recording::Values) {
        (Some((_, record)), faults) if faults.is_empty() => Ok(record),
        (_, faults) => Err(faults),
    }
}

/// A file's text, and what it is called.
fn text_of(path: &Path) -> Result<(String, &Path), Faults> {
    let origin = Config::origin(path);
    let bytes = if path == Path::new(STDIN) {
        whole(io::stdin().lock())
    } else {
        File::open(path).and_then(whole)
    };
    let bytes = bytes.map_err(|error| {
        Faults::new(origin, "", vec![Fault::whole(&format!("cannot be read: {error}"))])
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let fault = Fault::at(&Lines::of(&text), start..start + 1, "", "this is not UTF-8");
        Faults::new(origin, &text, vec![fault])
    })?;
    Ok((text, origin))
}

fn whole(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 MiB"));
    }
    Ok(bytes)
}

/// Checks a text with the variables of this process.
pub(super) fn parse(text: &str, origin: &Path) -> Reading {
    parse_with(text, origin, &|name| env::var_os(name))
}

/// Checks a text with variables from elsewhere.
pub(super) fn parse_with(text: &str, origin: &Path, variables: Variables<'_>) -> Reading {
    let before = SystemTime::now();
    let (read, faults) = read_with(text, origin, variables, Recording::Nothing);
    Reading::new(read.map(|(config, _)| config), faults, before)
}

/// Checks a text, and keeps a record of it.
pub(super) fn read_with(
    text: &str,
    origin: &Path,
    variables: Variables<'_>,
    recording: Recording,
) -> (Option<(Config, Record)>, Faults) {
    // It is no part of the first line, whose columns would be counted from it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directory = origin.parent().unwrap_or_else(|| Path::new(""));
    let read = |root: &mut Table<'_>| config(root, directory, variables);
    let (read, faults) = Document::read(text, variables, recording, read);
    (read, Faults::new(origin, text, faults))
}

/// Every key of a file, with all that there is to say about it.
pub(super) fn describe() -> Record {
    Document::describe(|root| config(root, Path::new(""), &|_| None))
}

/// What the readers of all sections share.
struct Context<'c> {
    /// What relative paths start from.
    directory: &'c Path,
    clusters: BTreeSet<String>,
    plugins: BTreeSet<String>,
    stores: BTreeSet<String>,
    /// What listens so far, by where that is.
    bound: RefCell<BTreeMap<Bind, String>>,
    roots: RefCell<sendfile::Roots>,
    /// Who issues certificates: `None` if nobody does, or if that is not known for a fault.
    acme: Option<Acme>,
    /// Whether somebody is to issue some, and the terms are agreed to.
    has_acme: bool,
    /// The files of plugins' recordings so far.
    recordings: RefCell<BTreeSet<PathBuf>>,
    /// Those that the system trusts, if somebody has asked, or why there are none.
    system_authorities: OnceCell<Result<Arc<RootCertStore>, String>>,
}

fn context<'c>(root: &mut Table<'_>, directory: &'c Path) -> Context<'c> {
    Context {
        directory,
        clusters: keys(root, "clusters"),
        plugins: keys(root, "plugins"),
        stores: keys(root, "stores"),
        bound: RefCell::default(),
        roots: RefCell::default(),
        acme: None,
        has_acme: false,
        recordings: RefCell::default(),
        system_authorities: OnceCell::new(),
    }
}

fn config(root: &mut Table<'_>, directory: &Path, variables: Variables<'_>) -> Config {
    let mut context = context(root, directory);
    let log = root.inner("log", "How the log is written", |table| log(table, &context));
    acme::read(root, &mut context, variables);
    let context = context;
    let (of_listeners, of_clusters) =
        root.inner("defaults", "What tables share", |table| defaults(table, &context));
    let about = "What concerns the whole process";
    let server = root.inner("server", about, |table| server(table, &context, variables));
    let dns = root.inner("dns", "How the names of endpoints are resolved", dns::dns);
    let tables = Tables {
        key: "listeners",
        about: "Where connections are accepted, and what becomes of requests",
        sample: "web",
        required: true,
        defaults: of_listeners,
    };
    let mut listeners =
        root.tables(&tables, |name, table| listener::listener(table, Some(name), &context));
    if listeners.is_empty() {
        root.refuse("there is no listener", "add a table such as `[listeners.web]`");
    }
    acme::answer(root, context.acme.as_ref(), &mut listeners);
    let about = "The listener of whoever runs this: an overview, metrics, an API";
    let admin = root.inner("admin", about, |table| admin::admin(table, &context));
    let tables = Tables {
        key: "clusters",
        about: "Endpoints that serve the same",
        sample: "files",
        required: false,
        defaults: of_clusters,
    };
    let clusters =
        root.tables(&tables, |name, table| cluster::cluster(table, Some(name), &context));
    let tables = Tables {
        key: "plugins",
        about: "A component, with what it is told, may use and may reach",
        sample: "example",
        required: false,
        defaults: None,
    };
    let mut plugins = root.tables(&tables, |name, table| extension::plugin(table, name, &context));
    let used = listeners.values().flat_map(|listener| {
        listener.routers.iter().chain(&listener.rewriters).chain(listener.stream_routers())
    });
    let used = used.chain(
        clusters.values().flat_map(|cluster| cluster.balancers.iter().chain(&cluster.rewriters)),
    );
    for name in used {
        // A component that is used as it is is a plugin whose table is empty.
        plugins.entry(name.clone()).or_insert_with(|| {
            root.implied("plugins", name, |table| extension::plugin(table, name, &context))
        });
    }
    let shadows: Vec<_> = plugins.values().filter_map(Plugin::shadowed).collect();
    plugins.extend(shadows.into_iter().map(|shadow| (Arc::clone(&shadow.name), shadow)));
    let tables = Tables {
        key: "stores",
        about: "Keys and values that plugins can be granted",
        sample: "example",
        required: false,
        defaults: None,
    };
    let stores = root.tables(&tables, store::store);
    let names_addresses = |plugin: &Plugin| !plugin.grants.addresses.is_empty();
    let direct_tls = plugins.values().any(names_addresses).then(|| context.direct_tls().ok());
    let direct_tls = direct_tls.flatten();
    let acme = context.acme;
    Config { log, server, admin, dns, acme, listeners, clusters, plugins, stores, direct_tls }
}

/// What listeners and clusters take that they do not set.
fn defaults<'d>(
    table: &mut Table<'d>,
    context: &Context<'_>,
) -> (Option<Value<'d>>, Option<Value<'d>>) {
    let about = "Any key of a listener but `bind`, for those that do not set it";
    let of_listeners =
        table.shared("listener", about, |table| listener::listener(table, None, context));
    let about = "Any key of a cluster but `endpoints`, for those that do not set it";
    let of_clusters =
        table.shared("cluster", about, |table| cluster::cluster(table, None, context));
    (of_listeners, of_clusters)
}

const LEVELS: Choice<LogLevel> = Choice(&[
    ("trace", LogLevel::Trace, "each step"),
    ("debug", LogLevel::Debug, "details"),
    ("info", LogLevel::Info, "what an operator likes to know"),
    ("warn", LogLevel::Warn, "odd, but harmless"),
    ("error", LogLevel::Error, "something failed"),
]);

fn log(table: &mut Table<'_>, context: &Context<'_>) -> Log {
    const FORMATS: Choice<LogFormat> = Choice(&[
        ("auto", LogFormat::Auto, "text on a terminal, else JSON"),
        ("text", LogFormat::Text, ""),
        ("json", LogFormat::Json, "one object per line"),
    ]);
    let level = key("level", "The least severe messages that are written", LEVELS);
    let format = key("format", "How lines look", FORMATS);
    let file = key("file", "Where messages go", Target { context, off: false });
    let access = key("access", "Where a line per request goes", Target { context, off: true });
    Log {
        level: table.or(level, LogLevel::Info),
        format: table.or(format, LogFormat::Auto),
        file: table.or(file, LogTarget::Stderr),
        access: table.or(access, LogTarget::Stderr),
    }
}

fn server(table: &mut Table<'_>, context: &Context<'_>, variables: Variables<'_>) -> Server {
    let workers = key("workers", "Threads that serve", Whole(1..=MAX_WORKERS)).such_as(4);
    let plugin_dir =
        key("plugin-dir", "Folder whose NAME.wasm goes before the built-in NAME", context.path());
    let cache_dir = key(
        "cache-dir",
        "Folder of compiled components, and of copies of what serves",
        context.path(),
    );
    let cache_bytes = Size(1 << 20..=1 << 40);
    let cache_bytes = key("cache-bytes", "The most that compiled components take", cache_bytes);
    let compile_timeout = Period(Duration::from_secs(1)..=DAY);
    let compile_timeout =
        key("compile-timeout", "The longest that compiling a component takes", compile_timeout);
    let compile_memory = Size(64 << 20..=1 << 40);
    let compile_memory =
        key("compile-memory-bytes", "The most memory that compiling one takes", compile_memory);
    let digests = "The SHA-256 of components that may serve, besides those built in";
    let digests = key("require-digest", digests, List(DIGEST));
    let takeover = "Unix socket by which `run --takeover` replaces this process";
    let takeover = key("takeover", takeover, context.path()).such_as("/run/linkspan/takeover.sock");
    let takeover = table.optional(takeover, "it cannot be replaced so");
    if let Some(path) = &takeover {
        let place = "takeover of [server]".to_owned();
        context.bound.borrow_mut().insert(Bind::Unix(path.clone()), place);
    }
    let grace = Period(Duration::ZERO..=DAY);
    let grace = key("shutdown-grace", "How long TERM lets open requests take", grace);
    Server {
        workers: table.or_else(workers, "one per core", || {
            thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_WORKERS))
        }),
        plugin_dir: table.optional(plugin_dir.such_as("plugins.d"), "built-in components only"),
        cache_dir: table.or_else(
            cache_dir.such_as("/var/cache/linkspan"),
            "linkspan in $XDG_CACHE_HOME or ~/.cache",
            || user_cache(variables),
        ),
        cache_bytes: table.or(cache_bytes, 512 << 20),
        compile_timeout: table.or(compile_timeout, Duration::from_mins(1)),
        compile_memory_bytes: table.or(compile_memory, 2 << 30),
        require_digest: table.optional(digests.such_as(vec![EXAMPLE_DIGEST.to_owned()]), "any"),
        shutdown_grace: table.or(grace, Duration::from_secs(10)),
        takeover,
    }
}

/// The value of a key that lists plugins.
fn plugins(
    table: &mut Table<'_>,
    name: &'static str,
    about: &'static str,
    context: &Context<'_>,
) -> Vec<Name> {
    table.or(key(name, about, List(context.plugin())), Vec::new())
}

/// A time that is always limited.
fn timeout(
    table: &mut Table<'_>,
    name: &'static str,
    about: &'static str,
    default: Duration,
) -> Duration {
    table.or(key(name, about, Period(TIMEOUT)), default)
}

/// Where the XDG base directories put a user's cache; where a system keeps it if nobody's home is
/// known.
fn user_cache(variables: Variables<'_>) -> PathBuf {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let of_user = variables("XDG_CACHE_HOME").and_then(absolute);
    let of_home = || variables("HOME").and_then(absolute).map(|home| home.join(".cache"));
    of_user.or_else(of_home).unwrap_or_else(|| PathBuf::from("/var/cache")).join("linkspan")
}

/// The keys of a table that may not be there.
fn keys(root: &mut Table<'_>, key: &'static str) -> BTreeSet<String> {
    let table = root.value(key);
    let table = table.as_ref().and_then(|value| value.item().as_table());
    table.into_iter().flat_map(|table| table.keys()).map(|key| key.get_ref().to_string()).collect()
}

#[cfg(test)]
mod tests;
