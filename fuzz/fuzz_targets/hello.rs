//! See `linkspan_fuzz::hello`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| linkspan_fuzz::hello(bytes));
