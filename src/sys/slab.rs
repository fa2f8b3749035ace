//! A file that has its whole length from the beginning and is written in place: a disk that
//! becomes full later does not stop it, and a write in it moves nothing but its own bytes.

use super::files;
use super::power::{self, Deed};
use std::fs::File;
use std::io::Result;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much is made to zeros at once.
const BLOCK: usize = 16 * 1024;

/// The open file.
#[derive(Debug)]
pub struct Slab {
    file: File,
    len: u64,
}

impl Slab {
    /// Opens or makes it. What is shorter or longer is made to fit, with zeros that are written
    /// and so have their place on the medium.
    pub fn open(path: &Path, len: u64) -> Result<Slab> {
        let fresh = !path.exists();
        let open = || files::own_to_change(path, 0o600);
        let file = if fresh { power::telling(Deed::Create(path), open)? } else { open()? };
        let found = file.metadata()?.len();
        let slab = Slab { file, len };
        if found > len {
            slab.file.set_len(len)?;
        }
        if found < len {
            slab.zero(found)?;
            slab.file.sync_all()?;
        }
        Ok(slab)
    }

    /// All of it.
    pub fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len).map_err(std::io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes at a place inside.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        power::writing(Deed::Write(&self.file, at), bytes, |part| self.file.write_all_at(part, at))
    }

    /// Makes everything from `from` on read as zeros.
    pub fn zero(&self, from: u64) -> Result<()> {
        let mut at = from;
        while at < self.len {
            let most = usize::try_from(self.len - at).unwrap_or(BLOCK).min(BLOCK);
            self.write(at, &vec![0; most])?;
            at += u64::try_from(most).unwrap_or(0);
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub fn sync(&self) -> Result<()> {
        power::telling(Deed::Sync(&self.file), || self.file.sync_data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_its_length_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slab");
        for before in [None, Some(&b"abc"[..]), Some(&[7; 99])] {
            let _ = std::fs::remove_file(&path);
            if let Some(bytes) = before {
                std::fs::write(&path, bytes).unwrap();
            }
            let slab = Slab::open(&path, 50).unwrap();
            let kept = before.map_or(0, |b| b.len().min(50));
            let want = [&before.unwrap_or_default()[..kept], &vec![0; 50 - kept]].concat();
            assert_eq!(slab.read().unwrap(), want);
            slab.write(48, b"xy").unwrap();
            assert_eq!(slab.read().unwrap()[47..], [want[47], b'x', b'y']);
            slab.zero(0).unwrap();
            slab.sync().unwrap();
            assert_eq!(Slab::open(&path, 50).unwrap().read().unwrap(), [0; 50]);
        }
    }
}
