//! A squashfs image, read by `unsquashfs` of squashfs-tools.

use super::part::{About, Node, Part, Want, What, below};
use super::tool::output;
use crate::model::{Failure, ReasonCode, Result};
use std::collections::BTreeMap;

/// A listing is at most so long, bytes.
const LISTING: usize = 512 << 20;
const PACKAGE: &str = "squashfs-tools";

/// An image and the list of what is in it.
#[derive(Debug)]
pub(super) struct Squashfs {
    part: Part,
    nodes: BTreeMap<String, Node>,
}

impl Squashfs {
    pub(super) fn open(part: Part) -> Result<Squashfs> {
        let (start, path) = (part.start.to_string(), part.path.to_string_lossy().into_owned());
        let words = ["unsquashfs", "-lln", "-d", "", "-o", &start, &path];
        let said = output(&part, PACKAGE, &words, LISTING)?;
        let nodes = String::from_utf8_lossy(&said).lines().filter_map(line).collect();
        Ok(Squashfs { part, nodes })
    }

    pub(super) fn node(&self, path: &str) -> Option<Node> {
        self.nodes.get(path).cloned()
    }

    pub(super) fn list(&self, folder: &str) -> Vec<String> {
        below(folder, self.nodes.keys())
    }

    pub(super) fn read(&self, path: &str, want: Want) -> Result<Vec<u8>> {
        let len = self.node(path).map_or(0, |node| node.about.len);
        let Some(wanted) = want.of(len) else {
            return Err(self.part.too_long(path, want.limit()));
        };
        let (start, image) = (self.part.start.to_string(), self.part.path.to_string_lossy());
        let words = ["unsquashfs", "-no-wildcards", "-o", &start, "-cat", &image, path];
        let limit = |len: u64| usize::try_from(len).ok();
        let (Some(all), Some(wanted)) = (limit(len), limit(wanted)) else {
            return Err(Failure::new(ReasonCode::NoMemory, format!("{path} of {len} bytes")));
        };
        let mut bytes = output(&self.part, PACKAGE, &words, all)?;
        if bytes.len() != all {
            return Err(self.part.broken(&format!("{path} has {} bytes of {len}", bytes.len())));
        }
        bytes.truncate(wanted);
        Ok(bytes)
    }
}

/// One line: `-rw-r--r-- 0/0   3 2026-11-30 01:11 /etc/x`, with ` -> TARGET` for a link.
fn line(line: &str) -> Option<(String, Node)> {
    let is_time = |at: usize| {
        let shape = line.as_bytes().get(at..at + 18)?;
        let fits = shape.iter().zip(b" 0000-00-00 00:00 ").all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        });
        fits.then_some(())
    };
    let time = (10..line.len()).find(|at| is_time(*at).is_some())?;
    let (mode, what) = mode(line.get(..10)?)?;
    let mut words = line.get(10..time)?.split_whitespace();
    let (uid, gid) = words.next()?.split_once('/')?;
    let len = match what {
        What::File => words.next()?.parse().ok()?,
        _ => 0,
    };
    let rest = line.get(time + 18..)?;
    let (path, target) = match what {
        What::Link => rest.split_once(" -> ").map(|(path, to)| (path, Some(to.to_owned())))?,
        _ => (rest, None),
    };
    let about = About { what, mode, uid: uid.parse().ok()?, gid: gid.parse().ok()?, len };
    Some((path.trim_start_matches('/').to_owned(), Node { about, target }))
}

/// `-rwsr-xr-x` as bits.
fn mode(text: &str) -> Option<(u32, What)> {
    let bytes: [u8; 10] = text.as_bytes().try_into().ok()?;
    let what = match bytes[0] {
        b'-' => What::File,
        b'd' => What::Folder,
        b'l' => What::Link,
        b'c' | b'b' | b'p' | b's' => What::Other,
        _ => return None,
    };
    let mut mode = 0;
    for (place, byte) in bytes[1..].iter().enumerate() {
        let special = 0o4000 >> (place / 3);
        mode |= match byte {
            b'-' => 0,
            b'S' | b'T' => special,
            b's' | b't' => special | 0o400 >> place,
            _ => 0o400 >> place,
        };
    }
    Some((mode, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_is_understood_and_others_are_not() {
        let of =
            |text: &str| line(text).map(|(path, n)| (path, n.about.what, n.about.mode, n.target));
        let file = "-rwsr-xr-x 7/100                     2 2026-11-30 01:11 /a b/c -> d";
        assert_eq!(of(file), Some(("a b/c -> d".into(), What::File, 0o4755, None)));
        let about = line(file).unwrap().1.about;
        assert_eq!((about.uid, about.gid, about.len), (7, 100, 2));
        let link = "lrwxrwxrwx 0/0                      13 2026-11-30 01:11 /abs -> /etc/x";
        assert_eq!(of(link), Some(("abs".into(), What::Link, 0o777, Some("/etc/x".into()))));
        let device = "crw-r--r-- 0/0                   1,  3 2026-11-30 01:11 /dev/null";
        assert_eq!(of(device), Some(("dev/null".into(), What::Other, 0o644, None)));
        let root = "drwxrwxrwt 0/0                      71 2026-11-30 01:11 ";
        assert_eq!(of(root), Some((String::new(), What::Folder, 0o1777, None)));
        assert_eq!(of("Parallel unsquashfs: Using 2 processors"), None);
    }
}
