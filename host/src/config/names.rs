//! The names of balancers, in all their spellings, and what a misspelt name may have meant.

use crate::config::Instances;

/// Every balancer of Linkspan, by the name of its component.
pub const BALANCERS: [&str; 19] = [
    "by-busyness",
    "by-requests",
    "by-traffic",
    "carp",
    "first-alive",
    "heartbeat",
    "least-connections",
    "lighttpd-hash",
    "locking-round-robin",
    "maglev",
    "naive",
    "p2c",
    "random",
    "ring-hash",
    "round-robin",
    "source-hash",
    "sqf",
    "static",
    "sticky",
];

/// What Monkey and lighttpd also called them.
const ALIASES: [(&str, &str); 4] = [
    ("hash", "carp"),
    ("fair", "sqf"),
    ("lockless-round-robin", "round-robin"),
    ("weighted-round-robin", "round-robin"),
];

/// The name that a balancer has here, for any spelling that Monkey, lighttpd, Apache or we use:
/// `RoundRobin`, `First-Alive`, `Lockless Round Robin`, `byrequests`, `fair`.
#[must_use]
pub fn canonical_balancer(spelling: &str) -> Option<&'static str> {
    let folded = fold(spelling);
    let canonical = BALANCERS.into_iter().find(|name| fold(name) == folded);
    canonical.or_else(|| {
        ALIASES.into_iter().find(|(alias, _)| fold(alias) == folded).map(|(_, canonical)| canonical)
    })
}

/// Every name of a balancer, those of Monkey and lighttpd included.
pub fn balancer_names() -> impl Iterator<Item = &'static str> {
    BALANCERS.into_iter().chain(ALIASES.into_iter().map(|(alias, _)| alias))
}

/// The component that a name of one stands for, and how many instances it has by default:
/// `locking-round-robin` is `round-robin` with a single one.
pub(super) fn component(name: &str) -> (&str, Instances) {
    match name {
        "locking-round-robin" => ("round-robin", Instances::Shared),
        _ => (name, Instances::PerWorker),
    }
}

/// Whether a name can be that of a component: `NAME.wasm` is one file of one directory, under
/// that name on every system.
pub(super) fn is_component(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The candidates that a misspelt name may have meant, the likeliest first, three at most.
pub fn closest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<&'c str> {
    // A comparison costs the product of the lengths, and nobody misspells a name of this length.
    if name.len() > 128 {
        return Vec::new();
    }
    let folded = fold(name);
    let distance = |candidate: &str| {
        let candidate = fold(candidate);
        let common = folded.len().min(candidate.len());
        let begins =
            common >= 3 && (candidate.starts_with(&folded) || folded.starts_with(&candidate));
        if begins { 1 } else { strsim::damerau_levenshtein(&folded, &candidate) }
    };
    let far = (folded.chars().count() / 3).max(1);
    let mut near: Vec<_> = candidates.into_iter().map(|name| (distance(name), name)).collect();
    near.retain(|(distance, _)| *distance <= far);
    near.sort_unstable();
    near.dedup();
    near.into_iter().map(|(_, name)| name).take(3).collect()
}

/// ``did you mean `a`, `b` or `c`?``, where a name is close to one.
#[must_use]
pub fn did_you_mean<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    let near = closest(name, candidates);
    (!near.is_empty()).then(|| format!("did you mean {}?", one_of(&near)))
}

/// `` `a`, `b` or `c` ``.
#[must_use]
pub fn one_of(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

fn fold(name: &str) -> String {
    let kept = name.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_'));
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn old_spellings_of_balancers() {
        let cases = [
            ("naive", "naive"),
            ("Naive", "naive"),
            ("First-Alive", "first-alive"),
            ("FirstAlive", "first-alive"),
            ("first_alive", "first-alive"),
            ("RoundRobin", "round-robin"),
            ("roundrobin", "round-robin"),
            ("Round-Robin", "round-robin"),
            ("Lockless Round Robin", "round-robin"),
            ("Weighted Round Robin", "round-robin"),
            ("LockingRoundRobin", "locking-round-robin"),
            ("Locking Round Robin", "locking-round-robin"),
            ("leastconnections", "least-connections"),
            ("Least Connections", "least-connections"),
            ("SourceHash", "source-hash"),
            ("hash", "carp"),
            ("carp", "carp"),
            ("fair", "sqf"),
            ("sqf", "sqf"),
            ("static", "static"),
            ("byrequests", "by-requests"),
            ("bytraffic", "by-traffic"),
            ("bybusyness", "by-busyness"),
            ("heartbeat", "heartbeat"),
            ("P2C", "p2c"),
            ("RING_HASH", "ring-hash"),
        ];
        for (spelling, name) in cases {
            assert_eq!(canonical_balancer(spelling), Some(name), "{spelling}");
        }
        for name in BALANCERS {
            assert_eq!(canonical_balancer(name), Some(name), "{name}");
        }
        for unknown in ["", "first-alive-x", "rr", "least"] {
            assert_eq!(canonical_balancer(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn misspelt_names_find_their_like() {
        assert_eq!(closest("rond-robin", BALANCERS), ["round-robin"]);
        assert_eq!(closest("least-conn", BALANCERS), ["least-connections"]);
        assert_eq!(closest("hash-ring", BALANCERS), Vec::<&str>::new());
        assert_eq!(closest("by-request", BALANCERS), ["by-requests"]);
        assert_eq!(closest("zzz", BALANCERS), Vec::<&str>::new());
        assert_eq!(
            closest("balancr", ["balancer", "balance", "rewriters"]),
            ["balance", "balancer"]
        );
        assert_eq!(
            did_you_mean("a1", ["a2", "a3", "b9"]).as_deref(),
            Some("did you mean `a2` or `a3`?")
        );
    }

    #[test]
    fn names_of_components() {
        for name in ["round-robin", "p2c", "my_plugin.v2", "X"] {
            assert!(is_component(name), "{name}");
        }
        for name in ["", ".", "..", ".x", "a/b", "a b", "ä", "-x", &"x".repeat(129)] {
            assert!(!is_component(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_compared(name in "\\PC*") {
            prop_assert!(closest(&name, BALANCERS).len() <= 3);
            let _ = canonical_balancer(&name);
        }
    }
}
