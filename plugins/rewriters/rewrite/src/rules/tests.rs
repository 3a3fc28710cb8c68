//! The rules over heads that are made up.

use super::*;
use linkspan_plugin_common::config;
use proptest::prelude::*;

#[derive(Default)]
struct Fake {
    target: &'static str,
    fields: Vec<(&'static str, &'static [u8])>,
}

impl Head for Fake {
    fn target(&self) -> String {
        self.target.to_owned()
    }

    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        let own = self.fields.iter().filter(|field| field.0 == name);
        own.map(|field| field.1.to_vec()).collect()
    }
}

fn compile(config: &str) -> Result<Rules, String> {
    Rules::compile(config::parse(config)?)
}

/// One rule for a name, as JSON.
fn rule(header: &str, pattern: &str, to: &str) -> String {
    format!("{{\"header\": {header:?}, \"match\": {pattern:?}, \"to\": {to:?}}}")
}

/// The edits in short: `/path`, `@authority`, `name=value`, `+name=value`.
fn short(edits: &[Edit]) -> Vec<String> {
    let field = |field: &Field| format!("{}={}", field.name, String::from_utf8_lossy(&field.value));
    let short = |edit: &Edit| match edit {
        Edit::Path(path) => path.clone(),
        Edit::Authority(authority) => format!("@{authority}"),
        Edit::Set(set) => field(set),
        Edit::Append(append) => format!("+{}", field(append)),
        Edit::Remove(_) | Edit::Status(_) | Edit::TransformBody => panic!("{edit:?}"),
    };
    edits.iter().map(short).collect()
}

#[track_caller]
fn of_request(rules: &[String], head: &Fake) -> Vec<String> {
    let rules = compile(&format!("{{\"request\": [{}]}}", rules.join(","))).unwrap();
    short(&rules.edits(Phase::Request, head).unwrap())
}

#[track_caller]
fn of_response(rules: &[String], fields: &[(&'static str, &'static [u8])]) -> Vec<String> {
    let rules = compile(&format!("{{\"response\": [{}]}}", rules.join(","))).unwrap();
    assert!(rules.are_idle(Phase::Request));
    let head = Fake { fields: fields.to_vec(), ..Fake::default() };
    short(&rules.edits(Phase::Response, &head).unwrap())
}

#[test]
fn the_target_is_path_and_query() {
    let rules = [rule("_uri", "^/proxyme(/.*)", "$1")];
    let target = |target| of_request(&rules, &Fake { target, ..Fake::default() });
    assert_eq!(target("/proxyme/a?b=1"), ["/a?b=1"]);
    assert_eq!(target("/other"), [""; 0]);
    assert_eq!(target("/x/proxyme/a"), [""; 0]);
    assert_eq!(target("/PROXYME/a"), [""; 0], "case matters");
    assert_eq!(target("/proxyme/some+test%3axxx%20with"), ["/some+test%3axxx%20with"]);
    let alias = [rule("URI", "^/old/([^?]*)", "/new/$1")];
    let target = |target| of_request(&alias, &Fake { target, ..Fake::default() });
    assert_eq!(target("/old/a?b=1"), ["/new/a?"], "the result is all of the target");
    assert_eq!(target("/old/a"), ["/new/a"]);
}

#[test]
fn a_match_anywhere_replaces_the_whole_value() {
    let rules = [rule("Location", "inner", "http://outer/"), rule("x-a", "(b)|(c)", "[$1|$2]")];
    let fields: [(&str, &[u8]); 3] =
        [("location", b"http://inner.test/a"), ("x-a", b"abc"), ("x-a", b"c")];
    assert_eq!(of_response(&rules, &fields), ["location=http://outer/", "x-a=[b|]", "+x-a=[|c]"]);
}

#[test]
fn the_first_rule_that_matches_counts_and_each_field_is_its_own() {
    let rules = [
        rule("set-cookie", "^a=(.*)", "first=$1"),
        rule("X-Other", "x", "y"),
        rule("Set-Cookie", "^(a|first|b)=", "second=$1"),
    ];
    let fields: [(&str, &[u8]); 3] =
        [("set-cookie", b"c=0"), ("set-cookie", b"b=1"), ("set-cookie", b"a=2")];
    assert_eq!(
        of_response(&rules, &fields),
        ["set-cookie=c=0", "+set-cookie=second=b", "+set-cookie=first=2"]
    );
    assert_eq!(of_response(&rules, &fields[..1]), [""; 0], "what does not match is not touched");
}

#[test]
fn the_host_is_one_and_other_fields_are_any() {
    let rules = [rule("host", ".*", "en.example"), rule("x-a", "^(.)", "$1$1")];
    let head = Fake { target: "/", fields: vec![("host", b"a.test"), ("x-a", b"\xffb")] };
    assert_eq!(of_request(&rules, &head), ["@en.example", "x-a=\u{fffd}\u{fffd}"]);
    assert_eq!(of_request(&rules, &Fake { target: "/", ..Fake::default() }), [""; 0]);
}

#[test]
fn patterns_and_values_are_bytes() {
    let rules = compile(&format!("{{\"response\": [{}]}}", rule("x-a", r"^\xff(.)", "<$1>")));
    let head = Fake { fields: vec![("x-a", b"\xff\xfe")], ..Fake::default() };
    let edits = rules.unwrap().edits(Phase::Response, &head).unwrap();
    assert!(matches!(&edits[..], [Edit::Set(field)] if field.value == b"<\xfe>"), "{edits:?}");
    let rules = [rule("x-a", "(?i)caf\u{e9}", "tea")];
    assert_eq!(of_response(&rules, &[("x-a", "a CAF\u{e9}".as_bytes())]), ["x-a=tea"]);
}

#[test]
fn every_fault_is_named() {
    let rules = [
        rule("_docroot", "", ""),
        rule("_url", "", "/"),
        rule("a b", "", ""),
        rule("Content-Length", "(", "1"),
        rule("x-a", "[", "a\nb"),
        rule("_uri", "", "static/$1"),
        rule("_uri", "", "/a b"),
        rule("URI", "", "/#a"),
        rule("Host", "", "http://a/"),
        "{\"header\": \"x\", \"match\": \"\"}".to_owned(),
    ];
    let faults = format!(
        "{{\"request\": [{}], \"response\": [{}]}}",
        rules.join(","),
        [rule("_uri", "", "/"), rule("Transfer-Encoding", "", "")].join(",")
    );
    let faults = compile(&faults).err().unwrap();
    let faults: Vec<&str> = faults.lines().collect();
    let expected = [
        ("request[0].header: ", "FastCGI"),
        ("request[1].header: ", "did you mean `_uri`?"),
        ("request[2].header: ", "no name of a header field"),
        ("request[3].header: ", "belongs to the connection"),
        ("request[3].match: `(`: ", "unclosed group"),
        ("request[4].match: `[`: ", "unclosed character class"),
        ("request[4].to: ", "control characters"),
        ("request[5].to: ", "begins with `/`"),
        ("request[6].to: ", "percent-encoded"),
        ("request[7].to: ", "without `#`"),
        ("request[8].to: ", "expected `host` or `host:port`"),
        ("request[9]: ", "`to` is missing"),
        ("response[0].header: ", "expected the name of a header field"),
        ("response[1].header: ", "belongs to the connection"),
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, (start, text)) in faults.iter().zip(expected) {
        assert!(fault.starts_with(start) && fault.contains(text), "{fault}");
    }
    assert!(compile("{}").unwrap().are_idle(Phase::Response));
    assert!(compile(r#"{"reqest": []}"#).err().unwrap().contains("did you mean `request`?"));
}

proptest! {
    /// Whatever a field holds and a template says, no line break gets into a value.
    #[test]
    fn no_value_gets_a_control_character(
        value in prop::collection::vec(prop::sample::select(&b"ab:/ \t\x80\xff"[..]), 0..20),
        pattern in "[ab./]{0,3}(\\(\\.\\*\\))?",
        to in "[ab$0-9 ]{0,8}",
    ) {
        let to = to.trim();
        let value: &'static [u8] = Box::leak(value.into_boxed_slice());
        let rules = compile(&format!("{{\"response\": [{}]}}", rule("x-a", &pattern, to))).unwrap();
        let head = Fake { fields: vec![("x-a", value)], ..Fake::default() };
        for edit in rules.edits(Phase::Response, &head).unwrap() {
            let Edit::Set(field) = edit else { panic!("{edit:?}") };
            prop_assert!(field.value.iter().all(|byte| *byte >= 0x20 || *byte == b'\t'));
        }
    }
}

#[test]
fn groups_are_looked_for_in_what_does_not_take_long() {
    let long: &'static [u8] = Vec::leak(vec![b'a'; 10 << 10]);
    let edits = |to: &str, values: usize| {
        let rules = format!("{{\"request\": [{}]}}", rule("X-A", "^a(a*)$", to));
        let fields = vec![("x-a", long); values];
        compile(&rules).unwrap().edits(Phase::Request, &Fake { fields, ..Fake::default() })
    };
    assert_eq!(edits("b$1", 1).unwrap().len(), 1);
    assert_eq!(edits("b$1", 2).unwrap_err(), TooLong, "of all values together");
    assert_eq!(edits("b$0", 6).unwrap().len(), 6, "the match is found at once");
}

#[test]
fn groups_see_what_stands_before_the_match() {
    let fields = [("x-a", &b"foo bar"[..])];
    assert_eq!(of_response(&[rule("X-A", r"\bb(ar)$", "<$1>")], &fields), ["x-a=<ar>"]);
    let fields = [("x-a", &b"foobar"[..])];
    assert!(of_response(&[rule("X-A", r"\bb(ar)$", "<$1>")], &fields).is_empty());
}
