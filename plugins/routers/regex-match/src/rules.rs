//! The rules, compiled: which of them is the first that holds for a request, and what it says.

use crate::bindings::exports::linkspan::plugin::router::{Decision, Redirection, Target, Upstream};
use crate::bindings::linkspan::plugin::types::{Field, Response};
use crate::config::{Config, Redirect, Respond, Rule as Written};
use crate::patterns::{self, Patterns};
use crate::template::Template;
use linkspan_plugin_common::fields;
use regex_automata::PatternID;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use std::cell::OnceCell;

/// What a rule may ask of a request beyond its path.
pub(crate) trait Request {
    /// The host, with a port if the client named one.
    fn authority(&self) -> String;
    fn method(&self) -> String;
    fn header_values(&self, name: &str) -> Vec<Vec<u8>>;
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

/// A path or location that may have groups in it, and the patterns that the groups are of: none if
/// it has none.
struct Text {
    template: Template,
    patterns: Vec<PikeVM>,
}

/// A request, asked each thing once.
struct Asked<'a, R> {
    request: &'a R,
    authority: OnceCell<String>,
    method: OnceCell<String>,
}

impl Rules {
    /// Compiles the rules. The error names what is wrong with them, one fault a line.
    pub(crate) fn compile(config: Config) -> Result<Self, String> {
        let mut faults = Vec::new();
        let mut paths = Vec::new();
        let mut rules = Vec::new();
        for (index, mut written) in config.rules.into_iter().enumerate() {
            // Without a pattern, any path will do.
            let texts = written.r#match.take().unwrap_or_else(|| vec![String::new()]);
            match Rule::compile(written, &texts) {
                Ok(rule) => rules.push(rule),
                Err(fault) => faults.push(format!("rules[{index}]{fault}")),
            }
            paths.extend(texts.into_iter().enumerate().map(|(place, text)| (index, place, text)));
        }
        let patterns = Patterns::compile(&paths, &mut faults);
        if faults.is_empty() { Ok(Self { patterns, rules }) } else { Err(faults.join("\n")) }
    }

    /// What the first rule that holds says.
    pub(crate) fn decide(&mut self, path: &[u8], request: &impl Request) -> Decision {
        let asked = Asked { request, authority: OnceCell::new(), method: OnceCell::new() };
        let rules = &self.rules;
        let rule =
            self.patterns.find(path, |rule| rules.get(rule).filter(|rule| rule.holds(&asked)));
        rule.map_or(Decision::Next, |rule| rule.decide(path))
    }
}

impl Rule {
    fn compile(written: Written, paths: &[String]) -> Result<Self, String> {
        let is_empty = |list: &Option<Vec<_>>| list.as_ref().is_some_and(Vec::is_empty);
        if paths.is_empty() || is_empty(&written.host) || is_empty(&written.method) {
            return Err(": an empty list never matches".to_owned());
        }
        let one_of = "expected one of `cluster`, `redirect` and `respond`";
        let (decision, text) = match (written.cluster, written.redirect, written.respond) {
            (Some(cluster), None, None) => {
                let target =
                    Target { upstream: Upstream::Cluster(cluster), host: None, path: None };
                let text = written.path.as_deref().map(|path| Text::compile(path, paths));
                (
                    Decision::Forward(target),
                    text.transpose().map_err(|fault| format!(".path: {fault}"))?,
                )
            }
            (None, ..) if written.path.is_some() => {
                return Err(".path: goes with `cluster` only".to_owned());
            }
            (None, Some(Redirect { status, location }), None) => {
                if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                    return Err(format!(
                        ".redirect.status: expected 301, 302, 303, 307 or 308, found {status}"
                    ));
                }
                let text = Text::compile(&location, paths)
                    .map_err(|fault| format!(".redirect.location: {fault}"))?;
                (Decision::Redirect(Redirection { status, location: String::new() }), Some(text))
            }
            (None, None, Some(Respond { status, body })) => {
                if !matches!(status, 200..=599) {
                    return Err(format!(".respond.status: expected 200 to 599, found {status}"));
                }
                (Decision::Respond(text_response(status, body)), None)
            }
            (None, None, None) => return Err(format!(": {one_of}")),
            _ => return Err(format!(": {one_of}, found several")),
        };
        let host = written.host.as_deref().map(patterns::any_of).transpose();
        let host = host.map_err(|(place, fault)| format!(".host[{place}]: {fault}"))?;
        let header = written.header.into_iter().map(|(name, pattern)| {
            if !fields::is_name(&name) {
                return Err(format!(".header: {name:?} is no name of a header field"));
            }
            let regex =
                patterns::one(&pattern).map_err(|fault| format!(".header.{name}: {fault}"))?;
            Ok((name, regex))
        });
        Ok(Self {
            host,
            method: written.method,
            header: header.collect::<Result<_, _>>()?,
            decision,
            text,
        })
    }

    fn holds<R: Request>(&self, asked: &Asked<'_, R>) -> bool {
        self.method
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|method| method == asked.method()))
            && self.host.as_ref().is_none_or(|host| host.is_match(without_port(asked.authority())))
            && self.header.iter().all(|(name, pattern)| {
                asked.request.header_values(name).iter().any(|value| pattern.is_match(value))
            })
    }

    fn decide(&self, path: &[u8]) -> Decision {
        let mut decision = self.decision.clone();
        if let Some(text) = &self.text {
            match &mut decision {
                Decision::Forward(target) => target.path = Some(text.path(path)),
                Decision::Redirect(redirection) => redirection.location = text.location(path),
                Decision::Next | Decision::Respond(_) => {}
            }
        }
        decision
    }
}

impl Text {
    fn compile(text: &str, paths: &[String]) -> Result<Self, String> {
        let template = Template::parse(text)?;
        let mut patterns = Vec::new();
        if let Some(greatest) = template.greatest_group() {
            for (place, path) in paths.iter().enumerate() {
                // A fault of the pattern is reported where the pattern stands.
                let Some(pattern) = patterns::groups_of(path) else { continue };
                let groups =
                    pattern.get_nfa().group_info().group_len(PatternID::ZERO).saturating_sub(1);
                if greatest > groups {
                    return Err(format!(
                        "there is no ${greatest}: match[{place}] has {groups} groups"
                    ));
                }
                patterns.push(pattern);
            }
        }
        Ok(Self { template, patterns })
    }

    fn path(&self, path: &[u8]) -> String {
        let mut text = self.fill(path);
        if !text.starts_with('/') {
            text.insert(0, '/');
        }
        text
    }

    /// A match that begins with a slash must not turn `/$1` into `//host`, which names another
    /// server.
    fn location(&self, path: &[u8]) -> String {
        let mut text = self.fill(path);
        if text.starts_with("//") && !self.template.begins_with("//") {
            let slashes = text.bytes().take_while(|byte| *byte == b'/').count();
            text.drain(1..slashes);
        }
        text
    }

    fn fill(&self, path: &[u8]) -> String {
        for pattern in &self.patterns {
            let mut captures = pattern.create_captures();
            pattern.captures(&mut pattern.create_cache(), path, &mut captures);
            if captures.is_match() {
                return self.template.fill(|group| {
                    captures.get_group(group).and_then(|span| path.get(span.range()))
                });
            }
        }
        self.template.fill(|_| None)
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

/// The host of `host`, `host:port`, `[::1]` and `[::1]:port`.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests;
