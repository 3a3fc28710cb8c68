//! A recording read back, line by line. It may come from anywhere: what is wrong with it is told with
//! the number of the line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use crate::plugin::recording::{BEGINNING, FORMAT, Heading, LINE_BYTES, Line};

/// The lines of a recording after its first.
pub struct Reader {
    lines: BufReader<File>,
    number: usize,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file cannot.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is none of a recording.
    #[error("line {number}: {text}")]
    Line {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        text: String,
    },
}

impl Reader {
    /// Opens a recording and reads its first line.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn open(path: &Path) -> Result<(Heading, Self), Unreadable> {
        let mut reader = Self { lines: BufReader::new(File::open(path)?), number: 0 };
        let Some(first) = reader.line()? else { return Err(reader.refuse("the file is empty")) };
        if !first.starts_with(BEGINNING) {
            return Err(reader.refuse("this is no recording"));
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Format {
            linkspan_recording: u32,
        }
        let Format { linkspan_recording: format } = reader.parse(&first)?;
        if format != FORMAT {
            let text = format!("this is a recording of format {format}, and not of {FORMAT}");
            return Err(reader.refuse(text));
        }
        Ok((reader.parse(&first)?, reader))
    }

    /// The next line with its number.
    ///
    /// # Errors
    ///
    /// If it is none of a recording.
    pub fn read(&mut self) -> Result<Option<(usize, Line)>, Unreadable> {
        let Some(bytes) = self.line()? else { return Ok(None) };
        Ok(Some((self.number, self.parse(&bytes)?)))
    }

    /// That the line which was read last is wrong.
    #[must_use]
    pub fn refuse(&self, text: impl Into<String>) -> Unreadable {
        Unreadable::Line { number: self.number, text: text.into() }
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, Unreadable> {
        let most = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX) + 1;
        let mut bytes = Vec::new();
        let read = (&mut self.lines).take(most).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if bytes.pop() == Some(b'\n') {
            return Ok(Some(bytes));
        }
        let short = read < LINE_BYTES;
        Err(self.refuse(if short { "it is cut off" } else { "it is too long" }))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Unreadable> {
        let column =
            |error: serde_json::Error| error.to_string().replace("at line 1 column", "at column");
        serde_json::from_slice(bytes).map_err(|error| self.refuse(column(error)))
    }
}
