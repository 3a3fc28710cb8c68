//! What has come of a replay, for people and for scripts.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::commands::terminal::{Cell, Paint, Table, Terminal, printable};

/// What there is to tell. What is not known is absent.
#[derive(Default, Serialize)]
pub(super) struct Report {
    recording: String,
    candidate: String,
    pub(super) digest: Option<String>,
    pub(super) recorded: Option<Told>,
    pub(super) headers: Vec<String>,
    pub(super) phases: Vec<Row>,
    pub(super) differences: Vec<Difference>,
    pub(super) error: Option<String>,
}

/// Whose decisions were recorded.
#[derive(Serialize)]
pub(super) struct Told {
    pub(super) plugin: String,
    pub(super) component: String,
    pub(super) version: String,
    pub(super) digest: String,
}

/// The calls of one kind.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) phase: &'static str,
    pub(super) calls: usize,
    pub(super) same: usize,
    pub(super) different: usize,
    pub(super) failed: usize,
    pub(super) recorded: Percentiles,
    pub(super) candidate: Percentiles,
}

/// A decision that differs.
#[derive(Serialize)]
pub(super) struct Difference {
    pub(super) line: usize,
    pub(super) phase: &'static str,
    pub(super) input: String,
    pub(super) recorded: String,
    pub(super) candidate: String,
}

/// What calls took.
#[derive(Default)]
pub(super) struct Costs(Vec<Duration>);

/// What at most half, and at most one in a hundred, of the calls took more than.
#[derive(Default, Serialize)]
pub(super) struct Percentiles {
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

impl Costs {
    pub(super) fn add(&mut self, cost: Option<Duration>) {
        self.0.extend(cost);
    }

    pub(super) fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        let at = |percent: usize| {
            let place = (self.0.len() * percent).div_ceil(100).checked_sub(1)?;
            self.0.get(place).map(|cost| cost.as_secs_f64() * 1e6)
        };
        Percentiles { p50_us: at(50), p99_us: at(99) }
    }
}

impl Report {
    pub(super) fn of(recording: &Path, candidate: &Path) -> Self {
        let (recording, candidate) = (recording.display(), candidate.display());
        let (recording, candidate) = (recording.to_string(), candidate.to_string());
        Self { recording, candidate, ..Self::default() }
    }

    /// How many decisions differ.
    pub(super) fn different(&self) -> usize {
        self.phases.iter().map(|row| row.different).sum()
    }

    /// For people to read.
    pub(super) fn text(&self, terminal: Terminal) -> String {
        let mut text = self.table().render(terminal);
        for difference in &self.differences {
            let Difference { line, phase, input, recorded, candidate } = difference;
            let heading = format!("line {line}, {phase}:");
            let heading = terminal.paint(Paint::Heading, &heading);
            let [input, recorded, candidate] = [input, recorded, candidate].map(|it| printable(it));
            text.push_str(&format!(
                "\n\n{heading} {input}\n  recorded   {recorded}\n  candidate  {candidate}"
            ));
        }
        let more = self.different().saturating_sub(self.differences.len());
        if more > 0 {
            text.push_str(&format!("\n\n{more} more differ; --all shows them"));
        }
        if self.different() > 0 {
            let headers = match self.headers.as_slice() {
                [] => "no header fields".to_owned(),
                some => format!("of header fields only {}", some.join(", ")),
            };
            text.push_str(&format!("\n\nThe recording holds {}", printable(&headers)));
        }
        text
    }

    fn table(&self) -> Table {
        let headings = [
            "PHASE",
            "CALLS",
            "SAME",
            "DIFFERENT",
            "FAILED",
            "RECORDED p50",
            "p99",
            "CANDIDATE p50",
            "p99",
        ];
        let mut table = Table::new(&headings);
        for row in &self.phases {
            let number = |number: usize| Cell::new(number.to_string(), Paint::Plain);
            let bad = |number: usize| {
                Cell::new(number.to_string(), if number > 0 { Paint::Bad } else { Paint::Plain })
            };
            let time = |time: Option<f64>| {
                let text = time.map(|time| format!("{time:.1}us")).unwrap_or_default();
                Cell::new(text, Paint::Plain)
            };
            table.row(vec![
                Cell::new(row.phase, Paint::Name),
                number(row.calls),
                number(row.same),
                bad(row.different),
                bad(row.failed),
                time(row.recorded.p50_us),
                time(row.recorded.p99_us),
                time(row.candidate.p50_us),
                time(row.candidate.p99_us),
            ]);
        }
        table
    }
}
