//! What came of each stranger, and what became of those who had nothing to do with it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::time::Instant;

use crate::support::{Client, eventually};

/// One row.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) mechanism: &'static str,
    pub(super) stopped: &'static str,
    /// What its own requests got.
    pub(super) got: Vec<String>,
    /// The metrics that rose.
    pub(super) rose: Vec<String>,
    /// What innocents met with meanwhile.
    pub(super) innocents: Met,
    /// How that differs from what was expected.
    pub(super) faults: Vec<String>,
}

/// What innocents have met with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Met {
    pub(super) asked: u64,
    pub(super) errors: u64,
    /// Milliseconds.
    pub(super) longest: u64,
}

impl Line {
    pub(super) fn new(name: &'static str, mechanism: &'static str, stopped: &'static str) -> Self {
        Self { name, mechanism, stopped, ..Self::default() }
    }

    pub(super) fn fault(&mut self, text: &str) {
        self.faults.push(format!("{}: {text}", self.name));
    }

    pub(super) fn table(lines: &[Self]) -> String {
        let mut table = String::from(
            "component | mechanism | what stopped it | its own requests | what rose | innocents | \
             their errors | their longest wait\n--- | --- | --- | --- | --- | --: | --: | --:\n",
        );
        for line in lines {
            let Self { name, mechanism, stopped, got, rose, innocents, .. } = line;
            let Met { asked, errors, longest } = innocents;
            let (got, rose) = (got.join("; "), rose.join(", "));
            let _ = writeln!(
                table,
                "{name} | {mechanism} | {stopped} | {got} | {rose} | {asked} | {errors} | \
                 {longest} ms"
            );
        }
        table
    }
}

/// Somebody who asks one request after the other, on the same worker, and has plugins of its own.
#[derive(Debug, Default)]
pub(super) struct Innocents {
    asked: AtomicU64,
    errors: AtomicU64,
    longest: AtomicU64,
    over: AtomicBool,
}

/// Dropped, it ends the asking.
pub(super) struct Until<'i>(&'i AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Innocents {
    pub(super) fn until_dropped(&self) -> Until<'_> {
        Until(&self.over)
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// What they have met with so far; the longest wait begins anew.
    pub(super) fn so_far(&self) -> Met {
        let longest = self.longest.swap(0, Ordering::Relaxed);
        Met { asked: self.asked(), errors: self.errors(), longest }
    }

    /// What they have met with since, which is something.
    pub(super) fn since(&self, before: Met) -> Met {
        eventually("innocents", || (self.asked() > before.asked + 1).then_some(()));
        let Met { asked, errors, longest } = self.so_far();
        Met { asked: asked - before.asked, errors: errors - before.errors, longest }
    }

    pub(super) fn ask(&self, address: SocketAddr) {
        let mut client = Client::connect(address);
        while !self.over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let answer = client.get("/");
            let right = answer.status() == 200 && answer.text() == "hello";
            let waited = u64::try_from(begun.elapsed().as_millis()).unwrap();
            self.longest.fetch_max(waited, Ordering::Relaxed);
            self.errors.fetch_add(u64::from(!right), Ordering::Relaxed);
            self.asked.fetch_add(1, Ordering::Relaxed);
            if answer.closes() {
                client = Client::connect(address);
            }
        }
    }
}
