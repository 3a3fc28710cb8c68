//! What fuzzers have kept is played through what they look for exceptions to, and so is what they are
//! given to begin with.

#[path = "../fuzz/src/lib.rs"]
#[expect(
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "it is a library, whose panics are what fuzzers look for"
)]
pub(crate) mod fuzz;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Holds a promise to the inputs in a folder, and says how many there are.
fn played(folder: &Path, promise: fuzz::Promise) -> usize {
    let inputs = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let held = |path: &PathBuf| {
        let input = fs::read(path).unwrap();
        let held = catch_unwind(|| promise(&input));
        assert!(held.is_ok(), "{}", path.display());
    };
    inputs.inspect(held).count()
}

#[test]
fn what_fuzzers_have_found_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, promise) in fuzz::PROMISES {
        let played = played(&corpus.join(name), promise);
        assert!(played > 50, "{name} has {played} inputs");
    }
}

#[test]
fn what_fuzzers_begin_with_holds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, promise) in fuzz::PROMISES {
        let played = played(&seeds.join(name), promise);
        assert!(played > 0, "{name} has no seeds");
    }
}
