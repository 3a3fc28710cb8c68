//! The rules, compiled.

use linkspan_plugin_common::clusters::{self, Clusters};
use linkspan_plugin_common::config::{Value, parse_part};
use linkspan_plugin_common::table::Table;
use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;
use serde::Deserialize;

/// How many bytes are looked at if no rule holds.
const WITHIN: usize = 1_024;

/// The rules in their order.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<(Regex, String)>,
    within: usize,
    default: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { rules: Vec::new(), within: WITHIN, default: None }
    }
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    r#match: Patterns,
    cluster: String,
}

/// A pattern, or several of which any one will do.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum Patterns {
    One(String),
    Several(Vec<String>),
}

impl Rules {
    /// Reads a configuration. The error names what is wrong with it, one fault a line.
    pub(crate) fn compile(config: &str, clusters: &impl Clusters) -> Result<Self, String> {
        let mut table = Table::parse(config)?;
        let written: Option<Vec<Value>> = table.required("rules");
        let within: Option<usize> = table.optional("within");
        let default: Option<String> = table.optional("default");
        let mut rules = Vec::new();
        for (number, rule) in written.into_iter().flatten().enumerate() {
            let place = format!("rules[{number}]");
            let rule: Rule = match parse_part(&place, rule) {
                Ok(rule) => rule,
                Err(fault) => {
                    table.fault(fault);
                    continue;
                }
            };
            if let Err(unknown) = clusters::known(clusters, &rule.cluster) {
                table.fault(format!("{place}.cluster: {unknown}"));
            }
            match pattern(&rule.r#match) {
                Ok(regex) => rules.push((regex, rule.cluster)),
                Err(fault) => table.fault(format!("{place}.match: {fault}")),
            }
        }
        if let Some(Err(unknown)) = default.as_ref().map(|name| clusters::known(clusters, name)) {
            table.fault(format!("default: {unknown}"));
        }
        if within == Some(0) {
            table.fault("within: nothing can be told by no bytes, expected a whole number from 1");
        }
        table.finish(Some(Self { rules, within: within.unwrap_or(WITHIN), default }))
    }

    /// The cluster of a connection that begins like this; none if it is to be closed, and nothing if
    /// more bytes may tell.
    pub(crate) fn find(&self, bytes: &[u8], ended: bool) -> Option<Option<&str>> {
        let seen = bytes.get(..self.within).unwrap_or(bytes);
        let mut holding = self.rules.iter().filter(|(regex, _)| regex.is_match(seen));
        match holding.next() {
            Some((_, cluster)) => Some(Some(cluster)),
            None if ended || bytes.len() >= self.within => Some(self.default.as_deref()),
            None => None,
        }
    }
}

fn pattern(patterns: &Patterns) -> Result<Regex, String> {
    let patterns = match patterns {
        Patterns::One(pattern) => std::slice::from_ref(pattern),
        Patterns::Several(patterns) => patterns,
    };
    if patterns.is_empty() {
        return Err("an empty list matches nothing, expected a pattern".to_owned());
    }
    let flags = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
    let mut builder = Regex::builder();
    builder.syntax(flags).configure(Config::new().utf8_empty(false));
    builder.build_many(patterns).map_err(|error| {
        let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
        let place = error.pattern().map_or(0, |pattern| pattern.as_usize());
        let pattern = patterns.get(place).map_or("", String::as_str);
        format!("`{pattern}`: {}", text.rsplit("error: ").next().unwrap_or_default().trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use linkspan_plugin_common::testing::Known;

    const CONFIG: &str = r#"{
        "rules": [
            { "match": "^SSH-", "cluster": "ssh" },
            { "match": ["^(GET|POST) ", "\\x00\\xff$"], "cluster": "web" },
            { "match": "(?i)needle", "cluster": "hay" }
        ],
        "within": 16
    }"#;

    #[test]
    fn the_first_rule_that_holds_decides_and_else_the_default_in_the_end() {
        let without = Rules::compile(CONFIG, &Known).unwrap();
        let config = CONFIG.replace("\"within\"", "\"default\": \"rest\", \"within\"");
        let with = Rules::compile(&config, &Known).unwrap();
        for (bytes, ended, expected) in [
            (&b"SSH-2.0"[..], false, Some("ssh")),
            (b"GET NEEDLE", false, Some("web")),
            (b"a\x00\xff", false, Some("web")),
            (b"hay \xff\n NeEdLe", false, Some("hay")),
        ] {
            assert_eq!(without.find(bytes, ended), Some(expected), "{bytes:?}");
        }
        for (bytes, ended, decided) in [
            (&b""[..], false, false),
            (b"SS", false, false),
            (b"SS", true, true),
            (b"", true, true),
            (b"0123456789abcdef", false, true),
            (b"0123456789abcdefneedle", false, true),
        ] {
            assert_eq!(without.find(bytes, ended), decided.then_some(None), "{bytes:?}");
            assert_eq!(with.find(bytes, ended), decided.then_some(Some("rest")), "{bytes:?}");
        }
    }

    #[test]
    fn all_faults_are_told() {
        let faults = Rules::compile(
            r#"{"rules": [{"match": "(", "cluster": "nobody"}, {"match": [], "cluster": "a"}, {}],
                "within": 0, "default": "nothing", "defualt": 1}"#,
            &Known,
        );
        let faults = faults.unwrap_err();
        let lines: Vec<_> = faults.lines().collect();
        assert!(lines[0].starts_with("rules[0].cluster: there is no cluster `nobody`"), "{faults}");
        assert!(lines[1].starts_with("rules[0].match: `(`: unclosed group"), "{faults}");
        assert!(lines[2].starts_with("rules[1].match: an empty list"), "{faults}");
        assert!(lines[3].starts_with("rules[2]: `match` is missing"), "{faults}");
        assert!(lines[4].starts_with("default: there is no cluster `nothing`"), "{faults}");
        assert!(lines[5].starts_with("within: nothing can be told"), "{faults}");
        assert!(lines[6].starts_with("defualt: unknown key"), "{faults}");
    }
}
