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

/// Whether this process may look at everything.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
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
