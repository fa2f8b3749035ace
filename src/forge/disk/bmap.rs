//! The block map of a disk, for bmaptool: which blocks must be written, and their hashes. Version 2.0.
//!
//! Source: bmap-tools, `docs/` and `BmapCopy.py`. The file carries its own hash, made with zeros in the place of it.

use crate::model::{Digest, Result};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BLOCK: u64 = 4096;
const STEP: u64 = 1 << 20;

/// The map of a disk of `size` bytes of which `needed` (start and length, in order) must reach a medium.
pub(super) fn map(disk: &File, name: &Path, size: u64, needed: &[(u64, u64)]) -> Result<String> {
    let ranges = blocks(size, needed);
    let mapped: u64 = ranges.iter().map(|(first, last)| last - first + 1).sum();
    let mut list = String::new();
    let mut buf = vec![0; usize::try_from(STEP).unwrap_or(1 << 20)];
    for (first, last) in &ranges {
        let (mut at, end) = (first * BLOCK, ((last + 1) * BLOCK).min(size));
        let mut hash = Sha256::new();
        while at < end {
            let len = usize::try_from((end - at).min(STEP)).unwrap_or(buf.len());
            let read = disk.read_exact_at(&mut buf[..len], at);
            read.map_err(|e| crate::forge::file::failure(name, &e))?;
            hash.update(&buf[..len]);
            at += len as u64;
        }
        let hash = Digest(hash.finalize().into());
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        // Writing to a String cannot fail.
        let _ = writeln!(list, "        <Range chksum=\"{hash}\"> {range} </Range>");
    }
    let none = "0".repeat(64);
    let text = |own: &str| {
        format!(
            "<?xml version=\"1.0\" ?>\n\
             <bmap version=\"2.0\">\n    \
             <ImageSize> {size} </ImageSize>\n    \
             <BlockSize> {BLOCK} </BlockSize>\n    \
             <BlocksCount> {} </BlocksCount>\n    \
             <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    \
             <ChecksumType> sha256 </ChecksumType>\n    \
             <BmapFileChecksum> {own} </BmapFileChecksum>\n    \
             <BlockMap>\n{list}    </BlockMap>\n\
             </bmap>\n",
            size.div_ceil(BLOCK)
        )
    };
    Ok(text(&Digest::of(text(&none).as_bytes()).to_string()))
}

/// First and last block of each run of blocks.
fn blocks(size: u64, needed: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = Vec::new();
    for (start, len) in needed.iter().filter(|(start, len)| *len > 0 && *start < size) {
        let (first, last) = (start / BLOCK, ((start + len).min(size) - 1) / BLOCK);
        match out.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bytes_become_runs_of_blocks() {
        assert_eq!(
            blocks(1 << 20, &[(0, 1), (4096, 4096), (20_000, 1), (40_000, 0), ((1 << 20) - 1, 9)]),
            [(0, 1), (4, 4), (255, 255)]
        );
    }

    #[test]
    fn the_map_carries_hashes_of_what_is_mapped_and_of_itself() {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(40_000).unwrap();
        disk.write_all_at(b"x", 8192).unwrap();
        let text = map(&disk, Path::new("d"), 40_000, &[(8192, 1), (36_864, 3136)]).unwrap();
        let mut block = vec![0; 4096];
        block[0] = b'x';
        assert!(text.contains(&format!("chksum=\"{}\"> 2 </Range>", Digest::of(&block))));
        assert!(text.contains(&format!("chksum=\"{}\"> 9 </Range>", Digest::of(&[0; 3136]))));
        assert!(text.contains("<MappedBlocksCount> 2 <") && text.contains("<BlocksCount> 10 <"));
        let own = text.split("<BmapFileChecksum> ").nth(1).unwrap()[..64].to_owned();
        let blank = text.replace(&own, &"0".repeat(64));
        assert_eq!(Digest::of(blank.as_bytes()).to_string(), own);
    }
}
