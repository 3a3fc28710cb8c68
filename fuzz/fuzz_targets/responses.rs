//! See `linkspan_fuzz::responses`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| linkspan_fuzz::responses(bytes));
