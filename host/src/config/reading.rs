//! What was read of a file: as much of a configuration as it gives, and its faults.
//!
//! What a file says of plugins can be judged by itself only in part; the rest takes the plugins. A
//! reading lets both kinds of faults come out together.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::fault::{Fault, Faults};
use crate::config::file::join;
use crate::config::{Cluster, Config, Name, check, warnings};

/// A file, read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// With something harmless wherever there is a fault; `None` if it could not be read at all.
    config: Option<Config>,
    faults: Faults,
    /// When reading had not begun yet.
    before: SystemTime,
}

impl Reading {
    pub(super) fn new(config: Option<Config>, faults: Faults, before: SystemTime) -> Self {
        Self { config, faults, before }
    }

    /// A time before anything was read.
    #[must_use]
    pub fn before(&self) -> SystemTime {
        self.before
    }

    /// Reads and checks a file.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        check::load(path)
    }

    /// Checks a configuration given as text. `origin` stands for the file in messages; relative
    /// paths are taken from its directory.
    #[must_use]
    pub fn parse(text: &str, origin: &Path) -> Self {
        check::parse(text, origin)
    }

    /// The same, with variables from elsewhere than this process.
    #[must_use]
    pub fn parse_with(
        text: &str,
        origin: &Path,
        variables: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        check::parse_with(text, origin, variables)
    }

    /// The configuration.
    ///
    /// # Errors
    ///
    /// All faults at once.
    pub fn into_result(self) -> Result<Config, Faults> {
        match self.config {
            Some(config) if self.faults.is_empty() => Ok(config),
            _ => Err(self.faults),
        }
    }

    /// The configuration, if nothing is wrong with it so far.
    #[must_use]
    pub fn sound(&self) -> Option<&Config> {
        self.config.as_ref().filter(|_| self.faults.is_empty())
    }

    /// What has been found so far.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The same, to add what is found later.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// What is legal and yet hardly meant. Asked of a configuration without faults: with them, all
    /// kinds of things seem to be unused.
    #[must_use]
    pub fn warnings(&self) -> Vec<Fault> {
        self.sound().map_or_else(Vec::new, |config| warnings::of(config, &self.faults.places()))
    }

    /// The part of a faulty configuration whose plugins can be judged all the same: those that no
    /// fault concerns. Not to be served.
    #[must_use]
    pub fn to_judge(&self) -> Option<Config> {
        let mut config = self.config.clone()?;
        // Where components are looked for is not known, or which of them have tables.
        if self.concerns("server.plugin-dir") || self.is_about("server") || self.is_about("plugins")
        {
            config.plugins.clear();
        }
        config.plugins.retain(|name, plugin| {
            let mut stores = plugin.grants.stores.iter();
            // A shadow stands in the table of the plugin that it is called beside.
            let beside = plugin.beside.as_ref();
            let table = join("plugins", beside.unwrap_or(name));
            // An unknown key beside these says nothing about what they come to.
            let component = if beside.is_some() { "shadow" } else { "component" };
            let parts = [component, "config", "grants", "limits", "instances", "on-failure"];
            !self.is_about(&table)
                && !parts.iter().any(|part| self.concerns(&join(&table, part)))
                && !stores.any(|store| self.concerns(&join("stores", store)))
        });
        // Plugins may ask which names are in the file, whatever stands behind them.
        for name in self.faults.places().names("clusters") {
            let name = Name::from(name);
            let empty = || Cluster { name: Arc::clone(&name), ..Cluster::default() };
            config.clusters.entry(Arc::clone(&name)).or_insert_with(empty);
        }
        Some(config)
    }

    /// Whether a fault is about this key itself.
    fn is_about(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.key == key)
    }

    /// Whether a fault is about this key or what stands below it.
    fn concerns(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| {
            let below = fault.key.strip_prefix(key);
            below.is_some_and(|below| below.is_empty() || below.starts_with(['.', '[']))
        })
    }
}
