//! Test guest: a router that answers with how often its instance was called, which a version hands over
//! to the next. Its versions differ in the bytes of `STAMP` alone, which tests write into the compiled
//! component. What its stamp begins with says how it fails: `$` in `save`, `^` by saving more than it
//! may, `x` by an error of `restore`, `!` in `restore`, `~` by never coming out of it.

use crate::bindings::exports::linkspan::plugin::{handover, lifecycle, router};
use crate::bindings::linkspan::plugin::types::Response;
use std::cell::Cell;

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package linkspan:test;
            world handing-over {
                include linkspan:plugin/router-plugin@0.1.0;
                export linkspan:plugin/handover@0.1.0;
            }
        ",
        world: "linkspan:test/handing-over",
        generate_all,
    });
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
fn stamp() -> u8 {
    std::hint::black_box(&STAMP).first().copied().unwrap_or_default()
}

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn configure(_config: String) -> Result<(), String> {
        Ok(())
    }
}

impl router::Guest for Plugin {
    fn route() -> router::Decision {
        let calls = CALLS.get() + 1;
        CALLS.set(calls);
        let body = format!("{} {calls}", char::from(stamp())).into_bytes();
        router::Decision::Respond(Response { status: 200, headers: Vec::new(), body })
    }
}

impl handover::Guest for Plugin {
    fn save() -> Vec<u8> {
        match stamp() {
            b'$' => std::process::abort(),
            b'^' => vec![0; (1 << 20) + 1],
            _ => CALLS.get().to_le_bytes().to_vec(),
        }
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        let calls = match (stamp(), state.try_into()) {
            (b'x', _) | (_, Err(_)) => return Err("these are no calls".to_owned()),
            (b'!', _) => std::process::abort(),
            (b'~', _) => loop {
                std::hint::black_box(());
            },
            (_, Ok(bytes)) => u32::from_le_bytes(bytes),
        };
        CALLS.set(calls);
        Ok(())
    }
}
