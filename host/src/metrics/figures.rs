//! The counters and gauges that a plugin makes for itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The most names a plugin may have.
const NAMES: usize = 64;

/// The longest name.
const NAME_BYTES: usize = 64;

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Figure {
    /// A sum.
    Counter(u64),
    /// A value.
    Gauge(f64),
}

/// A plugin's figures by name.
#[derive(Debug, Default)]
pub struct Figures(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    figures: BTreeMap<String, Figure>,
    dropped: u64,
}

impl Figures {
    /// Adds to a counter. Dropped and counted if the name is not allowed, one too many, or a
    /// gauge's.
    pub fn count(&self, name: &str, amount: u64) {
        self.change(name, Figure::Counter(0), |figure| match figure {
            Figure::Counter(sum) => {
                *sum = sum.wrapping_add(amount);
                true
            }
            Figure::Gauge(_) => false,
        });
    }

    /// Sets a gauge. Dropped and counted if the name is not allowed, one too many, or a counter's.
    pub fn gauge(&self, name: &str, new: f64) {
        self.change(name, Figure::Gauge(0.0), |figure| match figure {
            Figure::Gauge(value) => {
                *value = new;
                true
            }
            Figure::Counter(_) => false,
        });
    }

    fn change(&self, name: &str, zero: Figure, change: impl FnOnce(&mut Figure) -> bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = state.figures.len() >= NAMES;
        let done = match state.figures.get_mut(name) {
            Some(figure) => change(figure),
            None if full || !allowed(name) => false,
            None => change(state.figures.entry(name.to_owned()).or_insert(zero)),
        };
        state.dropped += u64::from(!done);
    }

    /// All figures now, and how many changes were dropped.
    pub(super) fn read(&self) -> (Vec<(String, Figure)>, u64) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (
            state.figures.iter().map(|(name, figure)| (name.clone(), *figure)).collect(),
            state.dropped,
        )
    }
}

fn allowed(name: &str) -> bool {
    let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_kinds_are_kept() {
        let figures = Figures::default();
        figures.count("hits", 2);
        figures.count("hits", 3);
        figures.gauge("hits", 1.0);
        figures.gauge("Wrong", 1.0);
        for n in 0..100 {
            figures.gauge(&format!("g{n}"), 0.5);
        }
        let (read, dropped) = figures.read();
        assert_eq!(read.len(), NAMES);
        assert!(read.contains(&("hits".into(), Figure::Counter(5))));
        assert_eq!(dropped, 2 + 100 - 63);
    }
}
