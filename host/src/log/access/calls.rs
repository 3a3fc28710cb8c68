//! What plugins did for one request, as its access line has it: which of them were called, in which
//! version, how often, for how long, and how they failed.

use std::rc::Rc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::log::line;

/// A plugin with its version, written ahead in both forms.
#[derive(Debug)]
pub struct Label {
    json: Vec<u8>,
    text: Vec<u8>,
}

impl Label {
    /// Writes it.
    #[must_use]
    pub fn new(plugin: &str, version: &str) -> Self {
        let mut json = b"{\"plugin\":\"".to_vec();
        line::json_inside(&mut json, plugin.as_bytes());
        json.extend_from_slice(b"\",\"version\":\"");
        line::json_inside(&mut json, version.as_bytes());
        json.push(b'"');
        let mut text = Vec::new();
        // Without what separates one plugin from another.
        line::text_word(&mut text, plugin);
        text.push(b'@');
        line::text_word(&mut text, version);
        Self { json, text }
    }
}

/// What one call took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Whether the plugin was called at all: one that is parked is not.
    pub called: bool,
    /// The time that it spent in the guest; zero if that was not measured.
    pub time: Duration,
    /// How it failed, in the words of the metrics.
    pub failed: Option<&'static str>,
}

/// The calls of one request, those of one plugin together. Allocates nothing for up to four plugins.
#[derive(Debug, Default)]
pub struct Calls(SmallVec<[Sum; 4]>);

#[derive(Debug)]
struct Sum {
    label: Rc<Label>,
    calls: u32,
    time: Duration,
    failed: Option<&'static str>,
}

impl Calls {
    /// Adds a call.
    pub fn add(&mut self, label: &Rc<Label>, cost: Cost) {
        let calls = u32::from(cost.called);
        if let Some(sum) = self.0.iter_mut().find(|sum| Rc::ptr_eq(&sum.label, label)) {
            sum.calls += calls;
            sum.time += cost.time;
            sum.failed = cost.failed.or(sum.failed);
            return;
        }
        let label = Rc::clone(label);
        self.0.push(Sum { label, calls, time: cost.time, failed: cost.failed });
    }

    /// Adds the calls of another list.
    pub fn join(&mut self, others: Self) {
        for other in others.0 {
            let own = self.0.iter_mut().find(|sum| Rc::ptr_eq(&sum.label, &other.label));
            match own {
                Some(sum) => {
                    sum.calls += other.calls;
                    sum.time += other.time;
                    sum.failed = other.failed.or(sum.failed);
                }
                None => self.0.push(other),
            }
        }
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the members of a JSON list.
    pub(super) fn json(&self, out: &mut Vec<u8>) {
        for (place, sum) in self.0.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&sum.label.json);
            out.extend_from_slice(b",\"calls\":");
            line::decimal(out, u64::from(sum.calls));
            out.extend_from_slice(b",\"us\":");
            line::microseconds(out, sum.time);
            if let Some(failed) = sum.failed {
                out.extend_from_slice(b",\"failed\":\"");
                out.extend_from_slice(failed.as_bytes());
                out.push(b'"');
            }
            out.push(b'}');
        }
    }

    /// Appends one word.
    pub(super) fn text(&self, out: &mut Vec<u8>) {
        for (place, sum) in self.0.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&sum.label.text);
            out.push(b':');
            line::microseconds(out, sum.time);
            out.extend_from_slice(b"us");
            if sum.calls != 1 {
                out.push(b'/');
                line::decimal(out, u64::from(sum.calls));
            }
            if let Some(failed) = sum.failed {
                out.push(b'!');
                out.extend_from_slice(failed.as_bytes());
            }
        }
    }
}
