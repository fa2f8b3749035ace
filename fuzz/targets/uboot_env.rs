#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| surefoot::boot::fuzz::uboot_env(data));
