//! What is wrong with a file, or merely odd about it, and how that reads.

mod draw;
mod json;
mod lines;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::config::places::Places;

pub(super) use lines::Lines;

/// The most faults of one file that are noted: more are one mistake many times over, or no
/// configuration at all.
pub(super) const MAX_FAULTS: usize = 1_000;
/// The longest message, expectation, help or note: what plugins say has no length of its own.
const MAX_TEXT_BYTES: usize = 2_048;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, and is probably not what was meant.
    Warning,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
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
    /// What may have been meant, or can be done.
    pub help: Option<String>,
    /// What else is good to know.
    pub note: Option<String>,
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

impl Fault {
    /// A fault at some bytes of a text.
    pub(super) fn at(lines: &Lines<'_>, span: Range<usize>, key: &str, message: &str) -> Self {
        let text = lines.text();
        let start = text.floor_char_boundary(span.start);
        let end = text.ceil_char_boundary(span.end.max(start));
        let (before, rest) = text.split_at(start);
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        let offending = rest.get(..end - start).unwrap_or_default();
        Self {
            severity: Severity::Error,
            place: Some(Place {
                line: lines.number(start),
                column: line.chars().count() + 1,
                span: start..end,
            }),
            key: printable(key),
            text: cut(offending.lines().next().unwrap_or_default()),
            message: printable(message),
            expected: String::new(),
            help: None,
            note: None,
        }
    }

    /// A fault of the file as a whole.
    #[must_use]
    pub fn whole(message: &str) -> Self {
        Self {
            severity: Severity::Error,
            place: None,
            key: String::new(),
            text: String::new(),
            message: printable(message),
            expected: String::new(),
            help: None,
            note: None,
        }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Says what was expected.
    #[must_use]
    pub fn expected(mut self, expected: &str) -> Self {
        self.expected = printable(expected);
        self
    }

    /// Says what may have been meant, or can be done.
    #[must_use]
    pub fn help(mut self, help: Option<String>) -> Self {
        self.help = help.map(|help| printable(&help));
        self
    }

    /// Says what else is good to know, in one line or several.
    #[must_use]
    pub fn note(mut self, note: &str) -> Self {
        let lines: Vec<_> = note.lines().map(printable).collect();
        self.note = Some(cut(&lines.join("\n"))).filter(|note| !note.is_empty());
        self
    }

    fn title(&self) -> String {
        match self.key.as_str() {
            "" => self.message.clone(),
            key => format!("{key}: {}", self.message),
        }
    }

    /// What puts faults in order: those of the file as a whole, then by place.
    fn rank(&self) -> (usize, &str, &str) {
        let start = self.place.as_ref().map_or(0, |place| place.span.start);
        (start, &self.key, &self.message)
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
    /// The faults of a file.
    pub(super) fn new(file: &Path, text: &str, list: Vec<Fault>) -> Self {
        let mut faults = Self { file: file.to_owned(), text: Arc::from(text), list: Vec::new() };
        faults.add(list);
        faults
    }

    /// Adds what was found later, each thing once.
    pub fn add(&mut self, more: impl IntoIterator<Item = Fault>) {
        self.list.extend(more);
        self.list.sort_by(|one, other| one.rank().cmp(&other.rank()));
        self.list.dedup_by(|one, other| one.rank() == other.rank());
        self.list.truncate(MAX_FAULTS);
    }

    /// The file, as it was named.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where things stand in the file.
    #[must_use]
    pub fn places(&self) -> Places<'_> {
        Places::of(&self.text)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many keep the file from being used.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.iter().filter(|fault| fault.severity == Severity::Error).count()
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

impl std::error::Error for Faults {}

/// Control characters escaped: what a file or a plugin says must not steer a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if out.len() > MAX_TEXT_BYTES {
            break;
        }
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    cut(&out)
}

/// What turns the direction of a text, or stands in it unseen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A text of bounded length.
fn cut(text: &str) -> String {
    match text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str, span: Range<usize>, key: &str, message: &str) -> Fault {
        Fault::at(&Lines::of(text), span, key, message)
    }

    #[test]
    fn a_fault_reads_like_one_of_rustc() {
        let text = "[clusters.static]\nbalancer = 'ä'\nconnect-timeout = \"10\" # short\n";
        let start = text.find("\"10\"").unwrap();
        let timeout =
            at(text, start..start + 4, "clusters.static.connect-timeout", "`10` has no unit")
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
    fn warnings_and_notes_are_drawn_and_counted() {
        let text = "a = 1\n\tb = '漢'\n";
        let odd = at(text, 11..16, "b", "odd").warning().note("one\ntwo\u{1b}");
        let mut faults = Faults::new(Path::new("l.toml"), text, vec![odd.clone()]);
        let drawn = "warning: b: odd\n \
                     --> l.toml:2:6\n  \
                     |\n\
                     2 |     b = '漢'\n  \
                     |         ^^^^\n  \
                     |\n  \
                     = note: one\n          \
                     two\\u{1b}";
        assert_eq!(faults.to_string(), drawn);
        assert_eq!((faults.errors(), faults.count().as_str()), (0, "1 warning"));
        assert_eq!(faults.lines().collect::<Vec<_>>(), ["l.toml:2:6: b: odd"]);
        faults.add([at(text, 0..1, "a", "wrong"), odd, Fault::whole("gone")]);
        assert_eq!(faults.count(), "2 faults, 1 warning");
        let lines = ["l.toml: gone", "l.toml:1:1: a: wrong", "l.toml:2:6: b: odd"];
        assert_eq!(faults.lines().collect::<Vec<_>>(), lines);
        let coloured = faults.drawn(true);
        assert!(coloured.contains("\u{1b}[") && !faults.drawn(false).contains('\u{1b}'));
        assert!(faults.to_string().ends_with("error: l.toml: 2 faults, 1 warning"));
    }

    #[test]
    fn a_fault_over_several_lines_ends_where_it_ends() {
        let text = "a = [\n  1,\n ä]\n";
        let faults = Faults::new(Path::new("l.toml"), text, vec![at(text, 4..15, "a", "x")]);
        let json: serde_json::Value = serde_json::from_str(&faults.json()).unwrap();
        let fault = &json["faults"][0];
        assert_eq!((&fault["line"], &fault["column"]), (&1.into(), &5.into()));
        assert_eq!((&fault["end_line"], &fault["end_column"]), (&3.into(), &4.into()));
        assert_eq!((&fault["text"], &fault["help"]), (&"[".into(), &serde_json::Value::Null));
    }

    #[test]
    fn what_others_say_is_cut() {
        let fault = Fault::whole(&"x".repeat(MAX_TEXT_BYTES * 2)).note(&"y\n".repeat(9_999));
        assert_eq!(fault.message.chars().count(), MAX_TEXT_BYTES + 1);
        assert!(fault.note.is_some_and(|note| note.len() < MAX_TEXT_BYTES + 8));
        assert!(Fault::whole("a").note("").note.is_none());
    }

    #[test]
    fn of_a_line_that_is_too_long_the_place_is_shown() {
        let far = draw::MAX_LINE_BYTES;
        let text = format!("{}YZ{}", "x".repeat(far), "y".repeat(far));
        let fault = at(&text, far..far + 2, "a", "wrong").expected("expected another");
        let drawn = Faults::new(Path::new("l.toml"), &text, vec![fault]).to_string();
        let (before, after) = ("x".repeat(60), "y".repeat(60));
        let blank = " ".repeat(61);
        assert_eq!(
            drawn,
            format!(
                "error: a: wrong\n --> l.toml:1:4097\n  |\n ::: \n\
                 1 | …{before}YZ{after}…\n  | {blank}^^ expected another"
            )
        );
        // A place that is long itself, and one at the end.
        for span in [0..2 * far, 2 * far - 3..2 * far + 2] {
            let fault = at(&text, span, "a", "wrong");
            let drawn = Faults::new(Path::new("l.toml"), &text, vec![fault]).to_string();
            assert!(drawn.len() < 1_000 && drawn.contains("^^"), "{drawn}");
        }
    }

    proptest! {
        #[test]
        fn any_place_of_any_text_is_drawn(text: String, start: u8, length: u8) {
            let span = usize::from(start)..usize::from(start) + usize::from(length);
            // Within a line that is too long, too.
            let long = "é".repeat(draw::MAX_LINE_BYTES);
            let long = format!("{long}{text}{long}");
            let far = 2 * draw::MAX_LINE_BYTES;
            let fault = at(&long, far + span.start..far + span.end, "a", "b");
            prop_assert!(!Faults::new(Path::new("l.toml"), &long, vec![fault]).to_string().is_empty());
            let fault = at(&text, span, "a\u{1b}b", &text).expected(&text).help(Some(text.clone()));
            let drawn = Faults::new(Path::new("l.toml"), &text, vec![fault]).to_string();
            let is_drawn = drawn.contains("error: a\\u{1b}b: ");
            prop_assert!(is_drawn);
        }
    }
}
