//! Regular expressions: case is ignored, they match anywhere, and `.` is any byte.
//!
//! A path can hold a line break, and must not get past a rule that way.

use regex_automata::meta::{Builder, Config, Regex};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};
use regex_syntax::hir::Hir;

use crate::sieve::{Need, Sieve};

/// How many patterns are searched for together. A search takes one pass over the path for each
/// chunk, but what an automaton needs grows faster than its patterns: all of 10,000 in one do not
/// fit its cache, and take a hundred times as long.
const CHUNK: usize = 256;

/// What the caches of all chunks should take together, and how much each is given at least and at
/// most.
const CACHE_BYTES: usize = 16 << 20;
const LEAST_CACHE_BYTES: usize = 512 << 10;
const MOST_CACHE_BYTES: usize = 2 << 20;

/// The patterns of all rules, each with the number of its rule.
pub(crate) struct Patterns {
    /// Those that need something at one end of the path, in order.
    bound: Vec<Chunk>,
    /// Which chunks of these are worth a search, and room to tell it.
    sieve: Sieve,
    marks: Vec<bool>,
    /// The others, in order.
    free: Vec<Chunk>,
}

struct Chunk {
    regex: Regex,
    rules: Vec<usize>,
    /// Kept, so that a search allocates nothing.
    found: PatternSet,
}

/// A pattern as it is written, with its rule and its place there, and as it is read.
struct Pattern<'t> {
    rule: usize,
    place: usize,
    text: &'t str,
    read: Hir,
}

impl Patterns {
    /// Compiles patterns, each with the number of its rule and its place there.
    pub(crate) fn compile(patterns: &[(usize, usize, String)], faults: &mut Vec<String>) -> Self {
        let mut read = Vec::new();
        for (rule, place, text) in patterns {
            match parsed(text) {
                Ok(hir) => read.push(Pattern { rule: *rule, place: *place, text, read: hir }),
                Err(fault) => {
                    faults.push(format!("rules[{rule}].match[{place}]: `{text}`: {fault}"));
                }
            }
        }
        // Few take one search, whatever they need.
        let few = read.len() <= CHUNK;
        let need = |pattern: &Pattern<'_>| Need::of(&pattern.read).filter(|_| !few);
        let (mut bound, mut needs, mut free) = (Vec::new(), Vec::new(), Vec::new());
        for pattern in read {
            match need(&pattern) {
                Some(need) => {
                    needs.push(need);
                    bound.push(pattern);
                }
                None => free.push(pattern),
            }
        }
        let cache_bytes = CACHE_BYTES / patterns.len().div_ceil(CHUNK).max(1);
        let cache_bytes = cache_bytes.clamp(LEAST_CACHE_BYTES, MOST_CACHE_BYTES);
        let mut chunks = |patterns: &[Pattern<'_>]| -> Vec<Chunk> {
            let chunks = patterns.chunks(CHUNK).map(|chunk| Chunk::compile(chunk, cache_bytes));
            chunks.filter_map(|chunk| chunk.map_err(|fault| faults.push(fault)).ok()).collect()
        };
        let (bound, free) = (chunks(&bound), chunks(&free));
        let mut sieve = Sieve::default();
        needs.iter().enumerate().for_each(|(at, need)| sieve.add(need, at / CHUNK));
        Self { marks: vec![false; bound.len()], bound, sieve: sieve.finish(), free }
    }

    /// The first that `accept` makes of the rules whose patterns match, in order.
    pub(crate) fn find<T>(
        &mut self,
        path: &[u8],
        accept: impl Fn(usize) -> Option<T>,
    ) -> Option<T> {
        self.sieve.mark(path, &mut self.marks);
        let marked = self.bound.iter_mut().zip(&self.marks).filter(|(_, mark)| **mark);
        let first = { marked }.find_map(|(chunk, _)| chunk.find(path, usize::MAX, &accept));
        // Of the others, only rules before that one count.
        let end = first.as_ref().map_or(usize::MAX, |(rule, _)| *rule);
        let mut before = self.free.iter_mut().take_while(|chunk| chunk.begins_before(end));
        let found = before.find_map(|chunk| chunk.find(path, end, &accept)).or(first);
        found.map(|(_, made)| made)
    }
}

impl Chunk {
    fn compile(patterns: &[Pattern<'_>], cache_bytes: usize) -> Result<Self, String> {
        // A prefilter does nothing for a search of all matches, and takes time to build.
        let config = Config::new()
            .match_kind(MatchKind::All)
            .which_captures(WhichCaptures::None)
            .auto_prefilter(false)
            .hybrid_cache_capacity(cache_bytes);
        let read: Vec<&Hir> = patterns.iter().map(|pattern| &pattern.read).collect();
        let regex = builder().configure(config).build_many_from_hir(&read).map_err(|error| {
            let at = error.pattern().map_or(0, |pattern| pattern.as_usize());
            let told = |Pattern { rule, place, text, .. }: &Pattern<'_>| {
                format!("rules[{rule}].match[{place}]: `{text}`: {error}")
            };
            patterns.get(at).map_or_else(|| error.to_string(), told)
        })?;
        let found = PatternSet::new(regex.pattern_len());
        Ok(Self { regex, rules: patterns.iter().map(|pattern| pattern.rule).collect(), found })
    }

    fn begins_before(&self, end: usize) -> bool {
        self.rules.first().is_some_and(|rule| *rule < end)
    }

    /// The first rule before the end that is accepted.
    fn find<T>(
        &mut self,
        path: &[u8],
        end: usize,
        accept: impl Fn(usize) -> Option<T>,
    ) -> Option<(usize, T)> {
        self.found.clear();
        self.regex.which_overlapping_matches(&Input::new(path), &mut self.found);
        let found = self.found.iter().filter_map(|pattern| self.rules.get(pattern.as_usize()));
        let mut before = found.copied().take_while(|rule| *rule < end);
        before.find_map(|rule| Some((rule, accept(rule)?)))
    }
}

/// A pattern as it is read, or what is wrong with it.
pub(crate) fn parsed(text: &str) -> Result<Hir, String> {
    syntax::parse_with(text, &flags()).map_err(|error| last_line(&error.to_string()).to_owned())
}

/// Compiles one pattern whose groups are asked for, once it is known to match. There is one for
/// each rule that needs it, so it is the engine that takes least memory.
pub(crate) fn groups_of(pattern: &str) -> Option<PikeVM> {
    PikeVM::builder()
        .syntax(flags())
        .thompson(thompson::Config::new().utf8(false))
        .build(pattern)
        .ok()
}

/// Compiles one pattern, or says what is wrong with it.
pub(crate) fn one(pattern: &str) -> Result<Regex, String> {
    builder().build(pattern).map_err(|error| {
        let fault = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
        format!("`{pattern}`: {}", last_line(&fault))
    })
}

/// Compiles patterns that are asked only whether any of them matches, if all of them compile.
pub(crate) fn any_of(patterns: &[String]) -> Option<Regex> {
    builder().build_many(patterns).ok()
}

fn builder() -> Builder {
    let mut builder = Regex::builder();
    builder.syntax(flags()).configure(Config::new().utf8_empty(false));
    builder
}

fn flags() -> syntax::Config {
    syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(true)
        .dot_matches_new_line(true)
}

/// What a message comes down to that draws the pattern first.
fn last_line(text: &str) -> &str {
    text.rsplit("error: ").next().unwrap_or_default().trim()
}
