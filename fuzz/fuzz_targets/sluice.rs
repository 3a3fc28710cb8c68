//! See `linkspan_fuzz::sluice`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| linkspan_fuzz::sluice(bytes));
