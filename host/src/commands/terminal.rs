//! How results look: aligned and coloured on a terminal, plain lines when piped.
//!
//! A crate for tables would bring measuring of wide characters, borders and a dozen of layouts; two
//! tables of names and numbers need none of it.

use std::io::{self, IsTerminal};

/// The least room in which the last column is folded.
const LEAST: usize = 20;

/// Blanks between columns.
const GAP: usize = 2;

/// What standard output is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terminal {
    /// Columns; `None` if it is no terminal.
    width: Option<usize>,
    colour: bool,
}

/// How a text is shown where colours are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Heading,
    Name,
    Dim,
    Bad,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Heading => "1",
            Self::Name => "1;36",
            Self::Dim => "2",
            Self::Bad => "1;31",
        }
    }
}

impl Terminal {
    /// Standard output as it is.
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Self::default();
        }
        let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| size.ws_col);
        let width = if columns == 0 { 80 } else { usize::from(columns) };
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { width: Some(width), colour }
    }

    /// A text, coloured where that is wanted.
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        match paint {
            Paint::Plain => text.to_owned(),
            _ if !self.colour => text.to_owned(),
            _ => format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()),
        }
    }
}

/// A text and how it is shown.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// An empty text becomes `-`, so that columns can be told apart.
    pub(super) fn new(text: impl Into<String>, paint: Paint) -> Self {
        let text = text.into();
        Self { text: if text.is_empty() { "-".to_owned() } else { text }, paint }
    }
}

/// Rows under headings.
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(headings: &[&str]) -> Self {
        let heading = |text: &&str| Cell::new(*text, Paint::Heading);
        Self { rows: vec![headings.iter().map(heading).collect()] }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// All lines: aligned on a terminal, where the last column is folded to fit; else with a tab
    /// between columns.
    pub(super) fn render(&self, terminal: Terminal) -> String {
        let Some(width) = terminal.width else {
            let texts = |row: &Vec<Cell>| {
                let texts: Vec<_> = row.iter().map(|cell| cell.text.as_str()).collect();
                texts.join("\t")
            };
            return self.rows.iter().map(texts).collect::<Vec<_>>().join("\n");
        };
        let widths = self.widths();
        let before: usize = widths.iter().rev().skip(1).map(|width| width + GAP).sum();
        let room = width.checked_sub(before).filter(|room| *room >= LEAST);
        let mut lines = Vec::new();
        for row in &self.rows {
            let Some((last, others)) = row.split_last() else { continue };
            let mut line = String::new();
            for (cell, width) in others.iter().zip(&widths) {
                let blanks = width - length(&cell.text) + GAP;
                line.push_str(&terminal.paint(cell.paint, &cell.text));
                line.push_str(&" ".repeat(blanks));
            }
            for part in folded(&last.text, room) {
                lines.push(format!("{line}{}", terminal.paint(last.paint, &part)));
                line = " ".repeat(before);
            }
        }
        lines.join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(row.len().max(widths.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = length(&cell.text).max(*width);
            }
        }
        widths
    }
}

/// A text without what a terminal would take for an order: it may come from anywhere.
pub(super) fn printable(text: &str) -> String {
    let plain =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(plain).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// A text in lines of whole words.
fn folded(text: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if length(line) + 1 + length(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "IMPORTS"]);
        let cells =
            |name, imports| vec![Cell::new(name, Paint::Name), Cell::new(imports, Paint::Plain)];
        table.row(cells("größer", "types log request response clock"));
        table.row(cells("b", ""));
        table
    }

    #[test]
    fn a_pipe_gets_tabs_and_no_colour() {
        let plain = table().render(Terminal::default());
        assert_eq!(plain, "NAME\tIMPORTS\ngrößer\ttypes log request response clock\nb\t-");
    }

    #[test]
    fn a_terminal_gets_columns_that_fit() {
        let terminal = Terminal { width: Some(29), colour: false };
        let lines = "NAME    IMPORTS\n\
                     größer  types log request\n        response clock\n\
                     b       -";
        assert_eq!(table().render(terminal), lines);
        let narrow = Terminal { width: Some(10), colour: false };
        assert_eq!(table().render(narrow).lines().count(), 3, "not folded to pieces");
        let coloured = Terminal { width: Some(29), colour: true }.paint(Paint::Bad, "no");
        assert_eq!(coloured, "\u{1b}[1;31mno\u{1b}[0m");
    }
}
