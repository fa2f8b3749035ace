//! The machine as a whole: which boot this is, and ending it.

use super::files;
use crate::model::{ReasonCode, Result, WithReason};
use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::AccessFlags;
use std::path::Path;
use std::time::Duration;

/// The kernel's id of this boot (proc(5), `random/boot_id`).
pub fn boot_id() -> Option<String> {
    let text = files::kernel_text("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Seconds since this boot began, suspended ones included (proc(5), `uptime`); 0 if unknown.
pub fn uptime() -> u64 {
    let text = files::kernel_text("/proc/uptime").unwrap_or_default();
    text.split('.').next().and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// Memory of this process that is in memory (proc(5), `status`), bytes.
pub fn resident_bytes() -> Option<u64> {
    let text = files::kernel_text("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What this machine is called in its network; empty if unknown.
pub fn name() -> String {
    let text = files::kernel_text("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim().to_owned()
}

/// The id of this installation (machine-id(5)). It is not to be shown to strangers as it is.
pub fn machine_id() -> Option<String> {
    let text = files::kernel_text("/etc/machine-id").ok()?;
    Some(text.trim().to_owned()).filter(|t| t.len() == 32)
}

/// What people call a user: the name in `/etc/passwd`, else `uid 1000`.
pub fn user_name(uid: u32) -> String {
    let text = files::kernel_text("/etc/passwd").unwrap_or_default();
    let of_uid = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
    let name = text.lines().find(of_uid).and_then(|line| line.split(':').next());
    name.map_or_else(|| format!("uid {uid}"), str::to_owned)
}

/// Who runs this process.
pub fn user() -> String {
    user_name(nix::unistd::getuid().as_raw())
}

/// Whether systemd is the init system (sd_booted(3)).
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// Whether systemd feeds a hardware watchdog, so that a machine that stands still is reset.
pub fn is_watched() -> bool {
    let told = |name: &str| {
        let property = format!("--property={name}");
        let said = words(&["systemctl", "show", "--value", &property]);
        said.is_some_and(|s| !matches!(s.trim(), "" | "0" | "infinity" | "off"))
    };
    Path::new("/dev/watchdog0").exists() && has_systemd() && told("RuntimeWatchdogUSec")
}

/// After this long an orderly reboot has had its time.
const ORDERLY: &str = "export SYSTEMCTL_SKIP_AUTO_KEXEC=1 SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT=1; \
    sleep 180; exec systemctl reboot --force";

/// A reboot of ours goes through the bootloader, which alone counts and chooses: systemctl(1) would
/// else take a kernel that is loaded for kexec, or a `/run/nextroot`.
fn through_firmware() -> [(String, String); 2] {
    ["SYSTEMCTL_SKIP_AUTO_KEXEC", "SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT"]
        .map(|name| (name.to_owned(), "1".to_owned()))
}

/// Asks the init system for an orderly reboot, and systemd also for a forced one some minutes
/// later, should a service refuse to stop. Where nothing of this is accepted, syncs and reboots at
/// once (peers: a reboot without a sync lost the last block).
pub fn restart() -> Result<()> {
    let ways: &[&[&str]] = match has_systemd() {
        true => &[&["systemctl", "reboot"], &["systemctl", "reboot", "--force"]],
        false => &[&["reboot"]],
    };
    if has_systemd() {
        // Nothing stops it: it is in no target's way, and no child of ours.
        let unit = ["systemd-run", "--quiet", "--collect", "--no-block", "--unit=surefoot-reboot"];
        let free = ["--property=DefaultDependencies=no", "/bin/sh", "-c", ORDERLY];
        asked(&[&unit[..], &free[..]].concat());
    }
    if ways.iter().any(|way| asked(way)) {
        return Ok(());
    }
    nix::unistd::sync();
    reboot(RebootMode::RB_AUTOBOOT).map(|_| ()).reason(ReasonCode::Io, "cannot reboot")
}

/// Has the journal daemon of systemd begin anew, which asks for the machine id only then. It is not waited for: what follows the
/// daemon in the boot does.
pub fn restart_journal() {
    if has_systemd() {
        asked(&["systemctl", "--no-block", "restart", "systemd-journald.service"]);
    }
}

/// The number of the user with whose rights this process works.
pub fn user_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The major and the minor number in the number of a device, as in `rdev` of a device node.
pub fn device_number(device: u64) -> (u32, u32) {
    let part = |part: u64| u32::try_from(part).unwrap_or(u32::MAX);
    (part(nix::sys::stat::major(device)), part(nix::sys::stat::minor(device)))
}

/// Whether this process may look at everything.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn asked(command: &[&str]) -> bool {
    words(command).is_some()
}

/// What a program says that ends well and soon.
fn words(words: &[&str]) -> Option<String> {
    let command: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    let call = super::process::Invocation {
        command: &command,
        folder: Path::new("/"),
        environment: &through_firmware(),
        input: b"",
        deadline: Duration::from_secs(20),
        keep: 4096,
    };
    let done = super::process::run(&call).ok()?;
    let good = done.ending == super::process::Ending::Exit(0);
    good.then(|| String::from_utf8_lossy(&done.stdout).into_owned())
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

/// Whether this process may write a file or device that exists: its permissions, and a filesystem
/// that is mounted read-only (`EROFS`).
pub fn may_write(path: &Path) -> std::io::Result<()> {
    Ok(nix::unistd::access(path, nix::unistd::AccessFlags::W_OK)?)
}

/// Whether the permissions keep this process, which is an ordinary user's, from a path that is
/// there. Where root is refused something else is wrong, and told as such.
pub fn is_denied(path: &Path, to_write: bool) -> bool {
    let flags = match to_write {
        true => AccessFlags::W_OK,
        false => AccessFlags::R_OK,
    };
    let found = || nix::unistd::access(path, flags);
    !is_root() && matches!(found(), Err(Errno::EACCES | Errno::EPERM))
}

/// Bytes that an ordinary user may still write to the filesystem of `path`.
#[allow(clippy::useless_conversion, reason = "the counts have 32 bits on armv7")]
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
}

/// The length of a block of the filesystem of `path`, bytes; never 0.
#[allow(clippy::useless_conversion, reason = "the counts have 32 bits on armv7")]
pub fn block_size(path: &Path) -> std::io::Result<u64> {
    Ok(u64::from(nix::sys::statvfs::statvfs(path)?.fragment_size()).max(1))
}

/// How many more files the filesystem of `path` can hold; `None` where it does not count them.
#[allow(clippy::useless_conversion, reason = "the counts have 32 bits on armv7")]
pub fn free_files(path: &Path) -> std::io::Result<Option<u64>> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok((found.files() > 0).then(|| u64::from(found.files_available())))
}
