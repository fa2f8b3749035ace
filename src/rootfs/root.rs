//! A root filesystem of any kind, by paths as a process on the device would say them.

use super::erofs::Erofs;
use super::folder;
use super::inodes;
use super::part::{About, Node, Part, Want, What, parts};
use super::squashfs::Squashfs;
use super::walk::{Entry, ReadFile, walk};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::blk;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Links that are followed for one path, at the most: as many as the kernel follows.
const LINKS: usize = 40;

/// A root filesystem.
#[derive(Debug)]
pub struct Root {
    tree: Tree,
}

#[derive(Debug)]
enum Tree {
    Folder(PathBuf),
    Ext4(Part),
    Squashfs(Squashfs),
    Erofs(Erofs),
}

impl Root {
    /// A folder, or a file that is the image of one file system. `NO_SUCH_FILE`; `NOT_AN_IMAGE` for a
    /// file of another kind.
    pub fn open(path: &Path) -> Result<Root> {
        if std::fs::metadata(path).is_ok_and(|found| found.is_dir()) {
            return Ok(Root { tree: Tree::Folder(path.to_owned()) });
        }
        Root::open_part(path, 0, None)
    }

    /// The file system that begins `start` bytes into a file or a block device: a partition of `len` bytes,
    /// or all that follows. The same errors.
    pub fn open_part(path: &Path, start: u64, len: Option<u64>) -> Result<Root> {
        let none = |why: String| Failure::new(ReasonCode::NoSuchFile, why).at(path.display());
        let mut file = blk::open_foreign(path, false).map_err(|e| none(e.to_string()))?;
        // What `stat` says of a block device is nothing.
        let all = file.seek(SeekFrom::End(0)).map_err(|e| none(e.to_string()))?;
        let rest = all.saturating_sub(start);
        Root::of_part(Part::new(file, path, start, len.unwrap_or(rest).min(rest)))
    }

    /// The file system in an open file, which may have no name; `name` is for people.
    pub fn of_file(file: File, name: &Path) -> Result<Root> {
        let none = |why: String| Failure::new(ReasonCode::NoSuchFile, why).at(name.display());
        let len = file.metadata().map_err(|e| none(e.to_string()))?.len();
        Root::of_part(Part::new(file, name, 0, len))
    }

    fn of_part(part: Part) -> Result<Root> {
        let mut head = [0; 2048];
        if part.read(0, &mut head).is_none() {
            return Err(part.broken("it is shorter than 2 KiB"));
        }
        let tree = match head {
            _ if head.starts_with(b"hsqs") => Tree::Squashfs(Squashfs::open(part)?),
            _ if head[1024..1028] == [0xe2, 0xe1, 0xf5, 0xe0] => {
                Tree::Erofs(Erofs::open(part, &head)?)
            }
            _ if head[1080..1082] == [0x53, 0xef] => Tree::Ext4(part),
            _ => return Err(part.broken("it is none of ext2/3/4, squashfs and erofs")),
        };
        Ok(Root { tree })
    }

    /// What it is: `folder`, `ext4`, `squashfs` or `erofs`.
    pub fn kind(&self) -> &'static str {
        match &self.tree {
            Tree::Folder(_) => "folder",
            Tree::Ext4(_) => "ext4",
            Tree::Squashfs(_) => "squashfs",
            Tree::Erofs(_) => "erofs",
        }
    }

    /// All bytes of a regular file, through links that stay within the root; `None` where nothing or no
    /// regular file is. `NOT_AN_IMAGE` where it is longer than `limit` bytes, or broken.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.bytes(path, Want::All(limit))
    }

    /// The first bytes of a regular file, at most `limit` of them. The same otherwise.
    pub fn read_head(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.bytes(path, Want::Head(limit))
    }

    /// [`Root::read`] as text. `NOT_AN_IMAGE` where it is not UTF-8.
    pub fn read_text(&self, path: &str, limit: u64) -> Result<Option<String>> {
        let Some(bytes) = self.read(path, limit)? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        let why = || Failure::new(ReasonCode::NotAnImage, format!("{path} is not UTF-8 text"));
        text.map(Some).map_err(|_| why())
    }

    /// Whether something is at this path, behind links within the root.
    pub fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.about(path)?.is_some())
    }

    /// What stands at this path, behind links within the root; `None` for nothing and for a link that
    /// leads nowhere.
    pub fn about(&self, path: &str) -> Result<Option<About>> {
        Ok(self.resolve(path)?.map(|(_, node)| node.about))
    }

    /// Where a link points, if there is one at this path itself.
    pub fn link(&self, path: &str) -> Result<Option<String>> {
        let (folder, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
        let Some((folder, _)) = self.resolve(folder)? else { return Ok(None) };
        Ok(self.node(&joined(&folder, name))?.and_then(|node| node.target))
    }

    /// The names in a folder, sorted; none where no folder is.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        let Some((path, node)) = self.resolve(path)? else { return Ok(Vec::new()) };
        if node.about.what != What::Folder {
            return Ok(Vec::new());
        }
        let mut names = match &self.tree {
            Tree::Folder(root) => folder::list(root, &path)?,
            Tree::Ext4(part) => inodes::list(part, &path)?,
            Tree::Squashfs(image) => image.list(&path),
            Tree::Erofs(image) => image.list(&path)?,
        };
        names.sort();
        Ok(names)
    }

    /// Gives each entry to `each`, a folder before what is in it, with a function that reads all of a file. For an
    /// image of ext2/3/4; `NOT_AN_IMAGE` for another one.
    pub fn walk(&self, each: &mut dyn FnMut(Entry, &mut ReadFile<'_>) -> Result<()>) -> Result<()> {
        match &self.tree {
            Tree::Ext4(part) => walk(part, each),
            _ => {
                let text = format!("{} and not ext4: only that is taken apart", self.kind());
                Err(Failure::new(ReasonCode::NotAnImage, text))
            }
        }
    }

    fn bytes(&self, path: &str, want: Want) -> Result<Option<Vec<u8>>> {
        let Some((path, node)) = self.resolve(path)? else { return Ok(None) };
        if node.about.what != What::File {
            return Ok(None);
        }
        match &self.tree {
            Tree::Folder(root) => folder::read(root, &path, want),
            Tree::Ext4(part) => inodes::read(part, &path, want),
            Tree::Squashfs(image) => image.read(&path, want),
            Tree::Erofs(image) => image.read(&path, want),
        }
        .map(Some)
    }

    fn node(&self, path: &str) -> Result<Option<Node>> {
        match &self.tree {
            Tree::Folder(root) => folder::node(root, path),
            Tree::Ext4(part) => inodes::node(part, path),
            Tree::Squashfs(image) => Ok(image.node(path)),
            Tree::Erofs(image) => image.node(path),
        }
    }

    /// The path without links and what stands there.
    fn resolve(&self, path: &str) -> Result<Option<(String, Node)>> {
        let mut waiting: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let (mut at, mut links) = (String::new(), 0);
        while let Some(part) = waiting.pop() {
            match part.as_str() {
                "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = joined(&at, &part);
            let Some(found) = self.node(&next)? else { return Ok(None) };
            let Some(target) = found.target else {
                at = next;
                continue;
            };
            links += 1;
            if links > LINKS {
                return Ok(None);
            }
            if target.starts_with('/') {
                at.clear();
            }
            waiting.extend(parts(&target).rev().map(str::to_owned));
        }
        Ok(self.node(&at)?.map(|node| (at, node)))
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
