//! See `linkspan_fuzz::chunked`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| linkspan_fuzz::chunked(bytes));
