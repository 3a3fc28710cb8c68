//! The kinds of values: how each is read, written, and described.

mod compound;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Number, Value as Json, json};
use toml::de::DeValue;

use crate::config::file::Value;
use crate::config::names::{did_you_mean, one_of};
use crate::config::units::{self, ShownDuration, ShownSize, grouped};

pub(in crate::config) use compound::{Checked, Free, List, OneOrMore, Texts};

/// A text with a variable, which can become anything.
const VARIABLE: &str = r"\$\{";

/// How a value is read from a file, written to one, and described.
pub(in crate::config) trait Kind {
    /// What it is past the file.
    type Value;

    /// Reads it; what is wrong is noted, and gives nothing.
    fn read(&self, value: &Value<'_>) -> Option<Self::Value>;

    /// The value as a file would have it, with JSON for TOML: what [`Kind::read`] reads back.
    fn write(&self, value: &Self::Value) -> Json;

    /// What a file can have, as a JSON schema: nothing that [`Kind::read`] takes is refused.
    fn schema(&self) -> Json;

    /// What a file can have, for people: the end of the sentence on what it is for. Can be empty.
    fn range(&self) -> String {
        String::new()
    }
}

/// Texts of a pattern, and those that hold a variable, as a JSON schema.
pub(in crate::config) fn variable(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": format!("^({pattern})$|{VARIABLE}") })
}

/// A JSON schema with one keyword more.
pub(in crate::config) fn with(mut schema: Json, keyword: &str, value: impl Into<Json>) -> Json {
    if let Json::Object(keywords) = &mut schema {
        keywords.insert(keyword.to_owned(), value.into());
    }
    schema
}

/// A text, its variables expanded.
pub(in crate::config) struct Text;

impl Kind for Text {
    type Value = String;

    fn read(&self, value: &Value<'_>) -> Option<String> {
        value.text().map(std::borrow::Cow::into_owned)
    }

    fn write(&self, value: &String) -> Json {
        value.as_str().into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string" })
    }
}

/// One of a few words, each with what it stands for and what that is.
pub(in crate::config) struct Choice<T: 'static>(
    pub(in crate::config) &'static [(&'static str, T, &'static str)],
);

impl<T> Choice<T> {
    /// The words.
    pub(in crate::config) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, ..)| *name).collect()
    }
}

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;

    fn read(&self, value: &Value<'_>) -> Option<T> {
        let names = self.names();
        let text = value.text_for(&one_of(&names))?;
        let found = self.0.iter().find(|(name, ..)| *name == text);
        found.map(|(_, choice, _)| *choice).or_else(|| {
            let expected = format!("expected {}", one_of(&names));
            value.refuse(
                &format!("`{text}` is not known here"),
                &expected,
                did_you_mean(&text, names),
            )
        })
    }

    fn write(&self, value: &T) -> Json {
        self.0
            .iter()
            .find(|(_, choice, _)| choice == value)
            .map_or(Json::Null, |(name, ..)| Json::from(*name))
    }

    fn schema(&self) -> Json {
        let mut words = Vec::new();
        for (name, _, about) in self.0 {
            words.push(match *about {
                "" => json!({ "const": name }),
                about => json!({ "const": name, "description": about }),
            });
        }
        // The words again, so that an editor can say what was expected instead of a wrong one.
        words.push(variable(&self.names().join("|")));
        json!({ "anyOf": words })
    }

    fn range(&self) -> String {
        let word = |(name, _, about): &(&str, T, &str)| match *about {
            "" => format!("\"{name}\""),
            about => format!("\"{name}\" ({about})"),
        };
        let words: Vec<_> = self.0.iter().map(word).collect();
        match words.split_last() {
            Some((last, [])) => format!(": {last}"),
            Some((last, others)) => format!(": {} or {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

/// A whole number.
pub(in crate::config) struct Whole<T>(pub(in crate::config) RangeInclusive<T>);

impl<T> Kind for Whole<T>
where
    T: TryFrom<i128> + TryInto<i128> + PartialOrd + Display + Copy,
{
    type Value = T;

    fn read(&self, value: &Value<'_>) -> Option<T> {
        let expected = format!("a whole number from {} to {}", self.0.start(), self.0.end());
        let Some(number) = value.item().as_integer() else { return value.mistyped(&expected) };
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let fitting = parsed.and_then(|parsed| T::try_from(parsed).ok());
        fitting.filter(|fitting| self.0.contains(fitting)).or_else(|| {
            value.refuse("the number is out of range", &format!("expected {expected}"), None)
        })
    }

    fn write(&self, value: &T) -> Json {
        let number = (*value).try_into().ok().and_then(Number::from_i128);
        number.map_or(Json::Null, Json::Number)
    }

    fn schema(&self) -> Json {
        let (least, most) = (self.write(self.0.start()), self.write(self.0.end()));
        json!({ "type": "integer", "minimum": least, "maximum": most })
    }

    fn range(&self) -> String {
        let [start, end] = [self.0.start(), self.0.end()].map(|limit| grouped(&limit.to_string()));
        format!(" ({start} to {end})")
    }
}

/// Yes or no.
pub(in crate::config) struct Truth;

impl Kind for Truth {
    type Value = bool;

    fn read(&self, value: &Value<'_>) -> Option<bool> {
        value.item().as_bool().or_else(|| value.mistyped("true or false"))
    }

    fn write(&self, value: &bool) -> Json {
        (*value).into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }
}

/// A duration with its unit.
pub(in crate::config) struct Period(pub(in crate::config) RangeInclusive<Duration>);

impl Kind for Period {
    type Value = Duration;

    fn read(&self, value: &Value<'_>) -> Option<Duration> {
        let (start, end) = (ShownDuration(*self.0.start()), ShownDuration(*self.0.end()));
        let expected =
            format!("a duration from {start} to {end}, such as `1h30m`, `10s` or `500ms`");
        let duration = value.parse(&expected, units::duration)?;
        Some(duration).filter(|duration| self.0.contains(duration)).or_else(|| {
            value.refuse("the duration is out of range", &format!("expected {expected}"), None)
        })
    }

    fn write(&self, value: &Duration) -> Json {
        ShownDuration(*value).to_string().into()
    }

    fn schema(&self) -> Json {
        variable(&units::duration_pattern())
    }

    fn range(&self) -> String {
        format!(" ({} to {})", ShownDuration(*self.0.start()), ShownDuration(*self.0.end()))
    }
}

/// A size: a text with a unit, or a number of bytes.
pub(in crate::config) struct Size<T>(pub(in crate::config) RangeInclusive<T>);

impl<T: TryInto<u64> + Copy> Size<T> {
    fn bytes(limit: &T) -> u64 {
        (*limit).try_into().unwrap_or(u64::MAX)
    }

    fn limits(&self) -> [ShownSize; 2] {
        [self.0.start(), self.0.end()].map(|limit| ShownSize(Self::bytes(limit)))
    }
}

impl<T> Kind for Size<T>
where
    T: TryFrom<u64> + TryInto<u64> + PartialOrd + Copy,
{
    type Value = T;

    fn read(&self, value: &Value<'_>) -> Option<T> {
        let [start, end] = self.limits();
        let expected =
            format!("a size from {start} to {end}, such as `64KiB`, or a number of bytes");
        let bytes = match value.item() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => Some(value.parse(&expected, units::size)?),
        };
        let fitting = bytes.and_then(|bytes| T::try_from(bytes).ok());
        fitting.filter(|fitting| self.0.contains(fitting)).or_else(|| {
            value.refuse("the size is out of range", &format!("expected {expected}"), None)
        })
    }

    fn write(&self, value: &T) -> Json {
        ShownSize(Self::bytes(value)).to_string().into()
    }

    fn schema(&self) -> Json {
        let (least, most) = (Self::bytes(self.0.start()), Self::bytes(self.0.end()));
        let number = json!({ "type": "integer", "minimum": least, "maximum": most });
        json!({ "anyOf": [variable(&units::size_pattern()), number] })
    }

    fn range(&self) -> String {
        let [start, end] = self.limits();
        format!(" ({start} to {end})")
    }
}

/// A text that says something, such as an address.
pub(in crate::config) struct Parsed<T, E> {
    /// What it has to be, as in a fault.
    pub(in crate::config) expected: &'static str,
    /// How it is read.
    pub(in crate::config) read: fn(&str) -> Result<T, E>,
    /// How it is written.
    pub(in crate::config) write: fn(&T) -> String,
    /// A regular expression that holds for every text that can be read.
    pub(in crate::config) pattern: &'static str,
}

impl<T, E: Display> Kind for Parsed<T, E> {
    type Value = T;

    fn read(&self, value: &Value<'_>) -> Option<T> {
        value.parse(self.expected, self.read)
    }

    fn write(&self, value: &T) -> Json {
        (self.write)(value).into()
    }

    fn schema(&self) -> Json {
        variable(self.pattern)
    }
}
