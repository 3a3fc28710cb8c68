//! The configuration: as it is written, and checked.

use crate::key::Style;
use linkspan_plugin_common::table::Table;
use linkspan_plugin_common::time;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a status or \"next\"")]
enum Reply {
    Status(i64),
    Word(String),
}

/// The checked configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The store that is asked.
    pub(crate) store: String,
    /// How keys are made.
    pub(crate) key_style: Style,
    /// What becomes of a request whose host the store does not know.
    pub(crate) on_miss: Otherwise,
    /// What becomes of one while the store cannot be asked.
    pub(crate) on_error: Otherwise,
    /// Whether the upstream gets the client's Host.
    pub(crate) keep_host: bool,
    /// How long what a worker has learnt counts, in milliseconds; 0 to ask for each request.
    pub(crate) cache: u64,
}

/// What becomes of a request that there is no origin for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    /// The next router is asked.
    Next,
    /// It is answered with that status.
    Answer(u16),
}

/// The longest that an answer may count: a day.
const LONGEST: u64 = 24 * 3_600_000;

impl Settings {
    /// Reads a configuration. The error has one fault a line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut table = Table::parse(text)?;
        let store = table.required("store");
        let key_style = table.optional("key-style").unwrap_or_default();
        let on_miss = Otherwise::read(&mut table, "on-miss", 404);
        let on_error = Otherwise::read(&mut table, "on-error", 503);
        let keep_host = table.optional("keep-host").unwrap_or_default();
        let cache = table.optional::<String>("cache");
        let cache = cache.map_or(Ok(0), |cache| match time::milliseconds(&cache)? {
            time @ 0..=LONGEST => Ok(time),
            _ => Err("that is too long, expected 24h at most".to_owned()),
        });
        let cache = cache.map_err(|fault| table.fault(format!("cache: {fault}")));
        let cache = cache.unwrap_or_default();
        table.finish(store.map(|store| Self {
            store,
            key_style,
            on_miss,
            on_error,
            keep_host,
            cache,
        }))
    }
}

impl Otherwise {
    fn read(table: &mut Table, key: &'static str, default: u16) -> Self {
        const EXPECTED: &str = "expected a status from 400 to 599, or \"next\"";
        let fault = match table.optional(key) {
            None => return Self::Answer(default),
            Some(Reply::Word(word)) if word == "next" => return Self::Next,
            Some(Reply::Word(word)) => format!("{word:?} is not known here"),
            Some(Reply::Status(status)) => match u16::try_from(status) {
                Ok(status @ 400..=599) => return Self::Answer(status),
                _ => format!("{status} is no status of a failure"),
            },
        };
        table.fault(format!("{key}: {fault}, {EXPECTED}"));
        Self::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_has_a_default() {
        let settings = Settings::parse(r#"{"store": "sites"}"#).unwrap();
        let expected = Settings {
            store: "sites".to_owned(),
            key_style: Style::Seed,
            on_miss: Otherwise::Answer(404),
            on_error: Otherwise::Answer(503),
            keep_host: false,
            cache: 0,
        };
        assert_eq!(settings, expected);
        let text = r#"{"store": "s", "key-style": "ats", "on-miss": "next", "on-error": 404,
                       "keep-host": true, "cache": "1500ms"}"#;
        let expected = Settings {
            store: "s".to_owned(),
            key_style: Style::Ats,
            on_miss: Otherwise::Next,
            on_error: Otherwise::Answer(404),
            keep_host: true,
            cache: 1_500,
        };
        assert_eq!(Settings::parse(text).unwrap(), expected);
    }

    #[test]
    fn faults_are_named() {
        for (text, said) in [
            ("{}", "`store` is missing"),
            (r#"{"store": 1}"#, "store: this is an integer, expected a string"),
            (
                r#"{"store": "s", "on-mis": 404}"#,
                "on-mis: unknown key, expected one of `store`, `key-style`, `on-miss`, `on-error`, \
                 `keep-host`, `cache`; did you mean `on-miss`?",
            ),
            (
                r#"{"store": "s", "key-style": "sead"}"#,
                "key-style: `sead` is not known here, expected `seed` or `ats`; did you mean `seed`?",
            ),
            (
                r#"{"on-error": 99, "keep-hst": true}"#,
                "`store` is missing\n\
                 on-error: 99 is no status of a failure, expected a status from 400 to 599, or \"next\"\n\
                 keep-hst: unknown key, expected one of `store`, `key-style`, `on-miss`, `on-error`, \
                 `keep-host`, `cache`; did you mean `keep-host`?",
            ),
            (r#"{"store": "s", "on-miss": true}"#, "on-miss: expected a status or \"next\""),
            (
                r#"{"store": "s", "on-miss": "nxt", "on-error": 200, "cache": "25h"}"#,
                "on-miss: \"nxt\" is not known here, expected a status from 400 to 599, or \"next\"\n\
                 on-error: 200 is no status of a failure, expected a status from 400 to 599, or \"next\"\n\
                 cache: that is too long, expected 24h at most",
            ),
            (
                r#"{"store": "s", "on-miss": -404, "cache": "soon"}"#,
                "on-miss: -404 is no status of a failure, expected a status from 400 to 599, or \"next\"\n\
                 cache: \"soon\" is no time, expected a whole number with a unit, such as \"10s\"",
            ),
        ] {
            assert_eq!(Settings::parse(text).unwrap_err(), said, "{text}");
        }
    }
}
