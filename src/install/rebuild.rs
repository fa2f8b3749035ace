//! A release that a delta brings: its bytes are made of those of the slot that runs.

use super::copies::CopiedFrom;
use super::medium::standing;
use super::part::PartOrder;
use super::progress::Progress;
use super::spans::Places;
use super::traffic::Traffic;
use super::{FIRST_LEN, small};
use crate::artifact::Delta;
use crate::delta::{Blocks, Piece, Player, STORED_BATCH_MAX, check_blocks, nothing_follows};
use crate::event::{Phase, Sink};
use crate::model::{Failure, ReasonCode, Result};
use crate::source::{Fetch, Sequential, Source};
use crate::sys::stop;
use crate::trust::Verified;
use std::io::Read;

/// A delta whose head is verified, and of whose stored blocks the new release's head was read.
pub struct FromDelta {
    /// The delta.
    pub delta: Verified<Delta>,
    /// How far its stored blocks were read.
    pub blocks: Blocks,
}

impl FromDelta {
    /// What playing it takes besides the buffers of a run, bytes.
    pub(super) fn memory(&self) -> usize {
        // Each stream has some room of its own besides its window; and there are pieces.
        self.delta.memory() + STORED_BATCH_MAX + (4 << 20)
    }

    /// Where the bytes behind those that were read begin.
    pub fn offset(&self) -> u64 {
        self.delta.stored_offset() + self.blocks.taken(&self.delta.blocks)
    }
}

/// Checks all of a delta that can be read twice: its length, every stored block, every op, without the
/// old bytes. `TRUNCATED`, `TRAILING_BYTES`, `CHUNK_CORRUPT`, `DELTA_INVALID`.
pub fn check_delta(source: &dyn Fetch, from: &FromDelta, sink: &dyn Sink) -> Result<()> {
    delta_length(source, &from.delta)?;
    let size = from.delta.manifest.payloads.iter().map(|p| p.size).sum();
    let progress = Progress::start(sink, Phase::Verify, size);
    let mut input = Sequential::starting_at(source, from.offset());
    check_blocks(&from.delta, from.blocks.clone(), &mut input, &mut |done| {
        stop::look()?;
        progress.add(done);
        Ok(())
    })?;
    progress.end();
    Ok(())
}

/// The source ends exactly where the signed lengths say: `TRUNCATED`, `TRAILING_BYTES`.
pub fn delta_length(source: &dyn Fetch, delta: &Delta) -> Result<()> {
    let (found, expected) = (source.len(), delta.file_len());
    let code = match found.cmp(&expected) {
        std::cmp::Ordering::Less => ReasonCode::Truncated,
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Greater => ReasonCode::TrailingBytes,
    };
    let detail = format!("the delta has {found} bytes where {expected} are signed");
    Err(Failure::new(code, detail))
}

/// Finds for each part the part of the slot that runs which the delta makes it from, and looks at its first
/// 128 KiB: a filesystem that was once mounted writable has another superblock. The rest is seen when it is
/// used. `DELTA_BASE`.
pub(super) fn find_base<'a>(
    parts: &mut [PartOrder<'a>],
    payloads: &[usize],
    delta: &Delta,
    base: CopiedFrom<'a>,
    sink: &dyn Sink,
) -> Result<()> {
    for (part, payload) in parts.iter_mut().zip(payloads) {
        part.places.alone();
        let said = delta.manifest.payloads.get(*payload);
        let said = said.ok_or_else(|| other_base("it has no such part"))?;
        let open = base.parts.iter().find(|open| open.name == *part.name);
        let open = open.ok_or_else(|| other_base("the slot that runs has no such part"))?;
        part.other = Some(super::origin::Other { slot: base.slot, device: &open.device });
        let Some(from) = said.from else { continue };
        let index = base.installed.payload_of(part.name);
        let Some(index) = index.filter(|index| *index == from as usize) else {
            return Err(other_base("it is made from another image of this part"));
        };
        let Some(chunks) = base.installed.chunks_of(index) else { continue };
        let places = Places::new(chunks, 0);
        let first = places.starting_below(FIRST_LEN);
        let progress = Progress::start(sink, Phase::Compare, places.between(0, first));
        let stands = standing(&open.device, &places, |i| i < first, &progress)?;
        progress.end();
        if !stands[..first].iter().all(|stands| *stands) {
            let detail =
                format!("slot {} is not as it was installed: was it mounted writable?", base.slot);
            return Err(other_base(&detail));
        }
    }
    Ok(())
}

fn other_base(why: &str) -> Failure {
    Failure::new(ReasonCode::DeltaBase, why)
}

/// A delta that is played, forward, by one worker at a time.
pub(super) struct Play<'a> {
    delta: &'a Delta,
    player: Box<Player>,
    input: Box<dyn Read + Send + 'a>,
    /// The first chunk of each payload, in the release's table.
    firsts: Vec<usize>,
    stream: bool,
    traffic: &'a Traffic,
    /// Bytes of the delta that were counted.
    counted: u64,
}

impl<'a> Play<'a> {
    pub(super) fn new(
        source: &'a mut Source,
        from: &'a FromDelta,
        firsts: Vec<usize>,
        traffic: &'a Traffic,
    ) -> Result<Play<'a>> {
        let (offset, stream) = (from.offset(), matches!(source, Source::Stream(_)));
        let input: Box<dyn Read + Send + 'a> = match source {
            Source::Stream(stream) => Box::new(stream),
            Source::Local(file) => Box::new(Sequential::starting_at(file, offset)),
            Source::Ranges(bytes) => {
                let rest = offset..from.delta.file_len();
                match bytes.in_order(&[rest])? {
                    Some(bytes) => bytes,
                    None => Box::new(Sequential::starting_at(&**bytes, offset)),
                }
            }
        };
        let player = Box::new(Player::new(&from.delta, from.blocks.clone())?);
        let delta: &Delta = &from.delta;
        let mut play = Play { delta, player, input, firsts, stream, traffic, counted: 0 };
        play.count(offset);
        Ok(play)
    }

    /// Makes the bytes of `out`, of the payload whose chunks begin with `first_chunk`, from `at` on.
    pub(super) fn bring(
        &mut self,
        (first_chunk, at): (usize, u64),
        out: &mut [u8],
        pieces: &mut Vec<Piece>,
    ) -> Result<()> {
        let payload = self.firsts.iter().position(|first| *first == first_chunk);
        let payload = payload
            .ok_or_else(|| Failure::new(ReasonCode::Internal, "a part that no payload is for"))?;
        let place = (payload, at);
        let made = self.player.bring(&self.delta.blocks, &mut self.input, place, out, pieces);
        made.map_err(|f| self.lost(f))?;
        self.count(self.delta.stored_offset() + self.player.taken(&self.delta.blocks));
        Ok(())
    }

    /// So many bytes of the file have been used by now.
    fn count(&mut self, used: u64) {
        self.traffic.use_stored(used.saturating_sub(self.counted));
        self.counted = used.max(self.counted);
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        let done = self.player.finish(&self.delta.blocks, &mut self.input);
        done.and_then(|()| nothing_follows(&mut self.input)).map_err(|f| self.lost(f))?;
        self.count(self.delta.file_len());
        Ok(())
    }

    /// A stream that ended too early has lost its sender.
    fn lost(&self, failure: Failure) -> Failure {
        match failure.code() {
            ReasonCode::Truncated if self.stream => {
                Failure::new(ReasonCode::SourceLost, failure.detail())
            }
            _ => failure,
        }
    }
}

/// Bytes of a part's old image that may be read: as long as the delta says, and the partition is.
pub(super) fn old_len(part: &PartOrder, payload: usize, delta: &Delta) -> u64 {
    let said = delta.manifest.payloads.get(payload).map_or(0, |p| p.from_size);
    part.other.map_or(0, |other| said.min(other.device.len()))
}

/// The length of a span's bytes.
pub(super) fn span_len(image: &std::ops::Range<u64>) -> usize {
    small(image.end - image.start)
}
