//! Faults as JSON, for editors and scripts.

use serde::Serialize;

use super::{Fault, Faults, Severity};

/// All of a file.
#[derive(Serialize)]
struct Document<'f> {
    file: String,
    errors: usize,
    warnings: usize,
    faults: Vec<One<'f>>,
}

/// One fault. Lines and columns count from 1, columns in characters, and the end is the first
/// character after it; bytes count from 0. What is not known or empty is null.
#[derive(Serialize)]
struct One<'f> {
    severity: Severity,
    line: Option<usize>,
    column: Option<usize>,
    end_line: Option<usize>,
    end_column: Option<usize>,
    start_byte: Option<usize>,
    end_byte: Option<usize>,
    key: Option<&'f str>,
    text: Option<&'f str>,
    message: &'f str,
    expected: Option<&'f str>,
    help: Option<&'f str>,
    note: Option<&'f str>,
}

impl Faults {
    /// One JSON document, on several lines.
    #[must_use]
    pub fn json(&self) -> String {
        let one = |fault| One::new(fault, &self.text);
        let document = Document {
            file: self.file.to_string_lossy().into_owned(),
            errors: self.errors(),
            warnings: self.list.len() - self.errors(),
            faults: self.iter().map(one).collect(),
        };
        // Nothing in it can fail to be written: its keys are texts.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }
}

impl<'f> One<'f> {
    fn new(fault: &'f Fault, text: &str) -> Self {
        let place = fault.place.as_ref();
        let end = place.and_then(|place| Some((place, text.get(place.span.clone())?)));
        let end = end.map(|(place, spanned)| match spanned.rsplit_once('\n') {
            Some((before, last)) => {
                (place.line + before.matches('\n').count() + 1, last.chars().count() + 1)
            }
            None => (place.line, place.column + spanned.chars().count()),
        });
        let filled = |text: &'f str| Some(text).filter(|text| !text.is_empty());
        Self {
            severity: fault.severity,
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            end_line: end.map(|(line, _)| line),
            end_column: end.map(|(_, column)| column),
            start_byte: place.map(|place| place.span.start),
            end_byte: place.map(|place| place.span.end),
            key: filled(&fault.key),
            text: filled(&fault.text),
            message: &fault.message,
            expected: filled(&fault.expected),
            help: fault.help.as_deref(),
            note: fault.note.as_deref(),
        }
    }
}
