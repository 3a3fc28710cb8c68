//! Tables: the keys that they know, and what they take from defaults.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::file::{Document, Value};
use crate::config::names::did_you_mean;

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
}

impl<'d> Table<'d> {
    /// Reads a table with `read`, and refuses what that did not ask for.
    pub(super) fn read<T>(
        document: &'d Document<'d>,
        path: String,
        name: Range<usize>,
        layers: Vec<Layer<'d>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let (known, forbidden) = (Vec::new(), Vec::new());
        let mut table = Self { document, path, name, layers, known, forbidden, open: false };
        let result = read(&mut table);
        table.refuse_unknown();
        result
    }

    /// The value of a key.
    pub(in crate::config) fn value(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.known.push(key);
        self.find(key)
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

    /// What `read` makes of a key's value, if there is one and it is right.
    pub(in crate::config) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value<'d>) -> Option<T>,
    ) -> Option<T> {
        self.value(key).and_then(|value| read(&value))
    }

    /// What `read` makes of a key that must be there.
    pub(in crate::config) fn required<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Value<'d>) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.value(key) else {
            self.refuse(&format!("`{key}` is missing"), &format!("expected {expected}"));
            return None;
        };
        read(&value)
    }

    /// Reads a table within this one; without entries if it is not there.
    pub(in crate::config) fn inner<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
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

    /// Its own entries that nothing has asked for.
    pub(in crate::config) fn others(&mut self) -> Vec<(&'d str, Value<'d>)> {
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

    /// Whether a key chooses what only a later version serves. That is refused, and what else
    /// stands in the table, which may be meant for that choice, is not.
    pub(in crate::config) fn chooses_later(
        &mut self,
        key: &'static str,
        now: &'static str,
        later: &'static str,
    ) -> bool {
        let Some(value) = self.value(key) else { return false };
        let is_later = value.choice(&[(now, false), (later, true)]) == Some(true);
        if is_later {
            self.open = true;
            value.refuse::<()>(NOT_YET, &format!("expected `{now}`"), None);
        }
        is_later
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
