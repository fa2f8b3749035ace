//! A layer of an image: made plain, held against its diff id, and every entry against what an honest layer has.

use super::archive::{FilePart, bad};
use crate::forge::file;
use crate::forge::image::plain;
use crate::forge::kind::{Kind, Packing, kind};
use crate::layer::{LayerEntry, LayerEntryKind, scan_layer};
use crate::model::{ByteLen, Digest, Failure, ReasonCode, Result, printable};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Error, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// No layer has more bytes: what expands further has no end.
const LONGEST: u64 = 32 << 30;
/// Behind the end mark an archive may be filled up to a record; writers take 10 KiB.
const FILL: u64 = 1 << 20;
/// What takes away a file of the layers below.
pub(super) const WHITEOUT: &str = ".wh.";
/// What takes away all of a folder of the layers below.
const OPAQUE: &str = ".wh..wh..opq";
/// No path is longer.
const LONG_PATH: usize = 4096;

/// A layer that is plain and was checked.
pub(super) struct PlainLayer {
    pub(super) file: Arc<File>,
    pub(super) len: u64,
    /// What it has, by its path without `./`.
    pub(super) entries: BTreeMap<String, LayerFact>,
}

/// What is known of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LayerFact {
    pub(super) kind: FactKind,
    pub(super) mtime: u64,
}

/// What an entry is, where that matters later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FactKind {
    Folder,
    File {
        len: u64,
        sha256: Digest,
        /// A compiled Python module that is held against the time of its source.
        by_time: bool,
    },
    Link,
    SymLink,
    Other,
}

/// Writes what is read elsewhere, too.
struct Copying<'a> {
    input: &'a mut dyn Read,
    out: BufWriter<File>,
    hash: Sha256,
    len: u64,
    near: &'a Path,
}

impl Read for Copying<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buf)?;
        self.len += read as u64;
        if self.len > LONGEST {
            return Err(Error::other(format!("it goes on after {}", ByteLen(LONGEST))));
        }
        self.hash.update(&buf[..read]);
        // Its own failure travels through whoever reads.
        let written = self.out.write_all(&buf[..read]);
        written.map_err(|e| Error::other(file::failure(self.near, &e)))?;
        Ok(read)
    }
}

/// Makes the layer `diff_id` plain from what an archive holds. `from` is for messages.
pub(super) fn unpack(
    mut part: FilePart,
    diff_id: &Digest,
    from: &Path,
    near: &Path,
) -> Result<PlainLayer> {
    let at = |f: Failure| f.at(format!("{}: layer {}", from.display(), &diff_id.to_string()[..12]));
    let mut head = Vec::new();
    Read::by_ref(&mut part)
        .take(512)
        .read_to_end(&mut head)
        .map_err(|e| bad(from, e.to_string()))?;
    let packing = match kind(&head) {
        Kind::Packed(packing) if packing != Packing::Sparse => Some(packing),
        _ => None,
    };
    let whole = BufReader::with_capacity(1 << 20, std::io::Cursor::new(head).chain(part));
    let mut input: Box<dyn Read> = match packing {
        None => Box::new(whole),
        Some(packing) => plain(packing, whole).map_err(|e| bad(from, e.to_string()))?,
    };
    let out = BufWriter::with_capacity(1 << 20, file::scratch(near)?);
    let hash = Sha256::new();
    let mut copying = Copying { input: &mut *input, out, hash, len: 0, near };
    let mut entries = BTreeMap::new();
    scan_layer(&mut copying, &mut |entry, content| check(entry, content, &mut entries))
        .map_err(at)?;
    let (mut rest, mut block) = (0u64, [0; 4096]);
    loop {
        let n = copying.read(&mut block).map_err(|e| at(bad(from, e.to_string())))?;
        rest += n as u64;
        if rest > FILL || block[..n].iter().any(|byte| *byte != 0) {
            let text = "there is more behind the end of the archive";
            return Err(at(Failure::new(ReasonCode::LayerHostile, text)));
        }
        if n == 0 {
            break;
        }
    }
    let Copying { out, hash, len, .. } = copying;
    let found = Digest(hash.finalize().into());
    if found != *diff_id {
        return Err(at(Failure::new(
            ReasonCode::ContainerImage,
            format!("its bytes are those of {found}: the archive is damaged"),
        )));
    }
    let file = out.into_inner().map_err(|e| file::failure(near, e.error()))?;
    Ok(PlainLayer { file: Arc::new(file), len, entries })
}

fn hostile(path: &[u8], why: &str) -> Failure {
    let shown = printable(&String::from_utf8_lossy(path), 200);
    Failure::new(ReasonCode::LayerHostile, format!("`{shown}` {why}"))
}

/// A path of an archive in its plain form; `None` where it is absolute or climbs.
fn plain_path(path: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(path);
    if text.starts_with('/') || text.contains('\0') || text.len() > LONG_PATH {
        return None;
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

fn check(
    entry: &LayerEntry,
    content: &mut dyn Read,
    entries: &mut BTreeMap<String, LayerFact>,
) -> Result<()> {
    let refuse = |why: &str| Err(hostile(&entry.path, why));
    let Some(path) = plain_path(&entry.path) else {
        return refuse("is absolute or leads out of the image");
    };
    let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
    for parent in parents {
        if entries.get(parent).is_some_and(|fact| fact.kind == FactKind::SymLink) {
            return refuse("lies behind a symbolic link of the same layer");
        }
    }
    let name = path.rsplit('/').next().unwrap_or(&path);
    if let Some(gone) = name.strip_prefix(WHITEOUT)
        && matches!(gone, "" | "." | "..")
    {
        return refuse("takes away what is no file");
    }
    let kind = match &entry.kind {
        LayerEntryKind::Folder => FactKind::Folder,
        LayerEntryKind::SymLink(_) => FactKind::SymLink,
        LayerEntryKind::HardLink(to) => {
            let Some(to) = plain_path(to) else {
                return refuse("is a link to what is absolute or out of the image");
            };
            if entries.get(&to).is_none_or(|fact| fact.kind == FactKind::Folder) {
                return refuse("is a link to a file that is not before it in the layer");
            }
            FactKind::Link
        }
        LayerEntryKind::Sparse => return refuse("is a sparse file, which no image has"),
        LayerEntryKind::Other(b'3' | b'4') => return refuse("is a device node"),
        LayerEntryKind::Other(b'6') => FactKind::Other,
        LayerEntryKind::Other(_) => return refuse("is of no kind that is known"),
        LayerEntryKind::File => {
            let (mut hash, mut head, mut block) = (Sha256::new(), Vec::new(), vec![0; 64 * 1024]);
            loop {
                let n = match content.read(&mut block) {
                    Ok(0) => break,
                    Ok(n) => n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(e) => return Err(lost(&e)),
                };
                hash.update(&block[..n]);
                if head.len() < 16 {
                    head.extend_from_slice(&block[..n.min(16)]);
                }
            }
            let sha256 = Digest(hash.finalize().into());
            // PEP 552: a module whose flags are 0 is held against time and size of its source.
            let by_time = path.ends_with(".pyc") && head.get(4..8) == Some(&[0; 4]);
            FactKind::File { len: entry.len, sha256, by_time }
        }
    };
    entries.insert(path, LayerFact { kind, mtime: entry.mtime });
    Ok(())
}

fn lost(error: &Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>());
    inner.cloned().unwrap_or_else(|| {
        Failure::new(ReasonCode::ContainerImage, format!("the layer cannot be read: {error}"))
    })
}

/// What a layer takes away of those below it must be there. `below` is what they have together, and is brought up to
/// date.
pub(super) fn stack(layer: &PlainLayer, below: &mut BTreeMap<String, LayerFact>) -> Result<()> {
    for path in layer.entries.keys() {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(gone) = name.strip_prefix(WHITEOUT) else { continue };
        // A folder that is made anew is called opaque by some tools, whatever is below; the rest is aufs's own.
        if name == OPAQUE || gone.starts_with(WHITEOUT) {
            if name == OPAQUE {
                take_away(below, folder, false);
            }
            continue;
        }
        let gone = if folder.is_empty() { gone.to_owned() } else { format!("{folder}/{gone}") };
        if !take_away(below, &gone, true) {
            return Err(hostile(path.as_bytes(), "takes away what no layer below it has"));
        }
    }
    let kept = layer
        .entries
        .iter()
        .filter(|(path, _)| !path.rsplit('/').next().unwrap_or(path).starts_with(WHITEOUT));
    below.extend(kept.map(|(path, fact)| (path.clone(), fact.clone())));
    Ok(())
}

/// Whether something was there.
fn take_away(below: &mut BTreeMap<String, LayerFact>, path: &str, itself: bool) -> bool {
    let begin = format!("{path}/");
    let within: Vec<String> = below
        .range(begin.clone()..)
        .take_while(|(name, _)| name.starts_with(&begin))
        .map(|(name, _)| name.clone())
        .collect();
    for name in &within {
        below.remove(name);
    }
    // A layer need not name the folders of its files.
    (itself && below.remove(path).is_some()) || !within.is_empty()
}
