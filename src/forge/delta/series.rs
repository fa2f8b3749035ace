//! Deltas to one release from several others, one after the other: for a channel. What stands already is not
//! made again.

use super::super::file;
use super::super::key_words::KeyWords;
use super::estimate::adaptive;
use super::image::{Unpacked, unpack};
use super::make;
use crate::artifact::{Delta, Format, read_head};
use crate::model::{Digest, Result};
use crate::trust::Trust;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// How much a delta is compressed, as `delta` has it by default.
const LEVEL: i32 = 19;

/// A release that deltas lead to, unpacked when the first one is made.
pub(in super::super) struct Series {
    full: PathBuf,
    new: Option<Unpacked>,
}

/// What a delta costs, and what a device fetches without it; bytes.
pub(in super::super) struct Costs {
    pub(in super::super) delta: u64,
    pub(in super::super) adaptive: u64,
}

impl Series {
    pub(in super::super) fn to(full: &Path) -> Series {
        Series { full: full.to_owned(), new: None }
    }

    /// Makes the delta from `old`, signed with all keys, into `target` in one step. Scratch files lie beside it.
    pub(in super::super) fn from(
        &mut self,
        old: &Path,
        target: &Path,
        keys: &[KeyWords],
    ) -> Result<Costs> {
        let new = match self.new.take() {
            Some(new) => new,
            None => unpack(&self.full, target)?,
        };
        let new = self.new.insert(new);
        let old = unpack(old, target)?;
        let (delta, _) = make::write(&old, new, target, LEVEL, keys)?;
        Ok(Costs { delta, adaptive: adaptive(&old.release, &new.release) })
    }
}

/// The length of the delta that lies at `path`, where it is whole, signed, and leads from the one release to the
/// other. Each got its name only after it was applied and compared.
pub(in super::super) fn standing(
    path: &Path,
    (from, to): (&Digest, &Digest),
    trust: Option<&Trust>,
) -> Option<u64> {
    let file = file::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    let head = read_head(&mut BufReader::new(file)).ok()?;
    if head.format() != Format::Delta || head.signatures().is_empty() {
        return None;
    }
    let is_it = |delta: &Delta| {
        let ends = (&delta.manifest.from.digest, &delta.manifest.to.digest);
        ends == (from, to) && delta.file_len() == len
    };
    let fits = match trust {
        Some(trust) => is_it(&*head.verify_delta(trust).ok()?),
        None => is_it(&head.parse_unverified_delta().ok()?),
    };
    fits.then_some(len)
}
