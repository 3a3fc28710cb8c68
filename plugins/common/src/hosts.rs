//! The hosts and their clusters, looked up by hash: what routers go by that go by the name of a host.

mod name;

use crate::clusters::{self, Clusters};
use crate::config::Value;
use crate::table::Table;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use self::name::Pattern;

/// Clusters by host.
#[derive(Debug, Default)]
pub struct Hosts {
    exact: Map,
    /// By what names end in, beginning with a dot.
    endings: Map,
    default: Option<String>,
}

type Map = HashMap<String, String, BuildHasherDefault<Fnv>>;

impl Hosts {
    /// Reads a configuration: `hosts`, each with its cluster, and perhaps `default`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, one fault a line.
    pub fn compile(config: &str, clusters: &impl Clusters) -> Result<Self, String> {
        let mut table = Table::parse(config)?;
        let hosts: Option<BTreeMap<String, Value>> = table.required("hosts");
        let default: Option<String> = table.optional("default");
        if hosts.as_ref().is_some_and(BTreeMap::is_empty) {
            table.fault("hosts: an empty table has no host");
        }
        let mut all = Self::default();
        // The spellings that were read, to name the one that another is equal to.
        let mut spellings: BTreeMap<String, String> = BTreeMap::new();
        for (host, cluster) in hosts.into_iter().flatten() {
            let mut fault = |fault: String| table.fault(format!("hosts.{host:?}: {fault}"));
            let Value::String(cluster) = cluster else {
                fault("this is no string, expected the name of a cluster".to_owned());
                continue;
            };
            if let Err(unknown) = clusters::known(clusters, &cluster) {
                fault(unknown);
            }
            let (map, key) = match Pattern::parse(&host) {
                Ok(Pattern::Exact(name)) => (&mut all.exact, name),
                Ok(Pattern::Ending(ending)) => (&mut all.endings, ending),
                Err(wrong) => {
                    fault(wrong);
                    continue;
                }
            };
            if map.insert(key.clone(), cluster).is_some() {
                let other = spellings.get(&key).map_or("another", String::as_str);
                fault(format!("this is the same host as `{other}`"));
            }
            spellings.insert(key, host);
        }
        if let Some(Err(unknown)) = default.as_ref().map(|name| clusters::known(clusters, name)) {
            table.fault(format!("default: {unknown}"));
        }
        all.default = default;
        table.finish(Some(all))
    }

    /// The cluster of an authority.
    #[must_use]
    pub fn cluster(&self, authority: String) -> Option<&str> {
        let found = name::of_authority(authority).and_then(|host| self.find(&host));
        found.or(self.default.as_ref()).map(String::as_str)
    }

    fn find(&self, host: &str) -> Option<&String> {
        if let Some(cluster) = self.exact.get(host) {
            return Some(cluster);
        }
        if self.endings.is_empty() {
            return None;
        }
        // The longest ending first. A name does not begin with the dot.
        host.match_indices('.')
            .filter(|(at, _)| *at > 0)
            .find_map(|(at, _)| self.endings.get(host.get(at..)?))
    }
}

/// FNV-1a: short texts, and nobody but the configuration puts keys into the tables.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Known;
    use proptest::prelude::*;

    fn compile(config: &str) -> Result<Hosts, String> {
        Hosts::compile(config, &Known)
    }

    #[test]
    fn the_name_itself_then_the_longest_wildcard_then_the_default() {
        let config = r#"{"hosts": {
            "a.example": "exact",
            "*.b.example": "wild",
            "*.deep.b.example": "deep",
            "x.b.example": "x",
            "[::1]": "six",
            "127.0.0.1": "four"
        }"#;
        let with = compile(&format!("{config}, \"default\": \"rest\"}}")).unwrap();
        let without = compile(&format!("{config}}}")).unwrap();
        for (authority, expected) in [
            ("a.example", Some("exact")),
            ("A.Example.:8080", Some("exact")),
            ("x.b.example", Some("x")),
            ("y.b.example", Some("wild")),
            ("y.x.b.example", Some("wild")),
            ("z.deep.b.example", Some("deep")),
            ("deep.b.example", Some("wild")),
            ("b.example", None),
            (".b.example", None),
            ("xb.example", None),
            ("a.example.evil.test", None),
            ("[0::1]:80", Some("six")),
            ("127.0.0.1:80", Some("four")),
            ("", None),
        ] {
            let of = |hosts: &Hosts| hosts.cluster(authority.to_owned()).map(str::to_owned);
            assert_eq!(of(&without).as_deref(), expected, "{authority}");
            assert_eq!(of(&with).as_deref(), expected.or(Some("rest")), "{authority}");
        }
    }

    #[test]
    fn all_faults_are_told() {
        let faults = compile(
            r#"{"hosts": {
                "A.example": "a", "a.example.": "a", "a.example": "nophp",
                "*.A.example": "a", "*.a.example": "a",
                "b.example:80": "a", "c.example": 7
            }, "default": "nothing"}"#,
        )
        .unwrap_err();
        let expected = [
            "hosts.\"*.a.example\": this is the same host as `*.A.example`",
            "hosts.\"a.example\": there is no cluster `nophp`, \
             expected the NAME of a table `[clusters.NAME]`",
            "hosts.\"a.example\": this is the same host as `A.example`",
            "hosts.\"a.example.\": this is the same host as `a.example`",
            "hosts.\"b.example:80\": a port is no part of it, expected the name of a host",
            "hosts.\"c.example\": this is no string, expected the name of a cluster",
            "default: there is no cluster `nothing`, \
             expected the NAME of a table `[clusters.NAME]`",
        ];
        assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
        assert_eq!(compile(r#"{"hosts": {}}"#).unwrap_err(), "hosts: an empty table has no host");
        assert!(compile(r#"{"default": "a"}"#).unwrap_err().contains("`hosts` is missing"));
        let unknown = compile(r#"{"hosts": {"a": "a"}, "defualt": "a"}"#).unwrap_err();
        assert!(unknown.contains("did you mean `default`?"), "{unknown}");
    }

    proptest! {
        /// Looking up finds what comparing with one name after the other finds.
        #[test]
        fn search_agrees_with_trying_each(
            names in prop::collection::btree_set("(\\*\\.)?[ab](\\.[ab]){0,3}", 1..20),
            host in "[ab](\\.[ab]){0,4}",
        ) {
            let list: Vec<String> = names.iter().map(|name| format!("\"{name}\": \"{name}\"")).collect();
            let hosts = compile(&format!(r#"{{"hosts": {{{}}}}}"#, list.join(","))).unwrap();
            let ends = |name: &&String| {
                name.strip_prefix('*').is_some_and(|end| host.ends_with(end))
            };
            let longest = names.iter().filter(ends).max_by_key(|name| name.len());
            prop_assert_eq!(hosts.cluster(host.clone()), names.get(&host).or(longest).map(String::as_str));
        }
    }
}
