//! The rules, compiled: which of them a path begins like, and what it says.

use crate::path::{Path, Refused};
use linkspan_plugin_common::clusters::{self, Clusters};
use linkspan_plugin_common::config::{Value, parse_part};
use linkspan_plugin_common::path::{escaped, is_plain};
use linkspan_plugin_common::table::Table;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    prefix: String,
    cluster: Option<String>,
    #[serde(default)]
    next: bool,
    #[serde(default)]
    strip: bool,
    to: Option<String>,
}

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// The place of the rule of each prefix.
    by_prefix: BTreeMap<Vec<u8>, usize>,
    rules: Vec<Rule>,
    longest: bool,
    /// The length of the longest prefix: what is longer need not be looked for.
    most: usize,
}

#[derive(Debug)]
enum Rule {
    Next,
    /// To that cluster, perhaps with that in place of the prefix.
    To(String, Option<String>),
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision<'r> {
    Next,
    /// To that cluster, perhaps with another path.
    To(&'r str, Option<String>),
    Refuse(Refused),
}

impl Rules {
    /// Compiles a configuration: `rules`, and `longest` for whether the longest prefix decides, not
    /// the first rule. The error names what is wrong with it, one fault a line.
    pub(crate) fn compile(config: &str, clusters: &impl Clusters) -> Result<Self, String> {
        let mut table = Table::parse(config)?;
        // Each is read by itself, so that the faults of all are told at once.
        let written: Option<Vec<Value>> = table.required("rules");
        let longest = table.optional("longest").unwrap_or_default();
        if written.as_ref().is_some_and(Vec::is_empty) {
            table.fault("rules: an empty list never matches");
        }
        let mut all = Self { longest, ..Self::default() };
        for (index, written) in written.into_iter().flatten().enumerate() {
            let mut of_rule = Vec::new();
            match parse_part::<Written>(&format!("rules[{index}]"), written) {
                Ok(written) => {
                    all.add(index, &written.prefix, &mut of_rule);
                    all.rules.push(written.compile(clusters, &mut of_rule));
                }
                Err(fault) => {
                    // The numbers of those that follow are to be right.
                    all.rules.push(Rule::Next);
                    table.fault(fault);
                }
            }
            of_rule.into_iter().for_each(|fault| table.fault(format!("rules[{index}]{fault}")));
        }
        table.finish(Some(all))
    }

    /// Adds the prefix of a rule, unless nothing would ever come to it.
    fn add(&mut self, index: usize, prefix: &str, faults: &mut Vec<String>) {
        if let Err(fault) = check(prefix) {
            faults.push(format!(".prefix: {fault}"));
        } else if let Some(earlier) = self.by_prefix.get(prefix.as_bytes()) {
            faults.push(format!(".prefix: `{prefix}` is the prefix of rules[{earlier}] already"));
        } else if let Some(earlier) = self.found(prefix) {
            if self.longest {
                self.insert(index, prefix);
            } else {
                faults.push(format!(
                    ".prefix: rules[{earlier}] gets all that begins with `{prefix}`, \
                     expected the longer prefix first, or `longest = true`"
                ));
            }
        } else {
            self.insert(index, prefix);
        }
    }

    fn insert(&mut self, index: usize, prefix: &str) {
        self.most = self.most.max(prefix.len());
        self.by_prefix.insert(prefix.as_bytes().to_vec(), index);
    }

    /// What the rule says that decides about a path.
    pub(crate) fn decide(&self, path: &str) -> Decision<'_> {
        let path = match Path::parse(path, self.most) {
            Ok(Some(path)) => path,
            Ok(None) => return Decision::Next,
            Err(refused) => return Decision::Refuse(refused),
        };
        let found = self.find(&path).and_then(|(rule, rest)| Some((self.rules.get(rule)?, rest)));
        match found {
            None | Some((Rule::Next, _)) => Decision::Next,
            Some((Rule::To(cluster, to), rest)) => {
                let kept = || path.changed().map(str::to_owned);
                let path = to.as_ref().map(|to| path.moved(rest, to)).or_else(kept);
                Decision::To(cluster, path)
            }
        }
    }

    /// The place of the rule that decides about a prefix so far.
    fn found(&self, prefix: &str) -> Option<usize> {
        let path = Path::parse(prefix, self.most).ok().flatten()?;
        self.find(&path).map(|(rule, _)| rule)
    }

    /// The place of the rule that decides, and where the path goes on after its prefix.
    fn find(&self, path: &Path<'_>) -> Option<(usize, usize)> {
        let prefixes = path.prefixes().take_while(|(prefix, _)| prefix.len() <= self.most);
        let hits = prefixes.filter_map(|(prefix, rest)| Some((*self.by_prefix.get(prefix)?, rest)));
        if self.longest { hits.last() } else { hits.min_by_key(|(rule, _)| *rule) }
    }
}

impl Written {
    fn compile(self, clusters: &impl Clusters, faults: &mut Vec<String>) -> Rule {
        let to = match (self.strip, self.to) {
            (true, Some(_)) => {
                faults.push(
                    ".strip: `to` says what stands in place of the prefix, \
                     expected one of `strip` and `to`"
                        .to_owned(),
                );
                None
            }
            (true, None) => Some("/".to_owned()),
            (false, to) => to,
        };
        if let Some(fault) = to.as_deref().and_then(|to| check_new(to).err()) {
            faults.push(format!(".to: {fault}"));
        }
        match (self.cluster, self.next) {
            (Some(cluster), false) => {
                if let Err(fault) = clusters::known(clusters, &cluster) {
                    faults.push(format!(".cluster: {fault}"));
                }
                Rule::To(cluster, to)
            }
            (None, true) => {
                if to.is_some() {
                    faults.push(".next: `strip` and `to` go with `cluster` only".to_owned());
                }
                Rule::Next
            }
            (cluster, _) => {
                let many = if cluster.is_none() { "nothing" } else { "more than one thing" };
                faults.push(format!(
                    ": the rule does {many}, expected one of `cluster` and `next = true`"
                ));
                Rule::Next
            }
        }
    }
}

/// Whether a path can begin with that, as it is compared.
fn check(prefix: &str) -> Result<(), String> {
    if !prefix.starts_with('/') {
        return Err(format!("{prefix:?} does not begin with a slash"));
    }
    if let Some(odd) = prefix.chars().find(|c| c.is_control() || matches!(c, '?' | '#')) {
        return Err(format!("{odd:?} is no part of a path"));
    }
    match prefix.chars().find(|c| matches!(c, ';' | '\\')) {
        Some(';') => {
            return Err("parameters are not compared, expected none, and no `;`".to_owned());
        }
        Some(_) => return Err("a `\\` is compared as a slash, expected `/`".to_owned()),
        None => {}
    }
    let bytes = prefix.as_bytes();
    let is_escape =
        |part: &[u8]| matches!(part, [b'%', high, low] if escaped(*high, *low).is_some());
    if bytes.windows(3).any(is_escape) {
        return Err(
            "it is compared with the decoded path, expected one that is not percent-encoded"
                .to_owned(),
        );
    }
    plain(prefix)
}

/// Whether that can stand in place of a prefix.
fn check_new(to: &str) -> Result<(), String> {
    if !to.starts_with('/') {
        return Err(format!("{to:?} does not begin with a slash"));
    }
    match to.chars().find(|c| *c != '%' && !u8::try_from(*c).is_ok_and(is_plain)) {
        Some('?') => Err("the query of the request stays, expected a path without one".to_owned()),
        Some(odd) => Err(format!("{odd:?} must be percent-encoded")),
        None => plain(to),
    }
}

/// Whether a path is as short as it can be.
fn plain(path: &str) -> Result<(), String> {
    match Path::parse(path, 0) {
        Err(Refused::Zero) => Err("`%00` can stand in no path".to_owned()),
        Ok(Some(parsed)) if parsed.changed().is_none() && !path.contains("//") => Ok(()),
        _ => Err(format!("{path:?} has empty or dot segments, expected a path without them")),
    }
}

#[cfg(test)]
mod tests;
