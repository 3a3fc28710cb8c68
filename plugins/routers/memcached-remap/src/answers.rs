//! Answers of the store that still count, few enough and short enough to be kept by every instance.

use crate::value::Origin;
use std::collections::BTreeMap;
use std::mem;

/// The most answers of one generation; there are two.
const MOST: usize = 512;

/// What the store says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Where requests go.
    Origin(Origin),
    /// It does not hold the key.
    Nothing,
    /// It holds something that is no origin.
    Malformed,
}

impl Found {
    /// The name of its counter.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Origin(_) => "hits",
            Self::Nothing => "misses",
            Self::Malformed => "malformed",
        }
    }
}

/// Answers by key. When one generation is full it takes the place of the one before, whose answers
/// are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// How long one counts, in nanoseconds.
    lifetime: u64,
    young: BTreeMap<String, Answer>,
    old: BTreeMap<String, Answer>,
}

#[derive(Debug)]
struct Answer {
    found: Found,
    since: u64,
}

impl Answers {
    /// Answers that count for so many milliseconds.
    pub(crate) fn new(milliseconds: u64) -> Self {
        Self { lifetime: milliseconds.saturating_mul(1_000_000), ..Self::default() }
    }

    /// Whether any are kept.
    pub(crate) fn are_kept(&self) -> bool {
        self.lifetime > 0
    }

    /// An answer that counts at a time in nanoseconds.
    pub(crate) fn get(&self, key: &str, now: u64) -> Option<Found> {
        let answer = self.young.get(key).or_else(|| self.old.get(key))?;
        (now.saturating_sub(answer.since) < self.lifetime).then(|| answer.found.clone())
    }

    /// Keeps an answer that came at that time.
    pub(crate) fn keep(&mut self, key: String, found: &Found, now: u64) {
        if !self.are_kept() {
            return;
        }
        if self.young.len() >= MOST {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, Answer { found: found.clone(), since: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_its_time_and_not_longer() {
        let mut answers = Answers::new(10);
        answers.keep("a".to_owned(), &Found::Nothing, 1_000_000);
        assert_eq!(answers.get("a", 10_999_999), Some(Found::Nothing));
        assert_eq!(answers.get("a", 11_000_000), None);
        assert_eq!(answers.get("b", 1_000_000), None);
        answers.keep("a".to_owned(), &Found::Malformed, 11_000_000);
        assert_eq!(answers.get("a", 11_000_000), Some(Found::Malformed));
    }

    #[test]
    fn without_a_time_nothing_is_kept() {
        let mut answers = Answers::new(0);
        answers.keep("a".to_owned(), &Found::Nothing, 0);
        assert!(!answers.are_kept() && answers.young.is_empty());
        assert_eq!(answers.get("a", 0), None);
    }

    #[test]
    fn there_are_never_more_than_two_generations() {
        let mut answers = Answers::new(1_000);
        for key in 0..10 * MOST {
            answers.keep(key.to_string(), &Found::Nothing, 0);
            assert!(answers.young.len() + answers.old.len() <= 2 * MOST);
        }
        let kept = |key: usize| answers.get(&key.to_string(), 0).is_some();
        assert!((9 * MOST..10 * MOST).all(kept) && !kept(0));
    }
}
