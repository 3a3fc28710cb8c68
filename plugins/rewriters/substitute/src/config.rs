//! The plugin's `config`, and what is wrong with it.

use linkspan_plugin_common::config::{self, Value};
use serde::Deserialize;

use crate::replacer::Replacer;
use crate::rules::{Rule, Rules};

/// The longest text to put in.
const REPLACE_BYTES: usize = 64 << 10;

/// How far a match may reach, without a `window`, at least, and at most. What is held back of a body
/// grows with it, and so does the time that a rule can take which nearly matches everywhere.
const WINDOW: usize = 16 << 10;
/// See [`WINDOW`].
const LEAST_WINDOW: usize = 64;
/// See [`WINDOW`].
const MOST_WINDOW: usize = 512 << 10;

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    rules: Vec<Value>,
    #[serde(default = "html")]
    types: Vec<String>,
    #[serde(default)]
    encoded: Encoded,
    window: Option<String>,
    #[serde(default)]
    keep_last_modified: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenRule {
    find: Option<String>,
    r#match: Option<String>,
    replace: String,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    once: bool,
}

/// What is done about compressed bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoded {
    /// They are decoded, and sent on as they are then.
    #[default]
    Decode,
    /// They are left alone.
    Leave,
}

/// What bodies are looked at.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Media types in lower case, `text/*`, or `*`.
    pub(crate) types: Vec<String>,
    pub(crate) encoded: Encoded,
    pub(crate) keep_last_modified: bool,
}

/// What a configuration comes to.
pub(crate) struct Settings {
    pub(crate) choice: Choice,
    pub(crate) rules: Rules,
    pub(crate) window: usize,
}

impl Settings {
    /// Checks everything; the error has one fault a line.
    pub(crate) fn parse(config: &str) -> Result<Self, String> {
        let written: Written = config::parse(config)?;
        let mut faults = Vec::new();
        let window = written.window.map_or(Ok(WINDOW), |text| window(&text));
        let window = window.map_err(|fault| faults.push(format!("window: {fault}")));
        let types = types(written.types, &mut faults);
        if written.rules.is_empty() {
            faults.push("rules: the list is empty, expected at least one rule".to_owned());
        }
        let mut rules = Vec::new();
        for (index, part) in written.rules.into_iter().enumerate() {
            match config::parse_part(&format!("rules[{index}]"), part) {
                Ok(given) => match rule(given) {
                    Ok(rule) => rules.push(rule),
                    Err((key, fault)) => faults.push(format!("rules[{index}]{key}: {fault}")),
                },
                Err(fault) => faults.push(fault),
            }
        }
        let (Ok(window), true) = (window, faults.is_empty()) else {
            return Err(faults.join("\n"));
        };
        let rules = Rules::compile(rules)?;
        let choice = Choice {
            types,
            encoded: written.encoded,
            keep_last_modified: written.keep_last_modified,
        };
        Ok(Self { choice, rules, window })
    }

    /// Begins a body.
    pub(crate) fn replacer(&self) -> Replacer {
        Replacer::new(self.window.max(self.rules.longest()), &self.rules)
    }
}

fn html() -> Vec<String> {
    vec!["text/html".to_owned()]
}

/// A size of bytes as the configuration file has them.
fn window(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default().trim();
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1_usize),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        _ => None,
    };
    let size = digits.parse::<usize>().ok().zip(factor);
    let size = size.and_then(|(number, factor)| number.checked_mul(factor));
    let allowed = LEAST_WINDOW..=MOST_WINDOW;
    size.filter(|size| allowed.contains(size)).ok_or_else(|| {
        format!("{text:?} is no size that a window can have, expected `64B` to `512KiB`")
    })
}

fn types(written: Vec<String>, faults: &mut Vec<String>) -> Vec<String> {
    if written.is_empty() {
        faults.push("types: the list is empty, expected media types or `*`".to_owned());
    }
    for (index, text) in written.iter().enumerate() {
        let token = |part: &str| linkspan_plugin_common::fields::is_name(part);
        let good = text == "*" || text.split_once('/').is_some_and(|(a, b)| token(a) && token(b));
        if !good {
            faults.push(format!(
                "types[{index}]: {text:?} is no media type, expected one as in `text/html`, or \
                 `text/*`, or `*`"
            ));
        }
    }
    written.into_iter().map(|text| text.to_ascii_lowercase()).collect()
}

/// Checks a rule; the error has the key that it is about.
fn rule(written: WrittenRule) -> Result<Rule, (&'static str, String)> {
    if written.replace.len() > REPLACE_BYTES {
        return Err((".replace", format!("this is longer than {REPLACE_BYTES} bytes")));
    }
    let WrittenRule { replace, ignore_case, once, .. } = written;
    match (written.find, written.r#match) {
        (Some(find), None) if find.is_empty() => {
            Err((".find", "the text is empty, expected what to look for".to_owned()))
        }
        (Some(find), None) => Ok(Rule::fixed(&find, replace, ignore_case, once)),
        (None, Some(pattern)) => Rule::pattern(&pattern, &replace, ignore_case, once),
        (Some(_), Some(_)) => Err(("", "`find` and `match` are there, expected one".to_owned())),
        (None, None) => Err(("", "neither `find` nor `match` is there, expected one".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: &str) -> String {
        Settings::parse(config).err().unwrap_or_default()
    }

    #[test]
    fn defaults_are_those_of_the_readme() {
        let settings = Settings::parse(r#"{"rules": [{"find": "a", "replace": "b"}]}"#).unwrap();
        assert_eq!((settings.window, settings.choice.types), (16 << 10, html()));
        assert_eq!(settings.choice.encoded, Encoded::Decode);
        assert!(!settings.choice.keep_last_modified);
        let more = r#"{"rules": [{"find": "a", "replace": "b"}], "window": "64KiB",
                       "types": ["Text/CSS", "text/*", "*"], "encoded": "leave"}"#;
        let settings = Settings::parse(more).unwrap();
        assert_eq!(settings.window, 64 << 10);
        assert_eq!(settings.choice.types, ["text/css", "text/*", "*"]);
    }

    #[test]
    fn every_fault_is_named() {
        let config = r#"{"types": ["html", "text/html; charset=utf-8"], "window": "1GiB", "rules": [
            {"find": "", "replace": ""}, {"match": "(", "replace": ""},
            {"match": "(a)", "replace": "$2"}, {"match": "a", "replace": "$x"}, {"replace": ""},
            {"find": "a", "match": "b", "replace": ""}, {"find": "a"}, {"fnid": "a"}
        ]}"#;
        let text = error(config);
        let keys: Vec<_> = text.lines().filter_map(|line| line.split(": ").next()).collect();
        let expected = [
            "window",
            "types[0]",
            "types[1]",
            "rules[0].find",
            "rules[1].match",
            "rules[2].replace",
            "rules[3].replace",
            "rules[4]",
            "rules[5]",
            "rules[6]",
            "rules[7].fnid",
        ];
        assert_eq!(keys, expected, "{text}");
        assert!(error(r#"{"rules": []}"#).starts_with("rules: the list is empty"));
        assert!(
            error(r#"{"rules": [{"find": "a", "replace": "b"}], "encoded": "x"}"#)
                .starts_with("encoded: ")
        );
    }
}
