//! Finding components by name: in the plugin directory, then among those that the program carries.
//!
//! Who changes what is served says which files somebody may be writing to ([`Quiet`]): those are not
//! read, and what they looked like is compared once more after they were.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::plugin::error::Refusal;
use crate::plugin::host::Host;
use crate::plugin::reading::{Stamp, read_regular};

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The program carries it.
    BuiltIn,
    /// A file.
    File(PathBuf),
    /// The copy of what served before.
    Copy,
}

impl Source {
    /// What it is called: `built-in`, `file` or `copy`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::File(_) => "file",
            Self::Copy => "copy",
        }
    }
}

/// Bytes that should be a component.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where they come from.
    pub source: Source,
    /// Their SHA-256, as hexadecimal digits.
    pub digest: Arc<str>,
    /// They.
    pub bytes: Vec<u8>,
}

impl Found {
    /// Bytes from somewhere.
    #[must_use]
    pub fn new(source: Source, bytes: Vec<u8>) -> Self {
        Self { source, digest: digest(&bytes).into(), bytes }
    }
}

/// A plugin directory, as it looked when nobody had written to its components for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quiet {
    /// The files that were there.
    pub files: BTreeMap<OsString, Stamp>,
    /// Those that somebody writes to, removes or replaces, as it seems.
    pub restless: BTreeSet<OsString>,
}

impl Quiet {
    /// Whether a file still looks as it did; without a stamp, whether it still is not there.
    fn lasts(&self, file: &OsStr, stamp: Option<&Stamp>) -> bool {
        !self.restless.contains(file) && self.files.get(file) == stamp
    }
}

impl Host {
    /// The names of all components that can be named: those of the directory, then the built-in
    /// ones that none of them overrides.
    #[must_use]
    pub fn names(&self) -> Vec<(String, Source)> {
        let mut names: Vec<_> = Vec::new();
        if let Some(entries) = self.settings.plugin_dir.as_deref().and_then(|d| d.read_dir().ok()) {
            for path in entries.flatten().map(|entry| entry.path()) {
                let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
                if let (Some(name), Some("wasm")) =
                    (name, path.extension().and_then(|e| e.to_str()))
                {
                    names.push((name, Source::File(path)));
                }
            }
        }
        names.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, _) in self.settings.built_in {
            if !names.iter().any(|(known, _)| known == name) {
                names.push(((*name).to_owned(), Source::BuiltIn));
            }
        }
        names
    }

    /// Where the component of a name comes from.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<Source> {
        let file = self.file(name).map(Source::File);
        file.or_else(|| self.built_in(name).map(|_| Source::BuiltIn))
    }

    /// Its file, if there is one.
    fn file(&self, name: &str) -> Option<PathBuf> {
        let path = self.settings.plugin_dir.as_ref()?.join(format!("{name}.wasm"));
        // A link that leads nowhere, or a file that is not readable, was meant to be used.
        path.symlink_metadata().is_ok().then_some(path)
    }

    fn built_in(&self, name: &str) -> Option<&'static [u8]> {
        let mut built_in = self.settings.built_in.iter();
        built_in.find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
    }

    /// The same, with its bytes: those of a file only if it is as it was when it was `quiet`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Missing`], [`Refusal::Written`], or that the file cannot be read.
    pub fn find(&self, name: &str, quiet: Option<&Quiet>) -> Result<Found, Refusal> {
        let file = OsString::from(format!("{name}.wasm"));
        let written = || Err(Refusal::Written(file.clone().into()));
        let Some(path) = self.file(name) else {
            if quiet.is_some_and(|quiet| !quiet.lasts(&file, None)) {
                return written();
            }
            let built_in = self.built_in(name);
            return built_in.map(|bytes| Found::new(Source::BuiltIn, bytes.to_vec())).ok_or_else(
                || Refusal::Missing {
                    name: name.to_owned(),
                    directory: self.settings.plugin_dir.clone(),
                    known: self.names().into_iter().map(|(name, _)| name).collect(),
                },
            );
        };
        if quiet.is_some_and(|quiet| quiet.restless.contains(&file)) {
            return written();
        }
        let (bytes, stamp) = read_regular(&path)?;
        if quiet.is_some_and(|quiet| !quiet.lasts(&file, Some(&stamp))) {
            return written();
        }
        Ok(Found::new(Source::File(path), bytes))
    }

    /// What has served before: what the program carries, or the copy of it.
    ///
    /// # Errors
    ///
    /// If neither is there.
    pub fn find_again(&self, name: &str, wanted: &str) -> io::Result<Found> {
        let built_in = self.built_in(name).map(|bytes| Found::new(Source::BuiltIn, bytes.to_vec()));
        if let Some(found) = built_in.filter(|found| *found.digest == *wanted) {
            return Ok(found);
        }
        let vault = self.vault().ok_or_else(|| io::Error::other("no copies are kept"))?;
        Ok(Found::new(Source::Copy, vault.bytes(wanted)?))
    }

    /// Keeps a copy of what is about to serve, unless the program carries it.
    pub fn keep(&self, found: &Found) {
        if found.source == Source::BuiltIn {
            return;
        }
        let kept = self.vault().map(|vault| vault.keep(&found.digest, &found.bytes));
        if let Some(Err(error)) = kept {
            tracing::warn!("a component that serves could not be kept: {error}");
        }
    }
}

/// The SHA-256 of a component's bytes, as hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
