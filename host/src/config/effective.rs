//! What a file comes to: every key with its value, whether that is the file's or a default.
//!
//! Secrets are masked: keys that are declared secret, whatever else by its name holds one, and who
//! is named in a URL.

use std::fmt;

use serde_json::{Map, Value as Json};

use crate::config::file::{Content, Entry, Record, Setting};
use crate::config::written::{Writer, value};

/// What stands for a secret.
const MASK: &str = "***";

/// What a name holds, without case, hyphens and underscores, whose value is a secret.
const SECRETS: [&str; 12] = [
    "accesskey",
    "apikey",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "token",
];

/// A configuration with all its defaults, as text that is one again: TOML by `Display`.
#[derive(Debug)]
pub struct Effective {
    record: Record,
}

impl Effective {
    pub(super) fn new(mut record: Record) -> Self {
        mask_record(&mut record);
        Self { record }
    }

    /// The same as JSON, for programs.
    #[must_use]
    pub fn json(&self) -> Json {
        json(&self.record)
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |entry: &Entry, setting: &Setting| match &setting.value {
            // Tables get a heading of their own.
            Some(Json::Object(map)) if !map.is_empty() => None,
            Some(json) => Some(format!("{} = {}", entry.key, value(json))),
            None => Some(format!("# {} is not set: {}", entry.key, setting.without)),
        };
        let text = Writer { line: &line, heading: &|_| String::new(), shared: false };
        out.write_str(&text.text(&self.record))
    }
}

fn json(record: &Record) -> Json {
    let mut map = Map::new();
    for entry in &record.entries {
        let json = match &entry.content {
            Content::Setting(Setting { value: Some(json), .. }) => json.clone(),
            Content::Setting(_) | Content::Shared(_) => continue,
            Content::Table(record) => match json(record) {
                // What is shared has gone into those that share it.
                Json::Object(map) if map.is_empty() => continue,
                table => table,
            },
            Content::Tables { tables, .. } => {
                tables.iter().map(|(name, record)| (name.clone(), json(record))).collect()
            }
        };
        map.insert(entry.key.to_owned(), json);
    }
    map.into()
}

/// Masks what is secret, and sorts tables by their names: those that are not in the file come last.
fn mask_record(record: &mut Record) {
    for entry in &mut record.entries {
        match &mut entry.content {
            Content::Setting(setting) => {
                if let Some(json) = &mut setting.value {
                    mask(json, setting.secret);
                }
            }
            Content::Table(record) | Content::Shared(record) => mask_record(record),
            Content::Tables { tables, .. } => {
                tables.sort_by(|(one, _), (other, _)| one.cmp(other));
                tables.iter_mut().for_each(|(_, record)| mask_record(record));
            }
        }
    }
}

fn mask(json: &mut Json, secret: bool) {
    match json {
        Json::String(_) | Json::Number(_) if secret => *json = MASK.into(),
        Json::String(text) => {
            if let Some(masked) = mask_user(text) {
                *text = masked;
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
        Json::Array(elements) => elements.iter_mut().for_each(|element| mask(element, secret)),
        Json::Object(map) => {
            for (name, json) in map {
                mask(json, secret || names_secret(name));
            }
        }
    }
}

/// Whether what is called so is a secret.
fn names_secret(name: &str) -> bool {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_'));
    let folded: String = letters.flat_map(char::to_lowercase).collect();
    SECRETS.iter().any(|secret| folded.contains(secret))
}

/// A text whose URLs name somebody, without them.
fn mask_user(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        rest = after;
        let of_user = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@".contains(c);
        let authority = after.find(|c| !of_user(c)).map_or(after, |end| after.split_at(end).0);
        if let Some((user, _)) = authority.rsplit_once('@') {
            out.push_str(MASK);
            rest = after.split_at(user.len()).1;
        }
    }
    (!out.is_empty()).then(|| out + rest)
}

#[cfg(test)]
mod tests;
