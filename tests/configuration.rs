//! Where a configuration comes from, and what is shown of it.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;

use crate::support::{Binary, Origin, Signal, one_cluster};

const SECRETS: &str = "
[listeners.web]
bind = '127.0.0.1:0'
rewriters = ['auth']

[clusters.c]
endpoints = [{ address = '127.0.0.1:9', api-key = 'SECRET1' }]

[plugins.auth]
component = 'headers'
config.request.set = { authorization = 'Bearer SECRET2', x-upstream = 'http://SECRET3@a.example/' }

[stores.s]
entries = { Session_Token = 'SECRET4', plain = 'shown' }
";

/// Runs a command to its end: whether it went well, and what it said on both outputs.
#[track_caller]
fn ended(mut binary: Binary) -> (bool, String, String) {
    let status = binary.wait();
    assert!(status.code().is_some_and(|code| code <= 1), "{status}");
    (status.success(), binary.stdout(), binary.stderr())
}

/// The effective configuration of a text.
#[track_caller]
fn effective(text: &str) -> String {
    let (success, stdout, stderr) = ended(Binary::reading(text, &["config", "-c", "-"]));
    assert!(success, "{stderr}");
    stdout
}

#[test]
fn the_effective_configuration_of_an_example_is_that_example() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let text = fs::read_to_string(examples.join("monkey/linkspan.toml")).unwrap();
    let (success, shown, stderr) = ended(Binary::with(&text, &[], &["config"]));
    assert!(success, "{stderr}");
    assert_eq!(effective(&shown), shown);
    let (success, stdout, stderr) = ended(Binary::reading(&shown, &["check", "-c", "-"]));
    assert!(success, "{stderr}");
    assert_eq!(stdout, "<stdin>: 2 clusters, 3 plugins; no faults\n");
}

#[test]
fn the_effective_configuration_of_a_listener_for_tcp_is_one_again() {
    let text = include_str!("../examples/proxymachine/linkspan.toml");
    let shown = effective(text);
    assert_eq!(effective(&shown), shown);
    assert!(shown.contains("connect-attempts = 10") && !shown.contains("max-headers"), "{shown}");
}

#[test]
fn secrets_are_masked_and_paths_are_absolute() {
    let text = format!("{SECRETS}[server]\nplugin-dir = 'plugins.d'\nworkers = 1\n");
    let shown = effective(&text);
    assert!(!shown.contains("SECRET"), "{shown}");
    assert_eq!(shown.matches("\"***\"").count(), 3, "{shown}");
    assert!(shown.contains("x-upstream = \"http://***@a.example/\""), "{shown}");
    assert!(shown.contains("plain = \"shown\""), "{shown}");
    assert!(shown.contains("max-headers = 100\n") && shown.contains("workers = 1\n"), "{shown}");
    let directory = shown.lines().find_map(|line| line.strip_prefix("plugin-dir = \"")).unwrap();
    assert!(directory.starts_with('/') && directory.ends_with("/plugins.d\""), "{directory}");

    let (_, stdout, _) = ended(Binary::reading(&text, &["config", "--json", "-c", "-"]));
    let json: Json = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["listeners"]["web"]["head-timeout"], "10s");
    assert_eq!(json["clusters"]["c"]["endpoints"][0]["api-key"], "***");
    assert_eq!(json["stores"]["s"]["entries"]["plain"], "shown");
    assert!(!stdout.contains("SECRET") && json.get("defaults").is_none(), "{stdout}");
}

#[test]
fn a_faulty_configuration_is_not_shown() {
    let text = "[listeners.web]\nbind = ':0'\nhead-timeout = 5\n";
    for command in ["config", "check", "plugins"] {
        let (success, stdout, stderr) = ended(Binary::reading(text, &[command, "-c", "-"]));
        assert!(!success && stdout.is_empty(), "{stdout}");
        assert!(stderr.contains("--> <stdin>:3:16"), "{stderr}");
    }
}

#[test]
fn a_configuration_from_standard_input_is_served_and_not_read_again() {
    let origin = Origin::replying("here");
    let text = one_cluster(&[origin.address()], "", "");
    let mut binary = Binary::reading(&text, &["-c", "-"]);
    let mut client = binary.connect();
    assert_eq!(client.get("/").text(), "here");
    binary.signal(Signal::HUP);
    binary.wait_for_stderr("nothing to read again");
    assert_eq!(client.get("/").text(), "here");
}
