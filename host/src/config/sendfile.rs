//! `sendfile-*` of a cluster: the directories whose files its endpoints may have sent in their place.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

/// What the endpoints of a cluster may have sent. Without a directory, nothing.
#[derive(Debug, Clone, Default)]
pub struct Sendfile {
    /// Where the files are that X-Sendfile names.
    pub roots: Vec<Arc<Root>>,
    /// What paths of X-Accel-Redirect begin with, and where their files are. Each begins and ends
    /// with a slash. These directories count as roots too.
    pub prefixes: Vec<(Box<str>, Arc<Root>)>,
    /// In which codings files are sent. Default [`Compression::OnTheFly`].
    pub compression: Compression,
}

impl Sendfile {
    /// All directories: the roots, then those of the prefixes.
    pub fn directories(&self) -> impl Iterator<Item = &Arc<Root>> {
        self.roots.iter().chain(self.prefixes.iter().map(|(_, root)| root))
    }

    /// Whether no file may be sent.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.roots.is_empty() && self.prefixes.is_empty()
    }
}

/// In which codings files are sent to clients that accept them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// In none.
    Off,
    /// In that of a file beside the one that was named: `.br`, `.zst` or `.gz`.
    Precompressed,
    /// The same, and else compressed while they are sent.
    #[default]
    OnTheFly,
}

/// A directory, open since the configuration was loaded: what lies below it is found through the
/// descriptor, whatever becomes of its path.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    /// The path without symlinks.
    real: PathBuf,
    directory: Dir,
}

impl Root {
    /// Opens a directory.
    ///
    /// # Errors
    ///
    /// Those of opening: it is missing, no directory, or not for us.
    pub fn open(path: &Path) -> io::Result<Self> {
        let directory = Dir::open_ambient_dir(path, ambient_authority())?;
        Ok(Self { path: simplified(path), real: path.canonicalize()?, directory })
    }

    /// The path that was configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is left of a path below it, by its configured path or by the one without symlinks.
    #[must_use]
    pub fn below<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.path).or_else(|_not_below| path.strip_prefix(&self.real)).ok()
    }

    /// The descriptor, from which nothing outside can be opened.
    #[must_use]
    pub fn directory(&self) -> &Dir {
        &self.directory
    }
}

/// A path without `..`, as the paths are that are looked for below it.
fn simplified(path: &Path) -> PathBuf {
    let mut simple = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            simple.pop();
        } else {
            simple.push(component);
        }
    }
    simple
}
