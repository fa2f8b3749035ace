//! The write log: what a process does to its media, as it happens.
//!
//! ```text
//! B ID write OFFSET LENGTH PATH    and LENGTH bytes, and a line feed
//! B ID zero OFFSET LENGTH PATH
//! B ID create PATH
//! B ID rename PATH<TAB>PATH
//! B ID sync PATH
//! B ID folder PATH
//! E ID
//! ```
//!
//! `B` stands where a deed began and `E` where it had returned. Both are needed: a flush vouches
//! only for writes that had returned before it began, and only once it has returned itself.

use super::deed::{Deed, LOG_VARIABLE};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Does `act` between its two lines. Without a log there are no lines.
pub(super) fn during<T>(deed: Deed<'_>, bytes: &[u8], act: impl FnOnce() -> T) -> T {
    static LOG: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Some(log) = LOG.get_or_init(open) else {
        return act();
    };
    let Some(words) = words(deed, bytes) else {
        return act();
    };
    // Ids stay apart when several processes append to one log.
    let id = u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::SeqCst);
    let mut record = format!("B {id} {words}\n").into_bytes();
    if matches!(deed, Deed::Write(..)) {
        record.extend_from_slice(bytes);
        record.push(b'\n');
    }
    append(log, &record);
    let done = act();
    append(log, format!("E {id}\n").as_bytes());
    done
}

fn words(deed: Deed<'_>, bytes: &[u8]) -> Option<String> {
    Some(match deed {
        Deed::Memory => return None,
        Deed::Write(file, at) => format!("write {at} {} {}", bytes.len(), name(file)),
        Deed::Zero(file, at, len) => format!("zero {at} {len} {}", name(file)),
        Deed::Create(path) => format!("create {}", whole(path)),
        Deed::Rename(from, to) => format!("rename {}\t{}", whole(from), whole(to)),
        Deed::Sync(file) => format!("sync {}", name(file)),
        Deed::SyncFolder(path) => format!("folder {}", whole(path)),
    })
}

/// The path of an open file, as the kernel knows it.
fn name(file: &File) -> String {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::read_link(link).unwrap_or_default().display().to_string()
}

/// A path whose last part may not exist yet.
fn whole(path: &Path) -> String {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let known = |p: &Path| p.canonicalize();
    let found =
        known(path).or_else(|_| Ok(known(folder)?.join(path.file_name().unwrap_or_default())));
    found.unwrap_or_else(|_: std::io::Error| PathBuf::from(path)).display().to_string()
}

fn open() -> Option<Mutex<File>> {
    let path = std::env::var_os(LOG_VARIABLE)?;
    match OpenOptions::new().append(true).create(true).open(&path) {
        Ok(file) => Some(Mutex::new(file)),
        Err(error) => lost(&error),
    }
}

fn append(log: &Mutex<File>, record: &[u8]) {
    let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = file.write_all(record) {
        lost(&error);
    }
}

/// A log with a gap proves nothing: better no run at all.
fn lost(error: &std::io::Error) -> ! {
    eprintln!("{}: {error}", LOG_VARIABLE);
    std::process::exit(70)
}
