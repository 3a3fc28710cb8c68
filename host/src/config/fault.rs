//! What is wrong with a file, and how that reads.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// The most faults of one file that are noted: more are one mistake many times over, or no
/// configuration at all.
pub(super) const MAX_FAULTS: usize = 1_000;
/// The longest line that is drawn: drawing takes long in proportion, and nobody reads it.
const MAX_LINE_BYTES: usize = 4_096;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is; `None` if it concerns the file as a whole.
    pub place: Option<Place>,
    /// The key that it is about, such as `clusters.static.endpoints[1].weight`; can be empty.
    pub key: String,
    /// The offending text as it stands in the file, its first line.
    pub text: String,
    /// What is wrong, in a few words.
    pub message: String,
    /// What was expected instead; can be empty.
    pub expected: String,
    /// What may have been meant.
    pub help: Option<String>,
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the text.
    pub span: Range<usize>,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(out, "{}:{}: ", place.line, place.column)?;
        }
        out.write_str(&self.title())?;
        if !self.expected.is_empty() {
            write!(out, ", {}", self.expected)?;
        }
        if let Some(help) = &self.help {
            write!(out, " ({help})")?;
        }
        Ok(())
    }
}

impl Fault {
    /// A fault at some bytes of a text.
    pub(super) fn at(text: &str, span: Range<usize>, key: &str, message: &str) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.ceil_char_boundary(span.end.max(start));
        let (before, rest) = text.split_at(start);
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        let offending = rest.get(..end - start).unwrap_or_default();
        Self {
            place: Some(Place {
                line: before.matches('\n').count() + 1,
                column: line.chars().count() + 1,
                span: start..end,
            }),
            key: printable(key),
            text: offending.lines().next().unwrap_or_default().to_owned(),
            message: printable(message),
            expected: String::new(),
            help: None,
        }
    }

    /// A fault of the file as a whole.
    pub(super) fn whole(message: &str) -> Self {
        Self {
            place: None,
            key: String::new(),
            text: String::new(),
            message: printable(message),
            expected: String::new(),
            help: None,
        }
    }

    /// Says what was expected.
    pub(super) fn expected(mut self, expected: &str) -> Self {
        self.expected = printable(expected);
        self
    }

    /// Says what may have been meant.
    pub(super) fn help(mut self, help: Option<String>) -> Self {
        self.help = help.map(|help| printable(&help));
        self
    }

    fn title(&self) -> String {
        match self.key.as_str() {
            "" => self.message.clone(),
            key => format!("{key}: {}", self.message),
        }
    }

    /// The fault as a block with its source line, as rustc draws it.
    fn render(&self, file: &str, text: &str) -> String {
        let title = self.title();
        let Some(place) = &self.place else {
            return format!("error: {file}: {title}");
        };
        // Only the line itself is shown: what stands around it says nothing about a value.
        let start = text.get(..place.span.start).and_then(|before| before.rfind('\n'));
        let start = start.map_or(0, |newline| newline + 1);
        let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let group = Group::with_title(Level::ERROR.primary_title(&title));
        let mut group = if line.len() > MAX_LINE_BYTES {
            let origin = Origin::path(file).line(place.line).char_column(place.column);
            let expected = Some(&self.expected).filter(|expected| !expected.is_empty());
            group.element(origin).elements(expected.map(|expected| Level::NOTE.message(expected)))
        } else {
            let span = place.span.start.min(start + line.len()) - start
                ..place.span.end.min(start + line.len()) - start;
            let mark = AnnotationKind::Primary.span(span);
            let label = Some(self.expected.as_str()).filter(|expected| !expected.is_empty());
            let snippet = Snippet::source(line).line_start(place.line).path(file);
            group.element(snippet.annotation(mark.label(label)))
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        Renderer::plain().render(&[group])
    }
}

/// All that is wrong with one file; at least one thing.
#[derive(Debug, Clone)]
pub struct Faults {
    file: PathBuf,
    text: Arc<str>,
    list: Vec<Fault>,
}

impl Faults {
    /// The faults of a file, in the order of their places.
    pub(super) fn new(file: &Path, text: &str, list: Vec<Fault>) -> Self {
        Self { file: file.to_owned(), text: Arc::from(text), list }
    }

    /// The file, as it was named.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The faults in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.list.iter()
    }
}

impl<'f> IntoIterator for &'f Faults {
    type Item = &'f Fault;
    type IntoIter = std::slice::Iter<'f, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    /// One block per fault, and a line that counts them if there are several.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = printable(&self.file.to_string_lossy());
        for (index, fault) in self.list.iter().enumerate() {
            if index > 0 {
                out.write_str("\n\n")?;
            }
            out.write_str(&fault.render(&file, &self.text))?;
        }
        match self.list.len() {
            0 | 1 => Ok(()),
            MAX_FAULTS => write!(out, "\n\nerror: {file}: {MAX_FAULTS} faults or more"),
            count => write!(out, "\n\nerror: {file}: {count} faults"),
        }
    }
}

impl std::error::Error for Faults {}

/// Control characters escaped: what a file holds must not steer a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fault_reads_like_one_of_rustc() {
        let text = "[clusters.static]\nbalancer = 'ä'\nconnect-timeout = \"10\" # short\n";
        let start = text.find("\"10\"").unwrap();
        let timeout = Fault::at(
            text,
            start..start + 4,
            "clusters.static.connect-timeout",
            "`10` has no unit",
        )
        .expected("expected a duration such as `10s`")
        .help(Some("did you mean `10s`?".to_owned()));
        assert_eq!(timeout.text, "\"10\"");
        let place = timeout.place.as_ref().unwrap();
        assert_eq!((place.line, place.column), (3, 19));
        assert_eq!(
            timeout.to_string(),
            "3:19: clusters.static.connect-timeout: `10` has no unit, \
             expected a duration such as `10s` (did you mean `10s`?)"
        );
        let faults = Faults::new(Path::new("l.toml"), text, vec![timeout]);
        assert_eq!(
            faults.to_string(),
            "error: clusters.static.connect-timeout: `10` has no unit\n \
             --> l.toml:3:19\n  \
             |\n\
             3 | connect-timeout = \"10\" # short\n  \
             |                   ^^^^ expected a duration such as `10s`\n  \
             |\n  \
             = help: did you mean `10s`?"
        );
    }

    #[test]
    fn a_fault_of_the_file_has_no_place() {
        let faults =
            Faults::new(Path::new("l.toml"), "", vec![Fault::whole("cannot be read: gone\u{7}")]);
        assert_eq!(faults.to_string(), "error: l.toml: cannot be read: gone\\u{7}");
    }

    #[test]
    fn a_line_that_is_too_long_is_only_named() {
        let text = "x".repeat(MAX_LINE_BYTES + 1);
        let fault = Fault::at(&text, 1..2, "a", "wrong").expected("expected another");
        let drawn = Faults::new(Path::new("l.toml"), &text, vec![fault]).to_string();
        assert_eq!(drawn, "error: a: wrong\n--> l.toml:1:2\n = note: expected another");
    }

    proptest! {
        #[test]
        fn any_place_of_any_text_is_drawn(text: String, start: u8, length: u8) {
            let span = usize::from(start)..usize::from(start) + usize::from(length);
            let fault = Fault::at(&text, span, "a\u{1b}b", &text).expected(&text).help(Some(text.clone()));
            let drawn = Faults::new(Path::new("l.toml"), &text, vec![fault]).to_string();
            let is_drawn = drawn.contains("error: a\\u{1b}b: ");
            prop_assert!(is_drawn);
        }
    }
}
