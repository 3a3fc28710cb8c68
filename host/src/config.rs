//! The validated configuration: what one TOML file means, with every default filled in.
//!
//! A [`Reading`] of the file gives it, or [`Config::load`] in one step. In it there is no `Option`
//! that means "default" and no string that means an address or a duration; names that refer to
//! something are known to exist. Whether a named component exists and is of the right kind is not
//! known here: that takes the plugin engine, and is judged when the snapshot is built. What is found
//! then joins the faults of the reading, at its own place of the file.

mod acme;
mod address;
mod admin;
mod check;
mod cluster;
mod dns;
mod effective;
mod expand;
mod fault;
mod file;
mod health;
mod log;
mod names;
mod places;
mod proxied;
mod reading;
mod reference;
mod sample;
mod schema;
mod sendfile;
mod server;
mod store;
mod tcp;
mod units;
mod upstream_tls;
mod uses;
mod warnings;
mod written;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use acme::{Acme, Challenge};
pub use address::{AddressGrant, BadUrl, HostGrant, NotMovable};
pub use admin::{Admin, Secret};
pub use check::{STDIN, is_loopback};
pub use cluster::Protocol;
pub use cluster::{Address, Cluster, Endpoint, ForwardedHeaders, HostHeader, Location, Scheme};
pub use dns::Dns;
pub use effective::Effective;
pub use fault::{Fault, Faults, Place, Severity};
pub use health::{Check, Health, Pattern, Probe, StatusRange, Statuses};
pub use log::{Log, LogFormat, LogLevel, LogTarget};
pub use names::{BALANCERS, balancer_names, canonical_balancer, closest, did_you_mean, one_of};
pub use places::{Part, Places, Spot, Usage};
pub use proxied::{Opening, ProxyProtocol, TrustedProxy};
pub use reading::Reading;
pub use sample::Sample;
pub use sendfile::{Compression, Root, Sendfile};
pub use server::Server;
pub use store::{ENTRY_BYTES, Memcached, Store, StoreKind, valid_key};
pub use tcp::Tcp;
pub use units::{ShownDuration, ShownSize};
pub use upstream_tls::UpstreamTls;

use crate::socket::bind::Bind;
use crate::socket::path::Rights;
use crate::tls::client::ClientTls;
use crate::tls::issued::Issued;
use crate::tls::server::ServerTls;

/// A name given in the configuration: of a listener, cluster, plugin or store.
pub type Name = Arc<str>;

/// One whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[log]`.
    pub log: Log,
    /// `[server]`.
    pub server: Server,
    /// `[admin]`; without it there is no administrator's listener.
    pub admin: Option<Admin>,
    /// `[dns]`.
    pub dns: Dns,
    /// `[acme]`; without it no certificates are asked for.
    pub acme: Option<Acme>,
    /// `[listeners.*]`, at least one.
    pub listeners: BTreeMap<Name, Listener>,
    /// `[clusters.*]`.
    pub clusters: BTreeMap<Name, Cluster>,
    /// `[plugins.*]`, and one for each component that is named directly by a listener or cluster.
    pub plugins: BTreeMap<Name, Plugin>,
    /// `[stores.*]`.
    pub stores: BTreeMap<Name, Store>,
    /// How TLS is spoken to addresses that routers name. `None`: they may name none, or the system has no
    /// authorities to verify anybody by.
    pub direct_tls: Option<Arc<ClientTls>>,
}

impl Config {
    /// Reads and checks a file; [`STDIN`] is standard input, whose relative paths start from the
    /// current directory.
    ///
    /// # Errors
    ///
    /// All faults of the file at once, or the one that kept it from being read.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        Reading::load(path).into_result()
    }

    /// Checks a configuration given as text. `origin` stands for the file in messages; relative
    /// paths are taken from its directory.
    ///
    /// # Errors
    ///
    /// All faults of the text at once.
    pub fn parse(text: &str, origin: &Path) -> Result<Self, Faults> {
        Reading::parse(text, origin).into_result()
    }

    /// What a file is called in messages: as it is named, but for [`STDIN`].
    #[must_use]
    pub fn origin(path: &Path) -> &Path {
        if path == Path::new(STDIN) { Path::new("<stdin>") } else { path }
    }

    /// Reads and checks a file like [`Config::load`], for what each of its keys comes to.
    ///
    /// # Errors
    ///
    /// As [`Config::load`] has them.
    pub fn effective(path: &Path) -> Result<Effective, Faults> {
        check::effective(path).map(Effective::new)
    }

    /// The same for a text, with variables from elsewhere than this process.
    ///
    /// # Errors
    ///
    /// All faults of the text at once.
    pub fn effective_with(
        text: &str,
        origin: &Path,
        variables: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Effective, Faults> {
        check::effective_with(text, origin, variables).map(Effective::new)
    }

    /// The JSON schema of a file, for editors.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schema::of_file(&check::describe())
    }

    /// A file that sets every key to its default and says what each is for, for people.
    #[must_use]
    pub fn reference() -> String {
        reference::of_file(&check::describe())
    }
}

/// What accepts downstream connections.
#[derive(Debug, Clone)]
pub struct Listener {
    /// NAME of `[listeners.NAME]`.
    pub name: Name,
    /// Where it listens.
    pub bind: Bind,
    /// Who may connect, if that is a Unix socket.
    pub rights: Rights,
    /// What is relayed instead of requests, if they are not. Default HTTP.
    pub tcp: Option<Tcp>,
    /// The TLS that is spoken there. Default none.
    pub tls: Option<Arc<ServerTls>>,
    /// Whose requests for proofs are answered there. Default nobody's.
    pub proofs: Option<Arc<Issued>>,
    /// The plugins that route, in the order in which they are asked.
    pub routers: Vec<Name>,
    /// The plugins that rewrite, in request order.
    pub rewriters: Vec<Name>,
    /// Where requests go that no router decides; without one they are answered with 404. Of TCP: where
    /// connections go that no stream router decides; without one they are closed.
    pub default_cluster: Option<Name>,
    /// The path of the status page, percent-decoded; `None` if there is none.
    pub status_path: Option<Arc<str>>,
    /// Whose word on the client and on the request's id is taken. Default nobody's.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Which connections begin with a PROXY header. Default none.
    pub proxy_protocol: ProxyProtocol,
    /// The longest that a request's head may take to arrive. Default 10 s.
    pub head_timeout: Duration,
    /// How long a connection may be open without a request, or a TCP stream without a byte. Default
    /// 60 s, of TCP 10 min.
    pub idle_timeout: Duration,
    /// The longest from a request's head to the end of its response. Default: no limit.
    pub request_timeout: Option<Duration>,
    /// The longest silence within a request body, or within a response that the client does not
    /// take. Default 60 s.
    pub body_timeout: Duration,
    /// The least bytes per second of a request body. Default 240; `None` if they do not matter.
    pub min_body_rate: Option<NonZero<u64>>,
    /// How long a request body may keep us waiting before its rate counts. Default 10 s.
    pub min_body_rate_grace: Duration,
    /// The largest request head, 8 KiB to 1 MiB. Default 64 KiB.
    pub max_head_bytes: usize,
    /// The longest request target, 1 KiB to 63 KiB. Default 16 KiB.
    pub max_target_bytes: usize,
    /// The most fields of a request head, 1 to 1,000. Default 100.
    pub max_headers: usize,
    /// The most proxies of our name that a request may have passed before, 0 to 100. Default 2.
    pub max_hops: usize,
    /// What becomes of request fields with an underscore in their name. Default
    /// [`Underscores::Drop`].
    pub underscores: Underscores,
    /// The largest request body. Default: no limit.
    pub max_body_bytes: Option<u64>,
    /// The most requests over one connection. Default: no limit.
    pub max_requests_per_connection: Option<u64>,
    /// The versions of HTTP that are spoken. Default HTTP/1.1.
    pub versions: Versions,
    /// The most requests that are open at a time over one connection of HTTP/2, 1 to 1,000. Default 100.
    pub max_streams: u32,
    /// The most open connections. Default 10,000.
    pub max_connections: usize,
    /// The most open connections of one client address. Default: as many as `max_connections`.
    pub max_connections_per_address: usize,
}

/// Versions of HTTP, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// HTTP/1.1, and HTTP/1.0.
    pub http1: bool,
    /// HTTP/2.
    pub http2: bool,
}

/// What becomes of request fields with an underscore in their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Underscores {
    /// They go no further.
    Drop,
    /// They are passed on, but for those that stand for what only Linkspan writes.
    Pass,
}

/// A configured use of a component.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// NAME of `[plugins.NAME]`, or of the component where a listener or cluster names that.
    pub name: Name,
    /// NAME.wasm in the plugin directory, else the built-in component of that name.
    pub component: String,
    /// What `configure` gets: a JSON object.
    pub config: String,
    /// Default [`Instances::PerWorker`].
    pub instances: Instances,
    /// What becomes of its state when another version takes its place. Default [`State::Kept`].
    pub state: State,
    /// How another version is tried. `None`: not at all, it takes its place at once.
    pub canary: Option<Canary>,
    /// The component that is called beside it, as `component` names one. `None`: none is.
    pub shadow: Option<String>,
    /// Of a plugin that is called beside another: that one's name. `None` of all that decide.
    pub beside: Option<Name>,
    /// Where a sample of its decisions is written. `None`: nowhere.
    pub record: Option<Sample>,
    /// The least severe level of lines by and about it. `None`: that of `[log]`.
    pub log_level: Option<LogLevel>,
    /// What a request gets on which the plugin fails. `None`: what is usual for its kind.
    pub on_failure: Option<OnFailure>,
    /// What an instance may use.
    pub limits: Limits,
    /// What it may reach.
    pub grants: Grants,
}

impl Plugin {
    /// What the shadow of a plugin is called: as no plugin of a file may be that has this one.
    #[must_use]
    pub fn shadow_of(plugin: &str) -> Name {
        format!("{plugin}/shadow").into()
    }

    /// What is called beside it, if anything is: another component under its configuration.
    fn shadowed(&self) -> Option<Self> {
        Some(Self {
            name: Self::shadow_of(&self.name),
            component: self.shadow.clone()?,
            beside: Some(Arc::clone(&self.name)),
            shadow: None,
            // It decides nothing, so that there is nothing to be careful about.
            canary: None,
            // What it says is compared, not recorded.
            record: None,
            ..self.clone()
        })
    }
}

/// How many instances of a plugin there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// Each worker has its own.
    PerWorker,
    /// One for the process; calls are made one after another.
    Shared,
}

/// How another version of a plugin is tried before it takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// The share of the requests that it gets, in hundredths of a percent, 1 to 10,000. Default none.
    pub share: u32,
    /// For how long. Default 60 s.
    pub period: Duration,
    /// The calls that may fail. Default 0.
    pub max_failures: u64,
    /// The most that a call may take on average, in hundredths of a percent of what it takes in the
    /// version that serves, 10,000 to 1,000,000. Default 20,000.
    pub max_cost: u32,
}

impl Canary {
    /// The most that a call may take where one of the version that serves takes so long.
    #[must_use]
    pub fn most(&self, usual: Duration) -> Duration {
        usual.mul_f64(f64::from(self.max_cost) / 10_000.0)
    }
}

/// What becomes of a plugin's state when another version that takes it takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The new version is refused if it does not take it.
    Kept,
    /// The new version begins without it then.
    Fresh,
}

/// What a request gets on which a plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// An error: 503, of a rewriter 502, of a stream router the connection's end. The default of all
    /// three.
    Reject,
    /// As if the router had answered `next`, and of a stream router the listener's `default-cluster`.
    /// These two only.
    Next,
    /// The first usable endpoint. Balancers only, and their default.
    Fallback,
    /// As if the rewriter had answered no edits. Rewriters only.
    Skip,
}

/// What an instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, 64 KiB to 4 GiB. Default 64 MiB.
    pub memory_bytes: usize,
    /// Guest time of one call, 1 ms to 10 s. Default 10 ms.
    pub deadline: Duration,
    /// Entries of all tables together. Default 20,000.
    pub table_elements: usize,
    /// Handles held at a time. Default 1,024.
    pub handles: usize,
    /// Instances per worker of a plugin whose calls overlap, 1 to 4,096. `None`: what is usual for it.
    pub instances: Option<usize>,
    /// Bytes that one call may pass to the host. Default 2 MiB.
    pub host_call_bytes: usize,
    /// Log messages a second. Default 100.
    pub log_rate: u32,
}

/// What a plugin may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// The stores that it may open.
    pub stores: Vec<Name>,
    /// The addresses that a router may forward to.
    pub addresses: Vec<AddressGrant>,
}
