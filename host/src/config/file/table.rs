//! Tables: the keys that they know, and what they take from defaults.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use crate::config::Name;
use crate::config::file::kind::Kind;
use crate::config::file::record::{Content, Entry, Record, Setting};
use crate::config::file::{Document, Recording, Value};
use crate::config::names::did_you_mean;

/// A key, declared where it is read.
pub(in crate::config) struct Key<K> {
    name: &'static str,
    about: &'static str,
    kind: K,
    example: Option<Json>,
    secret: bool,
}

/// A key, what it is for in a sentence without its full stop, and what it holds.
pub(in crate::config) fn key<K: Kind>(name: &'static str, about: &'static str, kind: K) -> Key<K> {
    Key { name, about, kind, example: None, secret: false }
}

impl<K> Key<K> {
    /// Says what it could be, where no default shows that.
    pub(in crate::config) fn such_as(mut self, example: impl Into<Json>) -> Self {
        self.example = Some(example.into());
        self
    }

    /// Keeps its value out of what is shown.
    pub(in crate::config) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// A table of tables, by names that are free.
pub(in crate::config) struct Tables<'d> {
    /// The key of the table.
    pub(in crate::config) key: &'static str,
    /// What one of them is for: a sentence without its full stop.
    pub(in crate::config) about: &'static str,
    /// A name to show.
    pub(in crate::config) sample: &'static str,
    /// Whether there must be one.
    pub(in crate::config) required: bool,
    /// What they take from a table that they share.
    pub(in crate::config) defaults: Option<Value<'d>>,
}

/// The entries of a table, or of one that it takes defaults from.
pub(super) struct Layer<'d> {
    pub(super) path: String,
    pub(super) entries: &'d DeTable<'d>,
}

/// A table of the file; one that is not there has no entries.
pub(in crate::config) struct Table<'d> {
    document: &'d Document<'d>,
    path: String,
    name: Range<usize>,
    /// Its own entries, then those of its defaults.
    layers: Vec<Layer<'d>>,
    known: Vec<&'static str>,
    forbidden: Vec<&'static str>,
    open: bool,
    record: Record,
}

impl<'d> Table<'d> {
    /// Reads a table with `read`, and refuses what that did not ask for.
    pub(super) fn read<T>(
        document: &'d Document<'d>,
        path: String,
        name: Range<usize>,
        layers: Vec<Layer<'d>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> (T, Record) {
        let (known, forbidden, record) = (Vec::new(), Vec::new(), Record::default());
        let mut table =
            Self { document, path, name, layers, known, forbidden, open: false, record };
        let result = read(&mut table);
        table.refuse_unknown();
        (result, table.record)
    }

    /// The value of a key.
    pub(in crate::config) fn value(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.known.push(key);
        self.find(key)
    }

    /// Whether all that could stand here is described, and not what does.
    pub(in crate::config) fn is_described(&self) -> bool {
        self.document.recording == Recording::Keys
    }

    /// Whether there is a value of a key.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: &str) -> Option<Value<'d>> {
        self.layers.iter().find_map(|layer| self.find_in(layer, key))
    }

    fn find_in(&self, layer: &Layer<'d>, key: &str) -> Option<Value<'d>> {
        let (key, item) = layer.entries.get_key_value(key)?;
        Some(Value {
            document: self.document,
            path: join(&layer.path, key.get_ref()),
            name: key.span(),
            span: item.span(),
            item: item.get_ref(),
        })
    }

    /// The value of a key that has a default.
    pub(in crate::config) fn or<K: Kind>(&mut self, key: Key<K>, default: K::Value) -> K::Value {
        let mut setting = Setting::default();
        if self.document.recording == Recording::Keys {
            setting.default = Some(key.kind.write(&default));
        }
        let value = self.value(key.name).and_then(|value| key.kind.read(&value));
        let value = value.unwrap_or(default);
        self.note(key, Some(&value), setting);
        value
    }

    /// The value of a key whose default depends on something else; `without` says on what.
    pub(in crate::config) fn or_else<K: Kind>(
        &mut self,
        key: Key<K>,
        without: &'static str,
        default: impl FnOnce() -> K::Value,
    ) -> K::Value {
        let value = self.value(key.name).and_then(|value| key.kind.read(&value));
        let value = value.unwrap_or_else(default);
        self.note(key, Some(&value), Setting { without, ..Setting::default() });
        value
    }

    /// The value of a key that can be left out; `without` says what holds then.
    pub(in crate::config) fn optional<K: Kind>(
        &mut self,
        key: Key<K>,
        without: &'static str,
    ) -> Option<K::Value> {
        let value = self.value(key.name).and_then(|value| key.kind.read(&value));
        self.note(key, value.as_ref(), Setting { without, ..Setting::default() });
        value
    }

    /// The value of a key that must be there.
    pub(in crate::config) fn required<K: Kind>(
        &mut self,
        key: Key<K>,
        expected: &str,
    ) -> Option<K::Value> {
        let found = self.value(key.name);
        if found.is_none() {
            self.refuse(&format!("`{}` is missing", key.name), &format!("expected {expected}"));
        }
        let value = found.and_then(|value| key.kind.read(&value));
        self.note(key, value.as_ref(), Setting { required: true, ..Setting::default() });
        value
    }

    /// Keeps what was read for those who describe it.
    fn note<K: Kind>(&mut self, key: Key<K>, value: Option<&K::Value>, mut setting: Setting) {
        match self.document.recording {
            Recording::Nothing => return,
            Recording::Keys => {
                setting.schema = key.kind.schema();
                setting.range = key.kind.range();
                setting.example = key.example;
            }
            Recording::Values => setting.value = value.map(|value| key.kind.write(value)),
        }
        setting.secret = key.secret;
        self.keep(key.name, key.about, Content::Setting(setting));
    }

    fn keep(&mut self, key: &'static str, about: &'static str, content: Content) {
        if self.document.recording != Recording::Nothing {
            self.record.entries.push(Entry { key, about, content });
        }
    }

    /// Reads a table within this one; without entries if it is not there.
    pub(in crate::config) fn inner<T>(
        &mut self,
        key: &'static str,
        about: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let (result, record) = self.descend(key, read);
        self.keep(key, about, Content::Table(record));
        result
    }

    /// The same of a table from which others take what they do not set; it is not read for its own
    /// sake, so that its mistakes show even where nobody inherits them.
    pub(in crate::config) fn shared<T>(
        &mut self,
        key: &'static str,
        about: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<Value<'d>> {
        let (_, record) = self.descend(key, read);
        self.keep(key, about, Content::Shared(record));
        self.find(key)
    }

    fn descend<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Self) -> T) -> (T, Record) {
        self.known.push(key);
        let mut layers = Vec::new();
        for value in self.layers.iter().filter_map(|layer| self.find_in(layer, key)) {
            match value.item {
                DeValue::Table(entries) => layers.push(Layer { path: value.path, entries }),
                _ => {
                    value.mistyped::<()>("a table");
                }
            }
        }
        let name = self.find(key).map_or_else(|| self.name.clone(), |value| value.name);
        Self::read(self.document, join(&self.path, key), name, layers, read)
    }

    /// Reads each table of a table of tables.
    pub(in crate::config) fn tables<T>(
        &mut self,
        tables: &Tables<'d>,
        mut read: impl FnMut(&Name, &mut Self) -> T,
    ) -> BTreeMap<Name, T> {
        let (mut result, mut kept) = (BTreeMap::new(), Vec::new());
        self.descend(tables.key, |table| {
            for (text, value) in table.entries() {
                if text.is_empty() || text.len() > 128 || text.contains(char::is_control) {
                    let expected = "expected 1 to 128 bytes without control characters";
                    value.refuse_name("this cannot be a name", expected);
                }
                let name = Name::from(text);
                let over = value.table_over(tables.defaults.as_ref(), |table| read(&name, table));
                if let Some((read, record)) = over {
                    result.insert(name, read);
                    kept.push((text.to_owned(), record));
                }
            }
            if table.document.recording == Recording::Keys {
                let name = Name::from(tables.sample);
                let (_, record) = table.empty(&name, |table| read(&name, table));
                kept.push((tables.sample.to_owned(), record));
            }
        });
        let content = Content::Tables { required: tables.required, tables: kept };
        self.keep(tables.key, tables.about, content);
        result
    }

    /// Reads a further table of a table of tables that is not in the file.
    pub(in crate::config) fn implied<T>(
        &mut self,
        key: &'static str,
        name: &Name,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let (result, record) = self.empty(name, read);
        if let Some(entry) = self.record.entries.iter_mut().find(|entry| entry.key == key)
            && let Content::Tables { tables, .. } = &mut entry.content
        {
            tables.push((name.as_ref().to_owned(), record));
        }
        result
    }

    fn empty<T>(&self, name: &str, read: impl FnOnce(&mut Self) -> T) -> (T, Record) {
        Self::read(self.document, join(&self.path, name), self.name.clone(), Vec::new(), read)
    }

    /// Its own entries, whatever their keys: all of them count as known.
    pub(in crate::config) fn entries(&mut self) -> Vec<(&'d str, Value<'d>)> {
        self.open = true;
        let own = self.layers.first();
        let keys =
            own.into_iter().flat_map(|layer| layer.entries.keys().map(move |key| (layer, key)));
        keys.filter_map(|(layer, key)| {
            Some((key.get_ref().as_ref(), self.find_in(layer, key.get_ref())?))
        })
        .collect()
    }

    /// Its own entries that nothing has asked for; `schema` says what they can be.
    pub(in crate::config) fn others(&mut self, schema: Json) -> Vec<(&'d str, Value<'d>)> {
        self.record.others = Some(schema);
        let mut entries = self.entries();
        entries.retain(|(key, _)| !self.known.contains(key) && !self.forbidden.contains(key));
        entries
    }

    /// Refuses keys that only a later version serves.
    pub(in crate::config) fn later(&mut self, keys: &[&'static str]) {
        self.forbid(keys, NOT_YET);
    }

    /// Refuses keys that are known, but have no place here.
    pub(in crate::config) fn forbid(&mut self, keys: &[&'static str], message: &str) {
        self.forbidden.extend(keys);
        for value in keys.iter().filter_map(|key| self.find(key)) {
            self.document.note(&value.name, &value.path, message, "", None);
        }
    }

    /// The same, but for what comes from defaults, which others may have use for.
    pub(in crate::config) fn forbid_own(&mut self, keys: &[&'static str], message: &str) {
        self.forbidden.extend(keys);
        let own = self.layers.first();
        let own = keys.iter().filter_map(|key| self.find_in(own?, key));
        for value in own {
            self.document.note(&value.name, &value.path, message, "", None);
        }
    }

    /// What `read` makes of nothing, of which no record is kept.
    pub(in crate::config) fn nothing<T>(&self, read: impl FnOnce(&mut Self) -> T) -> T {
        self.empty("", read).0
    }

    /// Notes a fault of the table as a whole.
    pub(in crate::config) fn refuse(&self, message: &str, expected: &str) {
        self.document.note(&self.name, &self.path, message, expected, None);
    }

    fn refuse_unknown(&self) {
        // Where only defaults are, they come first; they are then named as what they are.
        let Some(own) = self.layers.first().filter(|_| !self.open) else { return };
        for key in own.entries.keys() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) || self.forbidden.contains(&name) {
                continue;
            }
            // What it may have meant takes longer to find than to skip.
            if self.document.is_full() {
                break;
            }
            let help = did_you_mean(name, self.known.iter().copied()).unwrap_or_else(|| {
                let mut known = self.known.clone();
                known.sort_unstable();
                known.dedup();
                format!("the keys of this table are {}", known.join(", "))
            });
            let path = join(&own.path, name);
            self.document.note(&key.span(), &path, "unknown key", "", Some(help));
        }
    }
}

/// What is said about all that a later version brings.
const NOT_YET: &str = "not available in this version";

/// The path of a key within a table, quoted where TOML would want it.
pub(in crate::config) fn join(path: &str, key: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(bare) {
        format!("{path}{dot}{key}")
    } else {
        format!("{path}{dot}{key:?}")
    }
}
