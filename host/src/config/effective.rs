//! What a file comes to: every key with its value, whether that is the file's or a default.
//!
//! Secrets are masked: keys that are declared secret, whatever else by its name holds one, the
//! credentials of an Authorization header, and who is named in a URL.

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
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
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
            if let Some(masked) = mask_credentials(text).or_else(|| mask_user(text)) {
                *text = masked;
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
        Json::Array(elements) => elements.iter_mut().for_each(|element| mask(element, secret)),
        Json::Object(map) => {
            // A field and its value, as in `{ name = "Authorization", value = "…" }`.
            let named =
                ["name", "key", "header"].iter().filter_map(|name| map.get(*name)?.as_str());
            let pair = named.into_iter().any(names_secret);
            for (name, json) in map {
                mask(json, secret || names_secret(name) || pair && name.starts_with("value"));
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

/// The value of an Authorization header, without what is nobody's business.
fn mask_credentials(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once(' ').filter(|(_, rest)| !rest.trim().contains(' '))?;
    let known = ["basic", "bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    known.then(|| format!("{scheme} {MASK}"))
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
        let mut authority = after.find(|c| !of_user(c)).map_or(after, |end| after.split_at(end).0);
        // A password that ought to be escaped ends what looks like a host and is none.
        let port = authority.split_once(':').map_or("", |(_, port)| port);
        if !authority.contains('@') && !port.bytes().all(|byte| byte.is_ascii_digit()) {
            authority = after.split_whitespace().next().unwrap_or_default();
        }
        if let Some((user, _)) = authority.rsplit_once('@') {
            out.push_str(MASK);
            rest = after.split_at(user.len()).1;
        }
    }
    (!out.is_empty()).then(|| out + rest)
}

#[cfg(test)]
mod tests;
