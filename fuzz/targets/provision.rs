#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| surefoot::firstboot::fuzz::provision(data));
