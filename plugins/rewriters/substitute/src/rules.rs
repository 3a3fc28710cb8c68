//! The rules, all of them in one automaton, which is asked at one place after the other.
//!
//! An automaton that is led by hand tells more than a search does: whether what comes later could
//! still change the answer. Patterns are about bytes: case is that of ASCII, and `.` is any byte but
//! a line feed.

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, PatternID};

use crate::effort::{Effort, Growth};
use crate::template::Template;

/// What the automaton may take; beyond, it forgets and begins anew.
const CACHE_BYTES: usize = 4 << 20;

/// The largest that the program of all patterns together may be.
const PROGRAM_BYTES: usize = 8 << 20;

/// What remembers where the search for groups has been; where that is too little, a slower one is made.
const VISITED_BYTES: usize = 1 << 20;

/// The steps that a search for groups takes at least, and for each byte of the match.
const GROUPS_STEPS: usize = 32;
/// See [`GROUPS_STEPS`].
const GROUPS_BYTE_STEPS: usize = 16;

/// What to look for, and what to put in its place.
pub(crate) struct Rule {
    /// As a regular expression.
    pattern: String,
    ignore_case: bool,
    once: bool,
    /// Of a text to look for; 0 of a pattern.
    length: usize,
    replace: Replace,
}

enum Replace {
    Text(Vec<u8>),
    /// What the groups matched takes a second look.
    Filled(Template, Box<Groups>),
}

struct Groups {
    regex: BoundedBacktracker,
    cache: backtrack::Cache,
    /// For matches that are too long for the other.
    slow: PikeVM,
    slow_cache: pikevm::Cache,
    found: Captures,
}

/// The compiled rules.
pub(crate) struct Rules {
    dfa: DFA,
    cache: Cache,
    rules: Vec<Rule>,
    /// The bytes that a match can begin with; all of them where one can be empty.
    begins: [bool; 256],
    /// Whether a match can be empty.
    empty: bool,
    effort: Effort,
    growth: Growth,
}

/// A match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The rule.
    pub(crate) rule: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

/// What is known of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What comes later changes nothing: a match begins there, or none does.
    Decided(Option<Found>),
    /// More has to be seen.
    Open,
    /// It takes another call to tell.
    Later,
}

/// Where to look.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What is there, with the byte before the place if there is one.
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
    /// The most bytes of a match.
    pub(crate) window: usize,
    /// Whether nothing follows.
    pub(crate) last: bool,
}

impl Rule {
    /// A text to look for, and one to put in.
    pub(crate) fn fixed(find: &str, replace: String, ignore_case: bool, once: bool) -> Self {
        let pattern = find.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        let (length, replace) = (find.len(), Replace::Text(replace.into_bytes()));
        Self { pattern, ignore_case, once, length, replace }
    }

    /// A pattern to look for, and a text to put in that may name its groups. The error has the key.
    pub(crate) fn pattern(
        pattern: &str,
        replace: &str,
        ignore_case: bool,
        once: bool,
    ) -> Result<Self, (&'static str, String)> {
        let template = Template::parse(replace).map_err(|fault| (".replace", fault))?;
        // One by one, so that what is wrong is said of the right one, and ends where it is.
        let alone = compile(&[(pattern, ignore_case)])
            .map_err(|fault| (".match", format!("`{pattern}`: {}", last_line(&fault))))?;
        let groups = alone.nfa.group_info().group_len(PatternID::ZERO);
        if let Some(group) = template.greatest_group().filter(|group| *group >= groups) {
            let most = groups.saturating_sub(1);
            return Err((".replace", format!("`${group}` names no group: there are {most}")));
        }
        let replace = match template.text() {
            Some(text) => Replace::Text(text),
            None => {
                let groups = Groups::new(alone.nfa).map_err(|fault| (".match", fault))?;
                Replace::Filled(template, Box::new(groups))
            }
        };
        Ok(Self { pattern: pattern.to_owned(), ignore_case, once, length: 0, replace })
    }
}

impl Groups {
    fn new(nfa: thompson::NFA) -> Result<Self, String> {
        let text = |error: thompson::BuildError| error.to_string();
        let slow = PikeVM::builder().build_from_nfa(nfa.clone()).map_err(text)?;
        let config = BoundedBacktracker::config().visited_capacity(VISITED_BYTES);
        let regex = BoundedBacktracker::builder().configure(config).build_from_nfa(nfa);
        let regex = regex.map_err(text)?;
        let (cache, found) = (regex.create_cache(), regex.create_captures());
        let slow_cache = slow.create_cache();
        Ok(Self { regex, cache, slow, slow_cache, found })
    }

    /// Finds what the groups of a match are, and gives the steps that it takes.
    fn find(&mut self, input: &Input<'_>) -> usize {
        let Self { regex, cache, slow, slow_cache, found } = self;
        let length = input.get_span().len();
        let steps = GROUPS_STEPS + length * GROUPS_BYTE_STEPS;
        if regex.try_search(cache, input, found).is_ok() {
            // What was visited is wiped before, a word at a time.
            return steps + regex.get_nfa().states().len() * length / 64;
        }
        slow.search(slow_cache, input, found);
        steps * 4
    }
}

impl Rules {
    /// Compiles rules, at least one.
    pub(crate) fn compile(rules: Vec<Rule>) -> Result<Self, String> {
        let patterns: Vec<_> =
            rules.iter().map(|rule| (&*rule.pattern, rule.ignore_case)).collect();
        let program =
            compile(&patterns).map_err(|fault| format!("rules: {}", last_line(&fault)))?;
        let config = DFA::config()
            .match_kind(MatchKind::LeftmostFirst)
            .starts_for_each_pattern(true)
            .specialize_start_states(true)
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(program.nfa);
        let dfa = dfa.map_err(|error| format!("rules: {}", last_line(&error.to_string())))?;
        let cache = dfa.create_cache();
        let growth = Growth::of(&cache);
        let (begins, empty, effort) = ([true; 256], program.empty, Effort::default());
        let mut rules = Self { dfa, cache, rules, begins, empty, effort, growth };
        rules.look_ahead();
        Ok(rules)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    /// The length of the longest text that is looked for as it is.
    pub(crate) fn longest(&self) -> usize {
        self.rules.iter().map(|rule| rule.length).max().unwrap_or_default()
    }

    /// Whether a rule applies to its first match only.
    pub(crate) fn is_once(&self, rule: usize) -> bool {
        self.rules.get(rule).is_some_and(|rule| rule.once)
    }

    /// Whether no match can begin with that byte.
    pub(crate) fn passes_over(&self, byte: u8) -> bool {
        !self.begins.get(usize::from(byte)).copied().unwrap_or(true)
    }

    /// Whether a match can be empty.
    pub(crate) fn can_be_empty(&self) -> bool {
        self.empty
    }

    /// A call begins, and has spent nothing.
    pub(crate) fn rest(&mut self) {
        self.effort = Effort::default();
    }

    /// What the running call has spent.
    pub(crate) fn effort(&mut self) -> &mut Effort {
        &mut self.effort
    }

    /// What begins at a place, of the rules that are not `used` up: the first of them that matches
    /// there. `asked` are those that are known not to match there, 0 for a place that is new.
    pub(crate) fn look(&mut self, place: Place<'_>, used: &[bool], asked: &mut usize) -> Verdict {
        let is_used = |rule: usize| used.get(rule).copied().unwrap_or(false);
        if *asked == 0 {
            let verdict = self.run(place, Anchored::Yes);
            let Verdict::Decided(Some(Found { rule, .. })) = verdict else { return verdict };
            if !is_used(rule) {
                return verdict;
            }
            *asked = rule + 1;
        }
        // Those before it do not match; the ones behind it are asked one by one.
        while *asked < self.rules.len() {
            if !is_used(*asked) {
                if self.effort.is_spent() {
                    return Verdict::Later;
                }
                let Ok(pattern) = PatternID::new(*asked) else { break };
                match self.run(place, Anchored::Pattern(pattern)) {
                    Verdict::Decided(None) => {}
                    verdict => return verdict,
                }
            }
            *asked += 1;
        }
        Verdict::Decided(None)
    }

    /// Up to where no match begins, from a place on, as far as a single search over all that is there
    /// can tell.
    pub(crate) fn clear(&mut self, place: Place<'_>) -> usize {
        let Place { text, at, window, last } = place;
        let (dfa, cache) = (&self.dfa, &mut self.cache);
        let input = Input::new(text).span(at..text.len());
        let Ok(mut state) = dfa.start_state_forward(cache, &input) else { return at };
        let mut clear = at;
        for (offset, byte) in text.get(at..).unwrap_or_default().iter().enumerate() {
            let Ok(next) = dfa.next_state(cache, state, *byte) else { return clear };
            state = next;
            let counted = self.effort.look();
            if state.is_match() || state.is_dead() || state.is_quit() {
                return clear;
            }
            // Nothing that began before goes on.
            if state.is_start() {
                clear = at + offset + 1;
            }
            if counted && self.growth.outgrows(cache, &mut self.effort) {
                return clear;
            }
        }
        let ends = dfa.next_eoi_state(cache, state).is_ok_and(|state| state.is_match());
        match (last, ends) {
            (true, false) => text.len(),
            (true, true) => clear,
            // The others may go on in what has not come.
            (false, _) => clear.max(text.len().saturating_sub(window)),
        }
    }

    /// Appends what is put in the place of a match.
    pub(crate) fn replace(&mut self, text: &[u8], at: usize, found: Found, out: &mut Vec<u8>) {
        let Some(rule) = self.rules.get_mut(found.rule) else { return };
        match &mut rule.replace {
            Replace::Text(text) => out.extend_from_slice(text),
            Replace::Filled(template, groups) => {
                let input = Input::new(text).span(at..found.end).anchored(Anchored::Yes);
                self.effort.spend(groups.find(&input));
                let group =
                    |group| groups.found.get_group(group).and_then(|span| text.get(span.range()));
                template.fill(group, out);
            }
        }
    }

    /// Leads the automaton from a place on, until it is sure.
    fn run(&mut self, place: Place<'_>, anchored: Anchored) -> Verdict {
        let Place { text, at, window, last } = place;
        let (dfa, cache) = (&self.dfa, &mut self.cache);
        let input = Input::new(text).span(at..text.len()).anchored(anchored);
        // None of the errors can be: there are no bytes to stop at, and the cache may be cleared.
        let Ok(mut state) = dfa.start_state_forward(cache, &input) else {
            return Verdict::Decided(None);
        };
        let mut found = None;
        let rest = text.get(at..).unwrap_or_default();
        for (offset, byte) in rest.iter().enumerate() {
            // A match is told one byte late, as what follows can be part of the pattern.
            if offset > window {
                return Verdict::Decided(found);
            }
            let Ok(next) = dfa.next_state(cache, state, *byte) else {
                return Verdict::Decided(found);
            };
            state = next;
            let counted = self.effort.look();
            if state.is_match() {
                found = Some(Found { rule: rule_of(dfa, cache, state), end: at + offset });
            } else if state.is_dead() || state.is_quit() {
                return Verdict::Decided(found);
            }
            if counted && self.growth.outgrows(cache, &mut self.effort) {
                return Verdict::Later;
            }
        }
        if rest.len() > window {
            return Verdict::Decided(found);
        }
        if !last {
            return Verdict::Open;
        }
        if let Ok(state) = dfa.next_eoi_state(cache, state)
            && state.is_match()
        {
            found = Some(Found { rule: rule_of(dfa, cache, state), end: text.len() });
        }
        Verdict::Decided(found)
    }

    /// Finds out what matches can begin with, by trying each byte behind what patterns can tell apart:
    /// nothing, a letter, either end of a line, and anything else.
    fn look_ahead(&mut self) {
        for byte in 0..=u8::MAX {
            let mut begins = self.empty;
            for before in [&b""[..], b"a", b"\n", b"\r", b" "] {
                let text = [before, &[byte]].concat();
                let place = Place { text: &text, at: before.len(), window: 2, last: false };
                self.rest();
                begins |= self.run(place, Anchored::Yes) != Verdict::Decided(None);
            }
            if let Some(known) = self.begins.get_mut(usize::from(byte)) {
                *known = begins;
            }
        }
    }
}

fn rule_of(dfa: &DFA, cache: &Cache, state: LazyStateID) -> usize {
    dfa.match_pattern(cache, state, 0).as_usize()
}

fn compile(patterns: &[(&str, bool)]) -> Result<Program, String> {
    let parse = |(pattern, ignore_case): &(&str, bool)| {
        let flags = syntax::Config::new().unicode(false).utf8(false);
        let parsed = syntax::parse_with(pattern, &flags.case_insensitive(*ignore_case));
        parsed.map_err(|error| error.to_string())
    };
    let parsed = patterns.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let empty = parsed.iter().any(|hir| hir.properties().minimum_len() == Some(0));
    let captures = if patterns.len() == 1 { WhichCaptures::All } else { WhichCaptures::None };
    let config = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(PROGRAM_BYTES))
        .which_captures(captures);
    let nfa = thompson::Compiler::new().configure(config).build_many_from_hir(&parsed);
    Ok(Program { nfa: nfa.map_err(|error| error.to_string())?, empty })
}

/// Patterns, compiled together.
struct Program {
    nfa: thompson::NFA,
    /// Whether one of them can match nothing.
    empty: bool,
}

/// What a message comes down to that draws the pattern first.
fn last_line(text: &str) -> &str {
    text.rsplit("error: ").next().unwrap_or_default().trim()
}
