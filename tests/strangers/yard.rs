//! Where components are loaded and their instances are born as the proxy does it, without a proxy.

use std::sync::Arc;
use std::time::Duration;

use linkspan::config::{Grants, Instances, Limits, Plugin, State};
use linkspan::metrics::Metrics;
use linkspan::plugin::{
    Around, Compiler, Definition, Found, Host, Kind, Newborn, Refusal, Settings, Source,
};
use linkspan::proxy::WORDS;
use tokio::runtime::{Builder, Runtime};

use crate::support::cache_home;

pub(super) struct Yard {
    host: Host,
    runtime: Runtime,
}

impl Yard {
    pub(super) fn new() -> Self {
        let settings = Settings {
            plugin_dir: None,
            cache_dir: Some(cache_home().join("linkspan")),
            cache_bytes: 1 << 30,
            compiler: Compiler {
                program: env!("CARGO_BIN_EXE_linkspan").into(),
                timeout: Duration::from_mins(2),
                memory_bytes: 2 << 30,
            },
            built_in: &[],
            metrics: Arc::new(Metrics::new(1, WORDS)),
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { host: Host::start(settings).unwrap(), runtime }
    }

    /// A router of a component, with this for `configure`.
    #[track_caller]
    pub(super) fn define(&self, bytes: &[u8], config: &str) -> Arc<Definition> {
        let found = Found::new(Source::Copy, bytes.to_vec());
        let component = self.runtime.block_on(self.host.load(&found)).unwrap();
        let plugin = Plugin {
            name: "yard".into(),
            component: "yard".to_owned(),
            config: config.to_owned(),
            instances: Instances::PerWorker,
            log_level: None,
            on_failure: None,
            state: State::Kept,
            canary: None,
            shadow: None,
            beside: None,
            record: None,
            limits: Limits::default(),
            grants: Grants { stores: Vec::new(), addresses: Vec::new() },
        };
        let around = Around { members: None, stores: Vec::new(), clusters: Arc::from([]) };
        self.host.define(&plugin, component, &[Kind::Router], around).unwrap()
    }

    /// An instance of each, born at the same time.
    pub(super) fn births(&self, both: &[Arc<Definition>; 2]) -> [Result<Newborn, Refusal>; 2] {
        let [one, other] = both;
        let born = async { tokio::join!(one.birth_apart(), other.birth_apart()) };
        self.runtime.block_on(born).into()
    }

    /// An instance.
    pub(super) fn birth(&self, definition: &Arc<Definition>) -> Result<Newborn, Refusal> {
        self.runtime.block_on(definition.birth_apart())
    }
}
