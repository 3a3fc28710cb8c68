//! Test guest: a rewriter that says which of its versions it is, in fields that it appends, so that two
//! versions about one request would show. Its versions differ in the bytes of
//! `STAMP` alone, which tests write into the compiled component. One whose stamp begins with a `!`
//! traps in `configure`, one with `~` never comes out of it, and one with `&` takes its time there, and says so. One
//! with a `^` traps in each call, one with a `?` in each but that by which the host probes it, and one with
//! a `*` never comes out of those; one with `%` takes its time.

use crate::bindings::exports::linkspan::plugin::{lifecycle, request_rewriter, response_rewriter};
use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::log::{self, Level};
use crate::bindings::linkspan::plugin::request;
use crate::bindings::linkspan::plugin::types::Field;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "rewriter-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

/// To be found in the component, and to be replaced.
static STAMP: [u8; 24] = *b"stamp-00000000000000-end";

/// As it is by now: what the compiler knew of it counts for nothing.
fn stamp() -> Vec<u8> {
    std::hint::black_box(&STAMP).to_vec()
}

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn configure(_config: String) -> Result<(), String> {
        match stamp().first() {
            Some(b'!') => std::process::abort(),
            Some(b'~') => loop {
                std::hint::black_box(());
            },
            Some(b'&') => {
                log::write(Level::Info, "takes its time");
                for turn in 0..500_000_000_u32 {
                    std::hint::black_box(turn);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl request_rewriter::Guest for Plugin {
    fn on_request() -> Vec<Edit> {
        match stamp().first() {
            Some(b'^') => std::process::abort(),
            Some(b'?') if request::authority() != "probe.invalid" => std::process::abort(),
            Some(b'*') if request::authority() != "probe.invalid" => loop {
                std::hint::black_box(());
            },
            Some(b'%') => {
                for turn in 0..5_000_000 {
                    std::hint::black_box(turn);
                }
            }
            _ => {}
        }
        vec![Edit::Append(Field { name: "x-asked".into(), value: stamp() })]
    }
}

impl response_rewriter::Guest for Plugin {
    fn on_response() -> Vec<Edit> {
        vec![Edit::Append(Field { name: "x-answered".into(), value: stamp() })]
    }
}
