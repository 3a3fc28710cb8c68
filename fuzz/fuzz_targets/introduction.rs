//! See `linkspan_fuzz::introduction`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| linkspan_fuzz::introduction(bytes));
