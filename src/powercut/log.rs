//! Reading the write log of `crate::sys::power`. Its format stands there.

use super::broken;
use crate::model::Result;
use std::sync::Arc;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Begin(u64, Act),
    End(u64),
}

/// What was begun. Paths are as the kernel knew them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Write { at: u64, bytes: Arc<[u8]>, path: String },
    Zero { at: u64, len: u64, path: String },
    Create(String),
    Rename(String, String),
    Sync(String),
    Folder(String),
}

/// All lines, in order. An error names the byte at which the log makes no sense.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        match one(rest) {
            Some((line, after)) => {
                lines.push(line);
                rest = after;
            }
            None => return Err(broken("write log", format!("byte {at} makes no sense"))),
        }
    }
    Ok(lines)
}

fn one(bytes: &[u8]) -> Option<(Line, &[u8])> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let (head, rest) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]);
    let (mark, head) = head.split_once(' ')?;
    if mark == "E" {
        return Some((Line::End(head.parse().ok()?), rest));
    }
    let (id, words) = head.split_once(' ')?;
    let (what, words) = words.split_once(' ')?;
    let mut rest = rest;
    let range = || -> Option<(u64, u64, String)> {
        let mut parts = words.splitn(3, ' ');
        let (at, len) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((at, len, parts.next()?.to_owned()))
    };
    let act = match (mark, what) {
        ("B", "write") => {
            let (at, len, path) = range()?;
            let len = usize::try_from(len).ok()?;
            let bytes = Arc::from(rest.get(..len)?);
            rest = rest.get(len..)?.strip_prefix(b"\n")?;
            Act::Write { at, bytes, path }
        }
        ("B", "zero") => {
            let (at, len, path) = range()?;
            Act::Zero { at, len, path }
        }
        ("B", "create") => Act::Create(words.to_owned()),
        ("B", "rename") => {
            let (from, to) = words.split_once('\t')?;
            Act::Rename(from.to_owned(), to.to_owned())
        }
        ("B", "sync") => Act::Sync(words.to_owned()),
        ("B", "folder") => Act::Folder(words.to_owned()),
        _ => return None,
    };
    Some((Line::Begin(id.parse().ok()?, act), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read() {
        let log = b"B 1 write 4096 3 /a b/disk.img\n\n\n\n\nB 2 sync /x\nE 1\nE 2\nB 3 rename /x.new\t/x\n";
        let lines = parse(log).unwrap();
        assert_eq!(
            lines[0],
            Line::Begin(
                1,
                Act::Write { at: 4096, bytes: Arc::from(*b"\n\n\n"), path: "/a b/disk.img".into() }
            )
        );
        assert_eq!(lines[2], Line::End(1));
        assert_eq!(lines[4], Line::Begin(3, Act::Rename("/x.new".into(), "/x".into())));
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn a_log_that_was_cut_is_no_log() {
        let log = b"B 1 write 0 3 /disk.img\nabc\nE 1\n";
        for len in 1..log.len() {
            // A whole first record alone is a log; what begins in the middle of one is not.
            assert_eq!(parse(&log[..len]).is_ok(), len == log.len() - 4, "{len} bytes");
        }
    }
}
