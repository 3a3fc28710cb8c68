//! What is said about a configuration: all of it at once, each thing where it stands, and nothing
//! is served by a file that has a fault.

mod plugins;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use serde_json::Value;

use crate::support::{Binary, Origin, Signal};

/// What `check` or `run` says of a file that it refuses.
#[track_caller]
fn refused(toml: &str, guests: &[&str], arguments: &[&str]) -> String {
    let mut linkspan = Binary::with(toml, guests, arguments);
    assert_eq!(linkspan.wait().code(), Some(1), "{arguments:?}: {}", linkspan.stderr());
    linkspan.stderr()
}

/// The places that blocks point at, as `line:column`, and what stands underlined there.
fn places(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.trim_start().strip_prefix("--> linkspan.toml:")).collect()
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn six_mistakes(address: SocketAddr) -> String {
    format!(
        r#"[listeners.web]
bind = "{address}"
max-headrs = 50
max-headers = "fifty"
head-timeout = "10 parsecs"
routers = ["by-path"]
default-cluster = "statc"

[clusters.static]
endpoints = ["127.0.0.1:9"]
balancer = "rond-robin"

[plugins.by-path]
component = "regex-match"
config = {{ rules = [
  {{ match = ['^/a', '('], cluster = "static" }},
] }}
"#
    )
}

#[test]
fn six_mistakes_are_six_diagnostics_and_nothing_is_bound() {
    let address = free();
    let toml = six_mistakes(address);
    for command in ["check", "run"] {
        let mut linkspan = Binary::with(&toml, &[], &[command]);
        // Whenever it is looked at, nobody listens.
        while linkspan.is_running() {
            assert!(TcpStream::connect(address).is_err(), "{command} has bound its address");
        }
        assert_eq!(linkspan.wait().code(), Some(1));
        assert_eq!(linkspan.stdout(), "");
        let said = linkspan.stderr();
        let expected = ["3:1", "4:15", "5:16", "7:19", "11:12", "16:21"];
        assert_eq!(places(&said), expected, "{said}");
        assert_eq!(said.matches("error: ").count(), 7, "{said}");
        assert!(said.ends_with("error: linkspan.toml: 6 faults\n"), "{said}");
        for text in [
            "did you mean `max-headers`?",
            "expected a whole number from 1 to 1000",
            "expected a duration from 1ms to 1d",
            "did you mean `static`?",
            "did you mean `round-robin`?",
            "plugins.by-path.config.rules[0].match[1]: `(`: unclosed group",
        ] {
            assert!(said.contains(text), "no {text:?} in {said}");
        }
        TcpListener::bind(address).unwrap();
    }
}

#[test]
fn an_address_in_use_is_pointed_at() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let toml = format!("[listeners.web]\nbind = '{address}'\n");
    let said = refused(&toml, &[], &["run"]);
    assert_eq!(places(&said), ["2:8"], "{said}");
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    // What the command line says stands nowhere in the file.
    let port = address.port().to_string();
    let said = refused("[listeners.web]\nbind = '127.0.0.1:0'\n", &[], &["-p", &port]);
    assert!(places(&said).is_empty() && said.contains("cannot listen on"), "{said}");
}

#[test]
fn a_reload_says_all_that_is_wrong_and_goes_on() {
    let origin = Origin::replying("old");
    let good = format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{}']\n",
        origin.address()
    );
    let mut linkspan = Binary::serve(&good);
    let mut client = linkspan.connect();
    assert_eq!(client.get("/").text(), "old");
    fs::write(linkspan.file(), six_mistakes(free())).unwrap();
    linkspan.signal(Signal::HUP);
    linkspan.wait_for_stderr("not taken");
    linkspan.wait_for_stderr("6 faults");
    let said = linkspan.stderr();
    assert!(said.contains("rond-robin") && said.contains("unclosed group"), "{said}");
    assert_eq!(client.get("/").text(), "old");
}

#[test]
fn json_tells_the_same_to_scripts() {
    let toml = six_mistakes(free());
    let mut linkspan = Binary::with(&toml, &[], &["check", "--json"]);
    assert_eq!(linkspan.wait().code(), Some(1));
    assert_eq!(linkspan.stderr(), "");
    let json: Value = serde_json::from_str(&linkspan.stdout()).unwrap();
    assert_eq!((&json["errors"], &json["warnings"]), (&6.into(), &0.into()));
    let faults = json["faults"].as_array().unwrap();
    let place =
        |fault: &Value| (fault["line"].as_u64().unwrap(), fault["column"].as_u64().unwrap());
    let all: Vec<_> = faults.iter().map(place).collect();
    assert_eq!(all, [(3, 1), (4, 15), (5, 16), (7, 19), (11, 12), (16, 21)]);
    for fault in faults {
        let byte = |key: &str| usize::try_from(fault[key].as_u64().unwrap()).unwrap();
        assert_eq!(toml.get(byte("start_byte")..byte("end_byte")), fault["text"].as_str());
        assert_eq!(fault["severity"], "error");
    }
    let mut linkspan = Binary::with("[listeners.web]\nbind = ':0'", &[], &["check", "--json"]);
    assert_eq!(linkspan.wait().code(), Some(0), "a warning is no fault");
    let json: Value = serde_json::from_str(&linkspan.stdout()).unwrap();
    assert_eq!(json["faults"][0]["severity"], "warning");
}

/// A file with nothing wrong but what `odd` adds to it.
fn odd(odd: &str) -> String {
    format!(
        "[listeners.web]\nbind = '127.0.0.1:0'\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['127.0.0.1:9']\n{odd}\n"
    )
}

#[test]
fn what_is_legal_and_odd_is_a_warning() {
    for (text, said) in [
        ("", ""),
        ("[plugins.p]\ncomponent = 'headers'", "plugins.p: nothing uses this plugin"),
        ("[clusters.c]\nendpoints = ['127.0.0.1:9']", "clusters.c: no request goes to this"),
        ("rewriters = ['headers', 'headers']", "rewriters[1]: `headers` stands in this list"),
        ("[stores.s]", "stores.s: no plugin may open this store"),
        ("[server]\nplugin-dir = 'nowhere.d'", "server.plugin-dir: there is no directory"),
        ("[defaults.cluster]\nendpoints = []", "each cluster has its own"),
    ] {
        let toml = odd(text);
        let mut linkspan = Binary::with(&toml, &[], &["check"]);
        let refused = text.starts_with("[defaults");
        assert_eq!(linkspan.wait().code(), Some(i32::from(refused)), "{}", linkspan.stderr());
        let stderr = linkspan.stderr();
        assert!(stderr.contains(said), "no {said:?} in {stderr:?}");
        assert_eq!(stderr.is_empty(), said.is_empty(), "{stderr}");
        let strict = Binary::with(&toml, &[], &["check", "--deny-warnings"]).wait();
        assert_eq!(strict.code(), Some(i32::from(!said.is_empty())), "{text}");
    }
}

#[test]
fn a_summary_counts_like_a_person() {
    let mut linkspan = Binary::with(&odd(""), &[], &["check"]);
    assert_eq!(linkspan.wait().code(), Some(0), "{}", linkspan.stderr());
    assert_eq!(linkspan.stdout(), "linkspan.toml: 1 cluster, 1 plugin; no faults\n");
    let mut linkspan =
        Binary::with(&odd("[stores.s]\n[clusters.c]\nendpoints = []"), &[], &["check"]);
    assert_eq!(linkspan.wait().code(), Some(0));
    assert_eq!(linkspan.stdout(), "linkspan.toml: 2 clusters, 1 plugin; 3 warnings\n");
    assert!(linkspan.stderr().ends_with("warning: linkspan.toml: 3 warnings\n"));
}

#[test]
fn a_served_file_has_its_warnings_in_the_log() {
    let mut linkspan = Binary::serve(&odd("[stores.s]"));
    linkspan.connect();
    linkspan.wait_for_stderr("linkspan.toml:6:9: stores.s: no plugin may open this store");
    fs::write(linkspan.file(), odd("[plugins.p]\ncomponent = 'headers'")).unwrap();
    linkspan.signal(Signal::HUP);
    linkspan.wait_for_stderr("linkspan.toml:6:10: plugins.p: nothing uses this plugin");
}

#[test]
fn a_name_that_does_not_resolve_is_a_warning_where_it_stands() {
    let toml = odd("").replace("'127.0.0.1:9'", "'127.0.0.1:9', 'linkspan.invalid:80'");
    let mut linkspan = Binary::with(&toml, &[], &["check"]);
    assert_eq!(linkspan.wait().code(), Some(0), "{}", linkspan.stderr());
    let said = linkspan.stderr();
    assert_eq!(places(&said), ["5:29"], "{said}");
    assert!(said.contains("warning: clusters.main.endpoints[1]: this name does not"), "{said}");
}

#[test]
fn a_plugin_is_judged_although_a_key_beside_its_config_is_unknown() {
    let toml = odd(
        "[plugins.p]\ncomponent = 'regex-match'\ncolour = 'red'\nconfig.rules = [{ match = ['('] }]",
    );
    let said = refused(&toml, &[], &["check"]);
    assert!(said.contains("plugins.p.colour: unknown key"), "{said}");
    assert!(said.contains("plugins.p.config.rules[0].match[0]: `(`: unclosed group"), "{said}");
}

#[test]
fn a_file_of_another_form_is_told_what_it_is() {
    for (text, form) in [
        ("{\n  \"listeners\": {}\n}\n", "JSON"),
        ("# mine\nlisteners:\n  web:\n    bind: ':80'\n", "YAML"),
    ] {
        let said = refused(text, &[], &["check"]);
        assert!(said.contains(&format!("this looks like {form}; it has to be TOML")), "{said}");
    }
}

#[test]
fn the_examples_are_not_odd() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut checked = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let file = entry.unwrap().path().join("linkspan.toml");
        if !file.exists() {
            continue;
        }
        let mut linkspan = Binary::run(&["check", "--deny-warnings", "-c", file.to_str().unwrap()]);
        assert_eq!(linkspan.wait().code(), Some(0), "{}", linkspan.stderr());
        checked += 1;
    }
    assert!(checked >= 2, "only {checked} examples");
}
