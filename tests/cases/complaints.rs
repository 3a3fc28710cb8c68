//! What differs from a case's rule. All of it is kept: the first difference is not always the one
//! that tells.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// The most characters that are shown of one side.
const BRIEF: usize = 600;

/// Collects differences.
#[derive(Debug)]
pub(super) struct Complaints {
    /// The differences.
    pub(super) all: Vec<String>,
    /// How long is waited for what has to come.
    pub(super) patience: Duration,
}

impl Complaints {
    /// Those of a play. One that gives up has its last words among them.
    pub(super) fn of(patience: Duration, play: impl FnOnce(&mut Self)) -> Self {
        let mut complaints = Self { all: Vec::new(), patience };
        let played = catch_unwind(AssertUnwindSafe(|| play(&mut complaints)));
        if let Err(panic) = played {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            complaints.add(text.unwrap_or_else(|| "a panic without words".to_owned()));
        }
        complaints
    }

    pub(super) fn add(&mut self, complaint: impl Into<String>) {
        self.all.push(complaint.into());
    }

    /// Expects something to become what is wanted.
    pub(super) fn comes_to<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        wanted: &T,
        look: impl Fn() -> T,
    ) {
        let deadline = Instant::now() + self.patience;
        let mut found = look();
        while found != *wanted && Instant::now() < deadline {
            thread::park_timeout(Duration::from_millis(5));
            found = look();
        }
        self.same(what, &found, wanted);
    }

    /// Expects two to be equal.
    pub(super) fn same<T: PartialEq + Debug>(&mut self, what: &str, found: &T, wanted: &T) {
        if found != wanted {
            let brief = |value: &T| -> String {
                let text = format!("{value:?}");
                text.chars().take(BRIEF).collect()
            };
            self.add(format!("{what}: {}, not {}", brief(found), brief(wanted)));
        }
    }
}
