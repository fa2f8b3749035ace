//! Every file that this program opens by a name, opened in one place: never one that would make it
//! wait, never one without an end, never through a link where only this program writes.
//!
//! - *Own* files are those that this program writes itself: in the state folder, in its folder under
//!   `/run`, in the inbox and the outbox. The last part of their path is never a symbolic link.
//! - *Foreign* files are all others: settings, trust files, what `/dev/disk/by-*` leads to, an
//!   artifact that is named on the command line. A link may lead to them, as it does in `/etc` on
//!   many read-only roots.
//!
//! Both are looked at before they are opened, because opening alone can have an effect (a FIFO
//! waits for its other end, a watchdog starts), and again after it, because a name can be given to
//! another file meanwhile.

use nix::libc;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Enough for any file of text that people or this program write.
pub const SMALL: u64 = 1024 * 1024;

/// Enough for whatever the kernel says in one file of `/proc` or `/sys`.
const KERNEL: u64 = 16 * 1024 * 1024;

/// How a name is opened.
const FLAGS: i32 = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;

/// Opens a file of ours for reading. An error says what stands there instead.
pub fn own(path: &Path) -> Result<File> {
    judged(OpenOptions::new().read(true), path, Links::Refused)
}

/// Opens any other file for reading. An error says what stands there instead.
pub fn foreign(path: &Path) -> Result<File> {
    judged(OpenOptions::new().read(true), path, Links::Followed)
}

/// Opens a folder, for what is asked of its file system.
pub fn folder(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).custom_flags(FLAGS | libc::O_DIRECTORY).open(path)
}

/// A file of ours for appending, made with this mode where there is none.
pub fn own_to_append(path: &Path, mode: u32) -> Result<File> {
    judged(OpenOptions::new().append(true).create(true).mode(mode), path, Links::Refused)
}

/// A file of ours for reading and for writing in place, made with this mode where there is none.
pub fn own_to_change(path: &Path, mode: u32) -> Result<File> {
    let mut how = OpenOptions::new();
    judged(how.read(true).write(true).create(true).truncate(false).mode(mode), path, Links::Refused)
}

/// A file of ours that is there, for writing in place.
pub fn own_that_is_there(path: &Path) -> Result<File> {
    judged(OpenOptions::new().write(true), path, Links::Refused)
}

/// Any other file for writing anew from its beginning, made where there is none.
pub fn foreign_to_write(path: &Path) -> Result<File> {
    let file =
        judged(OpenOptions::new().write(true).create(true).truncate(false), path, Links::Followed)?;
    file.set_len(0)?;
    Ok(file)
}

/// A new, empty file with this mode for writing: what has this name is taken away, and is not
/// written through. A folder of this name stays, and is an error.
pub fn new(path: &Path, mode: u32) -> Result<File> {
    let make = || {
        let mut how = OpenOptions::new();
        how.read(true).write(true).create_new(true).mode(mode);
        how.custom_flags(FLAGS | libc::O_NOFOLLOW).open(path)
    };
    match make() {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            if std::fs::symlink_metadata(path)?.is_dir() {
                return Err(refused("is a folder, not a file"));
            }
            std::fs::remove_file(path)?;
            make()
        }
        other => other,
    }
}

/// All of a file of ours; one that is longer than `limit` bytes is an error.
pub fn read_own(path: &Path, limit: u64) -> Result<Vec<u8>> {
    bytes(&own(path)?, limit)
}

/// All of any other file; one that is longer than `limit` bytes is an error.
pub fn read_foreign(path: &Path, limit: u64) -> Result<Vec<u8>> {
    bytes(&foreign(path)?, limit)
}

/// The same as text; what is not UTF-8 is an error.
pub fn foreign_text(path: &Path, limit: u64) -> Result<String> {
    String::from_utf8(read_foreign(path, limit)?).map_err(|_| refused("is not UTF-8 text"))
}

/// What the kernel says in a file of `/proc` or `/sys`; bytes that are no UTF-8 are replaced.
pub fn kernel_text(path: impl AsRef<Path>) -> Result<String> {
    let bytes = read_foreign(path.as_ref(), KERNEL)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// All of an open file from here on; one that is longer than `limit` bytes is an error.
pub fn bytes(mut file: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.by_ref().take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= limit => Ok(bytes),
        _ => Err(refused(&format!("is longer than {limit} bytes"))),
    }
}

/// Where a file of `len` bytes has bytes, as start and length; what lies between was never written and reads
/// as zeros. A file system without holes has one range.
pub fn data_ranges(file: &File, len: u64) -> Result<Vec<(u64, u64)>> {
    // With 64 bits also where the C library's own have 32.
    use nix::unistd::{Whence, lseek64};
    let (mut ranges, mut at) = (Vec::new(), 0);
    let seek = |at: u64, whence| {
        let at = i64::try_from(at).map_err(Error::other)?;
        match lseek64(file, at, whence) {
            Ok(found) => u64::try_from(found).map(Some).map_err(Error::other),
            // Behind the last of them.
            Err(nix::errno::Errno::ENXIO) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    };
    while at < len {
        let Some(start) = seek(at, Whence::SeekData)? else { break };
        let end = seek(start, Whence::SeekHole)?.unwrap_or(len).min(len);
        if start >= end {
            break;
        }
        ranges.push((start, end - start));
        at = end;
    }
    Ok(ranges)
}

/// What a name that is no ordinary file stands for, as the end of a sentence; `None` for one.
pub fn not_a_file(kind: FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("is a folder, not a file")
    } else if kind.is_symlink() {
        Some("is a symbolic link, not a file")
    } else if kind.is_fifo() {
        Some("is a FIFO, not a file")
    } else if kind.is_socket() {
        Some("is a socket, not a file")
    } else {
        Some("is a device, not a file")
    }
}

/// The path under which an open, ordinary file can be found; `None` for anything else, and for one
/// that has no name any more.
pub fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let path = std::fs::read_link(&link).ok()?;
    let same = |about: &Metadata| (about.dev(), about.ino());
    let (open, named) = (std::fs::metadata(&link).ok()?, std::fs::metadata(&path).ok()?);
    (open.is_file() && same(&open) == same(&named)).then_some(path)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Followed,
    Refused,
}

fn judged(how: &mut OpenOptions, path: &Path, links: Links) -> Result<File> {
    let (before, flags) = match links {
        Links::Followed => (std::fs::metadata(path), FLAGS),
        Links::Refused => (std::fs::symlink_metadata(path), FLAGS | libc::O_NOFOLLOW),
    };
    match before {
        Ok(found) => judge(&found)?,
        // One that is only written may be made now.
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let file = how.custom_flags(flags).open(path)?;
    judge(&file.metadata()?)?;
    Ok(file)
}

fn judge(found: &Metadata) -> Result<()> {
    not_a_file(found.file_type()).map_or(Ok(()), |what| Err(refused(what)))
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn why<T>(result: Result<T>) -> String {
        result.err().map_or_else(|| "opened".to_owned(), |e| e.to_string())
    }

    #[test]
    fn what_is_no_file_is_named_and_is_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink(at("file"), at("link")).unwrap();
        std::fs::write(at("file"), "text").unwrap();
        for (name, own_why, foreign_why) in [
            ("fifo", "is a FIFO, not a file", "is a FIFO, not a file"),
            ("socket", "is a socket, not a file", "is a socket, not a file"),
            ("folder", "is a folder, not a file", "is a folder, not a file"),
            ("zero", "is a symbolic link, not a file", "is a device, not a file"),
            ("link", "is a symbolic link, not a file", "opened"),
            ("file", "opened", "opened"),
        ] {
            assert_eq!(why(own(&at(name))), own_why, "{name}");
            assert_eq!(why(foreign(&at(name))), foreign_why, "{name}");
            assert_eq!(why(own_to_append(&at(name), 0o600)), own_why, "{name}");
            assert_eq!(why(own_to_change(&at(name), 0o600)), own_why, "{name}");
        }
        assert_eq!(own(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(foreign(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(read_foreign(&at("link"), 4).unwrap(), b"text");
        assert_eq!(why(read_own(&at("file"), 3)), "is longer than 3 bytes");
        File::create(at("long")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(why(read_own(&at("long"), 3)), "is longer than 3 bytes");
        std::fs::write(at("bytes"), b"\xff").unwrap();
        assert_eq!(why(foreign_text(&at("bytes"), 3)), "is not UTF-8 text");
    }

    #[test]
    fn a_new_file_is_never_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("victim"), "kept").unwrap();
        symlink(at("victim"), at("link")).unwrap();
        std::fs::hard_link(at("victim"), at("hard")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(at("old"), "longer than the new one").unwrap();
        for name in ["link", "hard", "fifo", "old", "none"] {
            std::io::Write::write_all(&mut new(&at(name), 0o600).unwrap(), b"new").unwrap();
            assert_eq!(read_own(&at(name), 9).unwrap(), b"new", "{name}");
        }
        assert_eq!(std::fs::read(at("victim")).unwrap(), b"kept");
        std::fs::create_dir(at("folder")).unwrap();
        assert_eq!(why(new(&at("folder"), 0o600)), "is a folder, not a file");
    }
}
