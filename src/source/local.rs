//! A file on this device: a download, a file in the inbox.

use super::Fetch;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::files;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An ordinary file. Its length is taken once, when it is opened: a file that shrinks while it
/// is read is `SOURCE_LOST`, one that grows keeps its signed part.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    len: u64,
    name: String,
}

impl LocalFile {
    /// Opens `path` for reading. `NO_SUCH_FILE` if it is not there or is no ordinary file (a pipe
    /// is a stream: `-`), `SOURCE_LOST` if it cannot be read.
    pub fn open(path: &Path) -> Result<LocalFile> {
        let name = path.display().to_string();
        let file = files::foreign(path).map_err(|e| match e.kind() {
            ErrorKind::InvalidInput => Failure::new(
                ReasonCode::NoSuchFile,
                format!("{name} {e}; use `-` to read standard input"),
            ),
            _ => open_failed(&name, &e),
        })?;
        let len = file.metadata().reason(ReasonCode::SourceLost, &name)?.len();
        Ok(LocalFile { file, len, name })
    }
}

impl LocalFile {
    /// A file that another process has opened. What is no ordinary file is given back: it can only
    /// be read as it comes.
    pub(super) fn handed(fd: OwnedFd, name: &str) -> std::result::Result<LocalFile, OwnedFd> {
        let file = File::from(fd);
        match file.metadata() {
            Ok(about) if about.is_file() => {
                Ok(LocalFile { len: about.len(), file, name: name.to_owned() })
            }
            _ => Err(file.into()),
        }
    }
}

impl AsFd for LocalFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<LocalFile> for File {
    fn from(source: LocalFile) -> File {
        source.file
    }
}

fn open_failed(name: &str, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ReasonCode::NoSuchFile,
        // Trying again does not help.
        ErrorKind::PermissionDenied => ReasonCode::NotAllowed,
        _ => ReasonCode::SourceLost,
    };
    Failure::new(code, format!("{name}: {error}"))
}

impl Fetch for LocalFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buf, offset).map_err(|e| {
            let code = match e.kind() {
                // It was longer when it was opened: what is being copied anew may be whole later.
                ErrorKind::UnexpectedEof if offset.saturating_add(buf.len() as u64) > self.len => {
                    ReasonCode::Truncated
                }
                _ => ReasonCode::SourceLost,
            };
            Failure::new(code, format!("{} at byte {offset}: {e}", self.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sequential;
    use super::*;
    use std::io::Read;

    #[test]
    fn a_file_is_read_at_any_offset_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"0123456789").unwrap();
        let source = LocalFile::open(&path).unwrap();
        let mut four = [0; 4];
        source.read_at(6, &mut four).unwrap();
        assert_eq!((&four, source.len()), (b"6789", 10));
        let mut all = Vec::new();
        Sequential::new(&source).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"0123456789");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let code = |r: Result<LocalFile>| r.err().map(|f| f.code());
        assert_eq!(code(LocalFile::open(&path)), Some(ReasonCode::NoSuchFile));
        assert_eq!(code(LocalFile::open(dir.path())), Some(ReasonCode::NoSuchFile));
        std::fs::write(&path, b"0123").unwrap();
        let source = LocalFile::open(&path).unwrap();
        let lost = source.read_at(1, &mut [0; 4]).unwrap_err();
        assert_eq!(lost.code(), ReasonCode::Truncated);
        std::fs::write(&path, b"01").unwrap();
        let lost = source.read_at(1, &mut [0; 3]).unwrap_err();
        assert_eq!(lost.code(), ReasonCode::SourceLost, "it shrank");
    }
}
