//! What reading leaves behind for those who describe: each key, what it can be, and what it is.

use serde_json::Value as Json;

/// A table, in the order in which its keys are asked for.
#[derive(Debug, Default)]
pub(in crate::config) struct Record {
    /// Its keys.
    pub(in crate::config) entries: Vec<Entry>,
    /// What every other key can be, as a JSON schema; without one there are no others.
    pub(in crate::config) others: Option<Json>,
}

/// One key.
#[derive(Debug)]
pub(in crate::config) struct Entry {
    /// The key.
    pub(in crate::config) key: &'static str,
    /// What it is for: a sentence without its full stop.
    pub(in crate::config) about: &'static str,
    /// What it holds.
    pub(in crate::config) content: Content,
}

/// What a key holds.
#[derive(Debug)]
pub(in crate::config) enum Content {
    /// A value.
    Setting(Setting),
    /// A table of keys that are known.
    Table(Record),
    /// A table from which others take what they do not set.
    Shared(Record),
    /// A table of tables, by names that are free.
    Tables {
        /// Whether there must be one.
        required: bool,
        /// The tables; of a description one, with a name to show.
        tables: Vec<(String, Record)>,
    },
}

/// A value, written as JSON as a file would write it as TOML.
#[derive(Debug, Default)]
pub(in crate::config) struct Setting {
    /// What it can be, as a JSON schema.
    pub(in crate::config) schema: Json,
    /// What it can be, as the end of the sentence on what it is for; can be empty.
    pub(in crate::config) range: String,
    /// Whether it must be there.
    pub(in crate::config) required: bool,
    /// What it is if it is not there.
    pub(in crate::config) default: Option<Json>,
    /// What holds if it is not there, where that is no value of its own; can be empty.
    pub(in crate::config) without: &'static str,
    /// What it could be.
    pub(in crate::config) example: Option<Json>,
    /// What it is.
    pub(in crate::config) value: Option<Json>,
    /// Whether the value is nobody's business.
    pub(in crate::config) secret: bool,
}

impl Entry {
    /// What there is to say about it, in one sentence without its full stop.
    pub(in crate::config) fn sentence(&self) -> String {
        let mut sentence = self.about.to_owned();
        if let Content::Setting(setting) = &self.content {
            sentence.push_str(&setting.range);
            if !setting.without.is_empty() {
                sentence.push_str("; without it, ");
                sentence.push_str(setting.without);
            }
        }
        sentence
    }
}
