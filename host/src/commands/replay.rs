//! Having a component decide again what was recorded, offline.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::Replay;
use crate::commands::inspect::PATIENCE;
use crate::commands::terminal::Terminal;
use crate::commands::{BUILT_IN, complain, json, say, uncounted};
use crate::plugin::{
    self, Answer, Candidate, Compiler, Decided, Found, Heading, Host, Line, Outcome, Reader,
    Refusal, Settings, Source, Unfit,
};
use report::{Costs, Difference, Report, Row, Told};

/// The most differences that are told of unless all are asked for.
const SHOWN: usize = 20;

/// Neither that none differ nor that some do: it could not be found out.
const UNKNOWN: u8 = 2;

/// Replays a recording.
pub async fn replay(wanted: &Replay) -> ExitCode {
    let mut report = Report::of(&wanted.recording, &wanted.candidate);
    let outcome = run(wanted, &mut report).await;
    if let Err(reason) = outcome {
        if wanted.json {
            report.error = Some(reason.clone());
            say(&json(&report));
        }
        complain(&format!("linkspan: {reason}"));
        return ExitCode::from(UNKNOWN);
    }
    if wanted.json {
        say(&json(&report));
    } else {
        say(&report.text(Terminal::stdout()));
    }
    if report.different() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(wanted: &Replay, report: &mut Report) -> Result<(), String> {
    let named = |path: &Path, reason: &dyn std::fmt::Display| {
        let (path, reason) = (path.display().to_string(), reason.to_string());
        // What cannot be read is named by its path already.
        if reason.starts_with(&path) { reason } else { format!("{path}: {reason}") }
    };
    let recording = |reason: &dyn std::fmt::Display| named(&wanted.recording, reason);
    let candidate = |refusal: Refusal| named(&wanted.candidate, &words(&refusal));
    let (heading, mut lines) =
        Reader::open(&wanted.recording).map_err(|error| recording(&error))?;
    report.recorded = Some(Told::of(&heading));
    let config = wanted.config.as_deref().map(config).transpose()?;
    let host = host()?;
    let bytes = plugin::read(&wanted.candidate).map_err(candidate)?;
    let found = Found::new(Source::File(wanted.candidate.clone()), bytes);
    let component = host.load(&found).await.map_err(candidate)?;
    report.digest = Some(component.digest.to_string());
    let made = Candidate::new(&host, component, &heading, config);
    let mut replaying = made.map_err(candidate)?;
    let most = if wanted.all { usize::MAX } else { SHOWN };
    let mut tally = Tally { known: heading.clusters.iter().cloned().collect(), ..Tally::default() };
    while let Some((number, line)) = lines.read().map_err(|error| recording(&error))? {
        let answer = replaying.decide(&line).await.map_err(|unfit| match unfit {
            Unfit::Candidate(refusal) => candidate(refusal),
            Unfit::Line(text) => recording(&lines.refuse(text)),
        })?;
        if let Some(difference) = tally.add(number, &line, answer)
            && report.differences.len() < most
        {
            report.differences.push(difference);
        }
    }
    report.phases = tally.rows();
    report.headers = heading.headers;
    Ok(())
}

fn host() -> Result<Host, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    // Nothing is kept: what is tried may never be used.
    let settings = Settings {
        plugin_dir: None,
        cache_dir: None,
        cache_bytes: 0,
        compiler: Compiler { program, timeout: PATIENCE, memory_bytes: 2 << 30 },
        built_in: BUILT_IN,
        metrics: uncounted(),
    };
    Host::start(settings).map_err(|refusal| words(&refusal))
}

/// What a candidate is configured with, from a file.
fn config(path: &Path) -> Result<String, String> {
    let named = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| named(&error))?;
    Ok(serde_json::Value::Object(object).to_string())
}

fn words(refusal: &Refusal) -> String {
    match refusal.source() {
        Some(cause) => format!("{refusal}: {cause}"),
        None => refusal.to_string(),
    }
}

/// What is known of the calls so far.
#[derive(Default)]
struct Tally {
    /// The clusters that there are.
    known: BTreeSet<String>,
    phases: BTreeMap<plugin::Phase, Phase>,
}

#[derive(Default)]
struct Phase {
    calls: usize,
    same: usize,
    failed: usize,
    recorded: Costs,
    candidate: Costs,
}

impl Tally {
    /// Adds a call; gives how the decisions differ, if they do.
    fn add(&mut self, number: usize, line: &Line, answer: Answer) -> Option<Difference> {
        let recorded = self.judged(&line.outcome);
        let candidate = self.judged(&answer.outcome);
        let phase = self.phases.entry(line.phase).or_default();
        phase.calls += 1;
        phase.failed += usize::from(candidate.failed.is_some());
        phase.recorded.add(line.cost_ns.map(Duration::from_nanos));
        phase.candidate.add(answer.cost);
        if recorded.same_as(&candidate) {
            phase.same += 1;
            return None;
        }
        let told = line.told(&candidate);
        Some(Difference {
            line: number,
            phase: line.phase.name(),
            input: line.about(),
            recorded: line.told(&recorded),
            candidate: answer
                .words
                .map_or_else(|| told.clone(), |words| format!("{told}, {words}")),
        })
    }

    /// What a worker makes of a decision: to forward to a cluster that there is not is a failure.
    fn judged(&self, outcome: &Outcome) -> Outcome {
        match &outcome.decision {
            Some(Decided::Forward { cluster: Some(name), .. }) if !self.known.contains(name) => {
                Outcome { decision: None, failed: Some(format!("contract (no cluster {name:?})")) }
            }
            _ => outcome.clone(),
        }
    }

    fn rows(self) -> Vec<Row> {
        let row = |(phase, counted): (plugin::Phase, Phase)| Row {
            phase: phase.name(),
            calls: counted.calls,
            same: counted.same,
            different: counted.calls - counted.same,
            failed: counted.failed,
            recorded: counted.recorded.percentiles(),
            candidate: counted.candidate.percentiles(),
        };
        self.phases.into_iter().map(row).collect()
    }
}

impl Told {
    fn of(heading: &Heading) -> Self {
        Self {
            plugin: heading.plugin.clone(),
            component: heading.component.clone(),
            version: heading.version.clone(),
            digest: heading.digest.clone(),
        }
    }
}
