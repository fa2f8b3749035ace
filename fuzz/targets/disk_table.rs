#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| surefoot::sim::fuzz::disk_table(data));
