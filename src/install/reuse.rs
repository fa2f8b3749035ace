//! Which chunks already stand at their place. Nothing is believed: each is hashed on the medium.

use super::FIRST_LEN;
use super::medium::standing;
use super::origin::Origin;
use super::progress::Progress;
use super::spans::Places;
use crate::artifact::{Installed, image_digest};
use crate::disk::BlockDevice;
use crate::event::{Phase, Sink};
use crate::model::Result;
use crate::trust::Verified;
use std::collections::HashSet;

/// Whether it is worth looking at what the slot holds.
#[derive(Debug, Clone, Default)]
pub enum Reuse {
    /// Nobody reads first.
    #[default]
    Nothing,
    /// The journal says that this same artifact was being written here: every chunk is looked
    /// for.
    Resume,
    /// The slot's record says what stands there: chunks that it shares with the release, at the
    /// same offsets, are looked for.
    SharedWith(Box<Verified<Installed>>),
}

/// Where each chunk comes from: the slot itself, where it stands there already. Those that touch the
/// first 128 KiB never do: they are about to be destroyed (DESIGN 9.2).
pub(super) fn origins(
    device: &dyn BlockDevice,
    places: &Places,
    reuse: &Reuse,
    sink: &dyn Sink,
) -> Result<Vec<Origin>> {
    let chunks = places.chunks.iter();
    let wanted: Vec<bool> = match reuse {
        Reuse::Nothing => return Ok(chunks.map(|c| Origin::of(c, false)).collect()),
        Reuse::Resume => vec![true; places.count()],
        Reuse::SharedWith(installed) => shared(places, installed),
    };
    let first = places.starting_below(FIRST_LEN);
    let wanted = |index: usize| index >= first && wanted[index];
    let bytes = (0..places.count()).filter(|i| wanted(*i));
    let bytes = bytes.map(|i| u64::from(places.chunks[i].plain_len)).sum();
    let progress = Progress::start(sink, Phase::Compare, bytes);
    let stands = standing(device, places, wanted, &progress)?;
    progress.end();
    Ok(chunks.zip(stands).map(|(chunk, stands)| Origin::of(chunk, stands)).collect())
}

/// The chunks that the installed release has at the same offsets.
fn shared(places: &Places, installed: &Installed) -> Vec<bool> {
    let theirs = installed.chunks_of(installed.payloads[0]).unwrap_or_default();
    let mut at = 0;
    let theirs: HashSet<_> = theirs
        .iter()
        .map(|c| {
            at += u64::from(c.plain_len);
            (at, c.plain_len, c.plain)
        })
        .collect();
    let ours = places.chunks.iter();
    // Without its chunks the record still says whether it is the very same image.
    let same = installed.payload().digest == image_digest(ours.map(|c| (c.plain_len, c.plain)));
    let ours = places.chunks.iter().enumerate();
    ours.map(|(index, c)| same || theirs.contains(&(places.of(index).end, c.plain_len, c.plain)))
        .collect()
}
