//! What one call of a plugin costs, with the real engine and the standard plugins: from handing over
//! the exchange to the checked answer. A package of its own, without features that the proxy does not have, so that
//! it can be compiled by the same counts (see `tools/optimized.sh`). Takes Criterion's arguments; the program has to
//! lie beside it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot go on has nothing better to do than to end"
)]

mod sample;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{BenchmarkId, Criterion};
use linkspan::commands::BUILT_IN;
use linkspan::config::{Config, Instances, LogTarget};
use linkspan::log::access::calls::{Calls, Cost, Label};
use linkspan::log::access::{AccessLog, AccessRecord, RequestLine, Times};
use linkspan::log::id::{RequestId, RequestIds};
use linkspan::log::sink::Writer;
use linkspan::metrics::Metrics;
use linkspan::plugin::{
    Around, Compiler, Decision, Definition, Exchange, Host, Kind, Members, Nursery, Order, Pick,
    Plugin, Settings, Shared,
};
use linkspan::proxy::WORDS;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use crate::sample::{Fixed, exchange};

/// What is measured; `RULES` and `MANY` stand for rules that do not match, `HOSTS` for other hosts.
const CONFIG: &str = r#"
[listeners.web]
bind = "127.0.0.1:0"
routers = ["two-rules", "twenty-rules"]
rewriters = ["stamp"]

[clusters.main]
endpoints = []
balancer = [
  "by-busyness", "by-requests", "by-traffic", "carp", "first-alive", "heartbeat", "least-connections",
  "lighttpd-hash", "locking-round-robin", "maglev", "naive", "p2c", "random", "ring-hash",
  "round-robin", "source-hash", "sqf", "static", "sessions",
]

[plugins.sessions]
component = "sticky"
config = { cookie = "session", separator = "" }

[plugins.two-rules]
component = "regex-match"
config = { rules = [
  { match = ['\.php$'], cluster = "main" },
  { match = ['\.(jpg|png|css|js|html)$'], cluster = "main" },
] }

[plugins.twenty-rules]
component = "regex-match"
config = { rules = [
  RULES
  { match = ['\.(jpg|png|css|js|html)$'], cluster = "main" },
] }

[plugins.ten-thousand-rules]
component = "regex-match"
config = { rules = [
  MANY
  { match = ['\.(jpg|png|css|js|html)$'], cluster = "main" },
] }

[plugins.ten-thousand]
component = "host"
config = { hosts = { HOSTS "www.example.org" = "main" } }

[plugins.stamp]
component = "headers"
config = { request = { set = { x-bench = "1" } }, response = { set = { x-proxy = "linkspan" } } }
"#;

fn main() {
    let bench = Bench::start();
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("empty", |bencher| {
        bencher.iter_custom(|calls| bench.time(calls, async |exchange| exchange));
    });
    bench.routers(&mut criterion);
    bench.measured(&mut criterion);
    bench.balancers(&mut criterion);
    bench.rewriters(&mut criterion);
    access(&mut criterion);
    criterion.final_summary();
}

struct Bench {
    runtime: LocalRuntime,
    host: Host,
    config: Config,
    nursery: Nursery,
    /// Nothing is born to order here: no call fails.
    _orders: Receiver<Order>,
}

impl Bench {
    fn start() -> Self {
        let rules = |count| {
            let rule = |n| format!("{{ match = ['^/service-{n}/[a-z]+/'], cluster = \"main\" }},");
            (0..count).map(rule).collect::<Vec<_>>().join("\n  ")
        };
        let hosts: String = (0..10_000).map(|n| format!("\"h{n}.test\" = \"main\", ")).collect();
        let text = CONFIG.replace("RULES", &rules(19)).replace("MANY", &rules(9_999));
        let text = text.replace("HOSTS", &hosts);
        let config = Config::parse(&text, Path::new("bench.toml"));
        let config = config.unwrap_or_else(|faults| panic!("{faults}"));
        let program = std::env::current_exe().unwrap().with_file_name("linkspan");
        assert!(program.exists(), "compiles plugins, and is not there: {}", program.display());
        let settings = Settings {
            plugin_dir: None,
            cache_dir: Some(program.with_file_name("calls-cache")),
            cache_bytes: 1 << 30,
            compiler: Compiler { program, timeout: Duration::from_mins(1), memory_bytes: 2 << 30 },
            built_in: BUILT_IN,
            metrics: Arc::new(Metrics::new(1, WORDS)),
        };
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let (nursery, orders) = Nursery::new(1);
        Self {
            runtime: runtime.unwrap(),
            host: Host::start(settings).unwrap(),
            config,
            nursery,
            _orders: orders,
        }
    }

    /// A plugin of the configuration, as a worker has it.
    fn plugin(&self, name: &str, kind: Kind, members: Option<Arc<dyn Members>>) -> Plugin {
        let config = self.config.plugins.get(name).unwrap();
        let cluster = self.config.clusters.keys().next().unwrap();
        self.runtime.block_on(async {
            let found = self.host.find(&config.component, None).unwrap();
            let component = self.host.load(&found).await.unwrap();
            let members = members.map(|members| (cluster, members));
            let clusters = self.config.clusters.keys().cloned().collect();
            let around = Around { members, stores: Vec::new(), clusters };
            let definition = self.host.define(config, component, &[kind], around).unwrap();
            self.hired(definition).await
        })
    }

    async fn hired(&self, definition: Arc<Definition>) -> Plugin {
        let newborn = definition.birth_apart().await.unwrap();
        let (first, shared) = match definition.config.instances {
            Instances::PerWorker => (Some(newborn), None),
            Instances::Shared => (None, Some(Shared::new(newborn))),
        };
        Plugin::new(definition, self.nursery.clone(), 0, first, shared)
    }

    /// The time that some calls take one after another.
    fn time(&self, calls: u64, call: impl AsyncFn(Box<Exchange>) -> Box<Exchange>) -> Duration {
        self.time_with(exchange(), calls, call)
    }

    fn time_with(
        &self,
        exchange: Box<Exchange>,
        calls: u64,
        call: impl AsyncFn(Box<Exchange>) -> Box<Exchange>,
    ) -> Duration {
        self.runtime.block_on(async {
            // What changed is told before the first call, not as part of it.
            let mut exchange = call(exchange).await;
            let begin = Instant::now();
            for _ in 0..calls {
                exchange = call(exchange).await;
            }
            begin.elapsed()
        })
    }

    fn routers(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("route");
        for (router, rules) in [
            ("regex-match", "two-rules"),
            ("regex-match", "twenty-rules"),
            ("regex-match", "ten-thousand-rules"),
            ("host", "ten-thousand"),
        ] {
            let plugin = self.plugin(rules, Kind::Router, None);
            group.bench_function(BenchmarkId::new(router, rules), |bencher| {
                bencher.iter_custom(|calls| {
                    self.time(calls, async |exchange| {
                        let (exchange, decision) = plugin.route(exchange).await;
                        assert!(matches!(decision, Ok(Decision::Forward { .. })));
                        exchange
                    })
                });
            });
        }
    }

    /// A call that is measured for the access log.
    fn measured(&self, criterion: &mut Criterion) {
        let plugin = self.plugin("two-rules", Kind::Router, None);
        criterion.bench_function("route/measured", |bencher| {
            bencher.iter_custom(|calls| {
                let mut exchange = exchange();
                exchange.trail.measured = true;
                self.time_with(exchange, calls, async |exchange| {
                    let (exchange, decision) = plugin.route(exchange).await;
                    assert!(matches!(decision, Ok(Decision::Forward { .. })));
                    exchange
                })
            });
        });
    }

    fn balancers(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("pick");
        let cluster = self.config.clusters.values().next().unwrap();
        for balancer in cluster.balancers.iter() {
            for size in [3, 1_000] {
                let plugin = self.plugin(balancer, Kind::Balancer, Some(Arc::new(Fixed(size))));
                group.bench_function(BenchmarkId::new(&**balancer, size), |bencher| {
                    bencher.iter_custom(|calls| {
                        self.time(calls, async |exchange| {
                            let (exchange, pick) = plugin.pick(exchange, 0, None).await;
                            assert!(matches!(pick, Ok(Pick::Endpoint(_))));
                            exchange
                        })
                    });
                });
            }
        }
    }

    fn rewriters(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("rewrite");
        let plugin = self.plugin("stamp", Kind::Rewriter, None);
        group.bench_function("headers/request", |bencher| {
            bencher.iter_custom(|calls| {
                self.time(calls, async |exchange| {
                    let (exchange, edits) = plugin.on_request(exchange).await;
                    assert!(edits.is_ok_and(|edits| edits.len() == 1));
                    exchange
                })
            });
        });
        group.bench_function("headers/response", |bencher| {
            bencher.iter_custom(|calls| {
                self.time(calls, async |exchange| {
                    let (exchange, edits) = plugin.on_response(exchange).await;
                    assert!(edits.is_ok_and(|edits| edits.len() == 1));
                    exchange
                })
            });
        });
    }
}

/// A line of the access log, without plugins and with as many as are usual.
fn access(criterion: &mut Criterion) {
    let target = LogTarget::File("/dev/null".into());
    let thread = Writer::start(&target, Duration::from_secs(1)).unwrap();
    let labels = ["by-path", "stamp", "round-robin"].map(|name| Label::new(name, "a35a0b42b268"));
    let labels = labels.map(Rc::new);
    let cost = Cost { called: true, time: Duration::from_nanos(850), failed: None };
    let mut ids = RequestIds::new();
    for (json, plugins) in [(true, 0), (true, 3), (false, 3)] {
        let mut writer = AccessLog::new(thread.sink(), json).writer();
        let form = if json { "json" } else { "text" };
        criterion.bench_function(&format!("access/{form}/{plugins}"), |bencher| {
            bencher.iter(|| {
                let (id, mut calls) = (ids.issue(), Calls::default());
                labels.iter().take(plugins).for_each(|label| calls.add(label, cost));
                writer.record(&line(&id, &calls));
            });
        });
    }
}

fn line<'a>(id: &'a RequestId, plugins: &'a Calls) -> AccessRecord<'a> {
    AccessRecord {
        time: SystemTime::now(),
        id,
        client: "127.0.0.1:40000",
        listener: "web",
        request: Some(RequestLine {
            method: "GET",
            target: b"/w/index.html?title=Main",
            protocol: http::Version::HTTP_11,
            status: 200,
        }),
        bytes_up: 0,
        bytes_down: 1024,
        route: Some("by-path"),
        cluster: Some("main"),
        endpoint: Some("10.0.0.1:80"),
        balancer: Some("round-robin"),
        fallback: false,
        attempts: 1,
        plugins,
        times: Times {
            queued: None,
            connect: None,
            first_byte: Some(Duration::from_micros(180)),
            total: Some(Duration::from_micros(210)),
        },
        error: None,
        retried: None,
    }
}
