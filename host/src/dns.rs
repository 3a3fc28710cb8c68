//! What names stand for, and for how long that may be believed.
//!
//! The hosts file goes first, as everywhere on a system; then name servers are asked. Nothing is
//! remembered here: whoever asks holds what was found, and gives it back with the next question, so
//! that a part that cannot be found again (the IPv6 addresses, or one target of a service) stays
//! what it was. Answers are bounded, in their length and in the time that they take.
//!
//! The resolver's sockets and tasks belong to the runtime that first asks: that is the control
//! thread's. Workers ask through [`Inquiries`].

mod inquiries;
mod service;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, Resolver as Hickory, TokioResolver};
use tokio::time;

use crate::config::Dns;

pub use inquiries::{Inquiries, Inquiry};

/// The most addresses that a name stands for; of more, the first in order.
pub const MOST: usize = 256;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// The addresses of a host.
    Host(Arc<str>),
    /// The hosts of a service, and their addresses.
    Service(Arc<str>),
}

impl Question {
    /// The name that is asked for.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Host(name) | Self::Service(name) => name,
        }
    }
}

/// One address that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// What the service says of it; `None` for the address of a host.
    pub service: Option<Service>,
    /// The address.
    pub address: IpAddr,
}

/// What an SRV record says of a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// 0 for the targets of the lowest priority there is, 1 for those of the next, up to 99.
    pub rank: u8,
    /// The host.
    pub target: Arc<str>,
    /// Its port.
    pub port: u16,
    /// In hundredths, 1 to 1,000,000.
    pub weight: u32,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// At least one address and at most [`MOST`], each once and in order: name servers rotate
    /// theirs, and a list that rotates would move what balancers take from positions.
    pub found: Vec<Found>,
    /// How long that is to be believed, within what is configured.
    pub believed: Duration,
    /// Why some of it is what it was before, or missing; nothing if all of the question was answered.
    pub lacking: Option<String>,
}

/// Why it is not known what a name stands for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// Nobody answered in time.
    #[error("no answer in time")]
    Timeout,
    /// It is no name, as DNS has them.
    #[error("it is not a name: {0}")]
    BadName(#[from] ProtoError),
    /// The servers failed.
    #[error("the lookup failed: {0}")]
    Lookup(#[source] NetError),
    /// There is no such name, or it has none of these records.
    #[error("it has no address")]
    Empty,
    /// Too many ask.
    #[error("too many names are looked up")]
    Busy,
}

/// Asks name servers. Clones share what is known of the servers.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    /// Or why there is none, which is then the answer to every question.
    hickory: Result<TokioResolver, NetError>,
    hosts: Hosts,
    settings: Dns,
}

impl Resolver {
    /// A resolver of these settings. The system's configuration and its hosts file are read now.
    #[must_use]
    pub fn new(settings: &Dns) -> Self {
        let (config, options) = configuration(settings);
        let mut builder = Hickory::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let hickory = builder.build();
        let hosts = Hosts::from_system().unwrap_or_default();
        Self(Arc::new(Inner { hickory, hosts, settings: settings.clone() }))
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &Dns {
        &self.0.settings
    }

    /// Asks what a name stands for. `held` is what it stood for until now: it stays as far as the
    /// question cannot be answered in part. Takes at most twice the configured timeout.
    ///
    /// # Errors
    ///
    /// If nothing new is known.
    pub async fn ask(&self, question: &Question, held: &[Found]) -> Result<Answer, Failure> {
        let (mut found, ttl, lacking) = match question {
            Question::Host(host) => {
                let held: Vec<_> = held.iter().map(|found| found.address).collect();
                let Addresses { addresses, ttl, lacking } = self.addresses(host, &held).await?;
                let found = |address| Found { service: None, address };
                (addresses.into_iter().map(found).collect(), ttl, lacking)
            }
            Question::Service(name) => self.service(name, held).await?,
        };
        found.sort_unstable_by(|one, other| {
            one.place().cmp(&other.place()).then_with(|| one.cmp(other))
        });
        found.dedup_by(|one, other| one.is_again(other));
        found.truncate(MOST);
        let Dns { min_ttl, max_ttl, .. } = self.0.settings;
        let believed = Duration::from_secs(u64::from(ttl)).min(max_ttl).max(min_ttl);
        if found.is_empty() { Err(Failure::Empty) } else { Ok(Answer { found, believed, lacking }) }
    }

    /// The addresses of a host.
    async fn addresses(&self, host: &str, held: &[IpAddr]) -> Result<Addresses, Failure> {
        let name = Name::from_ascii(host)?;
        let known = [RecordType::A, RecordType::AAAA].map(|kind| {
            let lookup = self.0.hosts.lookup_static_host(&Query::query(name.clone(), kind));
            lookup.map(|lookup| addresses(lookup.answers())).unwrap_or_default()
        });
        if known.iter().any(|addresses| !addresses.is_empty()) {
            return Ok(Addresses { addresses: known.concat(), ttl: u32::MAX, lacking: None });
        }
        let v4 = self.records(&name, RecordType::A);
        let (v4, v6) = tokio::join!(v4, self.records(&name, RecordType::AAAA));
        let (mut found, mut missing) = (Vec::new(), Vec::<IpAddr>::new());
        let mut failure = None;
        let mut ttl = u32::MAX;
        for (is_v6, records) in [(false, v4), (true, v6)] {
            match records {
                Ok(records) => {
                    ttl = ttl.min(seconds(&records));
                    found.extend(addresses(&records));
                }
                Err(error) => {
                    missing.extend(held.iter().filter(|address| address.is_ipv6() == is_v6));
                    failure = Some(error);
                }
            }
        }
        if found.is_empty() {
            return Err(failure.unwrap_or(Failure::Empty));
        }
        found.extend(missing);
        let lacking = failure.map(|failure| format!("{host}: {failure}"));
        Ok(Addresses { addresses: found, ttl, lacking })
    }

    /// The records of a name; none if it has none.
    async fn records(&self, name: &Name, kind: RecordType) -> Result<Vec<Record>, Failure> {
        let hickory = self.0.hickory.as_ref().map_err(|error| Failure::Lookup(error.clone()))?;
        let lookup = hickory.lookup(name.clone(), kind);
        let answer = time::timeout(self.0.settings.timeout, lookup).await;
        match answer.map_err(|_elapsed| Failure::Timeout)? {
            Ok(lookup) => Ok(lookup.answers().to_vec()),
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Ok(Vec::new()),
            Err(NetError::Timeout) => Err(Failure::Timeout),
            Err(error) => Err(Failure::Lookup(error)),
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Resolver").field(&self.0.settings).finish()
    }
}

/// What is known of the addresses of a host.
#[derive(Debug)]
struct Addresses {
    addresses: Vec<IpAddr>,
    /// How many seconds they are good for.
    ttl: u32,
    /// Why those of one family are what they were before, or missing.
    lacking: Option<String>,
}

impl Found {
    /// Where it is, whatever its weight.
    fn place(&self) -> (Option<(u8, &str, u16)>, IpAddr) {
        let service = self.service.as_ref().map(|of| (of.rank, &*of.target, of.port));
        (service, self.address)
    }

    /// Whether it is the same place, said again. A service may list a target twice.
    fn is_again(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

/// The addresses among records, of which some may say what another name is called.
fn addresses(records: &[Record]) -> Vec<IpAddr> {
    let addresses = records.iter().filter_map(|record| record.data.ip_addr());
    addresses.map(|address| address.to_canonical()).collect()
}

/// How many seconds all of the records are good for.
fn seconds(records: &[Record]) -> u32 {
    records.iter().map(|record| record.ttl).min().unwrap_or(u32::MAX)
}

/// Whom to ask, and how.
fn configuration(settings: &Dns) -> (ResolverConfig, ResolverOpts) {
    let given = || {
        let servers = settings.servers.iter().map(server).collect();
        (ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default())
    };
    let (config, mut options) = if settings.servers.is_empty() {
        read_system_conf().unwrap_or_else(|_error| {
            // What resolv.conf(5) says holds without one.
            let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
            let servers = vec![server(&local)];
            (ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default())
        })
    } else {
        given()
    };
    // A datagram gets lost now and then: there is time for asking twice.
    options.timeout = settings.timeout / 2;
    options.attempts = 1;
    // The hosts file is looked at before, for both families at once.
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    (config, options)
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(with_port).into();
    server
}
