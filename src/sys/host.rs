//! The machine as a whole: which boot this is, and ending it.

use crate::model::{ReasonCode, Result, WithReason};
use nix::sys::reboot::{RebootMode, reboot};
use std::path::Path;
use std::time::Duration;

/// The kernel's id of this boot (proc(5), `random/boot_id`).
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Seconds since this boot began, suspended ones included (proc(5), `uptime`); 0 if unknown.
pub fn uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split('.').next().and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// What this machine is called in its network; empty if unknown.
pub fn name() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim().to_owned()
}

/// The id of this installation (machine-id(5)). It is not to be shown to strangers as it is.
pub fn machine_id() -> Option<String> {
    let text = std::fs::read_to_string("/etc/machine-id").ok()?;
    Some(text.trim().to_owned()).filter(|t| t.len() == 32)
}

/// From now on SIGTERM waits until this process ends by itself, which it must do soon: whatever
/// stops it kills it a little later.
pub fn hold_off_termination() {
    let mut held = nix::sys::signal::SigSet::empty();
    held.add(nix::sys::signal::Signal::SIGTERM);
    if let Err(error) = held.thread_block() {
        log::debug!("SIGTERM is not held off: {error}");
    }
}

/// Asks the init system for an orderly reboot and, if that is not accepted, syncs and reboots at
/// once (peers: a reboot without a sync lost the last block).
pub fn restart() -> Result<()> {
    let orderly = super::process::Invocation {
        command: &["reboot".to_owned()],
        folder: Path::new("/"),
        environment: &[],
        input: b"",
        deadline: Duration::from_secs(20),
        keep: 0,
    };
    let accepted = super::process::run(&orderly)
        .is_ok_and(|done| done.ending == super::process::Ending::Exit(0));
    if accepted {
        return Ok(());
    }
    nix::unistd::sync();
    reboot(RebootMode::RB_AUTOBOOT).map(|_| ()).reason(ReasonCode::Io, "cannot reboot")
}

/// Whether two paths lie on one filesystem; false if either cannot be looked at.
pub fn same_filesystem(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev(),
        _ => false,
    }
}

/// Whether this process may create files in a folder, on a filesystem that is not read-only.
pub fn writable(folder: &Path) -> bool {
    nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// Bytes that an ordinary user may still write to the filesystem of `path`.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}
