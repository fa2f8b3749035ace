#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| surefoot::forge::fuzz::compose(data));
