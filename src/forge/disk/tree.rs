//! What a root filesystem is to hold, as values: each path with what stands there.

use crate::model::{Failure, ReasonCode, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Folder,
    /// A file whose bytes stand in a file of this host.
    File(PathBuf),
    Link(String),
    /// A second name of the file at this path.
    Same(String),
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) what: What,
    /// Bytes of a file.
    pub(super) len: u64,
    /// Permission bits, 12 of them.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: u64,
    /// Extended attributes by their names.
    pub(super) attributes: BTreeMap<String, Vec<u8>>,
}

impl Item {
    pub(super) fn folder(mtime: u64) -> Item {
        Item::new(What::Folder, 0o755, mtime)
    }

    /// One of root's.
    pub(super) fn new(what: What, mode: u32, mtime: u64) -> Item {
        Item { what, len: 0, mode, uid: 0, gid: 0, mtime, attributes: BTreeMap::new() }
    }
}

/// A tree; the folder of each entry is in it too.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    /// By paths such as `etc/passwd`; the root folder itself is the empty path.
    items: BTreeMap<String, Item>,
}

impl Tree {
    pub(super) fn new(mtime: u64) -> Tree {
        Tree { items: BTreeMap::from([(String::new(), Item::folder(mtime))]) }
    }

    /// Puts an entry in the place of what is there, with folders on the way where they are missing.
    /// Refuses a path that the builder could not write, and one through what is no folder.
    pub(super) fn put(&mut self, path: &str, item: Item) -> Result<()> {
        let path = normal(path)?;
        let bad = |why: &str| {
            Err(Failure::new(ReasonCode::NotAnImage, format!("the path `{path}` {why}")))
        };
        if path.contains(['\n', '\r', '\0']) || path.split('/').any(|part| part.starts_with('<')) {
            return bad("cannot be written");
        }
        if path.split('/').any(|part| part.len() > 255) {
            return bad("has a part longer than 255 bytes");
        }
        let mtime = item.mtime;
        for (at, _) in path.match_indices('/') {
            let above =
                self.items.entry(path[..at].to_owned()).or_insert_with(|| Item::folder(mtime));
            if above.what != What::Folder {
                return bad(&format!("leads through `{}`, which is no folder", &path[..at]));
            }
        }
        self.items.insert(path, item);
        Ok(())
    }

    pub(super) fn get(&self, path: &str) -> Option<&Item> {
        self.items.get(path.trim_matches('/'))
    }

    /// All entries in order: a folder before what is in it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.items.iter().map(|(path, item)| (path.as_str(), item))
    }

    /// Where a path ends, through links within the tree. The last part may be missing; `None` where one
    /// before it is.
    pub(super) fn resolve(&self, path: &str) -> Option<String> {
        let parts = |path: &str| {
            let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
            parts.rev().map(str::to_owned).collect::<Vec<_>>()
        };
        let (mut at, mut waiting, mut links) = (String::new(), parts(path), 0);
        while let Some(part) = waiting.pop() {
            if part == ".." {
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            let next = if at.is_empty() { part } else { format!("{at}/{part}") };
            match self.items.get(&next).map(|item| &item.what) {
                Some(What::Link(target)) => {
                    links += 1;
                    if links > 40 {
                        return None;
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    waiting.extend(parts(target));
                }
                Some(_) => at = next,
                None if waiting.is_empty() => at = next,
                None => return None,
            }
        }
        Some(at)
    }

    /// The file that a path leads to, and where its bytes are.
    pub(super) fn file(&self, path: &str) -> Option<(&Item, &PathBuf)> {
        let mut item = self.items.get(&self.resolve(path)?)?;
        if let What::Same(other) = &item.what {
            item = self.items.get(other)?;
        }
        match &item.what {
            What::File(host) => Some((item, host)),
            _ => None,
        }
    }
}

/// `./etc//passwd` as `etc/passwd`; refuses `..`.
pub(super) fn normal(path: &str) -> Result<String> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.contains(&"..") {
        let text = format!("the path `{path}` leads out of the root");
        return Err(Failure::new(ReasonCode::NotAnImage, text));
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(host: &str) -> Item {
        Item::new(What::File(host.into()), 0o644, 7)
    }

    #[test]
    fn folders_on_the_way_are_made_and_links_are_followed_within_the_tree() {
        let mut tree = Tree::new(5);
        tree.put("./usr/lib//x", file("1")).unwrap();
        tree.put("lib", Item::new(What::Link("usr/lib".to_owned()), 0o777, 7)).unwrap();
        tree.put("abs", Item::new(What::Link("/../lib/./y".to_owned()), 0o777, 7)).unwrap();
        tree.put("again", Item::new(What::Same("usr/lib/x".to_owned()), 0o644, 7)).unwrap();
        tree.put("loop", Item::new(What::Link("loop".to_owned()), 0o777, 7)).unwrap();
        let paths: Vec<_> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["", "abs", "again", "lib", "loop", "usr", "usr/lib", "usr/lib/x"]);
        assert_eq!(tree.get("usr").map(|i| (i.mode, i.mtime)), Some((0o755, 7)));
        assert_eq!(tree.resolve("/lib/x").as_deref(), Some("usr/lib/x"));
        assert_eq!(tree.resolve("abs").as_deref(), Some("usr/lib/y"));
        assert_eq!(tree.resolve("no/where"), None);
        assert_eq!(tree.resolve("loop"), None);
        for path in ["lib/x", "again", "usr/../lib/x"] {
            assert_eq!(tree.file(path).unwrap().1, &PathBuf::from("1"), "{path}");
        }
        assert!(tree.file("usr").is_none() && tree.file("abs").is_none());
    }

    #[test]
    fn paths_that_cannot_be_written_are_refused() {
        let mut tree = Tree::new(0);
        tree.put("a", file("1")).unwrap();
        for path in ["../x", "a/../../x", "b\nc", "<7>", "a/b", &"x".repeat(256)] {
            assert!(tree.put(path, file("1")).is_err(), "{path}");
        }
    }
}
