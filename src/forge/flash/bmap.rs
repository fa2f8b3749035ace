//! The map of blocks beside an image: which of them carry data, and the checksum of each range. The format is that of bmaptool,
//! versions 1.4 and 2.0. The map only vouches for the image: what it leaves out must be zero, and is written as zeros.

use crate::forge::file;
use crate::model::{Digest, Failure, ReasonCode, Result};
use crate::sys::files;
use sha2::{Digest as _, Sha256};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// An image of 1 TiB in ranges of one block each has a shorter one.
const LIMIT: u64 = 64 << 20;

/// The endings of an image that is packed.
const PACKED: [&str; 3] = [".gz", ".xz", ".zst"];

/// A map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bmap {
    path: PathBuf,
    /// The length of the plain image, bytes.
    pub(super) image_len: u64,
    /// In order: where each begins and ends, bytes, and what its bytes hash to.
    ranges: Vec<(u64, u64, [u8; 32])>,
}

impl Bmap {
    /// The map beside an image; `None` where there is none.
    pub(super) fn beside(image: &Path) -> Result<Option<Bmap>> {
        for path in maps_of(image) {
            let text = match files::foreign_text(&path, LIMIT) {
                Ok(text) => text,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(file::failure(&path, &e)),
            };
            return match parse(&text) {
                Ok((image_len, ranges)) => Ok(Some(Bmap { path, image_len, ranges })),
                Err(why) => {
                    let text = format!("{}: {why}", path.display());
                    Err(Failure::new(ReasonCode::ImageDamaged, text))
                }
            };
        }
        Ok(None)
    }

    /// For people.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What looks at the bytes of the image, in order.
    pub(super) fn checker(&self) -> Checker<'_> {
        Checker { map: self, next: 0, at: 0, hash: Sha256::new() }
    }
}

/// Where the map of an image may lie; the first one that is there counts.
fn maps_of(image: &Path) -> [PathBuf; 3] {
    let name = image.to_string_lossy();
    let plain = PACKED.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let bare = plain.strip_suffix(".img").or(plain.strip_suffix(".wic")).unwrap_or(plain);
    [&*name, plain, bare].map(|name| PathBuf::from(format!("{name}.bmap")))
}

/// Removes the maps of an image that is about to change: they would call it damaged. Says which there were.
pub(in crate::forge) fn without_maps(image: &Path) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for path in maps_of(image) {
        match std::fs::remove_file(&path) {
            Ok(()) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                file::synced(folder.unwrap_or(Path::new(".")))?;
                removed.push(path);
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(file::failure(&path, &e)),
        }
    }
    Ok(removed)
}

/// Compares an image with its map while it is read.
pub(super) struct Checker<'m> {
    map: &'m Bmap,
    /// The range that is looked at.
    next: usize,
    at: u64,
    hash: Sha256,
}

impl Checker<'_> {
    /// The next bytes of the image. `IMAGE_DAMAGED` where a range is not what the map says, or what is in no range is not zero.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some((start, end, expected)) = self.map.ranges.get(self.next) {
            if bytes.is_empty() {
                return Ok(());
            }
            let len = bytes.len() as u64;
            let (until, hashed) = match self.at < *start {
                true => (*start, false),
                false => (*end, true),
            };
            let now = len.min(until - self.at);
            let (head, rest) = bytes.split_at(usize::try_from(now).unwrap_or(bytes.len()));
            if hashed {
                self.hash.update(head);
            } else {
                self.empty(head)?;
            }
            self.at += now;
            bytes = rest;
            if self.at == *end {
                let found: [u8; 32] = self.hash.finalize_reset().into();
                if found != *expected {
                    let (map, start) = (self.map.path.display(), *start);
                    let text =
                        format!("the image is not what {map} says: bytes {start} to {end} differ");
                    return Err(Failure::new(ReasonCode::ImageDamaged, text));
                }
                self.next += 1;
            }
        }
        self.empty(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// The next bytes, which are in no range.
    fn empty(&self, bytes: &[u8]) -> Result<()> {
        let mut parts = bytes.chunks(ZEROS.len());
        if parts.all(|part| part == &ZEROS[..part.len()]) {
            return Ok(());
        }
        let (map, at, end) = (self.map.path.display(), self.at, self.at + bytes.len() as u64);
        let text = format!(
            "the image is not what {map} says: bytes {at} to {end} are in no range of it, and are not zero"
        );
        Err(Failure::new(ReasonCode::ImageDamaged, text))
    }

    /// After the last byte.
    pub(super) fn finish(&self) -> Result<()> {
        let (map, expected) = (self.map.path.display(), self.map.image_len);
        if self.at == expected && self.next == self.map.ranges.len() {
            return Ok(());
        }
        let text = format!("the image has {} bytes, and {map} says {expected}", self.at);
        Err(Failure::new(ReasonCode::ImageDamaged, text))
    }
}

/// What bytes in no range are compared with.
static ZEROS: [u8; 4096] = [0; 4096];

type Ranges = Vec<(u64, u64, [u8; 32])>;

/// The text between the first `<name>` and `</name>`.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.trim())
}

fn number(text: &str, name: &str) -> std::result::Result<u64, String> {
    let word = element(text, name).ok_or_else(|| format!("it has no {name}"))?;
    word.parse().map_err(|_| format!("{name} is no number"))
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    hex.trim().parse::<Digest>().ok().map(|digest| digest.0)
}

/// The length of the image and its ranges.
fn parse(whole: &str) -> std::result::Result<(u64, Ranges), String> {
    let mut text = String::new();
    let mut rest = whole;
    while let Some((before, comment)) = rest.split_once("<!--") {
        text.push_str(before);
        rest = comment.split_once("-->").ok_or("a comment in it does not end")?.1;
    }
    text.push_str(rest);
    if !text.contains("<bmap ") {
        return Err("it is no bmap".to_owned());
    }
    match element(&text, "ChecksumType") {
        Some("sha256") => {}
        Some(other) => return Err(format!("its checksums are {other}; this program reads sha256")),
        None => return Err("it has no ChecksumType: make it with bmaptool 3 or newer".to_owned()),
    }
    let said = element(&text, "BmapFileChecksum").ok_or("it has no BmapFileChecksum")?;
    // Its own checksum is over the file with zeros in the checksum's place.
    let blank = whole.replacen(said, &"0".repeat(64), 1);
    let own: [u8; 32] = Sha256::digest(blank.as_bytes()).into();
    if hash(said) != Some(own) {
        return Err("its own checksum is wrong: it is damaged".to_owned());
    }
    let image_len = number(&text, "ImageSize")?;
    let block = number(&text, "BlockSize")?;
    if block == 0 || !block.is_power_of_two() || block > 1 << 30 {
        return Err(format!("blocks of {block} bytes"));
    }
    let mapped = number(&text, "MappedBlocksCount")?;
    let (mut ranges, mut last, mut blocks_in) = (Ranges::new(), 0, 0u64);
    for range in text.split("<Range").skip(1) {
        let (attributes, rest) = range.split_once('>').ok_or("a range in it does not end")?;
        let blocks = rest.split_once('<').map_or(rest, |(blocks, _)| blocks).trim();
        let (first, end) = blocks.split_once('-').unwrap_or((blocks, blocks));
        let place =
            |word: &str| word.trim().parse::<u64>().map_err(|_| format!("range `{blocks}`"));
        let start = place(first)?.checked_mul(block);
        let end = place(end)?.checked_add(1).and_then(|end| end.checked_mul(block));
        let (Some(start), Some(end)) = (start, end.map(|end| end.min(image_len))) else {
            return Err(format!("range `{blocks}`"));
        };
        if start < last || start >= end {
            return Err(format!("range `{blocks}` is out of order, or leaves the image"));
        }
        let digest = attributes.split_once("chksum=").map(|(_, value)| value.trim());
        let digest = digest.and_then(|d| d.strip_prefix(['"', '\''])?.get(..64)).and_then(hash);
        let digest = digest.ok_or_else(|| format!("range `{blocks}` has no checksum"))?;
        ranges.push((start, end, digest));
        blocks_in += end.div_ceil(block) - start / block;
        last = end;
    }
    if mapped != blocks_in {
        return Err(format!("its ranges have {blocks_in} blocks, and it says {mapped}"));
    }
    Ok((image_len, ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        Digest::of(bytes).to_string()
    }

    /// A map of an image of three blocks and a half, of which the second is not mapped.
    fn map(image: &[u8]) -> String {
        let (first, rest) = (hex(&image[..4096]), hex(&image[8192..]));
        let text = format!(
            "<?xml version=\"1.0\" ?>\n<!-- <ImageSize> 1 </ImageSize> -->\n<bmap version=\"2.0\">\n\
             <ImageSize> {} </ImageSize>\n<BlockSize> 4096 </BlockSize>\n<MappedBlocksCount> 3 </MappedBlocksCount>\n\
             <ChecksumType> sha256 </ChecksumType>\n<BmapFileChecksum> {} </BmapFileChecksum>\n\
             <BlockMap>\n<Range chksum=\"{first}\"> 0 </Range>\n\
             <Range chksum=\"{rest}\"> 2-3 </Range>\n</BlockMap>\n</bmap>\n",
            image.len(),
            "0".repeat(64)
        );
        let own = hex(text.as_bytes());
        text.replacen(&"0".repeat(64), &own, 1)
    }

    /// The same with its own checksum made right.
    fn sealed(text: &str) -> String {
        let said = element(text, "BmapFileChecksum").unwrap();
        let own = hex(text.replacen(said, &"0".repeat(64), 1).as_bytes());
        text.replacen(said, &own, 1)
    }

    fn bmap(text: &str) -> Bmap {
        let (image_len, ranges) = parse(text).unwrap();
        Bmap { path: "x.bmap".into(), image_len, ranges }
    }

    fn image() -> Vec<u8> {
        (0..14_336u32).map(|n| if n / 4096 == 1 { 0 } else { n.to_le_bytes()[0] | 1 }).collect()
    }

    #[test]
    fn an_image_is_what_its_map_says_in_pieces_of_any_length() {
        let image = image();
        let map = bmap(&map(&image));
        for piece in [1, 7, 4096, 5000, 1 << 20] {
            let mut checker = map.checker();
            image.chunks(piece).for_each(|part| checker.take(part).unwrap());
            checker.finish().unwrap();
        }
        let mut short = map.checker();
        short.take(&image[..9000]).unwrap();
        assert!(short.finish().is_err());
        for at in [0, 4095, 8192, 14_335] {
            let mut broken = image.clone();
            broken[at] ^= 4;
            let failure = map.checker().take(&broken).unwrap_err();
            assert_eq!(failure.code(), ReasonCode::ImageDamaged, "{at}");
        }
    }

    #[test]
    fn what_is_in_no_range_is_zero() {
        let mut image = image();
        image.extend([0; 8192]);
        let text = map(&image[..14_336]);
        let text = sealed(&text.replacen(" 14336 ", &format!(" {} ", image.len()), 1));
        // The last block of the second range is a whole one now.
        let whole = hex(&image[8192..16_384]);
        let text = sealed(&text.replacen(&hex(&image[8192..14_336]), &whole, 1));
        let map = bmap(&text);
        for piece in [1000, 4096, 1 << 20] {
            let mut checker = map.checker();
            image.chunks(piece).for_each(|part| checker.take(part).unwrap());
            checker.finish().unwrap();
            for at in [4096, 8191, 16_384, image.len() - 1] {
                let mut other = image.clone();
                other[at] = 1;
                let mut checker = map.checker();
                let failure = other.chunks(piece).find_map(|part| checker.take(part).err());
                let failure = failure.unwrap();
                assert_eq!(failure.code(), ReasonCode::ImageDamaged, "{at}");
                assert!(failure.detail().contains("no range"), "{failure}");
            }
        }
    }

    #[test]
    fn a_map_that_is_damaged_or_of_another_kind_is_refused() {
        let good = map(&image());
        assert!(parse(&good).is_ok());
        for (from, to) in [
            ("<bmap ", "<map "),
            (" sha256 ", " sha1 "),
            ("4096", "4097"),
            (" 2-3 ", " 2-2 "),
            ("<Range ", "<Range  "),
            ("-->", "--"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(parse(&bad).is_err(), "{from}");
        }
        for len in 0..good.len() {
            let _ = parse(&good[..len]);
        }
        for blocks in ["3-2", "9", "18446744073709551615", "x", ""] {
            let text = sealed(&good.replacen(" 0 </Range>", &format!(" {blocks} </Range>"), 1));
            assert!(parse(&text).is_err(), "{blocks}");
        }
        let more = sealed(&good.replacen(" 3 </Mapped", " 9999 </Mapped", 1));
        assert!(parse(&more).unwrap_err().contains("9999"));
        let (head, rest) = good.split_once("<BlockMap>").unwrap();
        let (_, tail) = rest.split_once("</BlockMap>").unwrap();
        let empty = sealed(&format!("{head}<BlockMap></BlockMap>{tail}"));
        assert!(parse(&empty).unwrap_err().contains("0 blocks"), "a map that vouches for nothing");
    }
}
