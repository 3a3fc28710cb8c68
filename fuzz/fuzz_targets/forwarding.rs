//! See `linkspan_fuzz::forwarding`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| linkspan_fuzz::forwarding(bytes));
