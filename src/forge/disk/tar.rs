//! A tar archive as a tree; its files are spooled into a folder. POSIX ustar with pax headers and GNU's long
//! names, as `tar`, Yocto and Debian write them.
//!
//! Layout: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use super::tree::{Item, Tree, What, normal};
use crate::layer::{self, Pax, tar_number};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::files;
use std::io::{Read, Write};
use std::path::Path;

const BLOCK: usize = 512;
/// Pax headers and long names are at most so long, bytes.
const EXTRA: u64 = 1 << 20;
const ENTRIES: usize = 4 << 20;

fn bad(why: impl AsRef<str>) -> Failure {
    Failure::new(ReasonCode::NotAnImage, format!("the tar archive {}", why.as_ref()))
}

/// The records of a pax header.
fn pax(bytes: &[u8]) -> Result<Pax> {
    layer::pax(bytes).ok_or_else(|| bad("has a broken pax header"))
}

/// Reads an archive to its end, and says what of it is not kept. `spool` is a folder of the caller's, empty.
pub(super) fn read(input: &mut dyn Read, spool: &Path) -> Result<(Tree, Vec<String>)> {
    let mut reader = Reader { input, spool, files: 0, labels: 0, lists: 0 };
    let (mut tree, mut next, mut global) = (Tree::new(0), Pax::new(), Pax::new());
    for _ in 0..ENTRIES {
        let Some(head) = reader.head()? else { return Ok((tree, reader.lost())) };
        let own = std::mem::take(&mut next);
        match head.kind {
            b'x' => next = own.into_iter().chain(pax(&reader.text(&head)?)?).collect(),
            b'g' => {
                global.extend(pax(&reader.text(&head)?)?);
                next = own;
            }
            b'L' | b'K' => {
                let key = if head.kind == b'L' { "path" } else { "linkpath" };
                let text = reader.text(&head)?;
                let text = text.split(|b| *b == 0).next().unwrap_or_default().to_vec();
                next = own;
                next.insert(key.to_owned(), text);
            }
            _ => {
                let said: Pax = global.clone().into_iter().chain(own).collect();
                reader.entry(head, &said, &mut tree)?;
            }
        }
    }
    Err(bad(format!("has more than {ENTRIES} entries")))
}

struct Head {
    name: String,
    link: String,
    kind: u8,
    mode: u32,
    uid: u64,
    gid: u64,
    len: u64,
    mtime: u64,
    major: u64,
    minor: u64,
}

struct Reader<'a> {
    input: &'a mut dyn Read,
    spool: &'a Path,
    files: u64,
    /// Entries with a label of SELinux, and with an access control list, in the form of `--selinux` and `--acls`.
    labels: u64,
    lists: u64,
}

impl Reader<'_> {
    fn lost(&self) -> Vec<String> {
        let what = [(self.labels, "labels of SELinux"), (self.lists, "access control lists")];
        let lost = what.into_iter().filter(|(count, _)| *count > 0);
        let told = |(count, what): (u64, &str)| {
            format!(
                "the tar archive has {count} {what} that are not kept: pack them with `tar --xattrs --xattrs-include='*'`, without --selinux and --acls"
            )
        };
        lost.map(told).collect()
    }

    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        let read = self.input.read_exact(&mut block);
        read.map_err(|e| bad(format!("cannot be read to its end: {e}")))?;
        Ok(block)
    }

    /// `None` at the end of the archive.
    fn head(&mut self) -> Result<Option<Head>> {
        let block = self.block()?;
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let field = |at: usize, len: usize| {
            let bytes = &block[at..at + len];
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(len);
            // What is no UTF-8 is refused below, as a name in a folder is.
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let number = |at, len| tar_number(&block[at..at + len]);
        let mut sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        sum = sum - block[148..156].iter().map(|b| u64::from(*b)).sum::<u64>() + 8 * 32;
        if number(148, 8) != Some(sum) {
            return Err(bad("has a header whose checksum is wrong"));
        }
        // GNU's header has other things where the prefix is.
        let posix = &block[257..263] == b"ustar\0";
        let name = match (posix, field(345, 155)) {
            (true, prefix) if !prefix.is_empty() => format!("{prefix}/{}", field(0, 100)),
            _ => field(0, 100),
        };
        let found = || {
            Some(Head {
                name: name.clone(),
                link: field(157, 100),
                kind: block[156],
                mode: u32::try_from(number(100, 8)? & 0o7777).ok()?,
                uid: number(108, 8)?,
                gid: number(116, 8)?,
                len: number(124, 12)?,
                mtime: number(136, 12)?,
                major: number(329, 8).unwrap_or(0),
                minor: number(337, 8).unwrap_or(0),
            })
        };
        found().map(Some).ok_or_else(|| bad(format!("has a header with a bad number: {name}")))
    }

    fn text(&mut self, head: &Head) -> Result<Vec<u8>> {
        if head.len > EXTRA {
            return Err(bad("has a name or a pax header of more than 1 MiB"));
        }
        let mut bytes = Vec::new();
        self.content(head.len, &mut bytes)?;
        Ok(bytes)
    }

    fn content(&mut self, len: u64, out: &mut dyn Write) -> Result<()> {
        let copied = std::io::copy(&mut (&mut *self.input).take(len), out);
        let copied = copied.map_err(|e| bad(format!("cannot be unpacked: {e}")))?;
        if copied != len {
            return Err(bad("ends inside of a file"));
        }
        let rest = len.next_multiple_of(BLOCK as u64) - len;
        let passed = std::io::copy(&mut (&mut *self.input).take(rest), &mut std::io::sink());
        match passed {
            Ok(n) if n == rest => Ok(()),
            _ => Err(bad("ends inside of a file")),
        }
    }

    fn entry(&mut self, head: Head, said: &Pax, tree: &mut Tree) -> Result<()> {
        let text = |key: &str| said.get(key).map(|v| String::from_utf8_lossy(v).into_owned());
        let name = |key: &str| text(key).unwrap_or_else(|| head.name.clone());
        let whole = |key: &str, or: u64| match text(key) {
            // Times have a fraction.
            Some(text) => text
                .split('.')
                .next()
                .and_then(|whole| whole.parse().ok())
                .ok_or_else(|| bad(format!("says {key}={text}: {}", name("path")))),
            None => Ok(or),
        };
        let path = name("path");
        let link = text("linkpath").unwrap_or_else(|| head.link.clone());
        if [&path, &link].iter().any(|name| name.contains('\u{fffd}')) {
            return Err(bad(format!("has a name that is not UTF-8: {path}")));
        }
        if said.keys().any(|key| key.starts_with("GNU.sparse")) || head.kind == b'S' {
            return Err(bad(format!("has a sparse file, {path}: pack it without --sparse")));
        }
        let has = |begin: &str| u64::from(said.keys().any(|key| key.starts_with(begin)));
        self.labels += has("RHT.security.selinux");
        self.lists += has("SCHILY.acl.");
        let len = whole("size", head.len)?;
        let id = |key, or| {
            let id = whole(key, or)?;
            u32::try_from(id).map_err(|_| bad(format!("has the {key} {id}: {path}")))
        };
        let device = |block| -> Result<What> {
            let number =
                |n: u64| u32::try_from(n).map_err(|_| bad(format!("has a bad device, {path}")));
            Ok(What::Device { block, major: number(head.major)?, minor: number(head.minor)? })
        };
        let what = match head.kind {
            b'0' | b'\0' | b'7' if path.ends_with('/') => What::Folder,
            b'0' | b'\0' | b'7' => {
                self.files += 1;
                let place = self.spool.join(self.files.to_string());
                let file = files::new(&place, 0o600);
                let mut file = file.map_err(|e| bad(format!("cannot be unpacked: {e}")))?;
                self.content(len, &mut file)?;
                What::File(place)
            }
            b'1' => What::Same(normal(&link)?),
            b'2' => What::Link(link),
            b'3' => device(false)?,
            b'4' => device(true)?,
            b'5' => What::Folder,
            b'6' => What::Fifo,
            other => {
                let kind = char::from(other);
                return Err(bad(format!("has an entry of the unknown kind `{kind}`: {path}")));
            }
        };
        let file_len = if matches!(what, What::File(_)) { len } else { 0 };
        let attributes = said.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix("SCHILY.xattr.")?.to_owned(), value.clone()))
        });
        let item = Item {
            what,
            len: file_len,
            mode: head.mode,
            uid: id("uid", head.uid)?,
            gid: id("gid", head.gid)?,
            mtime: whole("mtime", head.mtime)?,
            attributes: attributes.collect(),
        };
        tree.put(&path, item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    #[test]
    fn each_format_that_tar_writes_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let deep = format!("{}/{}", "d".repeat(90), "e".repeat(120));
        std::fs::create_dir_all(root.join(&deep)).unwrap();
        std::fs::write(root.join(&deep).join("f"), vec![7; 1000]).unwrap();
        std::fs::hard_link(root.join(&deep).join("f"), root.join("same")).unwrap();
        std::fs::write(root.join("empty"), "").unwrap();
        symlink("x".repeat(150), root.join("link")).unwrap();
        Command::new("mkfifo").arg(root.join("fifo")).status().unwrap();
        for format in ["gnu", "pax", "posix"] {
            let tar = dir.path().join(format);
            let done = Command::new("tar")
                .args(["--format", format, "--owner=7", "--group=3000000", "--mtime=@1700000000.5"])
                .args(["--sort=name", "--mode=u+s", "-C"])
                .args([root.as_os_str(), "-cf".as_ref(), tar.as_os_str(), ".".as_ref()])
                .status();
            assert!(done.unwrap().success());
            let spool = dir.path().join(format!("spool-{format}"));
            std::fs::create_dir(&spool).unwrap();
            let (tree, lost) = read(&mut std::fs::File::open(&tar).unwrap(), &spool).unwrap();
            assert!(lost.is_empty(), "{lost:?}");
            let item = tree.get("empty").unwrap();
            assert_eq!(
                (item.uid, item.gid, item.mtime, item.len),
                (7, 3_000_000, 1_700_000_000, 0),
                "{format}"
            );
            assert_eq!(item.mode & 0o4000, 0o4000);
            let (item, host) = tree.file("same").unwrap();
            assert_eq!((item.len, std::fs::read(host).unwrap()), (1000, vec![7; 1000]));
            assert!(tree.file(&format!("{deep}/f")).is_some());
            assert_eq!(tree.get("link").unwrap().what, What::Link("x".repeat(150)));
            assert_eq!(tree.get("fifo").unwrap().what, What::Fifo);
        }
    }

    #[test]
    fn what_is_broken_or_cannot_be_kept_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), vec![7; 3000]).unwrap();
        let pack = |words: &[&str]| {
            let path = dir.path().to_str().unwrap();
            let done = Command::new("tar").args(["-C", path, "-cf", "-"]).args(words).output();
            done.unwrap().stdout
        };
        let why = |bytes: &[u8]| {
            let spool = tempfile::tempdir().unwrap();
            let read = read(&mut { bytes }, spool.path());
            read.err().map_or_else(String::new, |f| f.detail().to_owned())
        };
        let good = pack(&["f"]);
        assert_eq!(why(&good), "");
        assert!(why(&good[..700]).contains("inside of a file"));
        assert!(why(&good[..300]).contains("to its end"));
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        assert!(why(&flipped).contains("checksum"));
        let out = pack(&["--transform=s,f,../f,", "-P", "f"]);
        assert!(why(&out).contains("out of the root"), "{}", why(&out));
    }
}
