//! Kinds that are made of others: lists, and tables of free keys.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json, json};
use toml::de::DeValue;

use crate::config::file::Value;
use crate::config::file::kind::{Kind, Text, Whole};

/// How deep tables and lists may lie within each other in what a plugin gets: a reader of JSON
/// refuses more than 128 levels.
const MAX_DEPTH: usize = 100;

/// A list; elements that are wrong are left out.
pub(in crate::config) struct List<K>(pub(in crate::config) K);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn read(&self, value: &Value<'_>) -> Option<Self::Value> {
        if !value.item().is_array() {
            return value.mistyped("a list");
        }
        Some(value.elements().iter().filter_map(|element| self.0.read(element)).collect())
    }

    fn write(&self, value: &Self::Value) -> Json {
        value.iter().map(|element| self.0.write(element)).collect()
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": self.0.schema() })
    }

    fn range(&self) -> String {
        self.0.range()
    }
}

/// One element, or a list of at least one.
pub(in crate::config) struct OneOrMore<K> {
    /// What the elements are.
    pub(in crate::config) of: K,
    /// What an empty list lacks.
    pub(in crate::config) what: &'static str,
}

impl<K: Kind> Kind for OneOrMore<K> {
    type Value = Vec<K::Value>;

    fn read(&self, value: &Value<'_>) -> Option<Self::Value> {
        let elements = value.elements();
        if !value.item().is_array() {
            return self.of.read(value).map(|one| vec![one]);
        }
        if elements.is_empty() {
            let expected = format!("expected at least one {}", self.what);
            return value.refuse("the list is empty", &expected, None);
        }
        Some(elements.iter().filter_map(|element| self.of.read(element)).collect())
    }

    fn write(&self, value: &Self::Value) -> Json {
        match value.as_slice() {
            [one] => self.of.write(one),
            several => several.iter().map(|element| self.of.write(element)).collect(),
        }
    }

    fn schema(&self) -> Json {
        let list = json!({ "type": "array", "minItems": 1, "items": self.of.schema() });
        json!({ "anyOf": [self.of.schema(), list] })
    }

    fn range(&self) -> String {
        self.of.range()
    }
}

/// A kind whose values must also hold together with something else.
pub(in crate::config) struct Checked<K, F> {
    /// What it is first of all.
    pub(in crate::config) kind: K,
    /// What gives it back, or notes what is wrong.
    pub(in crate::config) check: F,
}

impl<K: Kind, F: Fn(&Value<'_>, K::Value) -> Option<K::Value>> Kind for Checked<K, F> {
    type Value = K::Value;

    fn read(&self, value: &Value<'_>) -> Option<K::Value> {
        (self.check)(value, self.kind.read(value)?)
    }

    fn write(&self, value: &K::Value) -> Json {
        self.kind.write(value)
    }

    fn schema(&self) -> Json {
        self.kind.schema()
    }

    fn range(&self) -> String {
        self.kind.range()
    }
}

/// A table of texts.
pub(in crate::config) struct Texts;

impl Kind for Texts {
    type Value = BTreeMap<String, String>;

    fn read(&self, value: &Value<'_>) -> Option<Self::Value> {
        value.table(|table| {
            let entry =
                |(key, value): (&str, Value<'_>)| Some((key.to_owned(), Text.read(&value)?));
            table.entries().into_iter().filter_map(entry).collect()
        })
    }

    fn write(&self, value: &Self::Value) -> Json {
        value.iter().map(|(key, text)| (key.clone(), Json::from(text.as_str()))).collect()
    }

    fn schema(&self) -> Json {
        json!({ "type": "object", "additionalProperties": Text.schema() })
    }
}

/// A table of whatever a plugin makes of it.
pub(in crate::config) struct Free;

impl Kind for Free {
    type Value = Map<String, Json>;

    fn read(&self, value: &Value<'_>) -> Option<Self::Value> {
        if !matches!(value.item(), DeValue::Table(_)) {
            return value.mistyped("a table");
        }
        match free(value, MAX_DEPTH)? {
            Json::Object(map) => Some(map),
            _ => None,
        }
    }

    fn write(&self, value: &Self::Value) -> Json {
        Json::Object(value.clone())
    }

    fn schema(&self) -> Json {
        json!({ "type": "object", "additionalProperties": true })
    }
}

fn free(value: &Value<'_>, depth: usize) -> Option<Json> {
    let Some(depth) = depth.checked_sub(1) else {
        return value.refuse("tables and lists lie too deep", "expected 100 levels at most", None);
    };
    match value.item() {
        DeValue::String(_) => value.text().map(|text| text.into_owned().into()),
        DeValue::Integer(_) => Whole(i64::MIN..=i64::MAX).read(value).map(Into::into),
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(Number::from_f64);
            number.map(Into::into).or_else(|| {
                value.refuse(
                    "plugins get JSON, which has no such number",
                    "expected a finite number",
                    None,
                )
            })
        }
        DeValue::Boolean(truth) => Some((*truth).into()),
        DeValue::Datetime(date) => Some(date.to_string().into()),
        DeValue::Array(_) => {
            Some(value.elements().iter().filter_map(|value| free(value, depth)).collect())
        }
        DeValue::Table(_) => value.table(|table| {
            let entry =
                |(key, value): (&str, Value<'_>)| Some((key.to_owned(), free(&value, depth)?));
            table.entries().into_iter().filter_map(entry).collect::<Map<_, _>>().into()
        }),
    }
}
