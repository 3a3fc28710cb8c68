//! The rules, compiled: which of them is the first that holds for a request, and what it says.

use crate::bindings::exports::linkspan::plugin::router::{Decision, Redirection, Target, Upstream};
use crate::bindings::linkspan::plugin::types::{Field, Response};
use crate::config::{Patterns as OneOrMore, Redirect, Respond, Rule as Written};
use crate::patterns::{self, Patterns};
use crate::text::{self, Text};
use linkspan_plugin_common::clusters::{self, Clusters};
use linkspan_plugin_common::config::{Value, parse_part};
use linkspan_plugin_common::path::LONGEST_TARGET;
use linkspan_plugin_common::segments;
use linkspan_plugin_common::table::Table;
use linkspan_plugin_common::{authority, fields};
use regex_automata::meta::Regex;
use std::borrow::Cow;
use std::cell::OnceCell;

/// The most that the contract takes for an answer.
const MOST_BODY_BYTES: usize = 1 << 20;

/// The longest path whose groups are looked for, which takes far longer than finding that a pattern
/// matches. It is what nginx and Apache take at all.
const MOST_FILLED_BYTES: usize = 8 << 10;

/// What a rule may ask of a request beyond its path.
pub(crate) trait Request {
    /// The host, with a port if the client named one.
    fn authority(&self) -> String;
    fn method(&self) -> String;
    fn header_values(&self, name: &str) -> Vec<Vec<u8>>;
    /// The query, without its question mark.
    fn query(&self) -> Option<String>;
}

pub(crate) struct Rules {
    patterns: Patterns,
    rules: Vec<Rule>,
}

struct Rule {
    host: Option<Regex>,
    method: Option<Vec<String>>,
    header: Vec<(String, Regex)>,
    /// What it says, but for a text that depends on the path.
    decision: Decision,
    text: Option<Text>,
}

/// A request, asked each thing once.
struct Asked<'a, R> {
    request: &'a R,
    authority: OnceCell<String>,
    method: OnceCell<String>,
}

impl Rules {
    /// Compiles a configuration. The error names what is wrong with it, one fault a line.
    pub(crate) fn compile(config: &str, clusters: &impl Clusters) -> Result<Self, String> {
        let mut table = Table::parse(config)?;
        // Each is read by itself, so that the faults of all are told at once.
        let written: Option<Vec<Value>> = table.required("rules");
        let mut faults = Vec::new();
        let mut paths = Vec::new();
        let mut rules = Vec::new();
        for (index, written) in written.into_iter().flatten().enumerate() {
            let mut written: Written = match parse_part(&format!("rules[{index}]"), written) {
                Ok(written) => written,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            // Without a pattern, any path will do.
            let texts = written.r#match.take().unwrap_or_else(|| vec![String::new()]);
            let mut of_rule = Vec::new();
            rules.extend(Rule::compile(written, &texts, clusters, &mut of_rule));
            faults.extend(of_rule.into_iter().map(|fault| format!("rules[{index}]{fault}")));
            paths.extend(texts.into_iter().enumerate().map(|(place, text)| (index, place, text)));
        }
        let patterns = Patterns::compile(&paths, &mut faults);
        faults.into_iter().for_each(|fault| table.fault(fault));
        table.finish(Some(Self { patterns, rules }))
    }

    /// What the first rule that holds says about a path as it is written.
    pub(crate) fn decide(&mut self, written: &[u8], request: &impl Request) -> Cow<'_, Decision> {
        let path = match written.contains(&b'%') {
            true => Cow::Owned(segments::decoded(written).collect()),
            false => Cow::Borrowed(written),
        };
        let asked = Asked { request, authority: OnceCell::new(), method: OnceCell::new() };
        let rules = &self.rules;
        let rule =
            self.patterns.find(&path, |rule| rules.get(rule).filter(|rule| rule.holds(&asked)));
        let Some(rule) = rule else { return Cow::Owned(Decision::Next) };
        let says = |status, text: &str| {
            Cow::Owned(Decision::Respond(text_response(status, text.to_owned())))
        };
        let too_long = || says(414, "414 URI Too Long\n");
        if rule.fills() && path.len() > MOST_FILLED_BYTES {
            return too_long();
        }
        match rule.decide(&path, written, request) {
            Some(decision) if !fits(&decision, written, request) => too_long(),
            Some(decision) => decision,
            None => says(400, "400 Bad Request\n"),
        }
    }
}

impl Rule {
    /// Compiles a rule, or says all that is wrong with it.
    fn compile(
        written: Written,
        paths: &[String],
        clusters: &impl Clusters,
        faults: &mut Vec<String>,
    ) -> Option<Self> {
        let before = faults.len();
        let is_empty = |list: &Option<Vec<_>>| list.as_ref().is_some_and(Vec::is_empty);
        let lists = [
            ("match", paths.is_empty()),
            ("host", is_empty(&written.host)),
            ("method", is_empty(&written.method)),
        ];
        for (key, _) in lists.into_iter().filter(|(_, is_empty)| *is_empty) {
            faults.push(format!(".{key}: an empty list never matches"));
        }
        let host = any_of(".host", written.host.as_deref().unwrap_or_default(), faults);
        let mut header = Vec::new();
        for (name, patterns) in &written.header {
            header.extend(field_patterns(name, patterns, faults).map(|it| (name.clone(), it)));
        }
        let methods = written.method.iter().flatten().enumerate();
        faults.extend(methods.filter_map(|(place, method)| {
            check_method(method).err().map(|fault| format!(".method[{place}]: {fault}"))
        }));
        let (has_host, method) = (written.host.is_some(), written.method.clone());
        let consequence = consequence(written, paths, clusters, faults);
        let (decision, text) = consequence.filter(|_| faults.len() == before)?;
        Some(Self { host: host.filter(|_| has_host), method, header, decision, text })
    }

    fn holds<R: Request>(&self, asked: &Asked<'_, R>) -> bool {
        self.method
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|method| method == asked.method()))
            && self
                .host
                .as_ref()
                .is_none_or(|host| host.is_match(authority::split(asked.authority()).0))
            && self.header.iter().all(|(name, pattern)| {
                asked.request.header_values(name).iter().any(|value| pattern.is_match(value))
            })
    }

    /// Whether what it says takes the groups of a pattern.
    fn fills(&self) -> bool {
        self.text.as_ref().is_some_and(Text::has_groups)
    }

    /// What it says, unless a match would lead out of where it may.
    fn decide(
        &self,
        path: &[u8],
        written: &[u8],
        request: &impl Request,
    ) -> Option<Cow<'_, Decision>> {
        let Some(text) = &self.text else { return Some(Cow::Borrowed(&self.decision)) };
        let mut decision = self.decision.clone();
        match &mut decision {
            Decision::Forward(target) => target.path = Some(text.path(path, written)?),
            Decision::Redirect(redirection) => {
                let location = text.location(path, written)?;
                redirection.location = text::with_query(&location, request.query().as_deref());
            }
            Decision::Next | Decision::Respond(_) => {}
        }
        Some(Cow::Owned(decision))
    }
}

/// Whether a new path and the request's query can be a target: escapes make a path longer.
fn fits(decision: &Decision, old: &[u8], request: &impl Request) -> bool {
    let Decision::Forward(Target { path: Some(path), .. }) = decision else { return true };
    if path.len() <= old.len() {
        return true;
    }
    let query =
        if path.contains('?') { 0 } else { request.query().map_or(0, |query| 1 + query.len()) };
    path.len() + query <= LONGEST_TARGET
}

/// One pattern of all in the list of that key, or what is wrong with each.
fn any_of(key: &str, list: &[String], faults: &mut Vec<String>) -> Option<Regex> {
    let any = patterns::any_of(list);
    if any.is_none() {
        faults.extend(list.iter().enumerate().filter_map(|(place, pattern)| {
            patterns::one(pattern).err().map(|fault| format!("{key}[{place}]: {fault}"))
        }));
    }
    any
}

fn field_patterns(name: &str, patterns: &OneOrMore, faults: &mut Vec<String>) -> Option<Regex> {
    let key = format!(".header.{name}");
    if !fields::is_name(name) {
        faults.push(format!("{key}: {name:?} is no name of a header field"));
        return None;
    }
    match patterns {
        OneOrMore::One(pattern) => {
            let pattern = patterns::one(pattern);
            pattern.map_err(|fault| faults.push(format!("{key}: {fault}"))).ok()
        }
        OneOrMore::Several(list) if list.is_empty() => {
            faults.push(format!("{key}: an empty list never matches"));
            None
        }
        OneOrMore::Several(list) => any_of(&key, list, faults),
    }
}

/// Methods are compared as they are written, so one that nobody sends is a slip.
fn check_method(method: &str) -> Result<(), String> {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    match KNOWN.iter().find(|known| known.eq_ignore_ascii_case(method)) {
        Some(known) if *known != method => {
            Err(format!("case counts in methods, and nobody sends `{method}`, expected `{known}`"))
        }
        None if !fields::is_name(method) => Err(format!("{method:?} is no method")),
        _ => Ok(()),
    }
}

/// What a rule does, or all that is wrong with that.
fn consequence(
    written: Written,
    paths: &[String],
    clusters: &impl Clusters,
    faults: &mut Vec<String>,
) -> Option<(Decision, Option<Text>)> {
    if written.path.is_some() && written.cluster.is_none() {
        faults.push(".path: goes with `cluster` only".to_owned());
    }
    let mut text = |key: &str, text: Result<Text, String>| {
        text.map_err(|fault| faults.push(format!("{key}: {fault}"))).ok()
    };
    match (written.cluster, written.redirect, written.respond) {
        (Some(cluster), None, None) => {
            let path = written.path.map(|path| text(".path", Text::of_path(&path, paths)));
            if let Err(fault) = clusters::known(clusters, &cluster) {
                faults.push(format!(".cluster: {fault}"));
            }
            let path = match path {
                Some(path) => Some(path?),
                None => None,
            };
            let upstream = Upstream::Cluster(cluster);
            Some((Decision::Forward(Target { upstream, host: None, path: None }), path))
        }
        (None, Some(Redirect { status, location }), None) => {
            let location = Text::of_location(&location, paths);
            let location = text(".redirect.location", location);
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                faults.push(format!(
                    ".redirect.status: {status} is no redirection, \
                     expected 301, 302, 303, 307 or 308"
                ));
            }
            let redirection = Redirection { status, location: String::new() };
            Some((Decision::Redirect(redirection), Some(location?)))
        }
        (None, None, Some(Respond { status, body })) => {
            if !matches!(status, 200..=599) {
                faults.push(format!(
                    ".respond.status: {status} is no final status, expected 200 to 599"
                ));
            }
            if body.len() > MOST_BODY_BYTES {
                faults.push(format!(
                    ".respond.body: this has {} bytes, expected {MOST_BODY_BYTES} at most",
                    body.len()
                ));
            }
            Some((Decision::Respond(text_response(status, body)), None))
        }
        (cluster, redirect, respond) => {
            let none = cluster.is_none() && redirect.is_none() && respond.is_none();
            let many = if none { "nothing" } else { "more than one thing" };
            faults.push(format!(
                ": the rule does {many}, expected one of `cluster`, `redirect` and `respond`"
            ));
            None
        }
    }
}

impl<R: Request> Asked<'_, R> {
    fn authority(&self) -> &str {
        self.authority.get_or_init(|| self.request.authority())
    }

    fn method(&self) -> &str {
        self.method.get_or_init(|| self.request.method())
    }
}

fn text_response(status: u16, body: String) -> Response {
    let kind =
        Field { name: "content-type".to_owned(), value: b"text/plain; charset=utf-8".to_vec() };
    Response {
        status,
        headers: if body.is_empty() { Vec::new() } else { vec![kind] },
        body: body.into_bytes(),
    }
}

#[cfg(test)]
mod tests;
