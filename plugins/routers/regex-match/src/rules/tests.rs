//! Rules on requests, as the configuration writes them.

use super::*;
use linkspan_plugin_common::testing::Known;
use proptest::prelude::*;

#[derive(Default)]
struct Fake {
    authority: &'static str,
    method: &'static str,
    headers: Vec<(&'static str, &'static [u8])>,
    query: Option<String>,
}

impl Request for Fake {
    fn authority(&self) -> String {
        self.authority.to_owned()
    }

    fn method(&self) -> String {
        self.method.to_owned()
    }

    fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.headers
            .iter()
            .filter(|header| header.0 == name)
            .map(|header| header.1.to_vec())
            .collect()
    }

    fn query(&self) -> Option<String> {
        self.query.clone()
    }
}

fn compile(config: &str) -> Result<Rules, String> {
    Rules::compile(config, &Known)
}

/// A decision in short: `CLUSTER`, `CLUSTER PATH`, `STATUS LOCATION`, `STATUS`, `next`.
fn decide(rules: &mut Rules, path: impl AsRef<[u8]>, request: &Fake) -> String {
    match rules.decide(path.as_ref(), request).into_owned() {
        Decision::Next => "next".to_owned(),
        Decision::Forward(Target { upstream: Upstream::Cluster(name), host: None, path: None }) => {
            name
        }
        Decision::Forward(Target {
            upstream: Upstream::Cluster(name),
            host: None,
            path: Some(path),
        }) => {
            format!("{name} {path}")
        }
        Decision::Forward(target) => panic!("{target:?}"),
        Decision::Redirect(redirection) => {
            format!("{} {}", redirection.status, redirection.location)
        }
        Decision::Respond(response) => response.status.to_string(),
    }
}

fn on(rules: &str, path: impl AsRef<[u8]>) -> String {
    decide(&mut compile(rules).unwrap(), path, &Fake::default())
}

#[test]
fn the_first_matching_rule_decides() {
    let rules = r#"{"rules": [
        {"match": ["\\.php$"], "cluster": "php"},
        {"match": ["\\.(jpg|png)$", "^/static/"], "cluster": "static"},
        {"match": ["a"], "cluster": "late"}
    ]}"#;
    assert_eq!(on(rules, "/a.php"), "php");
    assert_eq!(on(rules, "/A.PHP"), "php");
    assert_eq!(on(rules, "/a.png"), "static");
    assert_eq!(on(rules, "/static/a"), "static");
    assert_eq!(on(rules, "/a.phpx"), "late");
    assert_eq!(on(rules, "/"), "next");
    assert_eq!(on(r#"{"rules": []}"#, "/"), "next");
}

#[test]
fn patterns_see_bytes_and_line_breaks() {
    assert_eq!(
        on(
            r#"{"rules": [{"match": ["^/private/.*\\.php$"], "cluster": "a"}]}"#,
            "/private/x\ny.php"
        ),
        "a"
    );
    assert_eq!(
        on(r#"{"rules": [{"match": ["^/private$"], "cluster": "a"}]}"#, "/private\n"),
        "next"
    );
    assert_eq!(on(r#"{"rules": [{"match": ["/.\\xFF$"], "cluster": "a"}]}"#, b"/\x80\xff"), "a");
    assert_eq!(on(r#"{"rules": [{"match": ["/*.php"], "cluster": "a"}]}"#, "/xphp"), "a");
}

#[test]
fn other_conditions_narrow_a_rule_down() {
    let mut rules = compile(
        r#"{"rules": [
        {"match": ["^/x"], "host": ["^a\\.example$", "^b\\."], "cluster": "host"},
        {"method": ["PUT", "POST"], "cluster": "method"},
        {"header": {"cookie": ["gamma", "beta=1"], "x-a": "^$"}, "cluster": "header"},
        {"cluster": "rest"}
    ]}"#,
    )
    .unwrap();
    let host = |authority| Fake { authority, ..Fake::default() };
    assert_eq!(decide(&mut rules, "/x", &host("A.example:8080")), "host");
    assert_eq!(decide(&mut rules, "/x", &host("b.test")), "host");
    assert_eq!(decide(&mut rules, "/x", &host("xa.example")), "rest");
    assert_eq!(decide(&mut rules, "/y", &host("a.example")), "rest");
    assert_eq!(decide(&mut rules, "/", &Fake { method: "POST", ..Fake::default() }), "method");
    assert_eq!(decide(&mut rules, "/", &Fake { method: "post", ..Fake::default() }), "rest");
    let headers = vec![("cookie", &b"a=1"[..]), ("cookie", b"BETA=1"), ("x-a", b"")];
    assert_eq!(decide(&mut rules, "/", &Fake { headers, ..Fake::default() }), "header");
    let headers = vec![("cookie", &b"beta=1"[..])];
    assert_eq!(decide(&mut rules, "/", &Fake { headers, ..Fake::default() }), "rest");
}

#[test]
fn groups_go_into_paths_and_locations() {
    let rules = r#"{"rules": [
        {"match": ["^/old/(.*)", "^/older(/.*)"], "cluster": "a", "path": "/new/$1?from=$0"},
        {"match": ["^/plain"], "cluster": "a", "path": "/fixed"},
        {"match": ["^/strip(.*)"], "cluster": "a", "path": "$1"},
        {"match": ["^/go/(.*)"], "redirect": {"status": 301, "location": "/$1"}},
        {"match": ["^/out/([^/]*)"], "redirect": {"status": 302, "location": "https://b.test/$1#x"}},
        {"match": ["^/gone"], "respond": {"status": 410, "body": "gone"}}
    ]}"#;
    assert_eq!(on(rules, "/old/a b"), "a /new/a%20b?from=/old/a%20b");
    assert_eq!(on(rules, "/older/x"), "a /new//x?from=/older/x");
    assert_eq!(on(rules, "/plain/x"), "a /fixed");
    assert_eq!(on(rules, "/strip"), "a /");
    assert_eq!(on(rules, "/strip/x"), "a /x");
    assert_eq!(on(rules, "/go/x\r\ny: z"), "301 /x%0D%0Ay:%20z");
    assert_eq!(on(rules, "/go///evil.example/"), "301 /evil.example/");
    assert_eq!(on(rules, "/out/x/y"), "302 https://b.test/x#x");
    assert_eq!(on(rules, "/gone"), "410");
}

#[test]
fn nothing_matched_leads_out() {
    let rules = r#"{"rules": [
        {"match": ["^/static/(.*)"], "cluster": "a", "path": "/files/$1"},
        {"match": ["^/dot/(.*)"], "cluster": "a", "path": "/.$1/x"},
        {"match": ["^/query/(.*)"], "cluster": "a", "path": "/q?$1"},
        {"match": ["^/go/(.*)"], "redirect": {"status": 302, "location": "/$1"}},
        {"match": ["^/host/(.*)"], "redirect": {"status": 302, "location": "http://x.test$1/"}},
        {"match": ["^/any/(.*)"], "redirect": {"status": 302, "location": "$1"}}
    ]}"#;
    for (path, expected) in [
        ("/static/a%2Fb%5cc/%64", "a /files/a%2Fb%5Cc/d"),
        ("/%73tatic/%20%252e%252e", "a /files/%20%252e%252e"),
        ("/static/a/...", "a /files/a/..."),
        ("/static/..%2f..%2fadmin", "400"),
        ("/static/../admin", "400"),
        ("/static/%2e%2e/admin", "400"),
        ("/static/..%5cadmin", "400"),
        ("/static/..;x/admin", "400"),
        ("/static/.", "400"),
        ("/dot/.", "400"),
        ("/dot/a", "a /.a/x"),
        ("/query/../x", "a /q?../x"),
        ("/go/%2Fevil.test", "302 /%2Fevil.test"),
        ("/host/@evil.test", "400"),
        ("/host/", "302 http://x.test/"),
        ("/any/javascript:x", "400"),
        ("/any/a/b:c", "302 a/b:c"),
    ] {
        assert_eq!(on(rules, path), expected, "{path}");
    }
}

#[test]
fn every_faulty_rule_is_named() {
    let faults = compile(
        r#"{"rules": [
        {"match": ["a", "("], "cluster": "a"},
        {"match": ["a"]},
        {"match": ["a"], "cluster": "a", "respond": {"status": 200}},
        {"match": ["(a)"], "cluster": "a", "path": "/$2"},
        {"match": ["a"], "redirect": {"status": 200, "location": "/"}},
        {"match": [], "cluster": "a"},
        {"host": ["a", "[b"], "cluster": "a"},
        {"header": {"x": "*"}, "cluster": "a"},
        {"header": {"x y": "a"}, "cluster": "a"},
        {"respond": {"status": 99}},
        {"path": "/", "respond": {"status": 200}},
        {"match": ["[", "a", "a{2,1}"], "host": ["(", ")"], "cluster": "nophp", "path": "a b"},
        {"match": "a", "cluster": "a"},
        {"clustre": "a"},
        {"header": {"x": [], "y": ["a", "("]}, "method": ["get", "G T", "PROPFIND"], "cluster": "a"},
        {"cluster": "a", "path": "/$1"},
        {"cluster": "a", "path": "/a#b"},
        {"redirect": {"status": 301, "location": "/<a>#b"}},
        {"match": ["(a)"], "redirect": {"status": 301, "location": "https://$1/"}},
        {"match": ["(a)"], "cluster": "a", "path": "/%2e./$1"}
    ]}"#,
    )
    .err()
    .unwrap();
    let expected = [
        "rules[1]: the rule does nothing, expected one of `cluster`, `redirect` and `respond`",
        "rules[2]: the rule does more than one thing, \
         expected one of `cluster`, `redirect` and `respond`",
        "rules[3].path: match[0] has no group for `$2`, expected `$1` at most",
        "rules[4].redirect.status: 200 is no redirection, expected 301, 302, 303, 307 or 308",
        "rules[5].match: an empty list never matches",
        "rules[6].host[1]: `[b`: unclosed character class",
        "rules[7].header.x: `*`: repetition operator missing expression",
        "rules[8].header.x y: \"x y\" is no name of a header field",
        "rules[9].respond.status: 99 is no final status, expected 200 to 599",
        "rules[10].path: goes with `cluster` only",
        "rules[11].host[0]: `(`: unclosed group",
        "rules[11].host[1]: `)`: unopened group",
        "rules[11].path: ' ' must be percent-encoded",
        "rules[11].cluster: there is no cluster `nophp`, \
         expected the NAME of a table `[clusters.NAME]`",
        "rules[12].match: this is a string, expected a list",
        "rules[13].clustre: unknown key, expected one of `match`, `host`, `method`, `header`, \
         `path`, `cluster`, `redirect`, `respond`; did you mean `cluster`?",
        "rules[14].header.x: an empty list never matches",
        "rules[14].header.y[1]: `(`: unclosed group",
        "rules[14].method[0]: case counts in methods, and nobody sends `get`, expected `GET`",
        "rules[14].method[1]: \"G T\" is no method",
        "rules[15].path: `$1` is a group of a pattern in `match`, and there is none",
        "rules[16].path: '#' must be percent-encoded",
        "rules[17].redirect.location: '<' must be percent-encoded",
        "rules[18].redirect.location: what is matched would be the host, expected its end in the \
         text, as in `https://$1.example.com/`",
        "rules[19].path: it has dot segments, expected a path without them",
        "rules[0].match[1]: `(`: unclosed group",
        "rules[11].match[0]: `[`: unclosed character class",
        "rules[11].match[2]: `a{2,1}`: invalid repetition count range, the start must be <= the end",
    ];
    assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_cluster_must_be_there() {
    let config = r#"{"rules": [{"cluster": "nophp"}, {"cluster": "a"}, {"cluster": "nothing"}]}"#;
    let faults = compile(config).err().unwrap();
    let expected = [
        "rules[0].cluster: there is no cluster `nophp`, \
         expected the NAME of a table `[clusters.NAME]`",
        "rules[2].cluster: there is no cluster `nothing`, \
         expected the NAME of a table `[clusters.NAME]`",
    ];
    assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn ten_thousand_rules_keep_their_order() {
    let rules: Vec<String> = (0..10_000)
        .map(|rule| {
            format!(r#"{{"match": ["^/app{rule}/", "\\.e{rule}$"], "cluster": "c{rule}"}}"#)
        })
        .collect();
    let mut rules = compile(&format!(r#"{{"rules": [{}]}}"#, rules.join(","))).unwrap();
    for (path, expected) in
        [("/app9999/", "c9999"), ("/app70/x.e69", "c69"), ("/x.e8000", "c8000"), ("/x", "next")]
    {
        assert_eq!(decide(&mut rules, path, &Fake::default()), expected);
    }
}

#[test]
fn a_target_that_grows_too_long_is_the_clients_fault() {
    let rules = r#"{"rules": [{"match": ["^/x(.*)"], "cluster": "a", "path": "/y$1"},
                              {"match": ["^/z(.*)"], "cluster": "a", "path": "/z$1?$1"},
                              {"match": ["^/f(.*)"], "cluster": "a", "path": "/f"}]}"#;
    let mut rules = compile(rules).unwrap();
    let path = |length: usize| format!("/x{}", "\"".repeat(length));
    let with_query = |length| Fake { query: Some("q".repeat(length)), ..Fake::default() };
    assert_eq!(decide(&mut rules, path(8_191), &with_query(0)), "414");
    assert_eq!(decide(&mut rules, path(8_190), &with_query(60_000)), "414");
    assert!(decide(&mut rules, path(8_190), &with_query(20_000)).starts_with("a /y%22%22"));
    let plain = format!("/z{}", "b".repeat(8_190));
    assert!(decide(&mut rules, &plain, &with_query(60_000)).starts_with("a /zbb"));
    assert_eq!(decide(&mut rules, format!("/f{}", "b".repeat(60_000)), &with_query(0)), "a /f");
    let body = "b".repeat((1 << 20) + 1);
    let rules = format!(r#"{{"rules": [{{"respond": {{"status": 200, "body": "{body}"}}}}]}}"#);
    let fault = compile(&rules).err().unwrap();
    assert!(fault.starts_with("rules[0].respond.body: this has 1048577 bytes"), "{fault}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The chunked search finds the rule that trying one pattern after the other finds.
    #[test]
    fn search_agrees_with_trying_each(
        texts in prop::collection::vec("[abA.]{1,2}|\\^/[abA]{1,3}|[abB]{1,2}\\$|\\^/a\\|b|a\\*b\\+|", 1..1200),
        path in prop::collection::vec(prop::sample::select(&b"/abAB.\n\xff"[..]), 0..12),
    ) {
        let numbered = texts.iter().enumerate();
        let paths: Vec<_> = numbered.map(|(rule, text)| (rule, 0, text.clone())).collect();
        let mut faults = Vec::new();
        let mut all = Patterns::compile(&paths, &mut faults);
        prop_assert!(faults.is_empty());
        let expected = texts.iter().position(|text| patterns::one(text).unwrap().is_match(&path));
        prop_assert_eq!(all.find(&path, Some), expected);
    }
}
