//! What is said about a file that is wrong.

use std::path::Path;

use proptest::prelude::*;

use super::{EXAMPLE, SMALLEST, parsed};
use crate::config::check::load;
use crate::config::{Config, Instances, ProxyProtocol};

/// The faults of a text in one line each, after the smallest configuration.
fn faults(text: &str) -> Vec<String> {
    let text = format!("{SMALLEST}{text}");
    parsed(&text).err().iter().flatten().map(ToString::to_string).collect()
}

/// The only fault of a text, without its place.
fn fault(text: &str) -> String {
    let all = faults(text);
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    all[0].splitn(3, ':').nth(2).unwrap_or_default().trim_start().to_owned()
}

#[test]
fn six_mistakes_are_six_faults() {
    let text = r#"
[listeners.web]
bind = "0.0.0.0:8080"
default-clustr = "static"
default-cluster = "statik"

[clusters.static]
endpoints = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 0 }]
max-attempts = "three"
connect-timeout = "10"
balancer = "rond robin"
"#;
    let faults = parsed(text).unwrap_err();
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "4:1: listeners.web.default-clustr: unknown key (did you mean `default-cluster`?)",
            "5:19: listeners.web.default-cluster: there is no cluster `statik`, \
             expected the NAME of a table `[clusters.NAME]` (did you mean `static`?)",
            "8:65: clusters.static.endpoints[1].weight: this is not a weight, \
             expected a number from 0.01 to 10000 with at most two decimals",
            "9:16: clusters.static.max-attempts: this is a string, \
             expected a whole number from 1 to 10000",
            "10:19: clusters.static.connect-timeout: cannot read `10`: it has no unit, \
             expected a duration from 1ms to 1d, such as `1h30m`, `10s` or `500ms`",
            "11:12: clusters.static.balancer: there is no balancer `rond robin`, \
             expected the name of a balancer, or of a table `[plugins.NAME]` \
             (did you mean `round-robin`?)",
        ]
    );
    let offending: Vec<_> = faults.iter().map(|fault| fault.text.as_str()).collect();
    let expected = ["default-clustr", "\"statik\"", "0", "\"three\"", "\"10\"", "\"rond robin\""];
    assert_eq!(offending, expected);
    let drawn = faults.to_string();
    assert!(drawn.contains("--> /etc/linkspan/linkspan.toml:8:65"), "{drawn}");
    assert!(drawn.ends_with("error: /etc/linkspan/linkspan.toml: 6 faults"), "{drawn}");
}

#[test]
fn syntax_comes_first_and_all_at_once() {
    let faults = parsed("a = \n[listeners.web]\nbind = \nb = 1\nb = 2\n").unwrap_err();
    let places = faults.iter().filter_map(|fault| fault.place.as_ref());
    let lines: Vec<_> = places.map(|place| place.line).collect();
    assert_eq!(lines, [1, 3, 5], "{faults}");
}

#[test]
fn what_comes_later_is_refused_by_name() {
    let later = "not available in this version";
    assert_eq!(fault("pin = 1"), format!("listeners.web.pin: {later}"));
    let clear = fault("[clusters.c]\nendpoints = ['h2c://a']");
    assert!(clear.contains("`h2c` endpoints are not available in this version"), "{clear}");
}

#[test]
fn a_listener_has_the_keys_of_its_protocol() {
    let of_tcp = "only a listener of `protocol = \"tcp\"` has this";
    assert_eq!(fault("stream-router = 'x'"), format!("listeners.web.stream-router: {of_tcp}"));
    let git = "[listeners.git]\nbind = ':9418'\nprotocol = 'tcp'\nstream-router = 'x'\n";
    assert_eq!(
        fault(&format!("{git}max-headers = 5")),
        "listeners.git.max-headers: a listener of `protocol = \"tcp\"` knows of no requests"
    );
    assert_eq!(
        fault(&git.replace("'tcp'", "'tpc'")),
        "listeners.git.protocol: `tpc` is not known here, expected `http` or `tcp` (did you mean \
         `tcp`?)"
    );
}

#[test]
fn what_an_endpoint_cannot_be_is_refused() {
    let expected_weight = "expected a number from 0.01 to 10000 with at most two decimals";
    for (keys, expected) in [
        ("weight = 0", format!("weight: this is not a weight, {expected_weight}")),
        ("weight = -1", format!("weight: this is not a weight, {expected_weight}")),
        ("weight = -0.5", format!("weight: this is not a weight, {expected_weight}")),
        (
            "status = 'standy'",
            "status: `standy` is not known here, expected `standby`, `spare`, `drain`, `disabled` or \
             `stopped` (did you mean `standby`?)"
                .to_owned(),
        ),
        (
            "lbset = 100",
            "lbset: the number is out of range, expected a whole number from 0 to 99".to_owned(),
        ),
        (
            "lbset = -1",
            "lbset: the number is out of range, expected a whole number from 0 to 99".to_owned(),
        ),
    ] {
        let text = format!("[clusters.c]\nendpoints = ['a', {{ address = 'b', {keys} }}]");
        assert_eq!(fault(&text), format!("clusters.c.endpoints[1].{expected}"));
    }
}

#[test]
fn a_check_that_cannot_be_made_is_refused() {
    for (check, expected) in [
        ("{ path = 'healthz' }", "path: cannot read `healthz`: it does not begin with a slash"),
        (
            "{ path = '/a b' }",
            "path: cannot read `/a b`: it has characters that a path cannot have",
        ),
        ("{ host = 'a b' }", "host: cannot read `a b`: it is not the name of a host"),
        ("{ method = 'POST' }", "method: `POST` is not known here"),
        ("{ status = [99] }", "status[0]: `99` is not a status, expected 100 to 599"),
        ("{ status = ['6xx'] }", "status[0]: `6xx` is not a status"),
        ("{ status = [true] }", "status[0]: this is a boolean, expected a status"),
        ("{ body = '(' }", "body: cannot read `(`: unclosed group"),
        ("{ status = [] }", "status: no status passes, and so no check"),
        ("{ method = 'HEAD', body = 'up' }", "body: an answer to HEAD has no body"),
        ("{ interval = '0s' }", "interval: the duration is out of range"),
        ("{ rise = 0 }", "rise: the number is out of range"),
        ("{ port = 0 }", "port: the number is out of range"),
        ("{ type = 'ping' }", "type: `ping` is not known here, expected `http` or `tcp`"),
        ("{ type = 'tcp', path = '/' }", "path: a check of type \"tcp\" sends nothing"),
        ("{ paht = '/' }", "paht: unknown key (did you mean `path`?)"),
        ("true", "this is a boolean, expected a table"),
    ] {
        let fault = fault(&format!("[clusters.c]\nendpoints = []\nhealth.check = {check}"));
        let place = if expected.starts_with("this") { ": " } else { "." };
        let expected = format!("clusters.c.health.check{place}{expected}");
        assert!(fault.starts_with(&expected), "{fault}\n{expected}");
    }
    let cluster = |line: &str| fault(&format!("[clusters.c]\nendpoints = []\n{line}"));
    assert!(cluster("fail-on-status = ['500-']").contains("`500-` is not a status"));
    assert!(cluster("fail-on-status = 500").contains("this is an integer, expected a list"));
    assert!(cluster("fail-attempts = 0").contains("out of range"));
    assert!(cluster("force-recovery = 'yes'").contains("expected true or false"));
}

#[test]
fn a_limit_of_zero_is_refused_and_so_is_a_retry_budget() {
    let range = "the number is out of range, expected a whole number from 1 to 1000000";
    let cluster = "[clusters.c]\nendpoints = []\n";
    assert_eq!(
        fault(&format!("{cluster}max-connections = 0")),
        format!("clusters.c.max-connections: {range}")
    );
    assert_eq!(
        fault("[clusters.c]\nendpoints = [{ address = 'a', max-connections = 0 }]"),
        format!("clusters.c.endpoints[0].max-connections: {range}")
    );
    for text in ["max-queue = -1", "queue-timeout = '0s'"] {
        let fault = fault(&format!("{cluster}{text}"));
        assert!(fault.contains("out of range"), "{fault}");
    }
    // The budget is no key.
    let unknown = fault(&format!("{cluster}retry-budget = 0.2"));
    assert!(unknown.starts_with("clusters.c.retry-budget: unknown key"), "{unknown}");
}

#[test]
fn a_wrong_default_is_reported_once() {
    let clusters = "[clusters.a]\nendpoints = []\n[clusters.b]\nendpoints = []\n";
    for (default, start) in [
        ("connect-timeout = 5", "defaults.cluster.connect-timeout: this is an integer"),
        ("conect-timeout = '5s'", "defaults.cluster.conect-timeout: unknown key (did you mean"),
        ("health.attempt = 5", "defaults.cluster.health.attempt: unknown key"),
        ("health = 5", "defaults.cluster.health: this is an integer"),
        ("endpoints = []", "defaults.cluster.endpoints: each cluster has its own endpoints"),
        ("tls = 5", "defaults.cluster.tls: this is an integer"),
    ] {
        for text in [
            format!("[defaults.cluster]\n{default}\n{clusters}"),
            format!("[defaults.cluster]\n{default}\n"),
        ] {
            let fault = fault(&text);
            assert!(fault.starts_with(start), "{fault}");
        }
    }
    assert!(fault("[defaults]\nserver = {}").starts_with("defaults.server: unknown key"));
    assert!(
        fault("[defaults.listener]\nbind = ':1'").starts_with("defaults.listener.bind: no two")
    );
}

#[test]
fn references_must_lead_somewhere() {
    assert!(fault("[plugins.p]\ngrants.stores = ['s']").contains("there is no store `s`"));
    let router = fault("routers = ['a b']\n[plugins.'a-b']");
    assert!(router.contains("neither a plugin nor"), "{router}");
    assert!(router.ends_with("(did you mean `a-b`?)"), "{router}");
    assert_eq!(
        fault("routers = [1]").split(',').next(),
        Some("listeners.web.routers[0]: this is an integer")
    );

    let text = "[clusters.c]\nendpoints = []\nbalancer = ['mine', 'hash', 'FAIR', 'LockingRoundRobin']\n\
                [plugins.hash]\ncomponent = 'my-hash'\n";
    let config = parsed(&format!("{SMALLEST}{text}")).unwrap_or_else(|faults| panic!("{faults}"));
    let balancers: Vec<_> = config.clusters["c"].balancers.iter().map(AsRef::as_ref).collect();
    assert_eq!(balancers, ["mine", "hash", "sqf", "locking-round-robin"]);
    assert_eq!(config.plugins["hash"].component, "my-hash");
    let locking = &config.plugins["locking-round-robin"];
    assert_eq!((locking.component.as_str(), locking.instances), ("round-robin", Instances::Shared));
}

#[test]
fn what_a_table_needs() {
    let none = parsed("").unwrap_err();
    assert_eq!(
        none.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>(),
        ["there is no listener"]
    );
    assert!(fault("[listeners.b]").starts_with("listeners.b: `bind` is missing"));
    assert!(fault("[clusters.c]").starts_with("clusters.c: `endpoints` is missing"));
    let address = fault("[clusters.c]\nendpoints = [{ weight = 2 }]");
    assert!(address.starts_with("clusters.c.endpoints[0]: `address` is missing"), "{address}");
    assert!(fault("[clusters.c]\nendpoints = []\nbalancer = []").contains("the list is empty"));
    assert!(fault("[plugins.'a b']").contains("`component` is missing"));
    assert!(fault("[plugins.p]\ncomponent = '../x'").contains("`../x` cannot be a component"));
    assert!(
        fault("[clusters.'']\nendpoints = []").starts_with("clusters.\"\": this cannot be a name")
    );
    assert!(fault("[log]\nlevel = 'inof'").ends_with("(did you mean `info`?)"));
    assert!(fault("[log]\nfile = 'off'").contains("only the access log can be off"));
    let taken = fault("[listeners.b]\nbind = '1.1.1.1:1'\n[listeners.c]\nbind = '1.1.1.1:1'");
    assert!(taken.starts_with("listeners.c.bind: `1.1.1.1:1` is taken by listeners.b"), "{taken}");
}

#[test]
fn what_a_store_cannot_be() {
    let entry = |bound: &str, length: usize| {
        fault(&format!("[stores.s]\n{bound} = 1024\nentries = {{ a = '{}' }}", "x".repeat(length)))
    };
    let full = entry("max-bytes", 896);
    assert!(full.contains("the entries take 1025 bytes, 128 of each included"), "{full}");
    let large = entry("max-value", 1025);
    assert!(large.contains("the value of \"a\" has 1025 bytes, expected at most"), "{large}");
    for (keys, expected) in [
        ("entries = { 'a b' = '' }", ".entries: \"a b\" cannot be a key, expected 1 to 250 bytes"),
        ("servers = 'a'", ".servers: a store of type \"memory\" has no servers"),
        ("type = 'memcachd'\nservers = 'a'", ".type: `memcachd` is not known here"),
        ("type = 'memcached'", ": `servers` is missing, expected a list such as"),
        ("type = 'memcached'\nservers = []", ".servers: the list is empty, expected at least one"),
        ("type = 'memcached'\nservers = ['a', 'A:11211']", ".servers: `a:11211` is there twice"),
        ("type = 'memcached'\nservers = ['a:0']", ".servers[0]: cannot read `a:0`"),
        ("type = 'memcached'\nservers = ['unix:m']", ".servers[0]: cannot read `unix:m`"),
        ("type = 'memcached'\nservers = 'a'\nlatency = '1s'", ".latency: a store of type"),
    ] {
        let said = fault(&format!("[stores.s]\n{keys}"));
        assert!(said.starts_with(&format!("stores.s{expected}")), "{said}");
    }
}

#[test]
fn what_a_plugin_cannot_get() {
    let undefined = fault("[plugins.p]\nconfig = { deep = ['${NONE}'] }");
    let start = "plugins.p.config.deep[0]: the environment has no variable `NONE`";
    assert!(undefined.starts_with(start), "{undefined}");
    assert!(fault("[plugins.p]\nconfig = 'x'").starts_with("plugins.p.config: this is a string"));
    assert!(fault("[plugins.p]\nconfig.x = nan").contains("no such number"));
    let dotted = ["a"; 70].join(".");
    let deep = fault(&format!("[plugins.p]\nconfig.{dotted} = {{ {dotted} = 1 }}"));
    assert!(deep.contains("lie too deep"), "{deep}");
}

#[test]
fn numbers_keep_to_their_range() {
    for (text, range) in [
        ("[server]\nworkers = 0", "a whole number from 1 to 256"),
        ("[server]\nworkers = 99999999999999999999999", "a whole number from 1 to 256"),
        ("max-headers = -1", "a whole number from 1 to 1000"),
        ("max-head-bytes = '1KiB'", "a size from 8KiB to 1MiB"),
        ("max-head-bytes = -1", "a size from 8KiB to 1MiB"),
        ("head-timeout = '0s'", "a duration from 1ms to 1d"),
        ("head-timeout = '25h'", "a duration from 1ms to 1d"),
        ("[plugins.p]\nlimits.memory = '5GiB'", "a size from 64KiB to 4GiB"),
        ("[plugins.p]\nlimits.deadline = '11s'", "a duration from 1ms to 10s"),
    ] {
        let fault = fault(text);
        assert!(fault.contains("out of range") && fault.contains(range), "{fault}");
    }
    let sizes = "max-head-bytes = 0x4000\nmax-body-bytes = '1GB'\n";
    let config = parsed(&format!("{SMALLEST}{sizes}")).unwrap_or_else(|faults| panic!("{faults}"));
    let web = &config.listeners["web"];
    assert_eq!((web.max_head_bytes, web.max_body_bytes), (16 << 10, Some(1_000_000_000)));
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("linkspan.toml");
    let missing = load(&path).into_result().unwrap_err().to_string();
    assert!(missing.contains("linkspan.toml: cannot be read: "), "{missing}");
    let is_directory = load(directory.path()).into_result().unwrap_err().to_string();
    assert!(is_directory.contains("cannot be read: "), "{is_directory}");

    std::fs::write(&path, b"a = 1\nb = '\xff'\n").unwrap();
    let faults = load(&path).into_result().unwrap_err();
    let place = faults.iter().next().and_then(|fault| fault.place.clone()).unwrap();
    assert_eq!((place.line, place.column), (2, 6));

    std::fs::write(&path, format!("\u{feff}{SMALLEST}")).unwrap();
    assert!(load(&path).into_result().is_ok());
}

/// The example with a few bytes replaced, which gets deeper than any random text.
fn damaged() -> impl Strategy<Value = String> {
    let junk = prop::sample::select(vec![
        "", "'", "\"", "[", "]", "{", "}", "=", ".", "\n", "0", "-1", "1e400", "nan", "${", "x",
        "é", "\u{0}",
    ]);
    let damage = (0..EXAMPLE.len(), 0..20_usize, junk);
    prop::collection::vec(damage, 1..4).prop_map(|damages| {
        let mut text = EXAMPLE.to_owned();
        for (start, length, junk) in damages {
            let start = text.floor_char_boundary(start);
            let end = text.ceil_char_boundary(start + length);
            text.replace_range(start..end, junk);
        }
        text
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), damaged()]) {
        if let Err(faults) = Config::parse(&text, Path::new("linkspan.toml")) {
            prop_assert!(faults.iter().count() > 0);
            prop_assert!(faults.to_string().starts_with("error: "));
        }
    }
}

#[test]
fn the_administrators_address_is_guarded_and_its_token_is_not_told() {
    let taken = fault("[admin]\nbind = '127.0.0.1:1'\n[listeners.other]\nbind = '127.0.0.1:1'");
    assert!(taken.starts_with("admin.bind: `127.0.0.1:1` is taken by listeners.other"), "{taken}");
    let open = fault("[admin]\nbind = '0.0.0.0:1'");
    assert!(open.contains("there is no `token`") && open.contains("set `token`"), "{open}");
    let bare = fault("[admin]\ntoken = 'open-sesame'");
    assert!(bare.starts_with("admin: `bind` is missing"), "{bare}");
    for token in ["", "sh0rt", "with blanks in it", &"x".repeat(257)] {
        let file = format!("[admin]\nbind = 'unix:/run/x'\ntoken = '{token}'");
        let told = fault(&file);
        assert!(told.contains("`token` cannot be used"), "{told}");
        let drawn = parsed(&format!("{SMALLEST}{file}")).unwrap_err().to_string();
        assert!(token.is_empty() || !drawn.contains(token), "{drawn}");
    }
    let text = format!("{SMALLEST}[admin]\nbind = 'unix:/run/x'\ntoken = 'open-sesame'");
    let config = parsed(&text).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(!format!("{config:?}").contains("open-sesame"));
    assert_eq!(config.admin.unwrap().token.unwrap().reveal(), "open-sesame");
}

#[test]
fn a_header_that_is_believed_takes_somebody_to_believe() {
    let on = |more: &str| fault(&format!("proxy-protocol = 'require'\n{more}"));
    for nobody in ["", "trusted-proxies = []\n"] {
        let told = on(nobody);
        assert!(
            told.starts_with("listeners.web.proxy-protocol: nobody may send the header"),
            "{told}"
        );
        assert!(told.contains("set `trusted-proxies`"), "{told}");
    }
    let told = on("trusted-proxies = ['nobody']");
    assert!(told.starts_with("listeners.web.trusted-proxies[0]"), "one fault is enough: {told}");
    let shared = "[defaults.listener]\nproxy-protocol = 'from-trusted'\n";
    let told = fault(shared);
    assert!(told.starts_with("defaults.listener.proxy-protocol: nobody"), "{told}");
    let config = parsed(&format!("{SMALLEST}trusted-proxies = ['::1']\n{shared}")).unwrap();
    assert_eq!(config.listeners["web"].proxy_protocol, ProxyProtocol::FromTrusted);
    assert!(fault("proxy-protocol = 'accept'").contains("`from-trusted`"));
}
