//! Rewriter: replaces texts in the bodies of responses, piece by piece.
//!
//! The `rules` are tried at one place of the body after the other; the first one that matches there
//! has its match replaced, and what is put in is not looked at again. What comes of it does not
//! depend on how the body comes: see `replacer`. Bodies are those of the `types`, in no content
//! coding or one that can be undone.

use crate::bindings::exports::linkspan::plugin::{
    body, lifecycle, request_rewriter, response_rewriter,
};
use crate::bindings::linkspan::plugin::edits::Edit;
use crate::bindings::linkspan::plugin::types::Phase;
use crate::bindings::linkspan::plugin::{giving_up, phases, request, response};
use crate::config::{Encoded, Settings};
use crate::heads::Head;
use crate::passage::{Output, Passage};
use std::cell::RefCell;
use std::collections::BTreeMap;

mod config;
mod decode;
mod effort;
mod heads;
mod passage;
mod replacer;
mod rules;
mod template;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "body-rewriter-plugin" });
}

#[cfg(target_family = "wasm")]
mod export {
    #![expect(unsafe_code, reason = "the exported symbols of a component")]

    use crate::Plugin;

    crate::bindings::export!(Plugin with_types_in crate::bindings);
}

struct Plugin;

#[derive(Default)]
struct State {
    settings: Option<Settings>,
    bodies: BTreeMap<u64, Passage>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// The response that the running call is about.
struct Running;

impl Head for Running {
    fn status(&self) -> u16 {
        response::status()
    }

    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        response::header_values(name)
    }

    fn asked(&self) -> Vec<Vec<u8>> {
        request::header_values("if-none-match")
    }
}

impl State {
    fn step(&mut self, id: u64, chunk: &[u8], last: bool) -> body::Output {
        let nothing = body::Output { bytes: Vec::new(), more: false };
        let (Some(settings), Some(body)) = (&mut self.settings, self.bodies.get_mut(&id)) else {
            return nothing;
        };
        let step = body.step(&mut settings.rules, chunk, last);
        if step.as_ref().map_or(true, |output| last && !output.more) {
            self.bodies.remove(&id);
        }
        match step {
            Ok(Output { bytes, more }) => body::Output { bytes, more },
            Err(reason) => {
                giving_up::body(&reason);
                nothing
            }
        }
    }
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        let settings = Settings::parse(&config)?;
        if settings.choice.encoded == Encoded::Leave {
            phases::skip(Phase::Request);
        }
        STATE.with_borrow_mut(|state| state.settings = Some(settings));
        Ok(())
    }
}

impl request_rewriter::Guest for Plugin {
    fn on_request() -> Vec<Edit> {
        STATE.with_borrow(|state| {
            let settings = state.settings.as_ref();
            let accepted = request::header_values("accept-encoding");
            settings.and_then(|settings| settings.choice.accepted(&accepted)).into_iter().collect()
        })
    }
}

impl response_rewriter::Guest for Plugin {
    fn on_response() -> Vec<Edit> {
        STATE.with_borrow(|state| {
            let settings = state.settings.as_ref();
            settings.map(|settings| settings.choice.edits(&Running)).unwrap_or_default()
        })
    }
}

impl body::Guest for Plugin {
    fn begin(id: u64, _phase: Phase) {
        STATE.with_borrow_mut(|state| {
            let Some(settings) = &state.settings else { return };
            // The head is what `on-response` saw: the same plan.
            if let Some(plan) = settings.choice.plan(&Running) {
                state.bodies.insert(id, Passage::new(plan.coding, settings.replacer()));
            }
        });
    }

    fn transform(id: u64, chunk: Vec<u8>) -> body::Output {
        STATE.with_borrow_mut(|state| state.step(id, &chunk, false))
    }

    fn finish(id: u64) -> body::Output {
        STATE.with_borrow_mut(|state| state.step(id, &[], true))
    }

    fn abandon(id: u64) {
        STATE.with_borrow_mut(|state| state.bodies.remove(&id));
    }
}
