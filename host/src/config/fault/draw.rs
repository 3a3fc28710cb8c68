//! Faults as rustc draws them: a block each, with its source line.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{Fault, Faults, MAX_FAULTS, Severity, printable};

/// The longest line that is drawn as a whole: drawing takes long in proportion, and nobody reads
/// it.
pub(super) const MAX_LINE_BYTES: usize = 4_096;

/// What is drawn of a longer one on either side of its place.
const CONTEXT_BYTES: usize = 60;

impl fmt::Display for Fault {
    /// All of it in one line.
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
    fn level(&self) -> Level<'static> {
        match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        }
    }

    /// The fault as a block. Only the line itself is shown: what stands around it says nothing
    /// about a value.
    fn draw(&self, file: &str, text: &str, renderer: &Renderer) -> String {
        let title = match &self.place {
            Some(_) => self.title(),
            None => format!("{file}: {}", self.title()),
        };
        let mut group = Group::with_title(self.level().primary_title(&title));
        if let Some(place) = &self.place {
            let start = text.get(..place.span.start).and_then(|before| before.rfind('\n'));
            let start = start.map_or(0, |newline| newline + 1);
            let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
            let label = Some(self.expected.as_str()).filter(|expected| !expected.is_empty());
            let span = place.span.start.min(start + line.len()) - start
                ..place.span.end.min(start + line.len()) - start;
            let (shown, span) = window(line, span);
            let is_whole = matches!(shown, Cow::Borrowed(_));
            let mut snippet = Snippet::source(shown).line_start(place.line);
            if is_whole {
                snippet = snippet.path(file);
            } else {
                // Counted from the start of the line, not from that of what is shown.
                let origin = Origin::path(file).line(place.line).char_column(place.column);
                group = group.element(origin);
            }
            let mark = AnnotationKind::Primary.span(span).label(label);
            group = group.element(snippet.annotation(mark));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        if let Some(note) = &self.note {
            group = group.element(Level::NOTE.message(note));
        }
        renderer.render(&[group])
    }
}

/// What is drawn of a line: all of it, or what stands around the place in one that is too long.
fn window(line: &str, span: Range<usize>) -> (Cow<'_, str>, Range<usize>) {
    if line.len() <= MAX_LINE_BYTES {
        return (Cow::Borrowed(line), span);
    }
    let start = line.floor_char_boundary(span.start.saturating_sub(CONTEXT_BYTES));
    let end = line.ceil_char_boundary(span.end.min(span.start + CONTEXT_BYTES) + CONTEXT_BYTES);
    let piece = line.get(start..end).unwrap_or_default();
    let before = if start > 0 { "…" } else { "" };
    let after = if end < line.len() { "…" } else { "" };
    let moved = |at: usize| at.min(end) - start + before.len();
    let span = moved(span.start)..moved(span.end);
    (Cow::Owned(format!("{before}{piece}{after}")), span)
}

impl Faults {
    /// One block per fault, and a line that counts them if there are several; with colours, or
    /// plain.
    #[must_use]
    pub fn drawn(&self, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
        let file = printable(&self.file.to_string_lossy());
        let mut blocks: Vec<_> =
            self.iter().map(|fault| fault.draw(&file, &self.text, &renderer)).collect();
        if self.list.len() > 1 {
            let level = if self.errors() > 0 { Level::ERROR } else { Level::WARNING };
            let title = format!("{file}: {}", self.count());
            blocks.push(renderer.render(&[Group::with_title(level.primary_title(title))]));
        }
        blocks.join("\n\n")
    }

    /// How many there are, in words.
    #[must_use]
    pub fn count(&self) -> String {
        let errors = self.errors();
        let warnings = self.list.len() - errors;
        let more = if self.list.len() >= MAX_FAULTS { " or more" } else { "" };
        let several = |count: usize| if count == 1 { "" } else { "s" };
        match (errors, warnings) {
            (0, 0) => "no faults".to_owned(),
            (0, _) => format!("{warnings} warning{}{more}", several(warnings)),
            (_, 0) => format!("{errors} fault{}{more}", several(errors)),
            _ => format!(
                "{errors} fault{}, {warnings} warning{}{more}",
                several(errors),
                several(warnings)
            ),
        }
    }

    /// Each in one line that begins with file, line and column, as compilers write them.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let file = printable(&self.file.to_string_lossy());
        self.iter().map(move |fault| match fault.place {
            Some(_) => format!("{file}:{fault}"),
            None => format!("{file}: {fault}"),
        })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.drawn(false))
    }
}
