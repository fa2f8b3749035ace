//! The paths of packaging/paths for `model::paths`; and options for the linker, for the profile `device` only
//! (docs/decisions/small-on-the-device.md).

use std::path::Path;
use std::process::Command;

/// The profile `device` aborts at a panic, so nothing ever reads the tables by which a panic unwinds. The compiler
/// makes them all the same, and the standard library comes with its own. What stands around a static program that
/// does not move in memory, as on aarch64, names its own part, which is empty.
const WITHOUT_UNWIND_TABLES: &str = "SECTIONS { /DISCARD/ : { \
    *(EXCLUDE_FILE(*crtbeginT.o *crtend.o) .eh_frame) *(.eh_frame_hdr) \
    *(.gcc_except_table) *(.gcc_except_table.*) } }\nINSERT AFTER .text;\n";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    paths();
    // No other profile is optimised for size; cargo does not tell its name, nor what it does at a panic.
    if variable("OPT_LEVEL") != "z" || variable("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    let script = Path::new(&variable("OUT_DIR")).join("without-unwind-tables.ld");
    std::fs::write(&script, WITHOUT_UNWIND_TABLES).expect("because cargo has made this folder");
    println!("cargo:rustc-link-arg-bins=-T{}", script.display());
    println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|f| f == "crt-static");
    if is_static && variable("CARGO_CFG_TARGET_ENV") == "gnu" && relocates_packed() {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Each NAME=VALUE of packaging/paths, or of the file that `SUREFOOT_PATHS` names, as a variable for `env!`.
fn paths() {
    println!("cargo:rerun-if-env-changed=SUREFOOT_PATHS");
    let named = variable("SUREFOOT_PATHS");
    let file = if named.is_empty() { "packaging/paths" } else { &named };
    println!("cargo:rerun-if-changed={file}");
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.split_once('=').unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        let good = !name.is_empty() && value.starts_with('/') && value.chars().all(plain);
        assert!(good && !value.ends_with('/'), "{file}: {line}: NAME=/plain/path is needed");
        println!("cargo:rustc-env=SUREFOOT_PATH_{name}={value}");
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Whether the C library that goes into the program can relocate it where relocations are packed (glibc 2.36). Known
/// only where it is this host's own.
fn relocates_packed() -> bool {
    if variable("HOST") != variable("TARGET") {
        return false;
    }
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    let text = text.unwrap_or_default();
    let version =
        text.trim().strip_prefix("glibc 2.").and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    version.is_some_and(|minor| minor >= 36)
}
