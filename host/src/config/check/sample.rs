//! Recordings of plugins' decisions.

use std::path::PathBuf;

use http::HeaderName;
use http::header::InvalidHeaderName;
use serde_json::{Map, Value as Json, json};
use toml::de::DeValue;

use crate::config::check::Context;
use crate::config::check::percent::{in_percent, percent};
use crate::config::file::{Checked, Document, Kind, List, Parsed, Size, Table, Value, key};
use crate::config::{Sample, schema};

const NAME: Parsed<HeaderName, InvalidHeaderName> = Parsed {
    expected: "the name of a header, such as `accept-language`",
    read: |text| HeaderName::from_bytes(text.as_bytes()),
    write: HeaderName::to_string,
    pattern: r"[A-Za-z0-9!#$%&'*+.^_`|~-]+",
};

const SHARE: Parsed<u32, &str> = Parsed {
    expected: "a share from `0.01%` to `100%`",
    read: |text| percent(1..=10_000)(text),
    write: in_percent,
    pattern: r"[0-9]+(\.[0-9]{1,2})?%",
};

const SIZES: Size<u64> = Size(4 << 10..=16 << 30);

/// What is recorded: a text, which is the file, or a table.
pub(super) struct SampleKind<'c>(pub(super) &'c Context<'c>);

impl SampleKind<'_> {
    fn table(&self, table: &mut Table<'_>) -> Option<Sample> {
        let check = |value: &Value<'_>, file| self.once(value, file);
        let file = Checked { kind: self.0.path(), check };
        let file = key("file", "The file that it is written to", file).such_as("decisions.jsonl");
        let file = table.required(file, "the path of a file");
        let headers = "The header fields whose values are recorded";
        let headers = key("headers", headers, List(NAME));
        let headers = table.or(headers, Vec::new());
        let share = table.or(key("share", "The share of the requests", SHARE), 10_000);
        let most = key("max-bytes", "The most bytes of the file", SIZES);
        let max_bytes = table.or(most, 16 << 20);
        Some(Sample { file: file?, headers, share, max_bytes })
    }

    /// The file, unless another plugin records into it, or keeps the recording before there.
    fn once(&self, value: &Value<'_>, file: PathBuf) -> Option<PathBuf> {
        let mut taken = self.0.recordings.borrow_mut();
        let own = [file.clone(), Sample::before(&file)];
        if own.iter().all(|file| !taken.contains(file)) {
            taken.extend(own);
            return Some(file);
        }
        let expected = "expected a file of its own for each plugin";
        value.refuse("another plugin records into this file", expected, None)
    }
}

impl Kind for SampleKind<'_> {
    type Value = Sample;

    fn read(&self, value: &Value<'_>) -> Option<Sample> {
        if matches!(value.item(), DeValue::Table(_)) {
            return value.table(|table| self.table(table))?;
        }
        let file = self.0.path().read(value)?;
        self.once(value, file).map(Sample::new)
    }

    fn write(&self, value: &Sample) -> Json {
        let file = self.0.path().write(&value.file);
        if *value == Sample::new(value.file.clone()) {
            return file;
        }
        let mut written = Map::new();
        written.insert("file".to_owned(), file);
        written.insert("headers".to_owned(), List(NAME).write(&value.headers));
        written.insert("share".to_owned(), SHARE.write(&value.share));
        written.insert("max-bytes".to_owned(), SIZES.write(&value.max_bytes));
        written.into()
    }

    fn schema(&self) -> Json {
        let table = schema::of_table(&Document::describe(|table| self.table(table)));
        json!({ "anyOf": [self.0.path().schema(), table] })
    }
}
