//! What calls and bodies may cost, so that no content makes a call miss its deadline.

use std::mem;

use regex_automata::hybrid::dfa::Cache;

/// What one call may spend: what takes 2 or 3 milliseconds at most, and leaves room for one more place,
/// which may cost as much as the window holds.
const CALL: usize = 256 << 10;

/// What a body may cost for each of its bytes, beyond [`FLOOR`].
const PER_BYTE: usize = 1024;

/// What any body may cost.
const FLOOR: usize = 16 << 20;

/// How often it is looked at how the automaton has grown, in bytes looked at.
const STRIDE: usize = 64;

/// What the running call has spent, in steps: a byte that the automaton has looked at is one.
#[derive(Default)]
pub(crate) struct Effort {
    steps: usize,
    /// The bytes that the automaton has looked at.
    looked: usize,
    /// The bytes by which the automaton has grown, which take about as long as steps.
    growth: usize,
}

impl Effort {
    /// The automaton looks at a byte. Now and then, this says that its growth is due to be counted.
    pub(crate) fn look(&mut self) -> bool {
        self.steps += 1;
        self.looked += 1;
        self.looked.is_multiple_of(STRIDE)
    }

    /// So many steps.
    pub(crate) fn spend(&mut self, steps: usize) {
        self.steps += steps;
    }

    /// The automaton has grown by so much.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.growth += bytes;
    }

    /// The steps so far.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Whether the call is to end.
    pub(crate) fn is_spent(&self) -> bool {
        self.steps + self.growth >= CALL
    }

    /// Whether it is to end in the middle of a place: what was added to the automaton is there when
    /// the next call begins the place anew, and costs nothing then.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.growth >= CALL
    }
}

/// How large the automaton was when that was last looked at, and how often it had been forgotten.
pub(crate) struct Growth(usize, usize);

impl Growth {
    /// As it is.
    pub(crate) fn of(cache: &Cache) -> Self {
        Self(cache.memory_usage(), cache.clear_count())
    }

    /// Whether it grows by too much in this call. One that was forgotten has.
    pub(crate) fn outgrows(&mut self, cache: &Cache, effort: &mut Effort) -> bool {
        let before = mem::replace(self, Self::of(cache));
        let grown = if self.1 == before.1 { self.0.saturating_sub(before.0) } else { CALL };
        effort.grow(grown);
        effort.is_outgrown()
    }
}

/// Whether a body costs more than its length allows.
pub(crate) fn is_out_of_proportion(steps: usize, bytes: usize) -> bool {
    steps > bytes.saturating_mul(PER_BYTE).saturating_add(FLOOR)
}
