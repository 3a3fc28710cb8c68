//! A proxy in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use linkspan::commands::BUILT_IN;
use linkspan::config::{Config, LogTarget, Name};
use linkspan::log::access::AccessLog;
use linkspan::log::sink::Writer;
use linkspan::metrics::Metrics;
use linkspan::proxy::{self, Options};
use linkspan::socket::bind::Bind;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Client, Message, PATIENCE, cache_home, directory, eventually, plugin, write_plugin};

/// What open requests get when a test is over.
const GRACE: Duration = Duration::from_secs(2);

/// The real proxy, with a control thread of its own. Dropped, it drains.
///
/// Unless the configuration sets `workers`, it has one: what is counted per worker is then exact.
pub(crate) struct Proxy {
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
    addresses: Addresses,
    admin: Option<SocketAddr>,
    metrics: Arc<Metrics>,
    access: PathBuf,
    directory: TempDir,
    _writer: Writer,
}

type Addresses = BTreeMap<Name, Bind>;

/// Where a proxy listens, and where its administrator's listener is.
type Places = (Addresses, Option<SocketAddr>);

enum Order {
    Reload(Box<Config>, SyncSender<Result<Places, String>>),
    ShutDown(Option<Duration>, SyncSender<bool>),
}

impl Proxy {
    /// Starts a proxy with the built-in plugins.
    #[track_caller]
    pub(crate) fn start(toml: &str) -> Self {
        Self::start_with(toml, &[])
    }

    /// Starts a proxy with these test guests in its plugin directory.
    #[track_caller]
    pub(crate) fn start_with(toml: &str, guests: &[&str]) -> Self {
        match Self::try_start(toml, guests) {
            Ok(proxy) => proxy,
            Err(text) => panic!("the proxy does not start: {text}"),
        }
    }

    /// The same for a configuration that may be refused; the error is what is said then.
    pub(crate) fn try_start(toml: &str, guests: &[&str]) -> Result<Self, String> {
        let directory = directory(guests);
        let config = parse(toml, directory.path())?;
        let access = directory.path().join("access.log");
        let writer = Writer::start(&LogTarget::File(access.clone()), PATIENCE).unwrap();
        let options = Options {
            program: env!("CARGO_BIN_EXE_linkspan").into(),
            built_in: BUILT_IN,
            access: AccessLog::new(writer.sink(), true),
        };
        let (orders, incoming) = mpsc::channel(1);
        let (report, started) = sync_channel(1);
        let thread = thread::spawn(move || control(config, &options, incoming, &report));
        let ((addresses, admin), metrics) = answer(&started)?;
        Ok(Self {
            orders,
            thread: Some(thread),
            addresses,
            admin,
            metrics,
            access,
            directory,
            _writer: writer,
        })
    }

    /// The address of a listener.
    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        let address = self.addresses.get(listener).and_then(Bind::address);
        address.unwrap_or_else(|| panic!("there is no listener {listener:?}"))
    }

    /// The address of the administrator's listener.
    #[track_caller]
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.unwrap_or_else(|| panic!("there is no administrator's listener"))
    }

    /// A connection to the listener `web`.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address("web"))
    }

    /// The answer of the listener `web` to a GET over a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Message {
        self.connect().get(target)
    }

    /// Serves another configuration; the error is what is said if it is not taken.
    pub(crate) fn reload(&mut self, toml: &str) -> Result<(), String> {
        let config = parse(toml, self.directory.path())?;
        let (reply, taken) = sync_channel(1);
        let order = Order::Reload(Box::new(config), reply);
        assert!(self.orders.blocking_send(order).is_ok(), "the proxy is gone");
        (self.addresses, self.admin) = answer(&taken)?;
        Ok(())
    }

    /// Puts a test guest into the plugin directory.
    #[track_caller]
    pub(crate) fn add_plugin(&self, name: &str) {
        write_plugin(&self.directory, name, plugin(name));
    }

    /// A counter, gauge, or number of durations: of all samples with these labels.
    pub(crate) fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.metrics.counter(name, labels)
    }

    /// Waits until at least so many requests are in the access log, and gives all its lines.
    #[track_caller]
    pub(crate) fn access(&self, lines: usize) -> Vec<Value> {
        eventually("lines of the access log", || {
            let text = std::fs::read_to_string(&self.access).unwrap_or_default();
            let whole: Vec<_> = text.split_inclusive('\n').filter(|l| l.ends_with('\n')).collect();
            (whole.len() >= lines)
                .then(|| whole.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
        })
    }

    /// Begins to leave. The receiver gets whether nothing had to be cut off, when it is done.
    #[track_caller]
    pub(crate) fn shut_down(&self, grace: Option<Duration>) -> Receiver<bool> {
        let (reply, done) = sync_channel(1);
        let order = Order::ShutDown(grace, reply);
        assert!(self.orders.blocking_send(order).is_ok(), "the proxy is gone");
        done
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have been told before.
        let (reply, _done) = sync_channel(1);
        let _ = self.orders.blocking_send(Order::ShutDown(Some(GRACE), reply));
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(ended.is_none_or(|ended| ended.is_ok()), "the control thread panicked");
        }
    }
}

type Started = Result<(Places, Arc<Metrics>), String>;

fn places(proxy: &proxy::Proxy) -> Places {
    (proxy.addresses().clone(), proxy.admin().and_then(Bind::address))
}

/// What the control thread does.
fn control(
    config: Config,
    options: &Options,
    mut orders: mpsc::Receiver<Order>,
    report: &SyncSender<Started>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut proxy = match proxy::Proxy::start(config, options).await {
            Ok(proxy) => proxy,
            Err(error) => return report.send(Err(error.to_string())).unwrap(),
        };
        let running = (places(&proxy), Arc::clone(proxy.metrics()));
        report.send(Ok(running)).unwrap();
        while let Some(order) = orders.recv().await {
            match order {
                Order::Reload(config, reply) => {
                    let taken = proxy.reload(*config).await.map_err(|error| error.to_string());
                    reply.send(taken.map(|()| places(&proxy))).unwrap();
                }
                Order::ShutDown(grace, reply) => {
                    let cut = async {
                        match grace {
                            Some(grace) => tokio::time::sleep(grace).await,
                            None => std::future::pending().await,
                        }
                    };
                    let cut_off = proxy.shut_down(Duration::ZERO, cut).await;
                    // Who drops a proxy does not ask.
                    let _ = reply.send(cut_off == 0);
                    return;
                }
            }
        }
    });
}

fn parse(toml: &str, directory: &Path) -> Result<Config, String> {
    let file = directory.join("linkspan.toml");
    let mut config = Config::parse(toml, &file).map_err(|faults| faults.to_string())?;
    config.server.cache_dir = cache_home().join("linkspan");
    if config.server.plugin_dir.is_none() {
        config.server.plugin_dir = Some(directory.join("plugins.d"));
    }
    if !toml.contains("workers") {
        config.server.workers = 1;
    }
    Ok(config)
}

fn answer<T>(receiver: &Receiver<Result<T, String>>) -> Result<T, String> {
    receiver.recv_timeout(2 * PATIENCE).unwrap_or_else(|_| Err("the proxy is stuck".to_owned()))
}
