//! What a process says of itself for as long as it lives: a small file that anybody may read, under
//! a lock of the kernel's. After the end of the process, however it ends, nobody believes the file.

use super::files;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{File, Permissions};
use std::io::{Error, Result};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The length of such a file: written in one piece, in place.
const LEN: usize = 4096;

/// A reader that meets a half-written file looks again so often.
const LOOKS: u32 = 5;

/// The file, while it is believed.
#[derive(Debug)]
pub struct Claim {
    file: File,
    path: PathBuf,
}

impl Claim {
    /// Puts `text` where others look for it.
    pub fn make(path: &Path, text: &str) -> Result<Claim> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        // Whoever makes a claim holds a lock that lets in one.
        let file = files::new(Path::new(&beside), 0o600)?;
        // Whatever the mask of this process says.
        file.set_permissions(Permissions::from_mode(0o644))?;
        // It belongs to the open file and not to the process: another thread that looks at the file
        // and closes it does not give the lock back.
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole(nix::libc::F_WRLCK)?))?;
        let claim = Claim { file, path: path.to_owned() };
        claim.say(text)?;
        std::fs::rename(&beside, path)?;
        Ok(claim)
    }

    /// Says something else.
    pub fn say(&self, text: &str) -> Result<()> {
        let head = format!("{:08x} {}\n", crc32fast::hash(text.as_bytes()), text.len());
        let mut bytes = [head.as_bytes(), text.as_bytes()].concat();
        if bytes.len() > LEN {
            return Err(Error::other("a claim is longer than it may be"));
        }
        bytes.resize(LEN, b'\n');
        self.file.write_all_at(&bytes, 0)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let id = |about: std::fs::Metadata| (about.dev(), about.ino());
        let own = self.file.metadata().map(id).ok();
        if own.is_some() && std::fs::symlink_metadata(&self.path).map(id).ok() == own {
            let _gone_already = std::fs::remove_file(&self.path);
        }
    }
}

/// What a living process says; `None` where there is none. The lock of the kernel decides: it is
/// one for writing, which only the owner of the file can hold.
pub fn claimed(path: &Path) -> Option<String> {
    let file = files::own(path).ok()?;
    for _ in 0..LOOKS {
        let mut bytes = [0; LEN];
        let said = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| said(&bytes));
        let mut held = whole(nix::libc::F_RDLCK).ok()?;
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut held)).ok()?;
        if i32::from(held.l_type) != nix::libc::F_WRLCK {
            return None;
        }
        if said.is_some() {
            return said;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn said(bytes: &[u8]) -> Option<String> {
    let at = bytes.iter().position(|b| *b == b'\n')?;
    let (crc, len) = std::str::from_utf8(&bytes[..at]).ok()?.split_once(' ')?;
    let text = bytes.get(at + 1..at + 1 + len.parse::<usize>().ok()?)?;
    let right = crc == format!("{:08x}", crc32fast::hash(text));
    String::from_utf8(text.to_vec()).ok().filter(|_| right)
}

fn whole(kind: i32) -> Result<nix::libc::flock> {
    Ok(nix::libc::flock {
        l_type: i16::try_from(kind).map_err(Error::other)?,
        l_whence: i16::try_from(nix::libc::SEEK_SET).map_err(Error::other)?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_believed_while_its_maker_holds_it_and_by_nobody_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work");
        assert_eq!(claimed(&path), None);
        let claim = Claim::make(&path, "one").unwrap();
        assert_eq!(claimed(&path).as_deref(), Some("one"));
        claim.say("two, which is longer").unwrap();
        assert_eq!(claimed(&path).as_deref(), Some("two, which is longer"));
        assert!(claim.say(&"x".repeat(LEN)).is_err());
        // As a killed process leaves it: the file stays, the lock does not.
        let left = std::fs::read(&path).unwrap();
        drop(claim);
        assert!(!path.exists());
        std::fs::write(&path, &left).unwrap();
        assert_eq!(claimed(&path), None, "nobody lives who says so");
        // A reader's lock makes nothing true.
        let reader = File::open(&path).unwrap();
        fcntl(&reader, FcntlArg::F_OFD_SETLK(&whole(nix::libc::F_RDLCK).unwrap())).unwrap();
        assert_eq!(claimed(&path), None);
        let claim = Claim::make(&path, "three").unwrap();
        assert_eq!(claimed(&path).as_deref(), Some("three"));
        drop(claim);
    }

    #[test]
    fn half_a_word_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work");
        let claim = Claim::make(&path, "one").unwrap();
        for at in 0..12 {
            claim.say("one").unwrap();
            claim.file.write_all_at(b"~", at).unwrap();
            assert_eq!(claimed(&path), None, "byte {at}");
        }
    }
}
