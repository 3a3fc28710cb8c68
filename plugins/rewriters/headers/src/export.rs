//! The exported symbols of the component.
#![cfg_attr(
    target_family = "wasm",
    expect(unsafe_code, reason = "the exported symbols of a component")
)]

#[cfg(target_family = "wasm")]
use crate::Plugin;
use crate::READY;
use crate::lowered::Lowered;

#[cfg(target_family = "wasm")]
crate::bindings::export!(Plugin with_types_in crate::bindings);

/// Gives the edits of a request.
#[cfg_attr(
    target_family = "wasm",
    unsafe(export_name = "linkspan:plugin/request-rewriter@0.1.0#on-request")
)]
pub extern "C" fn on_request() -> *const Lowered {
    READY.with_borrow(|ready| &raw const ready.request)
}

/// Gives the edits of a response.
#[cfg_attr(
    target_family = "wasm",
    unsafe(export_name = "linkspan:plugin/response-rewriter@0.1.0#on-response")
)]
pub extern "C" fn on_response() -> *const Lowered {
    READY.with_borrow(|ready| &raw const ready.response)
}
