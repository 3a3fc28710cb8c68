//! See `linkspan_fuzz::requests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| linkspan_fuzz::requests(bytes));
