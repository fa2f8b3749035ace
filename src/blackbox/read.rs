//! Reading: whatever stands in the two files, boot by boot.

use super::SEGMENT;
use super::line::{Entry, Head, Line, parse, paths};
use crate::sys::durable;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What one boot has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootLog {
    /// Which boot.
    pub head: Head,
    /// What was said, oldest first.
    pub lines: Vec<Line>,
    /// Seconds that it was up and why nothing follows; `None` where it ended without a word.
    pub end: Option<(u64, String)>,
}

/// The boots in the black box, oldest first. A black box that is missing or damaged holds what
/// can still be read.
pub fn read(folder: &Path) -> Vec<BootLog> {
    let files = paths(folder).map(|path| {
        let bytes = durable::read(&path, SEGMENT).ok().flatten();
        bytes.unwrap_or_default()
    });
    boots(files)
}

/// The number in a file's first line: the higher one is the newer file.
pub(super) fn sequence(bytes: &[u8]) -> Option<u64> {
    let first = bytes.split(|b| *b == b'\n').next()?;
    match parse(std::str::from_utf8(first).ok()?)? {
        Entry::Sequence(n) => Some(n),
        _ => None,
    }
}

pub(super) fn boots(mut files: [Vec<u8>; 2]) -> Vec<BootLog> {
    if sequence(&files[0]) > sequence(&files[1]) {
        files.swap(0, 1);
    }
    let mut out: Vec<BootLog> = Vec::new();
    for bytes in files {
        // Whose lines stand before the first head of a file is not known.
        let mut open = false;
        for line in bytes.split(|b| *b == b'\n') {
            // What never reached the medium reads as zeros.
            let line: Vec<u8> = line.iter().copied().filter(|b| *b != 0).collect();
            let entry = parse(&String::from_utf8_lossy(&line));
            match (entry, out.last_mut().filter(|_| open)) {
                (Some(Entry::Head(head)), _) => {
                    open = true;
                    match out.iter_mut().position(|b| b.head.boot_id == head.boot_id) {
                        Some(at) => {
                            // It goes on in this file, or its recorder was started again.
                            let mut boot = out.remove(at);
                            boot.end = None;
                            out.push(boot);
                        }
                        None => out.push(BootLog { head, lines: Vec::new(), end: None }),
                    }
                }
                (Some(Entry::Line(line)), Some(boot)) => boot.lines.push(line),
                (Some(Entry::Tail(tail)), Some(boot)) if tail.boot_id == boot.head.boot_id => {
                    boot.end = Some((tail.up, tail.text));
                }
                _ => {}
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Ring;
    use super::super::line::tests::head;
    use super::*;

    const LEN: u64 = 2_000;

    fn lines(boot: &str, n: std::ops::Range<usize>) -> Vec<Line> {
        n.map(|n| Line::journal(&format!("line {n} of {boot}"))).collect()
    }

    fn files(folder: &Path) -> [Vec<u8>; 2] {
        paths(folder).map(|p| std::fs::read(p).unwrap())
    }

    #[test]
    fn boots_are_told_apart_and_the_newest_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        for (boot, n) in [("one", 5), ("two", 200), ("three", 3)] {
            let mut ring = Ring::open(folder.path(), LEN).unwrap();
            ring.begin(&head(boot)).unwrap();
            ring.add(lines(boot, 0..n).iter()).unwrap();
            if boot != "three" {
                ring.end(boot, 9, "stopped in good order").unwrap();
            }
        }
        let found = boots(files(folder.path()));
        let [two, three] = &found[..] else { panic!("{found:#?}") };
        assert_eq!((&*two.head.boot_id, &*three.head.boot_id), ("two", "three"));
        assert_eq!(two.lines.last(), lines("two", 199..200).first());
        assert!(two.lines.len() > 30, "{}", two.lines.len());
        assert_eq!(two.end, Some((9, "stopped in good order".into())));
        assert_eq!((three.lines.len(), &three.end), (3, &None));
        for path in paths(folder.path()) {
            assert_eq!(std::fs::metadata(path).unwrap().len(), LEN);
        }
    }

    /// Everything that was written, cut at every byte: what stands before the cut is read, and
    /// nothing that was never said.
    #[test]
    fn a_cut_anywhere_leaves_what_stood_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(folder.path(), LEN).unwrap();
        ring.begin(&head("one")).unwrap();
        ring.add(lines("one", 0..160).iter()).unwrap();
        let whole = files(folder.path());
        let said = lines("one", 0..160);
        let newer = usize::from(sequence(&whole[1]) > sequence(&whole[0]));
        let end = whole[newer].iter().rposition(|b| *b != 0).unwrap() + 1;
        let mut last = 0;
        for at in 0..=end {
            let mut cut = whole.clone();
            cut[newer][at..].fill(0);
            let found = boots(cut);
            let kept: Vec<&Line> = found.iter().flat_map(|b| &b.lines).collect();
            let torn = |line: &Line| said.iter().any(|s| s.text.starts_with(line.text.trim_end()));
            assert!(kept.iter().all(|l| torn(l)), "at {at}: {kept:?}");
            let sure = kept.iter().filter(|l| said.contains(l)).count();
            let older = boots([whole[1 - newer].clone(), Vec::new()])[0].lines.len();
            assert!(sure >= older && sure + 1 >= last, "at {at}: {sure} of {last}");
            last = sure;
        }
        assert_eq!(last, boots(whole).iter().map(|b| b.lines.len()).sum::<usize>());
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next_boot() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(folder.path(), LEN).unwrap();
        ring.begin(&head("one")).unwrap();
        ring.add(lines("one", 0..2).iter()).unwrap();
        let [mut torn, _] = files(folder.path());
        let end = torn.iter().rposition(|b| *b != 0).unwrap();
        torn[end - 3..].fill(0);
        std::fs::write(&paths(folder.path())[0], torn).unwrap();
        Ring::open(folder.path(), LEN).unwrap().begin(&head("two")).unwrap();
        let found = boots(files(folder.path()));
        let ids: Vec<_> = found.iter().map(|b| b.head.boot_id.as_str()).collect();
        assert_eq!(ids, ["one", "two"]);
        assert_eq!(found[0].lines.len(), 2, "torn, and told as far as it goes");
    }

    #[test]
    fn garbage_is_no_black_box_and_does_not_stop_the_next_one() {
        let garbage = |seed: u32| -> Vec<u8> {
            (0..2_000u32).map(|n| ((n * n * seed) >> 3).to_le_bytes()[0]).collect()
        };
        let folder = tempfile::tempdir().unwrap();
        for (a, b) in [(garbage(7), garbage(9)), (garbage(3), vec![]), (vec![b'S'; 99], vec![0; 7])]
        {
            std::fs::write(&paths(folder.path())[0], &a).unwrap();
            std::fs::write(&paths(folder.path())[1], &b).unwrap();
            assert_eq!(read(folder.path()), []);
            let mut ring = Ring::open(folder.path(), LEN).unwrap();
            ring.begin(&head("next")).unwrap();
            ring.add(lines("next", 0..2).iter()).unwrap();
            let found = boots(files(folder.path()));
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].lines, lines("next", 0..2));
        }
        std::fs::remove_file(&paths(folder.path())[0]).unwrap();
        std::fs::create_dir(&paths(folder.path())[0]).unwrap();
        assert_eq!(read(folder.path()), []);
        assert!(Ring::open(folder.path(), LEN).is_err());
    }

    /// A cut while the older file is emptied: the newer one stands.
    #[test]
    fn a_cut_while_the_files_change_places_costs_only_the_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(folder.path(), LEN).unwrap();
        ring.begin(&head("one")).unwrap();
        ring.add(lines("one", 0..160).iter()).unwrap();
        let whole = files(folder.path());
        let older = usize::from(sequence(&whole[0]) > sequence(&whole[1]));
        let newer = boots([whole[1 - older].clone(), Vec::new()]);
        for at in (0..whole[older].len()).step_by(7) {
            let mut cut = whole.clone();
            cut[older][..at].fill(0);
            let found = boots(cut);
            let kept = &found.last().unwrap().lines;
            assert!(kept.ends_with(&newer[0].lines), "at {at}");
        }
    }
}
