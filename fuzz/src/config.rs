//! What holds of the texts that somebody wants to be a configuration.

use std::ffi::OsString;
use std::path::Path;

use linkspan::config::{Config, Reading};

/// What stands for secrets where a configuration is shown.
const MASK: &str = "***";

pub(crate) fn hold(text: &str) {
    let origin = Path::new("/nowhere/linkspan.toml");
    let reading = Reading::parse_with(text, origin, &variables);
    // These walk over all that was read, faults or not.
    let faults = reading.faults().to_string();
    let _ = (reading.to_judge(), reading.warnings());
    let shown = Config::effective_with(text, origin, &variables);
    let Ok(config) = reading.into_result() else {
        assert!(!faults.is_empty(), "refused without a word");
        return assert!(shown.is_err());
    };
    assert!(faults.is_empty(), "{faults}");

    let shown = shown.unwrap_or_else(|faults| panic!("{faults}")).to_string();
    // What stands for a token is too short for one.
    let complete = shown.replace("\ntoken = \"***\"\n", "\ntoken = \"in-its-place\"\n");
    let again = Config::effective_with(&complete, origin, &variables);
    let again = again.unwrap_or_else(|faults| panic!("{shown}\n{faults}")).to_string();
    assert_eq!(again, shown, "what is shown shows itself");
    if !shown.contains(MASK) {
        let reread = Reading::parse_with(&shown, origin, &variables).into_result();
        let reread = reread.unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(written(&reread), written(&config), "{shown}");
    }
}

/// All that a configuration says; an open directory has another number each time.
fn written(config: &Config) -> String {
    let text = format!("{config:#?}");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("fd: "));
    lines.collect::<Vec<_>>().join("\n")
}

/// An environment of little.
fn variables(name: &str) -> Option<OsString> {
    match name {
        "V" => Some("value".into()),
        "EMPTY" => Some(OsString::new()),
        _ => None,
    }
}
