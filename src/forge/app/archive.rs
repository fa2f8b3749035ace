//! What holds container images: a tar archive, packed or not, or a folder of the OCI image layout. Its members are
//! found by name; nothing is unpacked to where a name says.

use crate::forge::image::{self, For, TAR};
use crate::layer::{LayerEntryKind, scan_layer};
use crate::model::{Digest, Failure, ReasonCode, Result, printable};
use crate::sys::files;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An archive of images has at most this many members.
const MEMBERS: usize = 1 << 16;
/// Members may lead to members through so many links.
const LINKS: usize = 4;

pub(super) fn bad(path: &Path, why: impl AsRef<str>) -> Failure {
    let text = format!("{}: {}", path.display(), why.as_ref());
    Failure::new(ReasonCode::ContainerImage, text)
}

/// Something that holds images.
pub(super) struct ImageArchive {
    pub(super) path: PathBuf,
    holder: Holder,
}

enum Holder {
    Tar { file: Arc<File>, members: BTreeMap<String, (u64, u64)>, links: BTreeMap<String, String> },
    Folder(PathBuf),
}

/// A part of a file.
pub(super) struct FilePart {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl FilePart {
    pub(super) fn new(file: Arc<File>, at: u64, len: u64) -> FilePart {
        FilePart { file, at, end: at.saturating_add(len) }
    }

    pub(super) fn len(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for FilePart {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let most =
            usize::try_from(self.end - self.at).map_or(buf.len(), |left| left.min(buf.len()));
        let read = self.file.read_at(&mut buf[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl ImageArchive {
    /// What a path holds; `None` for what is neither a tar archive nor a folder with an index.
    pub(super) fn open(path: &Path, near: &Path) -> Result<Option<ImageArchive>> {
        let about = std::fs::metadata(path).map_err(|e| bad(path, e.to_string()))?;
        if about.is_dir() {
            let marks = ["index.json", "manifest.json"];
            let found = marks.iter().any(|mark| path.join(mark).is_file());
            let holder = Holder::Folder(path.to_owned());
            return Ok(found.then(|| ImageArchive { path: path.to_owned(), holder }));
        }
        if !about.is_file() || !looks_like(path)? {
            return Ok(None);
        }
        let opened = image::open(path, For::Tree, near)
            .map_err(|f| Failure::new(ReasonCode::ContainerImage, f.detail()))?;
        if !opened.kind.starts_with(TAR) {
            return Ok(None);
        }
        let file = Arc::new(opened.file);
        let (mut members, mut links) = (BTreeMap::new(), BTreeMap::new());
        let part = FilePart::new(file.clone(), 0, opened.len);
        scan_layer(&mut BufReader::new(part), &mut |entry, _| {
            let name = String::from_utf8_lossy(&entry.path);
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            match &entry.kind {
                LayerEntryKind::File => drop(members.insert(name, (entry.at, entry.len))),
                LayerEntryKind::SymLink(to) => {
                    drop(links.insert(name, String::from_utf8_lossy(to).into_owned()));
                }
                LayerEntryKind::HardLink(to) => {
                    drop(links.insert(name, format!("/{}", String::from_utf8_lossy(to))));
                }
                _ => {}
            }
            match members.len() + links.len() > MEMBERS {
                true => Err(bad(path, format!("more than {MEMBERS} members"))),
                false => Ok(()),
            }
        })
        .map_err(|f| bad(path, f.detail()))?;
        let holder = Holder::Tar { file, members, links };
        Ok(Some(ImageArchive { path: path.to_owned(), holder }))
    }

    /// A member by its name.
    pub(super) fn member(&self, name: &str) -> Result<Option<FilePart>> {
        match &self.holder {
            Holder::Tar { file, members, links } => {
                let mut name = name.to_owned();
                for _ in 0..LINKS {
                    if let Some((at, len)) = members.get(&name) {
                        return Ok(Some(FilePart::new(file.clone(), *at, *len)));
                    }
                    let Some(to) = links.get(&name) else { return Ok(None) };
                    let Some(next) = joined(&name, to) else { return Ok(None) };
                    name = next;
                }
                Ok(None)
            }
            Holder::Folder(folder) => {
                let plain = |part: &str| !matches!(part, "" | "." | "..");
                if !name.split('/').all(plain) {
                    return Ok(None);
                }
                let path = folder.join(name);
                match files::foreign(&path) {
                    Ok(file) => {
                        let about = file.metadata().map_err(|e| bad(&path, e.to_string()))?;
                        if !about.is_file() {
                            return Ok(None);
                        }
                        Ok(Some(FilePart::new(Arc::new(file), 0, about.len())))
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(bad(&path, e.to_string())),
                }
            }
        }
    }

    /// All of a member that has at most `most` bytes.
    pub(super) fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(mut part) = self.member(name)? else { return Ok(None) };
        let shown = printable(name, 120);
        if part.len() > most {
            let len = part.len();
            return Err(bad(&self.path, format!("`{shown}` has {len} bytes; {most} at most")));
        }
        let (mut bytes, len) = (Vec::new(), part.len());
        part.read_to_end(&mut bytes).map_err(|e| bad(&self.path, e.to_string()))?;
        match bytes.len() as u64 == len {
            true => Ok(Some(bytes)),
            false => Err(bad(&self.path, format!("ends inside of `{shown}`"))),
        }
    }

    /// A small blob of the OCI layout, which must be what its name says.
    pub(super) fn blob(&self, digest: &Digest, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = self.read(&blob_name(digest), most)? else { return Ok(None) };
        match Digest::of(&bytes) == *digest {
            true => Ok(Some(bytes)),
            false => Err(bad(
                &self.path,
                format!("the blob {digest} has other bytes than its name says"),
            )),
        }
    }
}

/// Where a blob of the OCI layout stands.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{digest}")
}

/// A link beside the member that it stands for; from `/` it counts from the archive's root.
fn joined(name: &str, to: &str) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    if to.starts_with('/') {
        parts.clear();
    }
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether a file is a tar archive, or is packed and called like one: what else lies in a folder is left alone.
fn looks_like(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    let file = files::foreign(path).map_err(|e| bad(path, e.to_string()))?;
    file.take(512).read_to_end(&mut head).map_err(|e| bad(path, e.to_string()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let called = [".tar", ".tgz", ".txz", ".oci", ".docker"].iter().any(|end| name.contains(end));
    let packed = [&b"\x1f\x8b"[..], b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    let tar = head.get(257..262) == Some(b"ustar");
    Ok(tar || (called && packed.iter().any(|magic| head.starts_with(magic))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_an_archive_leads_to_a_member_and_never_out() {
        assert_eq!(joined("a/layer.tar", "../b/layer.tar"), Some("b/layer.tar".into()));
        assert_eq!(joined("a/layer.tar", "/b/layer.tar"), Some("b/layer.tar".into()));
        assert_eq!(joined("a/layer.tar", "../../etc/passwd"), None);
    }
}
