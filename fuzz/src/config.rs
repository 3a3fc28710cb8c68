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
    let again = Config::effective_with(&shown, origin, &variables);
    let again = again.unwrap_or_else(|faults| panic!("{shown}\n{faults}")).to_string();
    assert_eq!(again, shown, "what is shown shows itself");
    if !shown.contains(MASK) {
        let reread = Reading::parse_with(&shown, origin, &variables).into_result();
        let reread = reread.unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(format!("{reread:#?}"), format!("{config:#?}"), "{shown}");
    }
}

/// An environment of little.
fn variables(name: &str) -> Option<OsString> {
    match name {
        "V" => Some("value".into()),
        "EMPTY" => Some(OsString::new()),
        _ => None,
    }
}
