//! Which chunks already stand at their place. Nothing is believed: each is hashed on the medium.

use super::FIRST_LEN;
use super::medium::standing;
use super::origin::Origin;
use super::part::PartOrder;
use super::progress::Progress;
use crate::artifact::{Installed, image_digest};
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

/// Where each chunk of each part comes from: the slot itself, where it stands there already. Those
/// that touch the first 128 KiB of a part never do: they are about to be destroyed (DESIGN 9.2).
pub(super) fn find_standing(parts: &mut [PartOrder], reuse: &Reuse, sink: &dyn Sink) -> Result<()> {
    if matches!(reuse, Reuse::Nothing) {
        return Ok(());
    }
    let wanted: Vec<Vec<bool>> = parts.iter().map(|part| said_to_stand(part, reuse)).collect();
    let bytes = |(part, wanted): (&PartOrder, &Vec<bool>)| -> u64 {
        let wanted = part.places.chunks.iter().zip(wanted).filter(|(_, wanted)| **wanted);
        wanted.map(|(chunk, _)| u64::from(chunk.plain_len)).sum()
    };
    let bytes = parts.iter().zip(&wanted).map(bytes).sum();
    let progress = Progress::start(sink, Phase::Compare, bytes);
    for (part, wanted) in parts.iter_mut().zip(&wanted) {
        let stands = standing(part.device, &part.places, |i| wanted[i], &progress)?;
        let chunks = part.places.chunks.iter();
        part.origins = chunks.zip(stands).map(|(c, stands)| Origin::of(c, stands)).collect();
    }
    progress.end();
    Ok(())
}

/// The same for an estimate: what a record says is believed, and only what no record knows is hashed.
pub(super) fn believe_standing(
    parts: &mut [PartOrder],
    reuse: &Reuse,
    sink: &dyn Sink,
) -> Result<()> {
    if matches!(reuse, Reuse::Resume) {
        return find_standing(parts, reuse, sink);
    }
    for part in parts {
        let stands = said_to_stand(part, reuse);
        let chunks = part.places.chunks.iter();
        part.origins = chunks.zip(stands).map(|(c, stands)| Origin::of(c, stands)).collect();
    }
    Ok(())
}

/// Which chunks of a part are worth a look.
fn said_to_stand(part: &PartOrder, reuse: &Reuse) -> Vec<bool> {
    let mut wanted = match reuse {
        Reuse::Nothing => vec![false; part.places.count()],
        Reuse::Resume => vec![true; part.places.count()],
        Reuse::SharedWith(installed) => shared(part, installed),
    };
    wanted[..part.places.starting_below(FIRST_LEN)].fill(false);
    wanted
}

/// The chunks that the installed release has at the same offsets of the same part.
fn shared(part: &PartOrder, installed: &Installed) -> Vec<bool> {
    let places = &part.places;
    let Some(index) = installed.payload_of(part.name) else {
        return vec![false; places.count()];
    };
    let theirs = installed.chunks_of(index).unwrap_or_default();
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
    let image = image_digest(ours.map(|c| (c.plain_len, c.plain)));
    let same = installed.manifest.payloads[index].digest == image;
    let ours = places.chunks.iter().enumerate();
    ours.map(|(index, c)| same || theirs.contains(&(places.of(index).end, c.plain_len, c.plain)))
        .collect()
}
