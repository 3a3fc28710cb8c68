//! Where things stand in a file, found again in its text when something is to be said about them.
//!
//! Nothing is kept while a configuration is read and served: the text is bounded, and it is rarely
//! that somebody asks.

use std::env;
use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::expand::expand;
use crate::config::fault::{Fault, Lines};
use crate::config::file::join;
use crate::config::names;

/// A file as a tree.
pub struct Places<'t> {
    lines: Lines<'t>,
    root: DeTable<'t>,
}

/// One entry of a table, or one element of a list.
#[derive(Debug, Clone)]
pub struct Spot<'p> {
    /// The keys that lead to it, such as `plugins.p.config.rules[1]`.
    pub key: String,
    name: Range<usize>,
    value: Range<usize>,
    item: &'p DeValue<'p>,
}

/// What of an entry is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its key.
    Key,
    /// Its value; of a table that has a header, the header.
    Value,
}

/// What a plugin is named for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// In a listener's `routers`.
    Router,
    /// In the `rewriters` of a listener or cluster.
    Rewriter,
    /// As a cluster's `balancer`.
    Balancer,
    /// As a listener's `stream-router`.
    StreamRouter,
}

impl<'t> Places<'t> {
    /// Reads a text. Where that is not TOML, nothing stands anywhere.
    pub(super) fn of(text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let root = if errors.is_empty() { root.into_inner() } else { DeTable::new() };
        Self { lines: Lines::of(text), root }
    }

    /// What stands under these keys.
    #[must_use]
    pub fn find(&self, keys: &[&str]) -> Option<Spot<'_>> {
        let (first, rest) = keys.split_first()?;
        let first = entry("", &self.root, first)?;
        rest.iter().try_fold(first, |spot, key| spot.get(key))
    }

    /// The keys of a table at the top.
    pub fn names<'s>(&'s self, table: &str) -> impl Iterator<Item = &'s str> + use<'s> {
        let table = self.root.get(table).and_then(|table| table.get_ref().as_table());
        table.into_iter().flat_map(|table| table.keys()).map(|key| key.get_ref().as_ref())
    }

    /// Where listeners and clusters, or their defaults, name a plugin, in the order of the file;
    /// for one use, or for any.
    #[must_use]
    pub fn uses(&self, plugin: &str, usage: Option<Usage>) -> Vec<Spot<'_>> {
        const KEYS: [(&str, &str, &str, Usage); 5] = [
            ("listeners", "listener", "routers", Usage::Router),
            ("listeners", "listener", "rewriters", Usage::Rewriter),
            ("listeners", "listener", "stream-router", Usage::StreamRouter),
            ("clusters", "cluster", "rewriters", Usage::Rewriter),
            ("clusters", "cluster", "balancer", Usage::Balancer),
        ];
        let is_table = self.find(&["plugins", plugin]).is_some();
        let mut found = Vec::new();
        for (tables, default, key, of) in KEYS {
            if usage.is_some_and(|usage| usage != of) {
                continue;
            }
            let own = self.names(tables).filter_map(|name| self.find(&[tables, name, key]));
            for list in own.chain(self.find(&["defaults", default, key])) {
                let names = |spot: &Spot<'_>| {
                    spot.text().is_some_and(|text| {
                        text == plugin
                            || of == Usage::Balancer
                                && !is_table
                                && names::canonical_balancer(&text) == Some(plugin)
                    })
                };
                let elements = list.elements();
                found.extend(elements.into_iter().chain([list]).filter(names));
            }
        }
        found.sort_by_key(|spot: &Spot<'_>| spot.value.start);
        found
    }

    /// A fault at a place.
    #[must_use]
    pub fn fault(&self, spot: &Spot<'_>, part: Part, message: &str) -> Fault {
        let span = match part {
            Part::Key => &spot.name,
            Part::Value => &spot.value,
        };
        Fault::at(&self.lines, span.clone(), &spot.key, message)
    }
}

fn entry<'p>(path: &str, table: &'p DeTable<'p>, key: &str) -> Option<Spot<'p>> {
    let (name, value) = table.get_key_value(key)?;
    Some(Spot {
        key: join(path, name.get_ref()),
        name: name.span(),
        value: value.span(),
        item: value.get_ref(),
    })
}

impl<'p> Spot<'p> {
    /// An entry of this table.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        entry(&self.key, self.item.as_table()?, key)
    }

    /// The keys of this table; none if it is none.
    pub fn keys(&self) -> impl Iterator<Item = &'p str> + use<'p> {
        let table = self.item.as_table();
        table.into_iter().flat_map(|table| table.keys()).map(|key| key.get_ref().as_ref())
    }

    /// The elements of this list; none if it is none.
    #[must_use]
    pub fn elements(&self) -> Vec<Self> {
        let elements = self.item.as_array().into_iter().flat_map(|array| array.iter().enumerate());
        elements.map(|(index, element)| self.element(index, element)).collect()
    }

    fn element(&self, index: usize, element: &'p Spanned<DeValue<'p>>) -> Self {
        Self {
            key: format!("{}[{index}]", self.key),
            name: element.span(),
            value: element.span(),
            item: element.get_ref(),
        }
    }

    /// Whether it is a table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.item.is_table()
    }

    /// Whether it is a list or table without anything in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self.item {
            DeValue::Array(array) => array.is_empty(),
            DeValue::Table(table) => table.is_empty(),
            _ => false,
        }
    }

    /// The text that it is, its variables expanded.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let text = self.item.as_str()?;
        let expanded = expand(text, &|name| env::var_os(name));
        Some(expanded.map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned))
    }

    /// Where the path leads that a line begins with, as in `rules[1].match[0]: no such thing`, and
    /// the rest of the line. A path that goes on beyond what there is leads as far as it can, and
    /// what is left of it stays in the text. A line without a path is about this place itself.
    #[must_use]
    pub fn follow<'l>(&self, line: &'l str) -> (Self, &'l str) {
        let (mut spot, mut rest) = (self.clone(), line);
        let mut dot = "";
        while let Some((next, after)) = spot.step(dot, rest) {
            (spot, rest) = (next, after);
            dot = ".";
        }
        if dot.is_empty() {
            return (spot, line);
        }
        if let Some(text) = rest.strip_prefix(':') {
            return (spot, text.trim_start());
        }
        let beyond = rest.split_once(": ").map_or("", |(beyond, _)| beyond);
        if beyond.starts_with(['.', '[']) && !beyond.contains(char::is_whitespace) {
            return (spot, rest.strip_prefix('.').unwrap_or(rest));
        }
        (self.clone(), line)
    }

    /// One key or index further.
    fn step<'l>(&self, dot: &str, path: &'l str) -> Option<(Self, &'l str)> {
        match self.item {
            DeValue::Array(array) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let index = index.parse().ok()?;
                Some((self.element(index, array.get(index)?), rest))
            }
            DeValue::Table(table) => {
                let path = path.strip_prefix(dot)?;
                let after = |key: &str| {
                    let quoted = format!("{key:?}");
                    let rest = path.strip_prefix(&quoted).or_else(|| path.strip_prefix(key))?;
                    (!key.is_empty() && rest.starts_with([':', '.', '['])).then_some(rest)
                };
                // Keys may contain what ends a key: the longest is meant.
                let matching =
                    table.keys().filter_map(|key| Some((key.get_ref(), after(key.get_ref())?)));
                let (key, rest) = matching.min_by_key(|(_, rest)| rest.len())?;
                Some((self.get(key)?, rest))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = r#"
[defaults.cluster]
balancer = "Round Robin"
[listeners.web]
routers = ["a", "b", "a"]
rewriters = ["a"]
[clusters.one]
balancer = ["x", "roundrobin"]
rewriters = ["a"]
[plugins.a.config]
"k.l" = [1, { m = "n" }]
k = 2
"#;

    #[test]
    fn uses_are_found_in_the_order_of_the_file() {
        let places = Places::of(TEXT);
        let uses = |plugin, usage| {
            let uses = places.uses(plugin, usage).into_iter();
            uses.map(|spot| spot.key).collect::<Vec<_>>()
        };
        let (first, third) = ("listeners.web.routers[0]", "listeners.web.routers[2]");
        assert_eq!(uses("a", Some(Usage::Router)), [first, third]);
        let rewriters = ["listeners.web.rewriters[0]", "clusters.one.rewriters[0]"];
        assert_eq!(uses("a", Some(Usage::Rewriter)), rewriters);
        assert_eq!(uses("a", None), [&[first, third][..], &rewriters].concat());
        let balancers = ["defaults.cluster.balancer", "clusters.one.balancer[1]"];
        assert_eq!(uses("round-robin", None), balancers);
        assert!(uses("nobody", None).is_empty());
    }

    #[test]
    fn the_longest_key_is_meant() {
        let places = Places::of(TEXT);
        let config = places.find(&["plugins", "a", "config"]).unwrap();
        for (line, key, rest) in [
            ("k.l[1].m: odd", "plugins.a.config.\"k.l\"[1].m", "odd"),
            ("\"k.l\"[0]: odd", "plugins.a.config.\"k.l\"[0]", "odd"),
            ("k: odd", "plugins.a.config.k", "odd"),
            ("k.l[2].m: odd", "plugins.a.config.\"k.l\"", "[2].m: odd"),
            ("k.x.y: odd", "plugins.a.config.k", "x.y: odd"),
            ("k.x y: odd", "plugins.a.config", "k.x y: odd"),
            ("k", "plugins.a.config", "k"),
            ("kk: odd", "plugins.a.config", "kk: odd"),
            ("[0]: odd", "plugins.a.config", "[0]: odd"),
            (
                "k.l[99999999999999999999]: odd",
                "plugins.a.config.\"k.l\"",
                "[99999999999999999999]: odd",
            ),
        ] {
            let (spot, text) = config.follow(line);
            assert_eq!((spot.key.as_str(), text), (key, rest), "{line}");
        }
    }

    #[test]
    fn what_is_no_toml_has_no_places() {
        let places = Places::of("a = [");
        assert!(places.find(&["a"]).is_none() && places.uses("a", None).is_empty());
    }

    proptest! {
        #[test]
        fn any_line_leads_somewhere(line in "\\PC*", near in "[kl.\\[\\]01m:\" ]{0,16}") {
            let places = Places::of(TEXT);
            let config = places.find(&["plugins", "a", "config"]).unwrap();
            for line in [line, near] {
                let (spot, rest) = config.follow(&line);
                prop_assert!(spot.key.starts_with("plugins.a.config") && line.ends_with(rest));
            }
        }
    }
}
