//! What a cut leaves of the state folder. Stricter than a journalling file system: a file that was
//! synced may still have no name, names come back in the order in which they were given and end
//! anywhere, content that was not synced may be missing, short, zeros or garbage, and a rename in
//! flight may lose both files.

use super::chance::Chance;
use super::choice::Choice;
use super::deed::{Deed, Inode, Stage};
use super::folder::Files;
use super::history::History;
use super::landing::{Landing, Tail};
use super::pages::Mark;
use std::collections::BTreeMap;

/// The folder after a cut at `moment`.
pub(super) fn after(history: &History, moment: usize, choice: &Choice) -> Files {
    let mut contents = history.contents.clone();
    let mut names: BTreeMap<&str, Inode> =
        history.names.iter().map(|(name, inode)| (name.as_str(), *inode)).collect();
    let mut named = choice.names;
    for (number, op) in history.ops.iter().enumerate() {
        let stage = op.at(moment);
        if stage == Stage::Absent {
            continue;
        }
        match &op.deed {
            Deed::Disk { .. } => {}
            Deed::Move(from, to) if choice.landings.contains_key(&number) => {
                // A rename that is not atomic: the file it replaces is gone, and what has its name
                // is whole, in part, or not there.
                let inode = names.remove(from.as_str());
                names.remove(to.as_str());
                if let (Some(inode), Some(landing)) = (inode, choice.landings.get(&number)) {
                    let whole = std::mem::take(&mut contents[inode]);
                    write(&mut contents[inode], 0, &whole, *landing);
                    if *landing != Landing::Nothing {
                        names.insert(to, inode);
                    }
                }
            }
            Deed::Make(..) | Deed::Move(..) if stage != Stage::Certain && named == 0 => {}
            Deed::Make(name, inode) => {
                named -= usize::from(stage != Stage::Certain);
                names.insert(name, *inode);
            }
            Deed::Move(from, to) => {
                named -= usize::from(stage != Stage::Certain);
                if let Some(inode) = names.remove(from.as_str()) {
                    names.insert(to, inode);
                }
            }
            Deed::Empty(inode) => match choice.of(number, stage) {
                Landing::Nothing => {}
                _ => contents[*inode].clear(),
            },
            Deed::Content { inode, at, bytes } => {
                write(&mut contents[*inode], *at, bytes, choice.of(number, stage));
            }
        }
    }
    names.into_iter().map(|(name, inode)| (name.to_owned(), contents[inode].clone())).collect()
}

/// How many names are uncertain at `moment`.
pub(super) fn uncertain_names(history: &History, moment: usize) -> usize {
    let open = |stage| matches!(stage, Stage::InFlight | Stage::Volatile);
    history.ops.iter().filter(|op| op.deed.names() && open(op.at(moment))).count()
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8], landing: Landing) {
    let (len, tail) = match landing {
        Landing::Nothing => return,
        Landing::Whole => (bytes.len(), None),
        // A length that was stored before the data: the rest is whatever lay there.
        Landing::First { len, tail: Tail::Old, .. } => (len.min(bytes.len()), None),
        Landing::First { len, tail, .. } => (len.min(bytes.len()), Some(tail)),
        Landing::Sectors { seed, .. } | Landing::Unit { seed } => (0, Some(Tail::Noise(seed))),
    };
    content.resize(content.len().max(at), 0);
    content.truncate(at);
    content.extend_from_slice(&bytes[..len]);
    let Some(tail) = tail else {
        return;
    };
    let mut rest = vec![0; bytes.len() - len];
    match tail {
        Tail::Old | Tail::Zeros => {}
        Tail::Ones => rest.fill(0xff),
        Tail::Noise(seed) => Chance::new(seed).fill(&mut rest),
    }
    content.extend_from_slice(&rest);
}

/// Tells folders apart.
pub(super) fn mark(files: &Files) -> Mark {
    let all = files.iter().map(|(name, content)| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(content);
        Mark::of(u64::MAX, &bytes)
    });
    all.fold(Mark::default(), Mark::and)
}
