//! The file as a tree with places, and typed readers that note each fault and go on.
//!
//! A derived deserializer stops at the first mistake; here each value is read by itself, and one
//! that is wrong leaves a fault and nothing else. A table knows the keys that were asked for, so
//! that what remains is unknown, and what was asked for is what an unknown key may have meant.

mod table;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::expand::{Variables, expand};
use crate::config::fault::{Fault, MAX_FAULTS};
use crate::config::names::{did_you_mean, one_of};
use crate::config::units::{self, ShownDuration, ShownSize};

use table::Layer;
pub(super) use table::{Table, join};

/// A file that is being read.
pub(super) struct Document<'a> {
    text: &'a str,
    variables: Variables<'a>,
    /// By place, key and message.
    faults: RefCell<BTreeMap<(usize, String, String), Fault>>,
}

impl<'a> Document<'a> {
    /// Reads a whole file with `read`: what that made of it, and the faults that it noted.
    ///
    /// Where the text is not TOML, its syntax is all that is reported: the rest would be guesses.
    pub(super) fn read<T>(
        text: &'a str,
        variables: Variables<'a>,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> (Option<T>, Vec<Fault>) {
        let (tree, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let end = text.len()..text.len();
            let fault = |error: &toml::de::Error| {
                Fault::at(text, error.span().unwrap_or_else(|| end.clone()), "", error.message())
            };
            return (None, errors.iter().take(MAX_FAULTS).map(fault).collect());
        }
        let document = Document { text, variables, faults: RefCell::default() };
        let own = Layer { path: String::new(), entries: tree.get_ref() };
        let result = Table::read(&document, String::new(), 0..0, vec![own], read);
        (Some(result), document.faults.into_inner().into_values().collect())
    }

    /// Notes a fault, unless it was noted already: many tables may inherit one wrong default.
    fn note(
        &self,
        span: &Range<usize>,
        path: &str,
        message: &str,
        expected: &str,
        help: Option<String>,
    ) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MAX_FAULTS {
            let identity = (span.start, path.to_owned(), message.to_owned());
            faults.entry(identity).or_insert_with(|| {
                Fault::at(self.text, span.clone(), path, message).expected(expected).help(help)
            });
        }
    }
}

/// One value of the file.
#[derive(Clone)]
pub(super) struct Value<'d> {
    document: &'d Document<'d>,
    path: String,
    /// Where its key stands, or itself if it has none.
    name: Range<usize>,
    span: Range<usize>,
    item: &'d DeValue<'d>,
}

impl<'d> Value<'d> {
    /// Notes that the value is wrong.
    pub(super) fn refuse<T>(
        &self,
        message: &str,
        expected: &str,
        help: Option<String>,
    ) -> Option<T> {
        self.document.note(&self.span, &self.path, message, expected, help);
        None
    }

    /// Notes that its key is wrong.
    pub(super) fn refuse_name(&self, message: &str, expected: &str) {
        self.document.note(&self.name, &self.path, message, expected, None);
    }

    fn mistyped<T>(&self, expected: &str) -> Option<T> {
        let article = match self.item {
            DeValue::Integer(_) | DeValue::Array(_) => "an",
            _ => "a",
        };
        let message = format!("this is {article} {}", self.item.type_str());
        self.refuse(&message, &format!("expected {expected}"), None)
    }

    /// The value as it stands in the tree.
    pub(super) fn item(&self) -> &'d DeValue<'d> {
        self.item
    }

    /// A text, its variables expanded.
    pub(super) fn text(&self) -> Option<Cow<'d, str>> {
        self.text_for("a string")
    }

    fn text_for(&self, expected: &str) -> Option<Cow<'d, str>> {
        let Some(text) = self.item.as_str() else { return self.mistyped(expected) };
        match expand(text, self.document.variables) {
            Ok(text) => Some(text),
            Err(error) => {
                let expected = "expected `${VAR}` or `${VAR:-default}`; `$${` stands for `${`";
                self.refuse(&error.to_string(), expected, None)
            }
        }
    }

    /// What `read` makes of a text; `expected` says what that has to be.
    pub(super) fn parse<T, E: Display>(
        &self,
        expected: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text_for(expected)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(error) => self.refuse(
                &format!("cannot read `{text}`: {error}"),
                &format!("expected {expected}"),
                None,
            ),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let text = self.text_for(&one_of(&names))?;
        let found = choices.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).or_else(|| {
            let expected = format!("expected {}", one_of(&names));
            self.refuse(
                &format!("`{text}` is not known here"),
                &expected,
                did_you_mean(&text, names),
            )
        })
    }

    /// A whole number.
    pub(super) fn integer<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(number) = self.item.as_integer() else { return self.mistyped(&expected) };
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
        let fitting = parsed.and_then(|parsed| T::try_from(parsed).ok());
        fitting.filter(|fitting| range.contains(fitting)).or_else(|| {
            self.refuse("the number is out of range", &format!("expected {expected}"), None)
        })
    }

    /// A duration with its unit.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (start, end) = (ShownDuration(*range.start()), ShownDuration(*range.end()));
        let expected =
            format!("a duration from {start} to {end}, such as `1h30m`, `10s` or `500ms`");
        let duration = self.parse(&expected, units::duration)?;
        Some(duration).filter(|duration| range.contains(duration)).or_else(|| {
            self.refuse("the duration is out of range", &format!("expected {expected}"), None)
        })
    }

    /// A size: a text with a unit, or a number of bytes.
    pub(super) fn size<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + PartialOrd + Copy,
        u64: TryFrom<T>,
    {
        let shown = |limit: &T| ShownSize(u64::try_from(*limit).unwrap_or(u64::MAX));
        let (start, end) = (shown(range.start()), shown(range.end()));
        let expected =
            format!("a size from {start} to {end}, such as `64KiB`, or a number of bytes");
        let bytes = match self.item {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => Some(self.parse(&expected, units::size)?),
        };
        let fitting = bytes.and_then(|bytes| T::try_from(bytes).ok());
        fitting.filter(|fitting| range.contains(fitting)).or_else(|| {
            self.refuse("the size is out of range", &format!("expected {expected}"), None)
        })
    }

    /// Each element of a list; those that are wrong are left out.
    pub(super) fn list<T>(&self, read: impl FnMut(&Self) -> Option<T>) -> Option<Vec<T>> {
        if !self.item.is_array() {
            return self.mistyped("a list");
        }
        Some(self.elements().iter().filter_map(read).collect())
    }

    /// One element, or a list of them.
    pub(super) fn one_or_list<T>(
        &self,
        mut read: impl FnMut(&Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.item.is_array() { self.list(read) } else { read(self).map(|one| vec![one]) }
    }

    /// The elements of a list; none if it is no list.
    pub(super) fn elements(&self) -> Vec<Self> {
        let elements = self.item.as_array().into_iter().flat_map(|array| array.iter().enumerate());
        let element = |(index, element): (usize, &'d Spanned<DeValue<'d>>)| Value {
            document: self.document,
            path: format!("{}[{index}]", self.path),
            name: element.span(),
            span: element.span(),
            item: element.get_ref(),
        };
        elements.map(element).collect()
    }

    /// Reads a table.
    pub(super) fn table<T>(&self, read: impl FnOnce(&mut Table<'d>) -> T) -> Option<T> {
        self.table_over(None, read)
    }

    /// Reads a table, taking what it does not set from another.
    pub(super) fn table_over<T>(
        &self,
        defaults: Option<&Self>,
        read: impl FnOnce(&mut Table<'d>) -> T,
    ) -> Option<T> {
        let layer = |value: &Self| match value.item {
            DeValue::Table(entries) => Some(Layer { path: value.path.clone(), entries }),
            _ => None,
        };
        let Some(own) = layer(self) else { return self.mistyped("a table") };
        let layers = std::iter::once(own).chain(defaults.and_then(layer)).collect();
        Some(Table::read(self.document, self.path.clone(), self.name.clone(), layers, read))
    }
}
