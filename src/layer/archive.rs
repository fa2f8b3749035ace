//! A layer's tar archive, entry by entry: POSIX ustar with pax headers and GNU's long names. Nothing is unpacked; a reader
//! is told what an entry is, and may read its bytes.
//!
//! Layout: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use crate::model::{Failure, ReasonCode, Result};
use std::collections::BTreeMap;
use std::io::Read;

const BLOCK: usize = 512;
/// Pax headers and long names are at most so long, bytes.
const EXTRA: u64 = 1 << 20;
const ENTRIES: usize = 4 << 20;

/// What an entry of a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerEntryKind {
    /// An ordinary file, whose bytes stand in the archive as they are.
    File,
    /// An ordinary file with holes: the archive has a map of it first.
    Sparse,
    /// Another name of a file before it.
    HardLink(Vec<u8>),
    /// A symbolic link.
    SymLink(Vec<u8>),
    /// A folder.
    Folder,
    /// A device, a FIFO, or what is not known: its type flag.
    Other(u8),
}

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// Its path as it stands there.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: LayerEntryKind,
    /// Rights.
    pub mode: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Where its bytes begin in the archive.
    pub at: u64,
    /// How many bytes there are.
    pub len: u64,
}

/// What a pax header says of the entry behind it, or of all.
pub type Pax = BTreeMap<String, Vec<u8>>;

fn bad(why: &str) -> Failure {
    Failure::new(ReasonCode::ContainerImage, format!("the layer's archive {why}"))
}

struct Archive<'a> {
    input: &'a mut dyn Read,
    at: u64,
}

/// Reads an archive as far as its end mark; `each` is given every entry with a reader of its bytes, of which it takes as
/// many as it likes. Returns how many bytes were read. `CONTAINER_IMAGE` where it is no archive.
pub fn scan_layer(
    input: &mut dyn Read,
    each: &mut dyn FnMut(&LayerEntry, &mut dyn Read) -> Result<()>,
) -> Result<u64> {
    let mut archive = Archive { input, at: 0 };
    let (mut next, mut global) = (Pax::new(), Pax::new());
    for _ in 0..ENTRIES {
        let block = archive.block()?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(archive.at);
        }
        let len = checked(&block)?;
        match block[156] {
            b'x' => next.extend(pax(&archive.text(len)?).ok_or_else(|| bad("has a bad header"))?),
            b'g' => global.extend(pax(&archive.text(len)?).ok_or_else(|| bad("has a bad header"))?),
            kind @ (b'L' | b'K') => {
                let key = if kind == b'L' { "path" } else { "linkpath" };
                let text = archive.text(len)?;
                let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
                next.insert(key.to_owned(), text[..end].to_vec());
            }
            _ => {
                let said: Pax =
                    global.clone().into_iter().chain(std::mem::take(&mut next)).collect();
                let entry = entry(&block, &said, len, archive.at)?;
                archive.content(entry.len, &mut |content| each(&entry, content))?;
            }
        }
    }
    Err(bad("has too many entries"))
}

/// The length that a header says, after its checksum was compared.
fn checked(block: &[u8; BLOCK]) -> Result<u64> {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let expected = sum(block) - sum(&block[148..156]) + 8 * 32;
    if tar_number(&block[148..156]) != Some(expected) {
        return Err(bad("has a header whose checksum is wrong"));
    }
    tar_number(&block[124..136]).ok_or_else(|| bad("has a header with a bad length"))
}

fn entry(block: &[u8; BLOCK], said: &Pax, len: u64, at: u64) -> Result<LayerEntry> {
    let field = |at: usize, len: usize| {
        let bytes = &block[at..at + len];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(len);
        bytes[..end].to_vec()
    };
    // GNU's header has other things where the prefix is.
    let posix = &block[257..263] == b"ustar\0";
    let own = || match (posix, field(345, 155)) {
        (true, prefix) if !prefix.is_empty() => [prefix, b"/".to_vec(), field(0, 100)].concat(),
        _ => field(0, 100),
    };
    let path = said.get("path").cloned().unwrap_or_else(own);
    let link = said.get("linkpath").cloned().unwrap_or_else(|| field(157, 100));
    let whole = |key: &str| {
        let text = std::str::from_utf8(said.get(key)?).ok()?;
        text.split('.').next()?.parse::<u64>().ok()
    };
    let sparse = block[156] == b'S' || said.keys().any(|key| key.starts_with("GNU.sparse"));
    let kind = match block[156] {
        _ if sparse => LayerEntryKind::Sparse,
        b'0' | b'\0' | b'7' if path.ends_with(b"/") => LayerEntryKind::Folder,
        b'0' | b'\0' | b'7' => LayerEntryKind::File,
        b'1' => LayerEntryKind::HardLink(link),
        b'2' => LayerEntryKind::SymLink(link),
        b'5' => LayerEntryKind::Folder,
        other => LayerEntryKind::Other(other),
    };
    if block[156] == b'S' && block[482] != 0 {
        // Further maps stand between the header and the bytes; no tool that makes layers writes them.
        return Err(bad("has a file with more holes than one header names"));
    }
    let len = match kind {
        // Some writers name the length of the file that a link leads to.
        LayerEntryKind::HardLink(_) | LayerEntryKind::SymLink(_) | LayerEntryKind::Folder => 0,
        _ if said.contains_key("size") => {
            whole("size").ok_or_else(|| bad("has a header with a bad length"))?
        }
        _ => len,
    };
    let mode = tar_number(&block[100..108]).unwrap_or(0);
    let mtime = whole("mtime").or_else(|| tar_number(&block[136..148])).unwrap_or(0);
    Ok(LayerEntry { path, kind, mode, mtime, at, len })
}

impl Archive<'_> {
    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(|e| lost(e, "cannot be read to its end"))?;
        self.at += BLOCK as u64;
        Ok(block)
    }

    fn text(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > EXTRA {
            return Err(bad("has a name or a pax header of more than 1 MiB"));
        }
        let mut text = Vec::new();
        self.content(len, &mut |content| {
            content.read_to_end(&mut text).map(drop).map_err(|e| lost(e, "cannot be read"))
        })?;
        Ok(text)
    }

    fn content(
        &mut self,
        len: u64,
        take: &mut dyn FnMut(&mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let mut content = (&mut *self.input).take(len);
        take(&mut content)?;
        let padding = len.next_multiple_of(BLOCK as u64) - len;
        let rest = content.limit() + padding;
        let passed = std::io::copy(&mut (&mut *self.input).take(rest), &mut std::io::sink());
        if passed.map_err(|e| lost(e, "cannot be read"))? != rest {
            return Err(bad("ends inside of a file"));
        }
        self.at = self.at.saturating_add(len + padding);
        Ok(())
    }
}

/// A source that knows why it failed says so itself: its [`Failure`] travels inside the error.
fn lost(error: std::io::Error, why: &str) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>());
    inner.cloned().unwrap_or_else(|| bad(&format!("{why}: {error}")))
}

/// A number of a tar header: octal digits, or GNU's binary form.
pub fn tar_number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let low = field.get(field.len().checked_sub(8)?..)?.first_chunk::<8>()?;
        return Some(
            u64::from_be_bytes(*low) & if field.len() == 8 { u64::MAX >> 8 } else { u64::MAX },
        );
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(|c| c == ' ' || c == '\0');
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// The records of a pax header: `LENGTH KEY=VALUE\n`, one behind the other.
pub fn pax(mut bytes: &[u8]) -> Option<Pax> {
    let mut said = Pax::new();
    while bytes.first().is_some_and(|byte| *byte != 0) {
        let blank = bytes.iter().take(20).position(|b| *b == b' ')?;
        let len: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
        let record = bytes.get(blank + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=')?;
        let key = String::from_utf8_lossy(&record[..equals]).into_owned();
        said.insert(key, record[equals + 1..].to_vec());
        bytes = &bytes[len..];
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn entries_are_named_with_the_places_of_their_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let deep = format!("{}/{}", "d".repeat(90), "e".repeat(90));
        std::fs::create_dir_all(root.join(&deep)).unwrap();
        std::fs::write(root.join(&deep).join("f"), vec![7; 1000]).unwrap();
        std::fs::hard_link(root.join(&deep).join("f"), root.join("same")).unwrap();
        std::os::unix::fs::symlink("x".repeat(150), root.join("link")).unwrap();
        for format in ["gnu", "pax", "ustar"] {
            let mut tar = Command::new("tar");
            tar.args(["--format", format, "--sort=name", "-C"]);
            let skip: &[&str] =
                if format == "ustar" { &["--exclude=link", "--exclude=same"] } else { &[] };
            let tar = tar.arg(&root).args(skip).args(["-cf", "-", "."]).output().unwrap();
            assert!(tar.status.success());
            let (mut found, bytes) = (BTreeMap::new(), tar.stdout);
            scan_layer(&mut &bytes[..], &mut |entry, content| {
                let mut read = Vec::new();
                content.read_to_end(&mut read).unwrap();
                let at = usize::try_from(entry.at).unwrap();
                assert!(bytes[at..].starts_with(&read), "{entry:?}");
                let path = String::from_utf8(entry.path.clone()).unwrap();
                found.insert(path, (entry.kind.clone(), read.len()));
                Ok(())
            })
            .unwrap();
            let at = |path: &str| found.get(path).cloned();
            let file = format!("./{deep}/f");
            assert_eq!(at(&file), Some((LayerEntryKind::File, 1000)), "{format}: {found:?}");
            assert_eq!(at("./"), Some((LayerEntryKind::Folder, 0)));
            // A link has room for 100 bytes there.
            if format != "ustar" {
                let link = LayerEntryKind::HardLink(file.into_bytes());
                assert_eq!(at("./same"), Some((link, 0)), "{format}");
                let link = LayerEntryKind::SymLink("x".repeat(150).into_bytes());
                assert_eq!(at("./link"), Some((link, 0)));
            }
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), vec![7; 3000]).unwrap();
        let tar = Command::new("tar").arg("-C").arg(dir.path()).args(["-cf", "-", "f"]).output();
        let good = tar.unwrap().stdout;
        let why = |bytes: &[u8]| {
            let read = scan_layer(&mut { bytes }, &mut |_, _| Ok(()));
            read.err().map_or_else(String::new, |f| f.detail().to_owned())
        };
        assert_eq!(why(&good), "");
        assert!(why(&good[..700]).contains("inside of a file"));
        assert!(why(&good[..300]).contains("to its end"));
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        assert!(why(&flipped).contains("checksum"));
    }
}
