//! Rules on paths, as the configuration writes them.

use super::*;
use linkspan_plugin_common::testing::Known;
use proptest::prelude::*;

fn compile(config: &str) -> Result<Rules, String> {
    Rules::compile(config, &Known)
}

/// A decision in short: `CLUSTER`, `CLUSTER PATH`, `next`, or what is wrong.
fn on(rules: &Rules, path: &str) -> String {
    match rules.decide(path) {
        Decision::Next => "next".to_owned(),
        Decision::To(cluster, None) => cluster.to_owned(),
        Decision::To(cluster, Some(path)) => format!("{cluster} {path}"),
        Decision::Refuse(refused) => format!("{refused:?}"),
    }
}

#[test]
fn whole_segments_are_compared() {
    let rules = compile(
        r#"{"rules": [
        {"prefix": "/snoop", "cluster": "a"},
        {"prefix": "/dir/", "cluster": "b"},
        {"prefix": "/a b", "cluster": "c"}
    ]}"#,
    )
    .unwrap();
    for (path, expected) in [
        ("/snoop", "a"),
        ("/snoop/", "a"),
        ("/snoop/x/y", "a"),
        ("/%73noop/x", "a"),
        ("//snoop//x", "a"),
        ("/snoop%2Fx", "a"),
        ("/snoopy", "next"),
        ("/Snoop", "next"),
        ("/x/snoop", "next"),
        ("/snoop%252Fx", "next"),
        ("/dir/", "b"),
        ("/dir/x", "b"),
        ("/dir", "next"),
        ("/a%20b/c", "c"),
        ("/", "next"),
        ("*", "next"),
    ] {
        assert_eq!(on(&rules, path), expected, "{path}");
    }
}

#[test]
fn the_first_rule_decides_or_the_longest() {
    let rules = r#"[
        {"prefix": "/a/private", "next": true},
        {"prefix": "/a/b", "cluster": "ab"},
        {"prefix": "/a", "cluster": "a"},
        {"prefix": "/", "cluster": "rest"}
    ]"#;
    let first = compile(&format!(r#"{{"rules": {rules}}}"#)).unwrap();
    let turned = r#"[
        {"prefix": "/", "cluster": "rest"},
        {"prefix": "/a", "cluster": "a"},
        {"prefix": "/a/b", "cluster": "ab"},
        {"prefix": "/a/private", "next": true}
    ]"#;
    let longest = compile(&format!(r#"{{"rules": {turned}, "longest": true}}"#)).unwrap();
    for (path, expected) in [
        ("/a/private", "next"),
        ("/a/private/x", "next"),
        ("/a//private/x", "next"),
        ("/a%2fprivate", "next"),
        ("/a/privately", "a"),
        ("/a/b/c", "ab"),
        ("/a/bc", "a"),
        ("/b", "rest"),
        ("/a/../b", "rest /b"),
        ("/b/%2e%2e/a/private", "next"),
    ] {
        assert_eq!(on(&first, path), expected, "{path}");
        assert_eq!(on(&longest, path), expected, "{path}");
    }
}

#[test]
fn a_prefix_goes_or_makes_room_for_another() {
    let rules = compile(
        r#"{"rules": [
        {"prefix": "/strip", "cluster": "s", "strip": true},
        {"prefix": "/moved/", "cluster": "m", "to": "/new/%20/"},
        {"prefix": "/keep", "cluster": "k", "strip": false},
        {"prefix": "/", "cluster": "r", "to": "/under"}
    ]}"#,
    )
    .unwrap();
    for (path, expected) in [
        ("/strip", "s /"),
        ("/strip/a%20b/", "s /a%20b/"),
        ("/strip//evil.example/x", "s /evil.example/x"),
        ("/strip%2F%2Fevil.example/x", "s /evil.example/x"),
        ("/strip/group%2Fproject", "s /group%2Fproject"),
        ("/strip/x/../../keep", "k /keep"),
        ("/strip/../../etc", "r /under/etc"),
        ("/moved/x", "m /new/%20/x"),
        ("/moved/", "m /new/%20/"),
        ("/moved", "r /under/moved"),
        ("/keep/%7Ex", "k"),
        ("/keep/./x", "k /keep/x"),
        ("/", "r /under/"),
    ] {
        assert_eq!(on(&rules, path), expected, "{path}");
    }
}

#[test]
fn no_spelling_gets_past_a_rule() {
    let rules = compile(
        r#"{"longest": true, "rules": [
        {"prefix": "/app", "cluster": "app", "strip": true},
        {"prefix": "/app/secret", "cluster": "secret"},
        {"prefix": "/", "cluster": "rest"}
    ]}"#,
    )
    .unwrap();
    for (path, expected) in [
        ("/app;v=1/secret", "secret"),
        ("/app/secret;v=1/x", "secret"),
        ("/app/;/secret", "secret"),
        ("/app\\secret", "secret"),
        ("/app%5csecret", "secret"),
        ("/app/..;/x", "rest /x"),
        ("/app/..%3Bv/x", "rest /x"),
        ("/app\\..\\x", "rest /x"),
        ("/app/x%5C..%5Csecret", "secret /app%5Csecret"),
        ("/app;v=1/x;w", "app /x;w"),
        ("/app\\\\evil.example", "app /evil.example"),
        ("/app/.%00/secret", "Zero"),
        ("/else%00", "Zero"),
    ] {
        assert_eq!(on(&rules, path), expected, "{path}");
    }
    assert_eq!(on(&rules, &format!("/app/{}..", "a/".repeat(32_400))), "TooLong");
    assert!(on(&rules, &format!("/app/{}", "a/".repeat(32_400))).starts_with("app /a/a/"));
}

#[test]
fn every_faulty_rule_is_named() {
    let faults = compile(
        r#"{"rules": [
        {"prefix": "snoop", "cluster": "a"},
        {"prefix": "/a"},
        {"prefix": "/b", "cluster": "a", "next": true},
        {"prefix": "/c", "cluster": "a", "strip": true, "to": "/x"},
        {"prefix": "/d", "next": true, "to": "/x"},
        {"prefix": "/e", "cluster": "a", "to": "x"},
        {"prefix": "/f", "cluster": "a", "to": "/x?y"},
        {"prefix": "/g", "cluster": "a", "to": "/x y"},
        {"prefix": "/h", "cluster": "a", "to": "/x/../y"},
        {"prefix": "/i%20j", "cluster": "a"},
        {"prefix": "/i//j", "cluster": "a"},
        {"prefix": "/i/./j", "cluster": "a"},
        {"prefix": "/i?j", "cluster": "a"},
        {"prefix": "/a", "cluster": "nophp"},
        {"prefix": "/a/b", "cluster": "a"},
        {"prefx": "/z", "cluster": "a"},
        {"cluster": "a"},
        {"prefix": "/j;v", "cluster": "a"},
        {"prefix": "/j\\\\k", "cluster": "a"},
        {"prefix": "/j", "cluster": "a", "to": "/..;/x"},
        {"prefix": "/k", "cluster": "a", "to": "/x%00"}
    ], "longst": true}"#,
    )
    .unwrap_err();
    let expected = [
        "rules[0].prefix: \"snoop\" does not begin with a slash",
        "rules[1]: the rule does nothing, expected one of `cluster` and `next = true`",
        "rules[2]: the rule does more than one thing, expected one of `cluster` and `next = true`",
        "rules[3].strip: `to` says what stands in place of the prefix, \
         expected one of `strip` and `to`",
        "rules[4].next: `strip` and `to` go with `cluster` only",
        "rules[5].to: \"x\" does not begin with a slash",
        "rules[6].to: the query of the request stays, expected a path without one",
        "rules[7].to: ' ' must be percent-encoded",
        "rules[8].to: \"/x/../y\" has empty or dot segments, expected a path without them",
        "rules[9].prefix: it is compared with the decoded path, \
         expected one that is not percent-encoded",
        "rules[10].prefix: \"/i//j\" has empty or dot segments, expected a path without them",
        "rules[11].prefix: \"/i/./j\" has empty or dot segments, expected a path without them",
        "rules[12].prefix: '?' is no part of a path",
        "rules[13].prefix: `/a` is the prefix of rules[1] already",
        "rules[13].cluster: there is no cluster `nophp`, \
         expected the NAME of a table `[clusters.NAME]`",
        "rules[14].prefix: rules[1] gets all that begins with `/a/b`, \
         expected the longer prefix first, or `longest = true`",
        "rules[15].prefx: unknown key, expected one of `prefix`, `cluster`, `next`, `strip`, `to`; \
         did you mean `prefix`?",
        "rules[16]: `prefix` is missing",
        "rules[17].prefix: parameters are not compared, expected none, and no `;`",
        "rules[18].prefix: a `\\` is compared as a slash, expected `/`",
        "rules[19].to: \"/..;/x\" has empty or dot segments, expected a path without them",
        "rules[20].to: `%00` can stand in no path",
        "longst: unknown key, expected `rules` or `longest`; did you mean `longest`?",
    ];
    assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
    assert_eq!(compile(r#"{"rules": []}"#).unwrap_err(), "rules: an empty list never matches");
    assert!(compile("{}").unwrap_err().contains("`rules` is missing"));
}

proptest! {
    /// Looking prefixes up finds the rule that trying one after the other finds.
    #[test]
    fn search_agrees_with_trying_each(
        prefixes in prop::collection::btree_set("(/[ab]{1,2}){0,3}/?", 1..40),
        path in "(/[ab]{1,2}){0,4}/?",
        longest: bool,
    ) {
        // The longer before the shorter, so that each can be reached.
        let mut prefixes: Vec<String> = prefixes.into_iter().filter(|it| !it.is_empty()).collect();
        prefixes.sort_by_key(|prefix| usize::MAX - prefix.len());
        prop_assume!(!prefixes.is_empty());
        let rule = |(place, prefix): (usize, &String)| {
            format!(r#"{{"prefix": "{prefix}", "cluster": "c{place}"}}"#)
        };
        let list: Vec<String> = prefixes.iter().enumerate().map(rule).collect();
        let config = format!(r#"{{"rules": [{}], "longest": {longest}}}"#, list.join(","));
        let rules = compile(&config).unwrap();
        let path = if path.is_empty() { "/" } else { &path };
        let begins = |prefix: &String| {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
            })
        };
        let expected = prefixes.iter().position(begins).map(|place| format!("c{place}"));
        prop_assert_eq!(on(&rules, path), expected.unwrap_or_else(|| "next".to_owned()));
    }
}
