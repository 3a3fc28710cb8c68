//! The file as a tree with places, and typed readers that note each fault and go on.
//!
//! A derived deserializer stops at the first mistake; here each value is read by itself, and one
//! that is wrong leaves a fault and nothing else. A table knows the keys that were asked for, so
//! that what remains is unknown, and what was asked for is what an unknown key may have meant.
//!
//! A key is declared once, where it is read ([`table::Key`]): with what it is for, and the [`Kind`] of its
//! value. The reader of a whole file therefore also describes it: run over nothing, it leaves a
//! [`Record`] of every key; run over a file, one of what each key came to.

mod kind;
mod record;
mod table;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::expand::{Variables, expand};
use crate::config::fault::{Fault, Lines, MAX_FAULTS};

pub(super) use kind::{
    Checked, Choice, Free, Kind, List, OneOrMore, Parsed, Period, Size, Text, Texts, Truth, Whole,
    variable, with,
};
pub(super) use record::{Content, Entry, Record, Setting};
use table::Layer;
pub(super) use table::{Table, Tables, join, key};

/// What reading leaves a record of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    /// Nothing.
    Nothing,
    /// What each key can be.
    Keys,
    /// What each key is.
    Values,
}

/// A file that is being read.
pub(super) struct Document<'a> {
    lines: Lines<'a>,
    variables: Variables<'a>,
    recording: Recording,
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
        recording: Recording,
        read: impl FnOnce(&mut Table<'_>) -> T,
    ) -> (Option<(T, Record)>, Vec<Fault>) {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::of(text);
        if !errors.is_empty() {
            let end = text.len()..text.len();
            let fault = |error: &toml::de::Error| {
                Fault::at(&lines, error.span().unwrap_or_else(|| end.clone()), "", error.message())
            };
            let mut faults: Vec<_> = errors.iter().take(MAX_FAULTS).map(fault).collect();
            if let Some(first) = faults.first_mut() {
                first.help =
                    foreign(text).map(|form| format!("this looks like {form}; it has to be TOML"));
            }
            return (None, faults);
        }
        let document = Document { lines, variables, recording, faults: RefCell::default() };
        let own = Layer { path: String::new(), entries: tree.get_ref() };
        let result = Table::read(&document, String::new(), 0..0, vec![own], read);
        (Some(result), document.faults.into_inner().into_values().collect())
    }

    /// What `read` would ask a table for.
    pub(super) fn describe<T>(read: impl FnOnce(&mut Table<'_>) -> T) -> Record {
        let document = Document {
            lines: Lines::of(""),
            variables: &|_| None,
            recording: Recording::Keys,
            faults: RefCell::default(),
        };
        // What is missing are faults, which nobody asks for.
        Table::read(&document, String::new(), 0..0, Vec::new(), read).1
    }

    /// Whether no more faults are noted.
    fn is_full(&self) -> bool {
        self.faults.borrow().len() >= MAX_FAULTS
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
        if !self.is_full() {
            let identity = (span.start, path.to_owned(), message.to_owned());
            self.faults.borrow_mut().entry(identity).or_insert_with(|| {
                Fault::at(&self.lines, span.clone(), path, message).expected(expected).help(help)
            });
        }
    }
}

/// The form that a text has instead of TOML, if it looks like one that configurations often have.
fn foreign(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.find(|line| !line.starts_with('#'))?;
    if first.starts_with('{') {
        Some("JSON")
    } else if first == "---" || first.ends_with(':') && !first.contains('=') {
        Some("YAML")
    } else {
        None
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

    pub(super) fn text_for(&self, expected: &str) -> Option<Cow<'d, str>> {
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

    /// Whether it is a list with nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.item.as_array().is_some_and(|array| array.is_empty())
    }

    /// Reads a table, of which no record is kept.
    pub(super) fn table<T>(&self, read: impl FnOnce(&mut Table<'d>) -> T) -> Option<T> {
        self.table_over(None, read).map(|(result, _)| result)
    }

    /// Reads a table, taking what it does not set from another.
    fn table_over<T>(
        &self,
        defaults: Option<&Self>,
        read: impl FnOnce(&mut Table<'d>) -> T,
    ) -> Option<(T, Record)> {
        let layer = |value: &Self| match value.item {
            DeValue::Table(entries) => Some(Layer { path: value.path.clone(), entries }),
            _ => None,
        };
        let Some(own) = layer(self) else { return self.mistyped("a table") };
        let layers = std::iter::once(own).chain(defaults.and_then(layer)).collect();
        Some(Table::read(self.document, self.path.clone(), self.name.clone(), layers, read))
    }
}
