//! Which of a plugin's decisions are recorded, and where.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use http::HeaderName;

/// A sample of a plugin's decisions that is written to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub file: PathBuf,
    /// The names of the header fields whose values are recorded. Default none.
    pub headers: Vec<HeaderName>,
    /// The share of the requests, in hundredths of a percent, 1 to 10,000. Default all.
    pub share: u32,
    /// The most bytes of the file, 4 KiB to 16 GiB. Default 16 MiB.
    pub max_bytes: u64,
}

impl Sample {
    /// All requests and no header, within 16 MiB.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Self { file, headers: Vec::new(), share: 10_000, max_bytes: 16 << 20 }
    }

    /// Where the recording is kept that was in a file before: `FILE.1`.
    #[must_use]
    pub fn before(file: &Path) -> PathBuf {
        let mut before = OsString::from(file);
        before.push(".1");
        before.into()
    }
}
