//! Another configuration: read from its file, and served, or refused with all that is wrong with it.

use std::path::Path;
use std::sync::Arc;

use super::agenda::{Agenda, Making, Ready, Reloaded};
use super::{Service, is_moved};
use crate::cli::Run;
use crate::commands::{check, manager};
use crate::config::Reading;
use crate::listener::descriptors;
use crate::proxy::StartError;

impl Service {
    /// Reads the configuration again, and makes it ready; unless its file is to be waited for first. What was
    /// made ready in vain before is held for as long.
    pub(super) fn read(
        &self,
        source: Option<(&Run, &Path)>,
        agenda: &mut Agenda,
    ) -> Option<Making<Ready>> {
        let ready = Ready::Configuration;
        let faulty = |text: String| -> Making<Ready> {
            Box::pin(std::future::ready(ready(Reloaded::Faulty(text))))
        };
        let Some((run, path)) = source else {
            return Some(faulty(
                "it is not from a file, so that there is nothing to read again".to_owned(),
            ));
        };
        // It may be long since it was seen that nobody writes to it.
        let reading = self.watch.file_is_quiet().then(|| Reading::load(path));
        let Some(mut reading) = reading.filter(|_| self.watch.file_is_quiet()) else {
            if self.watch.waits_for_file() {
                agenda.not_yet();
                return None;
            }
            let path = path.display();
            return Some(faulty(format!("somebody writes to {path} and does not come to an end")));
        };
        let outdated = agenda.outdated();
        let Some(mut config) = reading.sound().cloned() else {
            let host = Arc::clone(self.proxy.plugin_host());
            return Some(Box::pin(async move {
                // What is refused is among the faults then.
                let _ = check::judge_with(&mut reading, &host).await;
                ready(Reloaded::Faulty(reading.faults().to_string()))
            }));
        };
        if let Err(error) = config.override_bind(run.host, run.port) {
            return Some(faulty(error.to_string()));
        }
        let before = self.proxy.snapshot().generation;
        let read = move |reading, built: Result<_, _>| {
            ready(Reloaded::Read(Box::new(reading), before, built.map(Box::new)))
        };
        Some(match self.proxy.build(config, Some(self.watch.quiet())) {
            Ok(building) => Box::pin(async move {
                let built = building.await;
                drop(outdated);
                read(reading, built)
            }),
            Err(error) => Box::pin(std::future::ready(read(reading, Err(error)))),
        })
    }

    /// Serves the configuration as it was read, or says what is wrong with it.
    pub(super) async fn reload(
        &mut self,
        reloaded: Reloaded,
        agenda: &mut Agenda,
        source: Option<(&Run, &Path)>,
    ) {
        let known = self.lines();
        let taken = match reloaded {
            Reloaded::Faulty(text) => Err(text),
            // What was gone back from meanwhile would serve again, or is what it was refused for.
            Reloaded::Read(_, before, built) if before != self.proxy.snapshot().generation => {
                return agenda.again(built.ok().map(|built| built.into_snapshot()));
            }
            Reloaded::Read(reading, _, built) => {
                let served = match built {
                    Ok(built) => self.proxy.serve(*built).await,
                    Err(error) => Err(error),
                };
                let before = reading.before();
                let taken = self.taken(*reading, served, source);
                if taken.is_ok() {
                    self.watch.follow_named(self.proxy.snapshot().config.files(), before);
                }
                taken
            }
        };
        match &taken {
            Ok(generation) => {
                tracing::info!(generation, "configuration taken");
                self.announce(&known);
            }
            Err(text) => {
                tracing::error!("configuration not taken, the one before stays:\n{text}");
            }
        }
        self.logs.follow(&self.proxy.snapshot().config);
        manager::ready();
        agenda.reloaded(taken);
    }

    /// What is said of a configuration that is served, or is not.
    fn taken(
        &self,
        mut reading: Reading,
        served: Result<(), StartError>,
        source: Option<(&Run, &Path)>,
    ) -> Result<u64, String> {
        served.map_err(|error| {
            let moved = source.is_some_and(|(run, _)| is_moved(run));
            let told = check::explain(&mut reading, &error, moved);
            if told { reading.faults().to_string() } else { error.to_string() }
        })?;
        check::warn(&mut reading, &self.proxy.snapshot());
        descriptors::warn(&self.proxy.snapshot().config);
        Ok(self.proxy.snapshot().generation)
    }
}
