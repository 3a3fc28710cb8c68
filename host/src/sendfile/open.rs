//! Opening files, on a thread that may block.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::coding::Coding;
use super::path::Target;
use super::{Outcome, Refusal};

/// A file that is open, and what it was then.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: std::fs::File,
    pub(super) length: u64,
    /// In seconds since 1970.
    pub(super) modified: i64,
    pub(super) nanoseconds: i64,
    /// How it is coded, if it is one that lay beside the one that was named.
    pub(super) coding: Option<Coding>,
    /// The path of the one that was named.
    pub(super) name: PathBuf,
}

/// Opens the first of these files that is there, or one beside it in a coding of these, the best
/// first.
pub(super) fn open(targets: &[Target], accepted: &[Coding]) -> Result<Opened, Refusal> {
    let mut worst: Option<Refusal> = None;
    for target in targets {
        let directory = target.root.directory();
        match regular(directory, &target.path) {
            Ok((file, metadata)) => {
                let name = target.path.clone();
                let beside = beside(directory, &name, &metadata, accepted);
                return Ok(match beside {
                    Some((file, metadata, coding)) => opened(file, &metadata, Some(coding), name),
                    None => opened(file, &metadata, None, name),
                });
            }
            // That there is a file that may not be sent says more than that there is none elsewhere.
            Err(error) => {
                let refusal = refusal(&error);
                if worst.as_ref().is_none_or(|worst| worst.outcome == Outcome::Missing) {
                    worst = Some(refusal);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| Refusal::new(Outcome::Missing, "there is no place to look at")))
}

fn opened(
    file: std::fs::File,
    metadata: &Metadata,
    coding: Option<Coding>,
    name: PathBuf,
) -> Opened {
    let (modified, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Opened { file, length: metadata.len(), modified, nanoseconds, coding, name }
}

/// The same file in the best coding, unless it is older: it was made of another.
fn beside(
    directory: &Dir,
    path: &Path,
    plain: &Metadata,
    accepted: &[Coding],
) -> Option<(std::fs::File, Metadata, Coding)> {
    accepted.iter().find_map(|coding| {
        let mut name = OsString::from(path);
        name.push(coding.extension());
        let (file, metadata) = regular(directory, Path::new(&name)).ok()?;
        (metadata.mtime() >= plain.mtime()).then_some((file, metadata, *coding))
    })
}

fn regular(directory: &Dir, path: &Path) -> io::Result<(std::fs::File, Metadata)> {
    // The root itself is no file, and has no name that it could be asked for by.
    if path.as_os_str().is_empty() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // Opening a device can do things. Whoever puts one in between finds that it is not waited for.
    let is_file = |metadata: &Metadata| {
        if metadata.is_file() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::IsADirectory)) }
    };
    is_file(&directory.metadata(path)?)?;
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = directory.open_with(path, &options)?;
    let metadata = file.metadata()?;
    is_file(&metadata)?;
    Ok((file.into_std(), metadata))
}

fn refusal(error: &io::Error) -> Refusal {
    let missing = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::NXIO,
        Errno::NODEV,
        Errno::INVAL,
    ];
    let is_missing = error
        .raw_os_error()
        .is_some_and(|number| missing.iter().any(|errno| errno.raw_os_error() == number));
    match error.kind() {
        io::ErrorKind::IsADirectory => Refusal::new(Outcome::Missing, "it is no regular file"),
        _ if is_missing => Refusal::new(Outcome::Missing, error.to_string()),
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            Refusal::new(Outcome::Forbidden, "it leads outside of its root")
        }
        io::ErrorKind::PermissionDenied => Refusal::new(Outcome::Forbidden, error.to_string()),
        _ => Refusal::new(Outcome::Failed, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_what_is_missing_from_what_is_not_for_us() {
        for (errno, outcome) in [
            (Errno::NOENT, Outcome::Missing),
            (Errno::NOTDIR, Outcome::Missing),
            (Errno::LOOP, Outcome::Missing),
            (Errno::NAMETOOLONG, Outcome::Missing),
            (Errno::ACCESS, Outcome::Forbidden),
            (Errno::PERM, Outcome::Forbidden),
            (Errno::MFILE, Outcome::Failed),
            (Errno::IO, Outcome::Failed),
        ] {
            assert_eq!(refusal(&errno.into()).outcome, outcome, "{errno}");
        }
    }

    #[test]
    fn the_first_place_where_it_is_counts_and_else_the_graver_reason() {
        let directory = tempfile::tempdir().unwrap();
        let target = |root: &str, path: &str| {
            let root = directory.path().join(root);
            std::fs::create_dir_all(&root).unwrap();
            let root = std::sync::Arc::new(crate::config::Root::open(&root).unwrap());
            Target { root, path: path.into() }
        };
        let targets = [target("a", "x"), target("b", "x"), target("c", "x")];
        let outcome = || open(&targets, &[]).map(|found| found.length).map_err(|no| no.outcome);
        assert_eq!(outcome(), Err(Outcome::Missing));
        std::os::unix::fs::symlink("../b/y", directory.path().join("a/x")).unwrap();
        assert_eq!(outcome(), Err(Outcome::Forbidden));
        std::fs::write(directory.path().join("c/x"), "file").unwrap();
        assert_eq!(outcome(), Ok(4));
        std::fs::write(directory.path().join("b/x"), "longer").unwrap();
        assert_eq!(outcome(), Ok(6));
    }
}
