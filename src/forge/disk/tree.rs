//! What a root filesystem is to hold, as values: each path with what stands there.

use crate::model::{Failure, ReasonCode, Result, printable};
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

impl Item {
    /// Whether an ext4 file system can hold it, and the builder write it.
    fn check(&self) -> std::result::Result<(), &'static str> {
        let line_end = |text: &str| text.contains(['\n', '\r', '\0']);
        match &self.what {
            What::Link(target) if target.is_empty() => return Err("is a link to nothing"),
            What::Link(target) if line_end(target) => {
                return Err("is a link whose target has a line end, which cannot be written");
            }
            What::Link(target) if target.len() > 3900 => {
                return Err("is a link whose target is longer than a system can open");
            }
            What::Device { major, minor, .. } if *major > 4095 || *minor > 65535 => {
                return Err("is a device with a number above 4095:65535");
            }
            _ => {}
        }
        if self.attributes.keys().any(|name| name.len() > 255 || name.is_empty() || line_end(name))
        {
            return Err("has an extended attribute whose name cannot be written");
        }
        let len = |(name, value): (&String, &Vec<u8>)| {
            (name.len() + 23).next_multiple_of(4) + value.len().next_multiple_of(4)
        };
        if self.attributes.iter().map(len).sum::<usize>() > 4000 {
            return Err(
                "has extended attributes of more than 4000 bytes, which ext4 does not hold",
            );
        }
        Ok(())
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
        let mut path = normal(path)?;
        // `lib/x` where `lib` leads to `usr/lib`: a package brings what another one has moved.
        if let Some((above, name)) = path.rsplit_once('/')
            && above.match_indices('/').map(|(at, _)| &above[..at]).chain([above]).any(|folder| {
                matches!(self.items.get(folder), Some(Item { what: What::Link(_), .. }))
            })
            && let Some(there) = self.resolve(above)
            && self.items.get(&there).is_some_and(|item| item.what == What::Folder)
        {
            path = format!("{there}/{name}");
        }
        let bad = |why: &str| refuse(&path, why);
        if path.contains(['\n', '\r', '\0']) || path.split('/').any(|part| part.starts_with('<')) {
            return bad("cannot be written");
        }
        if path.split('/').any(|part| part.len() > 255) || path.len() > 3900 {
            return bad("is longer than a system can open");
        }
        if let Err(why) = item.check() {
            return bad(why);
        }
        // e2fsck finds files again in the second.
        if item.what != What::Folder && ["", "lost+found"].contains(&path.as_str()) {
            return bad("must be a folder");
        }
        let below = format!("{path}/");
        if item.what != What::Folder
            && self.items.range(below.clone()..).next().is_some_and(|(p, _)| p.starts_with(&below))
        {
            return bad("is a folder with something in it, and a file too");
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

    /// Second names lead to the file itself, also through links to folders; refuses one that leads to
    /// no file.
    pub(super) fn settle(&mut self) -> Result<()> {
        let mut found = Vec::new();
        for (path, item) in &self.items {
            let What::Same(first) = &item.what else { continue };
            let mut goal = first.clone();
            for _ in 0..40 {
                let (above, name) = goal.rsplit_once('/').unwrap_or(("", &goal));
                let folder = self.resolve(above).unwrap_or_default();
                let there =
                    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                goal = there;
                match self.items.get(&goal).map(|item| &item.what) {
                    Some(What::Same(next)) if *next != goal => goal = next.clone(),
                    _ => break,
                }
            }
            match self.items.get(&goal).map(|item| &item.what) {
                None | Some(What::Folder | What::Same(_)) => {
                    return refuse(
                        path,
                        &format!("is a second name of `{first}`, which is no file"),
                    );
                }
                Some(_) => found.push((path.clone(), goal)),
            }
        }
        for (path, goal) in found {
            if let Some(item) = self.items.get_mut(&path) {
                item.what = What::Same(goal);
            }
        }
        Ok(())
    }

    /// Takes away extended attributes that no kernel would show; how many there were. Archives of other systems have them.
    pub(super) fn only_known_attributes(&mut self) -> usize {
        let known = |name: &String| {
            let begins = ["user.", "security.", "trusted."]
                .iter()
                .any(|kind| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()));
            begins
                || ["system.posix_acl_access", "system.posix_acl_default"].contains(&name.as_str())
        };
        let mut gone = 0;
        for item in self.items.values_mut() {
            let before = item.attributes.len();
            item.attributes.retain(|name, _| known(name));
            gone += before - item.attributes.len();
        }
        gone
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

fn refuse(path: &str, why: &str) -> Result<()> {
    let path = if path.is_empty() { "/" } else { path };
    let text = format!("the path `{}` {why}", printable(path, 200));
    Err(Failure::new(ReasonCode::NotAnImage, text))
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
    fn no_text_of_a_root_becomes_a_command_of_the_builder() {
        let link = |target: &str| Item::new(What::Link(target.to_owned()), 0o777, 7);
        let mut tree = Tree::new(0);
        for target in ["x\"\n!id\ny \"z", "a\rb", "", &"x".repeat(5000)] {
            assert!(tree.put("lnk", link(target)).is_err(), "{target:?}");
        }
        let mut named = file("1");
        named.attributes.insert("user.a\"\n!id\n".to_owned(), vec![1]);
        assert!(tree.put("f", named).is_err());
        let mut long = file("1");
        long.attributes.insert("user.a".to_owned(), vec![1; 5000]);
        assert!(tree.put("f", long).is_err());
        assert!(tree.put(&vec!["x".repeat(200); 45].join("/"), file("1")).is_err());
        let mut script = super::super::script::Script::new();
        assert!(script.say("symlink \"x\n!id\"").is_err());
        assert!(script.say(&"x".repeat(8192)).is_err());
        assert!(script.say("mkdir \"/a\"").is_ok());
    }

    #[test]
    fn second_names_lead_to_files_and_packages_may_meet_in_a_moved_folder() {
        let mut tree = Tree::new(0);
        tree.put("usr/lib/real", file("1")).unwrap();
        tree.put("lib", Item::new(What::Link("usr/lib".to_owned()), 0o777, 7)).unwrap();
        tree.put("lib/m", file("2")).unwrap();
        assert!(tree.get("usr/lib/m").is_some() && tree.get("lib/m").is_none());
        let same = |of: &str| Item::new(What::Same(of.to_owned()), 0o644, 7);
        tree.put("again", same("lib/real")).unwrap();
        tree.put("third", same("again")).unwrap();
        tree.settle().unwrap();
        for path in ["again", "third"] {
            assert_eq!(tree.get(path).unwrap().what, What::Same("usr/lib/real".to_owned()));
        }
        for (path, of) in [("to-folder", "usr/lib"), ("nowhere", "no/where"), ("own", "own")] {
            let mut tree = tree.clone();
            tree.put(path, same(of)).unwrap();
            assert!(tree.settle().is_err(), "{path}");
        }
        assert!(tree.put("usr", file("1")).is_err());
        let device = What::Device { block: true, major: 1, minor: 70_000 };
        assert!(tree.put("dev", Item::new(device, 0o600, 7)).is_err());
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
