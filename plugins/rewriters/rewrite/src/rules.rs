//! The rules, compiled: which of them is the first that matches a value, and what it makes of it.

use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::types::{Field, Phase};
use crate::config::{Config, Rule as Written, Subject};
use crate::template::Template;
use linkspan_plugin_common::config::{Value, parse_part};
use linkspan_plugin_common::fields::rewrite_each;
use regex_automata::Input;
use regex_automata::meta::{self, Regex};
use regex_automata::util::syntax;
use std::cell::Cell;

/// The most memory that a pattern's search may keep; values are short, and rules can be many.
const CACHE_BYTES: usize = 256 << 10;

/// The most bytes that groups are looked for in, in the head of one message. That takes a hundred
/// times as long as seeing that a pattern matches, and who sends the head chooses its length.
const MOST_GROUPED_BYTES: usize = 16 << 10;

/// How many of these bytes are left.
struct Allowance(Cell<Option<usize>>);

impl Allowance {
    /// Whether so many more are allowed. Once they were not, none are.
    fn take(&self, bytes: usize) -> bool {
        self.0.set(self.0.get().and_then(|left| left.checked_sub(bytes)));
        self.0.get().is_some()
    }
}

/// That groups would have to be looked for in more than [`MOST_GROUPED_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// What rules are applied to.
pub(crate) trait Head {
    /// Path and query; of a request.
    fn target(&self) -> String;
    /// The values of all fields of a name, in their order.
    fn values(&self, name: &str) -> Vec<Vec<u8>>;
}

#[derive(Default)]
pub(crate) struct Rules {
    request: Vec<Subjected>,
    response: Vec<Subjected>,
}

/// All rules for one part of a head, in their order.
struct Subjected {
    subject: Subject,
    rules: Vec<Rule>,
}

struct Rule {
    pattern: Regex,
    template: Template,
}

impl Rules {
    /// Compiles the rules. The error names what is wrong with them, one fault a line.
    pub(crate) fn compile(config: Config) -> Result<Self, String> {
        let mut faults = Vec::new();
        let request = subjected("request", config.request, &mut faults);
        let response = subjected("response", config.response, &mut faults);
        if faults.is_empty() { Ok(Self { request, response }) } else { Err(faults.join("\n")) }
    }

    fn of(&self, phase: Phase) -> &[Subjected] {
        match phase {
            Phase::Request => &self.request,
            Phase::Response => &self.response,
        }
    }

    /// Whether there is nothing to do in a phase.
    pub(crate) fn are_idle(&self, phase: Phase) -> bool {
        self.of(phase).is_empty()
    }

    /// What the rules of a phase change.
    pub(crate) fn edits(&self, phase: Phase, head: &impl Head) -> Result<Vec<Edit>, TooLong> {
        let allowance = Allowance(Cell::new(Some(MOST_GROUPED_BYTES)));
        let subjects = self.of(phase).iter();
        let edits = subjects.flat_map(|subjected| subjected.edits(head, &allowance)).collect();
        if allowance.0.get().is_some() { Ok(edits) } else { Err(TooLong) }
    }
}

fn subjected(phase: &str, written: Vec<Value>, faults: &mut Vec<String>) -> Vec<Subjected> {
    let mut all: Vec<Subjected> = Vec::new();
    for (index, rule) in written.into_iter().enumerate() {
        let at = format!("{phase}[{index}]");
        let Written { header, r#match, to } = match parse_part(&at, rule) {
            Ok(rule) => rule,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let subject = Subject::parse(&header, phase == "request")
            .map_err(|fault| faults.push(format!("{at}.header: {fault}")));
        let pattern = pattern(&r#match).map_err(|f| faults.push(format!("{at}.match: {f}")));
        let Ok(subject) = subject else { continue };
        if let Err(fault) = subject.check(&to) {
            faults.push(format!("{at}.to: {fault}"));
        }
        let Ok(pattern) = pattern else { continue };
        let rule = Rule { pattern, template: Template::parse(&to) };
        match all.iter_mut().find(|known| known.subject == subject) {
            Some(known) => known.rules.push(rule),
            None => all.push(Subjected { subject, rules: vec![rule] }),
        }
    }
    all
}

/// Compiles a pattern, for a search over bytes with regard to case.
fn pattern(text: &str) -> Result<Regex, String> {
    let syntax = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
    let config = meta::Config::new().utf8_empty(false).hybrid_cache_capacity(CACHE_BYTES);
    Regex::builder().syntax(syntax).configure(config).build(text).map_err(|error| {
        let said = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
        // The pattern is drawn before.
        let said = said.rsplit("error: ").next().unwrap_or_default().trim();
        format!("`{text}`: {said}")
    })
}

impl Subjected {
    /// What the first rule that matches makes of a value.
    fn rewritten(&self, value: &[u8], allowance: &Allowance) -> Option<Vec<u8>> {
        self.rules.iter().find_map(|Rule { pattern, template }| {
            let whole = pattern.find(value)?;
            if !template.has_groups() {
                let matched = |_zero| value.get(whole.range());
                return Some(template.fill(matched));
            }
            if !allowance.take(whole.len()) {
                return None;
            }
            let mut groups = pattern.create_captures();
            // The match begins where it was found, with what stands around it in sight.
            pattern.captures(Input::new(value).range(whole.start()..), &mut groups);
            Some(
                template.fill(|group| groups.get_group(group).and_then(|at| value.get(at.range()))),
            )
        })
    }

    fn edits(&self, head: &impl Head, allowance: &Allowance) -> Vec<Edit> {
        match &self.subject {
            Subject::Target => self.target(&head.target(), allowance).into_iter().collect(),
            Subject::Host => {
                let host = head.values("host").into_iter().next();
                let host = host.and_then(|host| self.rewritten(&host, allowance));
                // The host refuses whatever is no Host, and so what is no text.
                let text = |host: Vec<u8>| String::from_utf8_lossy(&host).into_owned();
                host.map(|host| Edit::Authority(text(host))).into_iter().collect()
            }
            Subject::Field(name) => self.fields(name, head.values(name), allowance),
        }
    }

    fn target(&self, target: &str, allowance: &Allowance) -> Option<Edit> {
        let rewritten = self.rewritten(target.as_bytes(), allowance)?;
        let mut text = String::from_utf8_lossy(&rewritten).into_owned();
        if target.contains('?') && !text.contains('?') {
            // What the template says is all of the target: without this, the query would stay.
            text.push('?');
        }
        Some(Edit::Path(text))
    }

    fn fields(&self, name: &str, values: Vec<Vec<u8>>, allowance: &Allowance) -> Vec<Edit> {
        let rewritten = rewrite_each(values, |value| self.rewritten(value, allowance));
        let edit = |(place, value)| {
            let field = Field { name: name.to_owned(), value };
            if place == 0 { Edit::Set(field) } else { Edit::Append(field) }
        };
        rewritten.into_iter().flatten().enumerate().map(edit).collect()
    }
}

#[cfg(test)]
mod tests;
