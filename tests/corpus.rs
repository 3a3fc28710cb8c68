//! What fuzzers have kept is played through what they look for exceptions to.

#[path = "../fuzz/src/lib.rs"]
#[expect(
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "it is a library, whose panics are what fuzzers look for"
)]
pub(crate) mod fuzz;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn what_fuzzers_have_found_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, promise) in fuzz::PROMISES {
        let mut played = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            let held = catch_unwind(|| promise(&input));
            assert!(held.is_ok(), "{}", path.display());
            played += 1;
        }
        assert!(played > 50, "{name} has {played} inputs");
    }
}
