//! Values over ways that are made up.

use super::*;
use proptest::prelude::*;

/// A request for `http://front.example:8080/app/page`, which `inner.test:9000` or another of its
/// cluster got as `/page`.
struct Fake {
    authority: &'static str,
    fields: Vec<(&'static str, &'static [u8])>,
    paths: (&'static str, &'static str),
    sent_host: &'static str,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            authority: "front.example:8080",
            fields: Vec::new(),
            paths: ("/app/page", "/page"),
            sent_host: "Inner.test",
        }
    }
}

impl Told for Fake {
    fn scheme(&self) -> String {
        "http".to_owned()
    }

    fn authority(&self) -> String {
        self.authority.to_owned()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.fields.iter().find(|field| field.0 == name).map(|field| field.1.to_vec())
    }

    fn paths(&self) -> (String, String) {
        (self.paths.0.to_owned(), self.paths.1.to_owned())
    }

    fn sent_host(&self) -> String {
        self.sent_host.to_owned()
    }

    fn endpoint(&self) -> String {
        "10.0.0.1:9000#inner.test".to_owned()
    }

    fn is_endpoint(&self, authority: &str) -> bool {
        ["10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.1", "10.0.0.2"].contains(&authority)
    }
}

type Rewrite = fn(&[u8], &Config, &Way<Fake>) -> Option<Vec<u8>>;

/// Each value becomes what stands beside it; nothing of a value that stays.
#[track_caller]
fn become_of(rewrite: Rewrite, config: &str, fake: impl Fn() -> Fake, pairs: &[(&str, &str)]) {
    let config = Config::parse(config).unwrap();
    for (value, expected) in pairs {
        let rewritten = rewrite(value.as_bytes(), &config, &Way::new(fake()));
        let text = rewritten.map(|text| String::from_utf8(text).unwrap());
        let expected = (value != expected).then(|| (*expected).to_owned());
        assert_eq!(text, expected, "{value}");
    }
}

#[test]
fn what_names_the_upstream_becomes_what_the_client_addressed() {
    become_of(
        url,
        "{}",
        Fake::default,
        &[
            ("http://inner.test/login?a=b#c", "http://front.example:8080/app/login?a=b#c"),
            ("HTTP://INNER.TEST:80/login", "http://front.example:8080/app/login"),
            ("http://10.0.0.1:9000/login", "http://front.example:8080/app/login"),
            ("http://inner.test:9000/login", "http://front.example:8080/app/login"),
            ("http://10.0.0.2:9000", "http://front.example:8080/app/"),
            ("http://10.0.0.2:9000?a", "http://front.example:8080/app/?a"),
            ("//inner.test/login", "//front.example:8080/app/login"),
            ("/login", "/app/login"),
            ("/", "/app/"),
            // It knows under which path it is seen.
            ("/app/login", "/app/login"),
            ("http://inner.test/app/login", "http://front.example:8080/app/login"),
            // Somebody else's.
            ("http://inner.test:9001/login", "http://inner.test:9001/login"),
            ("https://inner.test:9000/login", "https://inner.test:9000/login"),
            ("https://inner.test/login", "https://inner.test/login"),
            ("http://10.0.0.1/login", "http://10.0.0.1/login"),
            ("http://front.example:8080/login", "http://front.example:8080/login"),
            ("http://inner.test@evil.test/", "http://inner.test@evil.test/"),
            ("http://inner.test.evil.test/", "http://inner.test.evil.test/"),
            ("//evil.test/", "//evil.test/"),
            ("login", "login"),
            ("../login", "../login"),
            ("?a=b", "?a=b"),
            ("mailto:a@inner.test", "mailto:a@inner.test"),
            ("", ""),
        ],
    );
}

#[test]
fn a_host_that_was_preserved_gets_its_scheme_and_path_back() {
    let behind_tls = || Fake {
        authority: "front.example",
        fields: vec![("x-forwarded-proto", b"https, http"), ("x-forwarded-host", b"www.example")],
        sent_host: "www.example",
        ..Fake::default()
    };
    become_of(
        url,
        "{}",
        behind_tls,
        &[
            ("http://www.example/a", "https://www.example/app/a"),
            ("https://www.example/a", "https://www.example/app/a"),
            ("https://www.example:443/a", "https://www.example/app/a"),
            ("//www.example/a", "//www.example/app/a"),
            ("http://www.example:443/a", "http://www.example:443/a"),
            ("https://10.0.0.1:9000/a", "https://10.0.0.1:9000/a"),
        ],
    );
    let unnamed = || Fake { authority: "", ..Fake::default() };
    become_of(url, "{}", unnamed, &[("http://inner.test/a?b", "/app/a?b")]);
}

#[test]
fn a_path_that_was_added_is_taken_away_and_opens_no_way_out() {
    let added = || Fake { paths: ("/page", "/inner/page"), ..Fake::default() };
    become_of(
        url,
        "{}",
        added,
        &[
            ("/inner/login", "/login"),
            ("/inner", "/"),
            ("/inner?a", "/?a"),
            ("/innermost", "/innermost"),
            ("/other", "/other"),
            ("http://inner.test/other", "http://front.example:8080/other"),
            ("/inner//evil.test/", "/evil.test/"),
            ("/inner/\\evil.test/", "/evil.test/"),
            ("http://inner.test/inner//a", "http://front.example:8080//a"),
        ],
    );
}

#[test]
fn what_is_configured_goes_first() {
    let config = r#"{"map": [
        {"from": "http://backend.internal:8080/app", "to": "/front"},
        {"from": "http://backend.internal:8080/", "to": "https://static.example/"},
        {"from": "/login", "to": "/sign-in"}
    ]}"#;
    let pairs = [
        ("http://Backend.Internal:8080/app/x", "http://front.example:8080/front/x"),
        ("http://backend.internal:8080/app", "http://front.example:8080/front"),
        ("http://backend.internal:8080/apple", "https://static.example/apple"),
        ("http://backend.internal:8080", "https://static.example/"),
        ("http://backend.internal/app", "http://backend.internal/app"),
        ("https://backend.internal:8080/app", "https://backend.internal:8080/app"),
        ("/login?a", "/sign-in?a"),
        ("http://10.0.0.2:9000/login/x", "http://front.example:8080/sign-in/x"),
    ];
    become_of(url, config, Fake::default, &pairs);
    become_of(url, config, Fake::default, &[("/other", "/app/other")]);
    let alone = config.replacen('{', "{\"automatic\": false, ", 1);
    become_of(url, &alone, Fake::default, &pairs);
    become_of(
        url,
        &alone,
        Fake::default,
        &[("/other", "/other"), ("http://inner.test/", "http://inner.test/")],
    );
}

#[test]
fn refresh_has_a_url_in_it() {
    become_of(
        refresh,
        "{}",
        Fake::default,
        &[
            ("5; url=http://inner.test/a", "5; url=http://front.example:8080/app/a"),
            ("0;URL='/a?b;c'", "0;URL='/app/a?b;c'"),
            ("0.5 , url = \"/a\" x", "0.5 , url = \"/app/a\" x"),
            ("0; \"/a", "0; \"/app/a"),
            ("3; /url", "3; /app/url"),
            ("5", "5"),
            ("5; url=https://else/", "5; url=https://else/"),
            ("a; url=/a", "a; url=/a"),
            (";", ";"),
            ("5;", "5;"),
            ("5; url=", "5; url="),
        ],
    );
}

#[test]
fn of_cookies_only_the_attributes_are_rewritten() {
    let config = r#"{"cookie-domain": {"local": "remote"}, "cookie-path": {"/local": "/remote"}}"#;
    let unchanged = || Fake { paths: ("/", "/"), ..Fake::default() };
    become_of(
        set_cookie,
        config,
        unchanged,
        &[
            ("fakedomain=local;domain=local", "fakedomain=local;domain=remote"),
            ("fakepath=/local;path=/local", "fakepath=/local;path=/remote"),
            ("domain=local;path=/local;foo=bar", "domain=remote;path=/remote;foo=bar"),
            ("domain=local; Secure; HttpOnly", "domain=local; Secure; HttpOnly"),
            ("path=/local; Path=/local/x; Max-Age=5", "path=/local; Path=/remote/x; Max-Age=5"),
            ("a=b; Domain = .LOCAL ; Path=\"/local\"", "a=b; Domain = remote; Path=\"/remote\""),
            ("a=b; domain=local.other; path=/locale", "a=b; domain=local.other; path=/locale"),
            ("a=b; domain; path=", "a=b; domain; path="),
            ("", ""),
        ],
    );
}

#[test]
fn cookies_of_the_upstream_become_the_clients() {
    become_of(
        set_cookie,
        "{}",
        Fake::default,
        &[
            ("a=b; Path=/; HttpOnly", "a=b; Path=/app; HttpOnly"),
            ("a=b; Path=/x/; Domain=inner.test", "a=b; Path=/app/x/; Domain=front.example"),
            ("a=b; Domain=.Inner.Test", "a=b; Domain=front.example"),
            ("a=b; Domain=10.0.0.2", "a=b; Domain=front.example"),
            ("a=b; Domain=test", "a=b; Domain=test"),
            ("a=b; Domain=front.example", "a=b; Domain=front.example"),
            ("a=b", "a=b"),
            ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
        ],
    );
    let config = r#"{"cookie-path": {"/": "/", "/x": "/y"}}"#;
    become_of(
        set_cookie,
        config,
        Fake::default,
        &[("a=b; Path=/", "a=b; Path=/"), ("a=b; Path=/x/z", "a=b; Path=/y/z")],
    );
}

proptest! {
    /// Whatever a value holds, nothing that was not there comes in but what the way has.
    #[test]
    fn any_value_is_taken(value in prop::collection::vec(
        prop::sample::select(&b"htp:/\\?#;,='\" .urldomainpath5\xff"[..]), 0..40,
    )) {
        let config = Config::parse("{}").unwrap();
        for rewrite in [url as Rewrite, refresh, set_cookie] {
            if let Some(rewritten) = rewrite(&value, &config, &Way::new(Fake::default())) {
                prop_assert!(rewritten.iter().all(|byte| *byte >= 0x20));
                prop_assert!(rewritten != value);
            }
        }
    }
}
