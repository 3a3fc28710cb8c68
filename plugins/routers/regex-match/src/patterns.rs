//! Regular expressions: case is ignored, they match anywhere, and `.` is any byte.
//!
//! A path can hold a line break, and must not get past a rule that way.

use regex_automata::meta::{BuildError, Builder, Config, Regex};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};

/// How many patterns are searched for together. A search takes one pass over the path for each
/// chunk, but what an automaton needs grows faster than its patterns: all of 10,000 in one do not
/// fit its cache, and take a hundred times as long.
const CHUNK: usize = 256;

/// What the caches of all chunks should take together, and how much each is given at least and at
/// most.
const CACHE_BYTES: usize = 16 << 20;
const LEAST_CACHE_BYTES: usize = 512 << 10;
const MOST_CACHE_BYTES: usize = 2 << 20;

/// The patterns of all rules, in order, each with the number of its rule.
pub(crate) struct Patterns(Vec<Chunk>);

struct Chunk {
    regex: Regex,
    rules: Vec<usize>,
    /// Kept, so that a search allocates nothing.
    found: PatternSet,
}

impl Patterns {
    /// Compiles patterns, each with the number of its rule and its place there.
    pub(crate) fn compile(patterns: &[(usize, usize, String)], faults: &mut Vec<String>) -> Self {
        let cache_bytes = CACHE_BYTES / patterns.len().div_ceil(CHUNK).max(1);
        let cache_bytes = cache_bytes.clamp(LEAST_CACHE_BYTES, MOST_CACHE_BYTES);
        let mut chunks = Vec::new();
        for chunk in patterns.chunks(CHUNK) {
            match Chunk::compile(chunk, cache_bytes) {
                Ok(chunk) => chunks.push(chunk),
                Err(fault) => {
                    let before = faults.len();
                    faults.extend(chunk.iter().filter_map(misspelt));
                    if faults.len() == before {
                        faults.push(fault);
                    }
                }
            }
        }
        Self(chunks)
    }

    /// The first that `accept` makes of the rules whose patterns match, in order.
    pub(crate) fn find<T>(
        &mut self,
        path: &[u8],
        accept: impl Fn(usize) -> Option<T>,
    ) -> Option<T> {
        self.0.iter_mut().find_map(|Chunk { regex, rules, found }| {
            found.clear();
            regex.which_overlapping_matches(&Input::new(path), found);
            found
                .iter()
                .filter_map(|pattern| rules.get(pattern.as_usize()))
                .find_map(|rule| accept(*rule))
        })
    }
}

impl Chunk {
    fn compile(patterns: &[(usize, usize, String)], cache_bytes: usize) -> Result<Self, String> {
        // A prefilter does nothing for a search of all matches, and takes time to build.
        let config = Config::new()
            .match_kind(MatchKind::All)
            .which_captures(WhichCaptures::None)
            .auto_prefilter(false)
            .hybrid_cache_capacity(cache_bytes);
        let texts: Vec<&str> = patterns.iter().map(|(.., text)| text.as_str()).collect();
        let regex = builder().configure(config).build_many(&texts).map_err(|error| {
            let (_, fault) = explain(&error, &texts);
            match error
                .pattern()
                .and_then(|pattern| patterns.get(pattern.as_usize()))
                .or_else(|| patterns.first())
            {
                Some((rule, place, _)) => format!("rules[{rule}].match[{place}]: {fault}"),
                None => fault,
            }
        })?;
        let found = PatternSet::new(regex.pattern_len());
        Ok(Self { regex, rules: patterns.iter().map(|(rule, ..)| *rule).collect(), found })
    }
}

/// What is wrong with a pattern by itself: where there are many, the builder tells the first.
fn misspelt((rule, place, text): &(usize, usize, String)) -> Option<String> {
    let error = syntax::parse_with(text, &flags()).err()?;
    Some(format!("rules[{rule}].match[{place}]: `{text}`: {}", last_line(&error.to_string())))
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

/// Compiles one pattern.
pub(crate) fn one(pattern: &str) -> Result<Regex, String> {
    builder().build(pattern).map_err(|error| explain(&error, &[pattern]).1)
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

/// Which pattern is wrong, and what is wrong with it, in one line.
fn explain<P: AsRef<str>>(error: &BuildError, patterns: &[P]) -> (usize, String) {
    let place = error.pattern().map_or(0, |pattern| pattern.as_usize());
    let pattern = patterns.get(place).map_or("", AsRef::as_ref);
    let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
    (place, format!("`{pattern}`: {}", last_line(&text)))
}

/// What a message comes down to that draws the pattern first.
fn last_line(text: &str) -> &str {
    text.rsplit("error: ").next().unwrap_or_default().trim()
}
