//! The exported symbols of the component, and the request that a call is about.
#![cfg_attr(
    target_family = "wasm",
    expect(unsafe_code, reason = "the exported symbols of a component")
)]

#[cfg(target_family = "wasm")]
use crate::Plugin;
use crate::RULES;
use crate::bindings::linkspan::plugin::request;
use crate::lowered::Answer;
use crate::rules::Request;
use std::cell::RefCell;

#[cfg(target_family = "wasm")]
crate::bindings::export!(Plugin with_types_in crate::bindings);

thread_local! {
    static ANSWER: RefCell<Answer> = const { RefCell::new(Answer::next()) };
}

/// Says what the running request gets, where the answer stays until the next call.
#[cfg_attr(target_family = "wasm", unsafe(export_name = "linkspan:plugin/router@0.1.0#route"))]
pub extern "C" fn route() -> *const Answer {
    RULES.with_borrow_mut(|rules| {
        ANSWER.with_borrow_mut(|answer| {
            if let Some(rules) = rules {
                answer.take(rules.decide(request::path().as_bytes(), &Running));
            }
            &raw const *answer
        })
    })
}

struct Running;

impl Request for Running {
    fn authority(&self) -> String {
        request::authority()
    }

    fn method(&self) -> String {
        request::method()
    }

    fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        request::header_values(name)
    }

    fn query(&self) -> Option<String> {
        request::query()
    }
}
