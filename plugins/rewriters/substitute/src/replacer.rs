//! Replacing in a text that comes in pieces, with the same result as in the whole of it.
//!
//! One place after the other is judged: what begins there is replaced, and what is put in its stead
//! is not looked at again. Where it takes what has not come yet to tell, the rest waits, at most as
//! much as the window holds: what a match may be judged by are the bytes of the window, however they
//! come. So the result depends on the text only.

use crate::effort::is_out_of_proportion;
use crate::rules::{Place, Rules, Verdict};

/// What places may cost before a search over all that is there is worth while.
const LEAST_SEARCH: usize = 1024;

/// A text that is being replaced in.
pub(crate) struct Replacer {
    window: usize,
    /// What has come and is not passed on, behind the byte before it if there was one: patterns may
    /// look at that.
    text: Vec<u8>,
    /// The next place to judge.
    at: usize,
    /// Whether a match ended there: an empty one may not follow.
    touching: bool,
    /// The rules that had their only match.
    used: Vec<bool>,
    /// Whether there are rules that still can match.
    active: bool,
    /// Whether the end has been judged.
    over: bool,
    /// The rules that are known not to match at the next place.
    asked: usize,
    /// Up to where it is known that no match begins.
    clear: usize,
    /// The steps at places with no match since a search has been made over all that is there.
    missed: usize,
    /// The bytes that have come, and the steps that what is judged has taken. Waiting for more is not
    /// counted: how often that is depends on how they come.
    came: usize,
    steps: usize,
}

impl Replacer {
    /// A text of which nothing has come.
    pub(crate) fn new(window: usize, rules: &Rules) -> Self {
        Self {
            window,
            text: Vec::new(),
            at: 0,
            touching: false,
            used: vec![false; rules.len()],
            active: true,
            over: false,
            asked: 0,
            clear: 0,
            missed: 0,
            came: 0,
            steps: 0,
        }
    }

    /// More of it.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        self.came = self.came.saturating_add(bytes.len());
    }

    /// Whether it costs more than its length allows.
    pub(crate) fn is_out_of_proportion(&self) -> bool {
        is_out_of_proportion(self.steps, self.came)
    }

    /// Appends what can be passed on, and says whether it stopped because `enough` was there or the
    /// call has spent what it may. `last` is whether nothing more comes.
    pub(crate) fn pump(
        &mut self,
        rules: &mut Rules,
        last: bool,
        enough: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut from = self.at;
        let full = loop {
            if out.len() + (self.at - from) >= enough || rules.effort().is_spent() {
                break true;
            }
            self.skip(rules, enough);
            let ended = self.at >= self.text.len();
            if ended && (!last || self.over || !rules.can_be_empty()) {
                break false;
            }
            match self.judge(rules, last) {
                Verdict::Open => break false,
                Verdict::Later => break true,
                Verdict::Decided(Some(found)) if found.end > self.at || !self.touching => {
                    out.extend_from_slice(self.text.get(from..self.at).unwrap_or_default());
                    rules.replace(&self.text, self.at, found, out);
                    (self.at, from, self.touching) = (found.end, found.end, true);
                    self.use_up(rules, found.rule);
                }
                Verdict::Decided(_) if ended => self.over = true,
                Verdict::Decided(_) => {
                    self.at = self.clear.max(self.at + 1);
                    self.touching = false;
                }
            }
            self.asked = 0;
        };
        out.extend_from_slice(self.text.get(from..self.at).unwrap_or_default());
        let gone = self.at.saturating_sub(1);
        self.text.drain(..gone);
        self.at -= gone;
        self.clear = self.clear.saturating_sub(gone);
        full
    }

    /// Judges the next place. Where places without a match have cost as much as a search over all that
    /// is there, that is made: it tells at once of all the places that begin nothing, however far
    /// each of them reaches.
    fn judge(&mut self, rules: &mut Rules, last: bool) -> Verdict {
        let before = rules.effort().steps();
        let place = Place { text: &self.text, at: self.at, window: self.window, last };
        let verdict = rules.look(place, &self.used, &mut self.asked);
        let took = |rules: &mut Rules| rules.effort().steps() - before;
        match verdict {
            Verdict::Open | Verdict::Later => return verdict,
            Verdict::Decided(Some(_)) => {}
            Verdict::Decided(None) => {
                self.missed += took(rules);
                if self.missed >= (self.text.len() - self.at).max(LEAST_SEARCH) {
                    self.clear = rules.clear(place);
                    self.missed = 0;
                }
            }
        }
        self.steps = self.steps.saturating_add(took(rules));
        verdict
    }

    /// Passes over what no match begins with, as far as may be passed on at once.
    fn skip(&mut self, rules: &Rules, enough: usize) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let rest = rest.get(..enough).unwrap_or(rest);
        let passed = if self.active {
            rest.iter().position(|byte| !rules.passes_over(*byte)).unwrap_or(rest.len())
        } else {
            rest.len()
        };
        if passed > 0 {
            self.at += passed;
            self.touching = false;
        }
    }

    fn use_up(&mut self, rules: &Rules, rule: usize) {
        if rules.is_once(rule)
            && let Some(used) = self.used.get_mut(rule)
        {
            *used = true;
            self.active = self.used.contains(&false);
        }
    }
}
