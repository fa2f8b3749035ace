//! What lies below a folder that other programs, or another computer, may have written: no link is followed on the way to it.

use super::files;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

/// A file or folder that is held, and not open for reading or writing.
#[derive(Debug)]
pub struct Below(File);

impl Below {
    /// Holds what has this path below `folder`. A link on the way, or at its end, is an error; a FIFO is held without waiting.
    pub fn hold(folder: &Path, path: &Path) -> Result<Below> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut held = files::folder(folder)?;
        for part in path.components() {
            let Component::Normal(name) = part else {
                return Err(Error::new(ErrorKind::InvalidInput, "is no path below a folder"));
            };
            held = openat(&held, name, flags, Mode::empty())?.into();
            if held.metadata()?.is_symlink() {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "is, or is below, a symbolic link",
                ));
            }
        }
        Ok(Below(held))
    }

    /// What is known of it.
    pub fn about(&self) -> Result<Metadata> {
        self.0.metadata()
    }

    /// A path to it for as long as it is held, whatever becomes of its name.
    pub fn place(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// All of an ordinary file; one that is longer than `limit` bytes is an error.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>> {
        files::read_foreign(&self.place(), limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/file"), "text").unwrap();
        symlink(at("a"), at("link")).unwrap();
        symlink("file", at("a/b/last")).unwrap();
        nix::unistd::mkfifo(&at("a/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let read = |path: &str| Below::hold(dir.path(), path.as_ref())?.read(4);
        assert_eq!(read("a/b/file").unwrap(), b"text");
        for (path, why) in [
            ("link/b/file", "symbolic link"),
            ("a/b/last", "symbolic link"),
            ("a/b/../b/file", "no path"),
            ("/etc/passwd", "no path"),
            ("a/fifo", "FIFO"),
            ("a/b", "folder"),
        ] {
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains(why), "{path}: {error}");
        }
        assert_eq!(read("a/none").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(read("a/b/file/x").unwrap_err().kind(), ErrorKind::NotADirectory);
    }
}
