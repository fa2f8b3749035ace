#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| surefoot::bundle::fuzz::document(data));
