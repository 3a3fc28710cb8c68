//! Compiled components on disk, so that a start costs milliseconds.
//!
//! An image is machine code, and loading one is running it. So only [files of ours](super::files) are
//! loaded: read into memory, digest verified, and loaded from those bytes.

use std::ffi::OsStr;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::plugin::files;
use crate::plugin::shortcut::WAY;

/// What a file begins with; a new layout gets a new one.
const MAGIC: &[u8; 16] = b"linkspan image 1";

/// The length of a SHA-256.
const DIGEST_BYTES: usize = 32;

/// A directory of images.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    directory: PathBuf,
    max_bytes: u64,
    /// What images of this engine are compatible with, as it names its files.
    engine: String,
}

impl Cache {
    /// Opens or makes a directory with mode 0700.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or others could write to it.
    pub(super) fn open(directory: &Path, max_bytes: u64, engine: &Engine) -> io::Result<Self> {
        files::open_directory(directory)?;
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        (engine.precompile_compatibility_hash(), WAY).hash(&mut hasher);
        let engine = format!("{:016x}", hasher.finish());
        Ok(Self { directory: directory.to_owned(), max_bytes, engine })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}-{}.image", self.engine))
    }

    /// Loads the image of a component, by the component's digest. `None` if there is none that can
    /// be trusted.
    pub(super) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        match self.read(&path) {
            Ok(image) => {
                let component = deserialise(engine, &image);
                if let Err(error) = &component {
                    tracing::warn!(path = %path.display(), "compiled component not used: {error:#}");
                }
                component.ok()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), "compiled component not used: {error}");
                None
            }
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut file = files::open(path, self.max_bytes)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let image = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_at_checked(DIGEST_BYTES))
            .filter(|(digest, image)| *digest == &*Sha256::digest(image))
            .map(|(_, image)| image.len());
        let Some(length) = image else {
            return Err(io::Error::other("damaged"));
        };
        // Its time says when it was last of use, which decides what goes when the cache is full.
        let _ = file.set_modified(SystemTime::now());
        Ok(bytes.split_off(bytes.len() - length))
    }

    /// Keeps an image, and makes room for it.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the image can be used all the same.
    pub(super) fn store(&self, digest: &str, image: &[u8]) -> io::Result<()> {
        let parts = [MAGIC, &Sha256::digest(image)[..], image];
        files::write(&self.path(digest), digest, &parts)?;
        self.evict()
    }

    /// Removes what was used longest ago until the rest fits.
    fn evict(&self) -> io::Result<()> {
        let mut files = Vec::new();
        let mut total = 0;
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            // A directory that somebody else uses too may be configured.
            if !is_ours(&entry.file_name()) {
                continue;
            }
            // Another process may have removed it meanwhile.
            let Ok(about) = entry.metadata() else { continue };
            if about.is_file() {
                total += about.len();
                files.push((
                    about.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    about.len(),
                    entry,
                ));
            }
        }
        files.sort_by_key(|(used, ..)| *used);
        for (_, bytes, entry) in files {
            if total <= self.max_bytes {
                break;
            }
            let _ = fs::remove_file(entry.path());
            total -= bytes;
        }
        Ok(())
    }
}

/// Whether a file has one of the names that we give: `DIGEST-….image` or `DIGEST-….new`.
fn is_ours(name: &OsStr) -> bool {
    let name = name.to_str().and_then(|name| name.split_once('-'));
    name.is_some_and(|(digest, rest)| {
        let hexadecimal = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        hexadecimal && !digest.is_empty() && (rest.ends_with(".image") || rest.ends_with(".new"))
    })
}

/// Loads an image that was compiled by our own child, just now or into our own directory.
pub(super) fn deserialise(engine: &Engine, image: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "the one place where our own images become code")]
    // SAFETY: the bytes come from our compiler, over a pipe or from a file that only we can write,
    // and whose digest we have verified.
    unsafe {
        Component::deserialize(engine, image)
    }
}

/// FNV-1a: a hash that stays the same from build to build, unlike the standard library's.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn cache(max_bytes: u64) -> (tempfile::TempDir, Engine, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::new(&crate::plugin::engine::settings()).unwrap();
        let cache = Cache::open(&directory.path().join("images"), max_bytes, &engine).unwrap();
        (directory, engine, cache)
    }

    #[test]
    fn an_image_is_kept_and_found_again() {
        let (_directory, engine, cache) = cache(1 << 20);
        assert!(cache.load(&engine, "d").is_none());
        let image = engine.precompile_component(COMPONENT).unwrap();
        cache.store("d", &image).unwrap();
        assert!(cache.load(&engine, "d").is_some());
        assert!(cache.load(&engine, "e").is_none());
    }

    #[test]
    fn what_others_could_have_written_is_not_loaded() {
        let (directory, engine, cache) = cache(1 << 20);
        let image = engine.precompile_component(COMPONENT).unwrap();
        cache.store("d", &image).unwrap();
        let path = cache.path("d");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(cache.load(&engine, "d").is_none(), "writable by others");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(cache.load(&engine, "d").is_some());

        let elsewhere = directory.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(cache.load(&engine, "d").is_none(), "a link");
        fs::remove_file(&path).unwrap();

        let mut bytes = fs::read(&elsewhere).unwrap();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(cache.load(&engine, "d").is_none(), "damaged");

        let shared = directory.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(&shared, 1 << 20, &engine).is_err(), "a directory of everyone");
    }

    #[test]
    fn a_full_cache_forgets_what_was_used_longest_ago() {
        let (_directory, engine, mut cache) = cache(u64::MAX);
        let image = engine.precompile_component(COMPONENT).unwrap();
        for digest in ["a", "b", "c"] {
            cache.store(digest, &image).unwrap();
        }
        let ages = [("a", 20), ("b", 30), ("c", 10)];
        for (digest, age) in ages {
            let file = fs::File::options().write(true).open(cache.path(digest)).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        let others = ["notes.txt", "x-y.image"].map(|name| cache.directory.join(name));
        for other in &others {
            fs::write(other, [0; 4096]).unwrap();
        }
        cache.max_bytes = (image.len() as u64 + 48) * 3;
        cache.store("d", &image).unwrap();
        assert!(!cache.path("b").exists(), "the oldest went");
        assert!(["a", "c", "d"].iter().all(|digest| cache.path(digest).exists()));
        assert!(others.iter().all(|other| other.exists()), "not ours");
    }
}
