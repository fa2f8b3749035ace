//! The list of old files that a patch reads: which layer each is of, and its path there.

use crate::model::{Digest, Failure, ReasonCode, Result};
use std::ops::Range;

/// A list has so many files at the most.
pub const MAX_FILES: usize = 1 << 18;
/// Bytes of all their paths.
const MAX_PATHS: usize = 16 << 20;
/// A path has at most this many bytes: the kernel takes no more.
pub const MAX_PATH: usize = 4096;

/// Old files in the order of the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FileList {
    paths: Vec<u8>,
    files: Vec<(u32, Range<u32>)>,
}

fn invalid(why: &str) -> Failure {
    Failure::new(ReasonCode::DeltaInvalid, format!("the list of files has {why}"))
}

impl FileList {
    /// Reads a list of files of `sources` layers: of each file the number of its layer, how many bytes of the path
    /// before it begins with, how many follow (LEB128 each), and those.
    pub fn parse(mut bytes: &[u8], sources: usize) -> Result<FileList> {
        let mut list = FileList::default();
        while !bytes.is_empty() {
            let [layer, shared, rest] =
                [number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?];
            let (new, after) =
                bytes.split_at_checked(rest as usize).ok_or_else(|| invalid("half a path"))?;
            bytes = after;
            if layer as usize >= sources {
                return Err(invalid("a file of no layer"));
            }
            let before = list.files.last().map_or(0..0, |(_, range)| range.clone());
            if shared as usize > before.len() {
                return Err(invalid("a path that begins with more than the one before it has"));
            }
            let start = list.paths.len();
            let from = before.start as usize;
            if shared as usize + new.len() > MAX_PATH
                || start + shared as usize + new.len() > MAX_PATHS
                || list.files.len() >= MAX_FILES
            {
                return Err(invalid("too many or too long paths"));
            }
            list.paths.extend_from_within(from..from + shared as usize);
            list.paths.extend_from_slice(new);
            if !is_plain(&list.paths[start..]) {
                return Err(invalid("a path that is none below a folder"));
            }
            // At most 16 MiB.
            let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            list.files.push((layer, place(start)..place(list.paths.len())));
        }
        match list.files.is_empty() {
            true => Err(invalid("no file")),
            false => Ok(list),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The number of the layer of file `index`, and its path.
    pub fn get(&self, index: usize) -> Option<(usize, &[u8])> {
        let (layer, path) = self.files.get(index)?;
        Some((*layer as usize, self.paths.get(path.start as usize..path.end as usize)?))
    }
}

/// Whether a path leads to something below a folder, in one spelling.
pub fn is_plain(path: &[u8]) -> bool {
    let good = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    !path.contains(&0) && path.split(|byte| *byte == b'/').all(good)
}

/// LEB128, at most 32 bits, in its shortest spelling.
fn number(bytes: &mut &[u8]) -> Result<u32> {
    let (mut number, mut shift) = (0u64, 0u32);
    loop {
        let (byte, rest) = bytes.split_first().ok_or_else(|| invalid("half a number"))?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return match u32::try_from(number) {
                Ok(number) if *byte != 0 || shift == 0 => Ok(number),
                _ => Err(invalid("a number that is none")),
            };
        }
        shift += 7;
        if shift > 28 {
            return Err(invalid("a number that is none"));
        }
    }
}

/// The digest over the files that one layer gives.
pub struct SourceDigest(sha2::Sha256);

impl SourceDigest {
    /// Of no file.
    #[expect(
        clippy::new_without_default,
        reason = "a digest of nothing is no value to fall back to"
    )]
    pub fn new() -> SourceDigest {
        SourceDigest(sha2::Digest::new())
    }

    /// A file of `len` bytes follows.
    pub fn file(&mut self, len: u64) {
        self.bytes(&len.to_le_bytes());
    }

    /// Its bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    /// The digest of all.
    pub fn finish(self) -> Digest {
        Digest(sha2::Digest::finalize(self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_share_their_beginnings() {
        let list = b"\x00\x00\x05usr/a\x01\x04\x01b\x00\x00\x01c";
        let list = FileList::parse(list, 2).unwrap();
        let found: Vec<_> = (0..3).map(|n| list.get(n).unwrap()).collect();
        assert_eq!(found, [(0, &b"usr/a"[..]), (1, b"usr/b"), (0, b"c")]);
        assert_eq!(list.get(3), None);
    }

    #[test]
    fn lists_that_no_writer_makes_are_refused() {
        for (bytes, why) in [
            (&b""[..], "no file"),
            (b"\x00\x00", "half a number"),
            (b"\x00\x00\x05usr", "half a path"),
            (b"\x02\x00\x01a", "no layer"),
            (b"\x00\x01\x01a", "begins with more"),
            (b"\x00\x00\x00", "none below"),
            (b"\x00\x00\x02/a", "none below"),
            (b"\x00\x00\x04a/..", "none below"),
            (b"\x00\x00\x03a\x00b", "none below"),
            (b"\x00\x00\x04a//b", "none below"),
            (b"\x80\x00\x00\x01a", "a number that is none"),
            (b"\xff\xff\xff\xff\xff\x01", "a number that is none"),
        ] {
            let failure = FileList::parse(bytes, 2).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::DeltaInvalid);
            assert!(failure.detail().contains(why), "{bytes:?}: {failure}");
        }
        // Each path repeats nearly all of a long one: few bytes that become many.
        let mut bomb = [&b"\x00\x00\x80\x20"[..], &[b'a'; 4096]].concat();
        bomb.extend([0, 0xff, 0x1f, 1, b'b'].repeat(8000));
        assert!(FileList::parse(&bomb, 1).unwrap_err().detail().contains("too many"));
    }
}
