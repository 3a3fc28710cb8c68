//! The configuration: what is turned back, and whether the rest is found out.

use crate::path::Prefix;
use crate::url::{Authority, Reference, Scheme};
use crate::way::{Told, Way, join};
use linkspan_plugin_common::config::{Value, parse, parse_part};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(default = "yes")]
    automatic: bool,
    /// Each a [`WrittenMap`], to be read by itself, so that the faults of all are told at once.
    #[serde(default)]
    map: Vec<Value>,
    #[serde(default)]
    cookie_domain: BTreeMap<String, String>,
    #[serde(default)]
    cookie_path: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMap {
    from: String,
    to: String,
}

/// What is done.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Whether the way of a request is followed back where nothing else is said.
    pub(crate) automatic: bool,
    /// In their order.
    maps: Vec<Map>,
    /// In lower case, without a dot before them.
    domains: BTreeMap<String, String>,
    /// The longest first.
    paths: Vec<Prefix>,
}

/// One entry of `map`.
#[derive(Debug)]
struct Map {
    /// Whose URLs; none for those of the upstream itself.
    base: Option<(Scheme, Authority)>,
    prefix: Prefix,
    /// What they begin with then; none for what the client addressed.
    to: Option<String>,
}

impl Config {
    /// Reads the configuration. The error names what is wrong with it, one fault a line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let written: Written = parse(text)?;
        let mut faults = Vec::new();
        let mut config = Self { automatic: written.automatic, ..Self::default() };
        for (index, map) in written.map.into_iter().enumerate() {
            let at = format!("map[{index}]");
            match parse_part(&at, map) {
                Ok(map) => config.maps.extend(Map::compile(&at, &map, &mut faults)),
                Err(fault) => faults.push(fault),
            }
        }
        for (from, to) in written.cookie_domain {
            for domain in [&from, &to] {
                if !is_domain(domain) {
                    faults.push(format!(
                        "cookie-domain.{from}: {domain:?} is no domain, expected the name of a \
                         host, without a port"
                    ));
                }
            }
            config.domains.insert(bare(&from), to);
        }
        for (from, to) in written.cookie_path {
            for path in [&from, &to] {
                if !is_path(path) || path.contains(';') {
                    faults.push(format!(
                        "cookie-path.{from}: {path:?} is no path of a cookie, expected one that \
                         begins with a slash"
                    ));
                }
            }
            config.paths.push(Prefix::new(&from, &to));
        }
        config.paths.sort_by_key(|path| std::cmp::Reverse(path.length()));
        if faults.is_empty() { Ok(config) } else { Err(faults.join("\n")) }
    }

    /// Whether there is nothing to do at all.
    pub(crate) fn is_idle(&self) -> bool {
        !self.automatic && self.maps.is_empty() && self.domains.is_empty() && self.paths.is_empty()
    }

    /// What the first entry of `map` that fits makes of a URL.
    pub(crate) fn mapped(
        &self,
        reference: &Reference<'_>,
        way: &Way<impl Told>,
    ) -> Option<Vec<u8>> {
        self.maps.iter().find_map(|map| map.apply(reference, way))
    }

    /// What `cookie-domain` says of a domain.
    pub(crate) fn domain(&self, domain: &str) -> Option<&str> {
        self.domains.get(domain).map(String::as_str)
    }

    /// What `cookie-path` says of a path.
    pub(crate) fn path(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.paths.iter().find_map(|prefix| prefix.apply(path))
    }
}

/// A domain as domains are compared.
pub(crate) fn bare(domain: &str) -> String {
    domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase()
}

fn is_domain(domain: &str) -> bool {
    !bare(domain).is_empty()
        && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[:]".contains(&byte))
        && (domain.starts_with('[') || !domain.contains(':'))
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte))
}

impl Map {
    fn compile(at: &str, written: &WrittenMap, faults: &mut Vec<String>) -> Option<Self> {
        let (from, to) = (split(&written.from), split(&written.to));
        for (key, text, split) in [("from", &written.from, &from), ("to", &written.to, &to)] {
            if split.is_none() {
                faults.push(format!(
                    "{at}.{key}: `{text}` is none that can be mapped, expected a URL as \
                     `http://host:port/path`, or a path that begins with one slash, \
                     percent-encoded, without a query"
                ));
            }
        }
        let ((base, from), (to_base, to)) = (from?, to?);
        Some(Self {
            base: base.map(|base| base.0),
            prefix: Prefix::new(from, to),
            to: to_base.map(|base| base.1),
        })
    }

    fn apply(&self, reference: &Reference<'_>, way: &Way<impl Told>) -> Option<Vec<u8>> {
        let path = self.prefix.apply(reference.path)?;
        let fits = match (&self.base, reference.base) {
            (None, _) => way.is_own(reference),
            (Some(_), None) => false,
            (Some((scheme, authority)), Some((given, named))) => {
                given.is_none_or(|given| given == *scheme)
                    && Authority::parse(named, *scheme).as_ref() == Some(authority)
            }
        };
        fits.then(|| match &self.to {
            Some(base) => join(base, &path, reference.rest),
            None => way.url(reference, &path),
        })
    }
}

/// Whose a URL is, compared and as it is written, if it is not a path alone; and its path.
type Split<'a> = (Option<((Scheme, Authority), String)>, &'a str);

fn split(text: &str) -> Option<Split<'_>> {
    let reference = Reference::parse(text.as_bytes())?;
    let path = str::from_utf8(reference.path).ok()?;
    if !reference.rest.is_empty() || !path.is_empty() && !is_path(path) {
        return None;
    }
    let Some((scheme, named)) = reference.base else { return Some((None, path)) };
    let scheme = scheme?;
    let authority = Authority::parse(named, scheme)?;
    let written = format!("{}://{}", scheme.name(), str::from_utf8(named).ok()?);
    Some((Some(((scheme, authority), written)), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named() {
        let faults = Config::parse(
            r#"{
                "map": [
                    {"from": "http://a:1/b", "to": "/c"},
                    {"from": "a/b", "to": "/c?d"},
                    {"from": "ftp://a/", "to": "//b/"},
                    {"from": "/a"},
                    {"from": "http://a:b/", "to": "https://u@c/"}
                ],
                "cookie-domain": {"a.test": "", "b.test:80": "b"},
                "cookie-path": {"a": "/b", "/c": "/d;e"}
            }"#,
        );
        let faults = faults.unwrap_err();
        let keys: Vec<&str> = faults.lines().filter_map(|line| line.split(": ").next()).collect();
        let expected = [
            "map[1].from",
            "map[1].to",
            "map[2].from",
            "map[2].to",
            "map[3]",
            "map[4].from",
            "map[4].to",
            "cookie-domain.a.test",
            "cookie-domain.b.test:80",
            "cookie-path./c",
            "cookie-path.a",
        ];
        assert_eq!(keys, expected, "{faults}");
        let error = |config| Config::parse(config).unwrap_err();
        assert!(error(r#"{"maps": []}"#).contains("did you mean `map`?"));
        assert!(error(r#"{"automatic": 1}"#).starts_with("automatic: this is an integer"));
        assert!(Config::parse(r#"{"automatic": false}"#).unwrap().is_idle());
        assert!(!Config::parse("{}").unwrap().is_idle());
    }
}
