//! Every move that ended, one JSON line each, for people. Nothing is decided by it.

use super::Outcome;
use crate::model::{ReasonCode, Result, StateFile, WithReason, document};
use crate::sys::{durable, files};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Past this the older half is dropped: a data partition is not a library.
const LIMIT: u64 = StateFile::HISTORY.limit / 2;

/// The history file.
#[derive(Debug, Clone)]
pub struct History {
    path: PathBuf,
}

/// More moves make way for another, one after the other, than anybody waits for.
const NEWEST: usize = 16;

impl History {
    /// The history in this folder.
    pub fn new(folder: &Path) -> History {
        History { path: StateFile::HISTORY.within(folder) }
    }

    /// All of it, oldest first. A torn or foreign line is left out.
    pub fn load(&self) -> Vec<Outcome> {
        let bytes = files::read_own(&self.path, StateFile::HISTORY.limit).unwrap_or_default();
        parse(&bytes).collect()
    }

    /// Adds `outcome` unless it is one of the last already: called again after every start, so that
    /// a cut between journal and history loses nothing. Behind the one that the journal knows there
    /// may be some that made way for another. What is no file of ours makes room for one,
    /// and is not written through.
    pub fn note(&self, outcome: &Outcome) -> Result<()> {
        let line = |o: &Outcome| {
            serde_json::to_string(&o.stored()).reason(ReasonCode::Internal, "history")
        };
        let bytes = match files::read_own(&self.path, StateFile::HISTORY.limit) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) if e.kind() == ErrorKind::InvalidInput => {
                return durable::write(&self.path, (line(outcome)? + "\n").as_bytes());
            }
            Err(e) => return Err(durable::io_failure("read", &self.path, &e)),
        };
        // As it would be read again: texts are bounded there.
        let read = parse(line(outcome)?.as_bytes()).next_back();
        if parse(&bytes).rev().take(NEWEST).any(|known| Some(known) == read) {
            return Ok(());
        }
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LIMIT {
            let known: Vec<Outcome> = parse(&bytes).collect();
            let kept: Result<Vec<_>> = known[known.len() / 2..].iter().map(line).collect();
            let text = kept?.join("\n") + "\n" + &line(outcome)? + "\n";
            return durable::write(&self.path, text.as_bytes());
        }
        // After a torn last line the next one must not become part of it.
        let torn = bytes.last().is_some_and(|last| *last != b'\n');
        let gap = if torn { "\n" } else { "" };
        durable::append_line(&self.path, &format!("{gap}{}", line(outcome)?))
    }
}

/// The lines of the file that can be read, oldest first.
pub(super) fn parse(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Outcome> {
    let back = |o: Outcome| Outcome { work: o.work.clone().read_back(), ..o };
    bytes.split(|b| *b == b'\n').filter_map(document).map(back).map(Outcome::read)
}

#[cfg(test)]
mod tests {
    use super::super::{Ended, Named, Work};
    use super::*;
    use crate::model::{Digest, SlotId};

    fn outcome(at: u64) -> Outcome {
        let (from, to) = (Named::default(), Named::default());
        let work = Work {
            digest: Digest::of(b"x"),
            slot: SlotId::A,
            partitions: vec![],
            from,
            to,
            order: Default::default(),
        };
        Outcome {
            outcome: Ended::Updated,
            work,
            txn: None,
            reason: None,
            detail: "x".repeat(500),
            against: Default::default(),
            came_up: None,
            untried: false,
            at,
        }
    }

    #[test]
    fn lines_are_kept_once_and_a_torn_one_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        history.note(&outcome(1)).unwrap();
        history.note(&outcome(1)).unwrap();
        durable::append_line(&history.path, "{\"torn").unwrap();
        let torn = std::fs::read(&history.path).unwrap();
        std::fs::write(&history.path, &torn[..torn.len() - 1]).unwrap();
        history.note(&outcome(2)).unwrap();
        history.note(&outcome(1)).unwrap();
        assert_eq!(history.load(), [outcome(1), outcome(2)]);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path());
        (0..700).for_each(|at| history.note(&outcome(at)).unwrap());
        assert!(std::fs::metadata(&history.path).unwrap().len() < LIMIT + 2_000);
        assert_eq!(history.load().last(), Some(&outcome(699)));
    }
}
