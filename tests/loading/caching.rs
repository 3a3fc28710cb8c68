//! Compiled components on disk, and the limits of compiling.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::complaint;
use crate::support::{Binary, Origin};

/// A proxy that keeps images in that directory.
fn config(cache: &Path, origin: &Origin, server: &str) -> String {
    format!(
        "[server]\ncache-dir = '{}'\n{server}\n\
         [listeners.web]\nbind = '127.0.0.1:0'\nrouters = ['by-path']\ndefault-cluster = 'main'\n\
         [clusters.main]\nendpoints = ['{}']\nbalancer = 'round-robin'\n\
         [plugins.by-path]\ncomponent = 'regex-match'\nconfig = {{ rules = [] }}\n",
        cache.display(),
        origin.address()
    )
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn two_processes_that_start_at_once_share_an_empty_cache() {
    let (cache, origin) = (TempDir::new().unwrap(), Origin::replying("hello"));
    let toml = config(cache.path(), &origin, "");
    let mut both = [(); 2].map(|()| Binary::serve(&toml));
    for linkspan in &mut both {
        assert_eq!(linkspan.connect().get("/").text(), "hello");
        assert!(!linkspan.stderr().contains("compiled component"), "{}", linkspan.stderr());
    }
    let names = names(cache.path());
    assert_eq!(names.len(), 2, "an image of each component: {names:?}");
    assert!(names.iter().all(|name| name.ends_with(".image")), "{names:?}");
}

#[test]
fn a_damaged_image_is_compiled_again() {
    let (cache, origin) = (TempDir::new().unwrap(), Origin::replying("hello"));
    let toml = config(cache.path(), &origin, "");
    assert_eq!(Binary::serve(&toml).connect().get("/").text(), "hello");
    for (place, name) in names(cache.path()).into_iter().enumerate() {
        let path = cache.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        if place == 0 {
            bytes.truncate(bytes.len() / 2);
        } else {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        fs::write(&path, bytes).unwrap();
    }
    let mut linkspan = Binary::serve(&toml);
    assert_eq!(linkspan.connect().get("/").text(), "hello");
    assert_eq!(linkspan.stderr().matches("damaged").count(), 2, "{}", linkspan.stderr());
    let mut linkspan = Binary::serve(&toml);
    assert_eq!(linkspan.connect().get("/").text(), "hello");
    assert!(!linkspan.stderr().contains("damaged"), "{}", linkspan.stderr());
}

#[test]
fn a_cache_stays_within_its_bound() {
    let (cache, origin) = (TempDir::new().unwrap(), Origin::replying("hello"));
    let old = cache.path().join("00-11.image");
    fs::write(&old, vec![0; 1 << 20]).unwrap();
    let toml = config(cache.path(), &origin, "cache-bytes = '1MiB'");
    assert_eq!(Binary::serve(&toml).connect().get("/").text(), "hello");
    assert!(!old.exists(), "the oldest goes first");
    let entries = names(cache.path());
    let length = |name: &String| fs::metadata(cache.path().join(name)).unwrap().len();
    assert!(entries.iter().map(length).sum::<u64>() <= 1 << 20, "{entries:?}");
}

#[test]
fn a_component_that_takes_too_much_to_compile_is_refused() {
    let (cache, origin) = (TempDir::new().unwrap(), Origin::replying("hello"));
    let toml = config(cache.path(), &origin, "compile-memory-bytes = '64MiB'");
    let said = complaint("check", &toml, |_| {});
    assert!(
        said.contains("plugins.by-path.component") && said.contains("cannot be compiled"),
        "{said}"
    );
    assert!(said.contains("memory"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(names(cache.path()).is_empty());
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused() {
    let (cache, origin) = (TempDir::new().unwrap(), Origin::replying("hello"));
    let server = "plugin-dir = 'plugins.d'\ncompile-timeout = '1s'";
    let toml = config(cache.path(), &origin, server).replace("regex-match", "long");
    // Valid, and long to compile.
    let said = complaint("check", &toml, |directory| {
        fs::write(directory.join("long.wasm"), long(32)).unwrap();
    });
    assert!(
        said.contains("plugins.by-path.component") && said.contains("took longer than 1s"),
        "{said}"
    );
}

/// A component around a module of so many long functions.
pub(crate) fn long(functions: usize) -> Vec<u8> {
    // if (local 0) { local 0 = local 0 * 3 + local 1 } over and over.
    const STEP: &[u8] =
        &[0x20, 0, 0x04, 0x40, 0x20, 0, 0x41, 3, 0x6c, 0x20, 1, 0x6a, 0x21, 0, 0x0b];
    let body = [&[0][..], &STEP.repeat(50_000), &[0x0b]].concat();
    let code = [number(body.len()), body].concat().repeat(functions);
    let count = number(functions);
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, vec![1, 0x60, 2, 0x7f, 0x7f, 0]),
        section(3, [count.clone(), vec![0; functions]].concat()),
        section(10, [count, code].concat()),
    ];
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, module.concat())].concat()
}

pub(crate) fn section(id: u8, content: Vec<u8>) -> Vec<u8> {
    [vec![id], number(content.len()), content].concat()
}

/// LEB128.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
