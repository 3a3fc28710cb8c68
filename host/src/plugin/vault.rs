//! What serves, on disk: a copy of each component that a process runs by, and the list of them. The
//! next process begins with these where the plugin directory has nothing that is fit.
//!
//! First come the copies, then the list, in one step; what it does not name any more goes last. So
//! whatever a process that is killed leaves behind is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::plugin::compile::COMPONENT_BYTES;
use crate::plugin::files;
use crate::plugin::found::{digest, hex};

/// What the names of directories begin with.
const PREFIX: &str = "serving-";

/// The list's name.
const LIST: &str = "list.json";

/// The most bytes of a list.
const LIST_BYTES: u64 = 16 << 20;

/// The layout of a list: a process that knows another does without it.
const FORMAT: u32 = 1;

/// Nobody writes a file for as long.
const LONGEST: Duration = Duration::from_secs(600);

/// The most directories of copies that are kept although their plugin directory is gone.
const GONE: usize = 16;

/// What serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Committed {
    format: u32,
    /// The plugin directory, if that can be told in Unicode.
    plugin_dir: Option<String>,
    /// The components of plugins, by the plugin's name.
    pub plugins: BTreeMap<String, Kept>,
    /// What served before these, likewise.
    #[serde(default)]
    pub before: BTreeMap<String, Kept>,
    /// What was withdrawn of them, and is not to be taken again.
    pub left: BTreeMap<String, Left>,
}

/// A component that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// The version of the plugin: a digest of component and configuration.
    pub version: String,
}

/// A component that was withdrawn, or that another was gone back from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Left {
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// Why.
    pub reason: String,
}

impl Committed {
    /// A list.
    #[must_use]
    pub fn new(
        plugins: BTreeMap<String, Kept>,
        before: BTreeMap<String, Kept>,
        left: BTreeMap<String, Left>,
    ) -> Self {
        Self { format: FORMAT, plugin_dir: None, plugins, before, left }
    }
}

/// A directory of copies, for one plugin directory.
#[derive(Debug, Clone)]
pub struct Vault {
    directory: PathBuf,
    plugin_dir: Option<String>,
}

impl Vault {
    /// The one in the directory where images are kept. It is made when something is to be kept.
    pub(super) fn open(cache_dir: &Path, plugin_dir: &Path) -> Self {
        let path = plugin_dir.as_os_str().as_encoded_bytes();
        let key: String = hex(&Sha256::digest(path)).chars().take(16).collect();
        let directory = cache_dir.join(format!("{PREFIX}{key}"));
        forget(cache_dir, &directory);
        Self { directory, plugin_dir: plugin_dir.to_str().map(str::to_owned) }
    }

    fn copy(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.wasm"))
    }

    /// Keeps a component's bytes, which are about to serve.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn keep(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        let copy = self.copy(digest);
        // What is called like it may be damaged, which only its bytes tell.
        if files::read(&copy, COMPONENT_BYTES).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        files::open_directory(&self.directory)?;
        files::write(&copy, digest, &[bytes])
    }

    /// The bytes that were kept.
    ///
    /// # Errors
    ///
    /// If they are not there, damaged, or others could have written them.
    pub fn bytes(&self, wanted: &str) -> io::Result<Vec<u8>> {
        let bytes = files::read(&self.copy(wanted), COMPONENT_BYTES)?;
        if digest(&bytes) == wanted { Ok(bytes) } else { Err(io::Error::other("damaged")) }
    }

    /// What the process before served by; nothing if there was none.
    ///
    /// # Errors
    ///
    /// If there is a list that cannot be used.
    pub fn committed(&self) -> io::Result<Committed> {
        match list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Committed::default()),
            list => list,
        }
    }

    /// From now on this serves. Copies are removed that neither it names nor `others`.
    ///
    /// # Errors
    ///
    /// If it cannot be written; what was served by before is on disk then.
    pub fn commit(&self, committed: Committed, others: &BTreeSet<&str>) -> io::Result<()> {
        let committed = Committed { plugin_dir: self.plugin_dir.clone(), ..committed };
        let Committed { plugins, before, left, .. } = &committed;
        let nothing = plugins.is_empty() && before.is_empty() && left.is_empty();
        if nothing && fs::symlink_metadata(&self.directory).is_err() {
            return Ok(());
        }
        files::open_directory(&self.directory)?;
        if list(&self.directory).ok().as_ref() != Some(&committed) {
            let text = serde_json::to_vec_pretty(&committed)?;
            files::write(&self.directory.join(LIST), "list", &[&text])?;
        }
        let named = committed.plugins.values().chain(committed.before.values());
        let named: BTreeSet<&str> = named.map(|kept| &*kept.digest).collect();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".wasm"));
            let unnamed =
                digest.is_some_and(|digest| !named.contains(digest) && !others.contains(digest));
            if unnamed || is_left_over(&entry) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// Whether a file was being written by a process that was killed.
fn is_left_over(entry: &fs::DirEntry) -> bool {
    let unfinished = Path::new(&entry.file_name()).extension().is_some_and(|end| end == "new");
    let written = || entry.metadata().and_then(|about| about.modified()).ok();
    unfinished && written().and_then(|time| time.elapsed().ok()).is_some_and(|age| age > LONGEST)
}

fn list(directory: &Path) -> io::Result<Committed> {
    let list = files::read(&directory.join(LIST), LIST_BYTES)?;
    let committed: Committed = serde_json::from_slice(&list)?;
    if committed.format == FORMAT {
        return Ok(committed);
    }
    let format = committed.format;
    Err(io::Error::other(format!("its format is {format}, and not {FORMAT}")))
}

/// Removes copies for plugin directories that are gone, but for those of the last few: a directory may
/// come back.
fn forget(cache_dir: &Path, ours: &Path) {
    let Ok(entries) = fs::read_dir(cache_dir) else { return };
    let copies = entries.flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && entry.path() != ours
    });
    let gone = copies.filter_map(|entry| {
        let plugin_dir = list(&entry.path()).ok().and_then(|committed| committed.plugin_dir);
        if plugin_dir.is_some_and(|path| fs::symlink_metadata(path).is_ok()) {
            return None;
        }
        Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
    });
    let mut gone: Vec<_> = gone.collect();
    gone.sort();
    let many = gone.len().saturating_sub(GONE);
    for (_, directory) in gone.into_iter().take(many) {
        let _ = fs::remove_dir_all(directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let directory = tempfile::tempdir().unwrap();
        let vault = Vault::open(directory.path(), Path::new("/plugins.d"));
        (directory, vault)
    }

    fn serving(digests: &[&str]) -> Committed {
        let component = |digest: &&str| {
            let (name, version) = ("a".to_owned(), "1".to_owned());
            let component = Kept { name, digest: (*digest).to_owned(), version };
            ((*digest).to_owned(), component)
        };
        let plugins = digests.iter().map(component).collect();
        Committed::new(plugins, BTreeMap::new(), BTreeMap::new())
    }

    #[test]
    fn what_serves_is_found_again_and_nothing_else() {
        let (_directory, vault) = vault();
        assert_eq!(vault.committed().unwrap(), Committed::default());
        let digests = [b"one", b"two", b"six"].map(|bytes| {
            let digest = digest(bytes);
            vault.keep(&digest, bytes).unwrap();
            digest
        });
        let [one, two, six] = digests.each_ref().map(|digest| &**digest);
        vault.commit(serving(&[one, two]), &BTreeSet::from([six])).unwrap();
        assert_eq!(vault.committed().unwrap().plugins, serving(&[one, two]).plugins);
        assert_eq!(vault.bytes(six).unwrap(), b"six");
        vault.commit(serving(&[two]), &BTreeSet::new()).unwrap();
        assert_eq!(vault.bytes(two).unwrap(), b"two");
        assert!(vault.bytes(one).is_err() && vault.bytes(six).is_err());
    }

    #[test]
    fn what_is_damaged_is_not_used() {
        let (_directory, vault) = vault();
        let digest = digest(b"one");
        vault.keep(&digest, b"one").unwrap();
        fs::write(vault.copy(&digest), b"0ne").unwrap();
        assert_eq!(vault.bytes(&digest).unwrap_err().to_string(), "damaged");
        let list = vault.directory.join(LIST);
        for text in ["", "{}", r#"{"format":2,"plugin-dir":null,"plugins":{},"left":{}}"#] {
            fs::write(&list, text).unwrap();
            fs::set_permissions(&list, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
            assert!(vault.committed().is_err(), "{text}");
        }
    }

    #[test]
    fn a_damaged_copy_of_the_same_length_is_not_taken_for_the_component() {
        let (_directory, vault) = vault();
        let digest = digest(b"one");
        vault.keep(&digest, b"one").unwrap();
        fs::write(vault.copy(&digest), b"0ne").unwrap();
        vault.keep(&digest, b"one").unwrap();
        assert_eq!(vault.bytes(&digest).unwrap(), b"one");
    }

    #[test]
    fn what_killed_processes_were_writing_does_not_stay() {
        let (_directory, vault) = vault();
        let digest = digest(b"one");
        vault.keep(&digest, b"one").unwrap();
        let [left, fresh] = ["a-1-0.new", "b-1-0.new"].map(|name| vault.directory.join(name));
        let file = fs::File::create(&left).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * LONGEST).unwrap();
        fs::write(&fresh, "").unwrap();
        vault.commit(serving(&[&digest]), &BTreeSet::new()).unwrap();
        assert!(!left.exists(), "nobody writes to it any more");
        assert!(fresh.exists(), "somebody may write to it");
    }

    #[test]
    fn what_served_before_is_kept_and_told() {
        let (_directory, vault) = vault();
        let [one, two] = [b"one", b"two"].map(|bytes| {
            let digest = digest(bytes);
            vault.keep(&digest, bytes).unwrap();
            digest
        });
        let committed = serving(&[&two]);
        let committed = Committed { before: serving(&[&one]).plugins, ..committed };
        vault.commit(committed.clone(), &BTreeSet::new()).unwrap();
        assert_eq!(vault.committed().unwrap().before, committed.before);
        assert_eq!(vault.bytes(&one).unwrap(), b"one");
        // As a process before this wrote it.
        let old = r#"{"format":1,"plugin-dir":null,"plugins":{},"left":{}}"#;
        let list = vault.directory.join(LIST);
        files::write(&list, "list", &[old.as_bytes()]).unwrap();
        assert_eq!(vault.committed().unwrap().before, BTreeMap::new());
    }

    #[test]
    fn copies_for_directories_that_are_gone_do_not_pile_up() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..GONE + 9 {
            let vault = Vault::open(directory.path(), Path::new(&format!("/gone/{number}")));
            vault.commit(serving(&["one"]), &BTreeSet::new()).unwrap();
        }
        let there = Vault::open(directory.path(), directory.path());
        there.commit(serving(&["one"]), &BTreeSet::new()).unwrap();
        forget(directory.path(), Path::new("/"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), GONE + 1);
        assert!(there.directory.exists());
    }
}
