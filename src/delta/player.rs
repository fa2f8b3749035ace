//! From stored blocks to new bytes: the ops of a delta, one after the other, in the order of the image.

use super::pieces::Piece;
use super::stream::{Numbers, Stream, invalid};
use super::{Blocks, LEAST_OLD};
use crate::artifact::{Delta, StoredBlocks};
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::{spare, stop};
use std::io::Read;

/// Decoded bytes of one batch, all four streams together, at the most: how much a writer puts into one.
pub const BATCH_MAX: usize = 2 << 20;
/// Stored bytes of one batch, at the most.
pub const STORED_BATCH_MAX: usize = BATCH_MAX + (64 << 10);

/// Bytes that are decoded at once where nobody wants them.
const PASSED: usize = 64 << 10;
/// And bytes that are passed at once.
const DROPPED: u64 = 8 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zero,
    Copy,
    Add,
    Extra,
}

/// What the ops of a stream make, and what they may read.
pub struct Shape {
    /// The windows of the four streams, as powers of two.
    pub windows: [u8; 4],
    /// Bytes of each new image, and of the old one that it is made from.
    pub images: Vec<(u64, u64)>,
    /// Where each file of the old image ends, if it is a row of files: then there are two ops more, of no length.
    pub files: Vec<u64>,
}

/// Where a file's bytes end, a tar archive has zeros to the next multiple of this.
const TAR_BLOCK: u64 = 512;

/// Plays the ops of a delta forward. Holds the windows of four streams, one batch and one block.
pub struct Player {
    shape: Shape,
    blocks: Blocks,
    batch: Vec<u8>,
    lengths: Numbers,
    seeks: Numbers,
    differences: Stream,
    extra: Stream,
    /// The payload that is made, and how much of it is.
    payload: usize,
    at: u64,
    /// The op at hand, and what is left of it.
    op: Option<(Kind, u64)>,
    /// Where the next old bytes begin.
    old: u64,
    passed: Vec<u8>,
}

/// Where what is made goes: the bytes, and the pieces that old bytes belong to.
type Into<'a> = (&'a mut [u8], &'a mut Vec<Piece>);

impl Player {
    /// Before the first op: `blocks` have given the new release's head.
    pub fn new(delta: &Delta, blocks: Blocks) -> Result<Player> {
        let images = delta.manifest.payloads.iter().map(|p| (p.size, p.from_size)).collect();
        Player::of(Shape { windows: delta.manifest.windows, images, files: Vec::new() }, blocks)
    }

    /// Before the first op of batches that make this.
    pub fn of(shape: Shape, blocks: Blocks) -> Result<Player> {
        let [lengths, seeks, differences, extra] = shape.windows;
        Ok(Player {
            shape,
            blocks,
            batch: Vec::new(),
            lengths: Numbers::new(lengths)?,
            seeks: Numbers::new(seeks)?,
            differences: Stream::new(differences)?,
            extra: Stream::new(extra)?,
            payload: 0,
            at: 0,
            op: None,
            old: 0,
            passed: Vec::new(),
        })
    }

    /// Makes the bytes of payload `payload` from `from` on, as many as `out` has: new ones and
    /// differences are put into `out`, and `pieces` says where old bytes are to be copied or added. What
    /// lies before is decoded and dropped; nothing can be asked for twice. `DELTA_INVALID` for whatever
    /// breaks the format, and what [`Blocks::read`] says.
    pub fn bring(
        &mut self,
        delta: &StoredBlocks,
        input: &mut dyn Read,
        (payload, from): (usize, u64),
        out: &mut [u8],
        pieces: &mut Vec<Piece>,
    ) -> Result<()> {
        self.pass(delta, input, payload, from)?;
        pieces.clear();
        self.run(delta, input, out.len() as u64, Some((out, pieces)))
    }

    /// Passes what is left, and checks that all of it ends where the last op does.
    pub fn finish(&mut self, delta: &StoredBlocks, input: &mut dyn Read) -> Result<()> {
        let last = self.shape.images.len().saturating_sub(1);
        self.pass(delta, input, last, self.size_of(last))?;
        if self.blocks.left(delta) != 0 {
            return Err(invalid("there are batches behind the last op"));
        }
        self.batch_used_up()?;
        let ended = [
            self.lengths.stream().has_ended(),
            self.seeks.stream().has_ended(),
            self.differences.has_ended(),
            self.extra.has_ended(),
        ];
        match ended == [true; 4] {
            true => Ok(()),
            false => Err(invalid("a stream has no end")),
        }
    }

    /// Stored bytes that were read, with those of the head: whole blocks.
    pub fn taken(&self, delta: &StoredBlocks) -> u64 {
        self.blocks.taken(delta)
    }

    fn size_of(&self, payload: usize) -> u64 {
        self.shape.images.get(payload).map_or(0, |image| image.0)
    }

    fn pass(
        &mut self,
        delta: &StoredBlocks,
        input: &mut dyn Read,
        payload: usize,
        to: u64,
    ) -> Result<()> {
        while self.payload < payload {
            self.drop_until(delta, input, self.size_of(self.payload))?;
            (self.payload, self.at, self.old) = (self.payload + 1, 0, 0);
        }
        if self.payload != payload || to < self.at {
            return Err(invalid("a place that was passed is asked for"));
        }
        self.drop_until(delta, input, to)
    }

    /// Passes bytes of the payload at hand. It has as many as its signers say, needed here or not, so that
    /// the work may be told to stop meanwhile.
    fn drop_until(&mut self, delta: &StoredBlocks, input: &mut dyn Read, to: u64) -> Result<()> {
        while self.at < to {
            stop::look()?;
            self.run(delta, input, (to - self.at).min(DROPPED), None)?;
        }
        Ok(())
    }

    /// Makes `len` bytes.
    fn run(
        &mut self,
        delta: &StoredBlocks,
        input: &mut dyn Read,
        len: u64,
        mut into: Option<Into<'_>>,
    ) -> Result<()> {
        let mut done = 0;
        while done < len {
            let (kind, left) = match self.op.take() {
                Some(op) => op,
                None => self.next_op(delta, input)?,
            };
            let most = match kind {
                Kind::Add | Kind::Extra if into.is_none() => PASSED as u64,
                _ => u64::MAX,
            };
            let step = left.min(len - done).min(most);
            self.step(
                kind,
                step,
                into.as_mut().map(|(out, pieces)| (&mut **out, &mut **pieces, done)),
            )?;
            done += step;
            self.at += step;
            if left > step {
                self.op = Some((kind, left - step));
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        kind: Kind,
        len: u64,
        into: Option<(&mut [u8], &mut Vec<Piece>, u64)>,
    ) -> Result<()> {
        let count = usize::try_from(len).map_err(|_| invalid("an op is too long"))?;
        let mut passed = std::mem::take(&mut self.passed);
        let (out, place) = match into {
            Some((out, pieces, done)) => {
                let at = usize::try_from(done).map_err(|_| invalid("a span is too long"))?;
                (&mut out[at..at + count], Some((pieces, at)))
            }
            None => {
                spare::resize(&mut passed, PASSED)?;
                // Zeros and copies need no bytes where nobody wants them.
                let some = count.min(passed.len());
                (&mut passed[..some], None)
            }
        };
        match kind {
            Kind::Zero => out.fill(0),
            Kind::Copy => {}
            Kind::Add => self.differences.exact(&self.batch, out)?,
            Kind::Extra => self.extra.exact(&self.batch, out)?,
        }
        if matches!(kind, Kind::Copy | Kind::Add) {
            if let Some((pieces, at)) = place {
                let piece = Piece::new(at, count, self.old, kind == Kind::Add)?;
                pieces.try_reserve(1).map_err(|_| no_memory())?;
                pieces.push(piece);
            }
            self.old += len;
        }
        self.passed = passed;
        Ok(())
    }

    fn next_op(&mut self, delta: &StoredBlocks, input: &mut dyn Read) -> Result<(Kind, u64)> {
        let number = loop {
            if let Some(number) = self.lengths.next(&self.batch)? {
                break number;
            }
            self.next_batch(delta, input)?;
        };
        let (size, from_size) = self.shape.images.get(self.payload).copied().unwrap_or((0, 0));
        let (kind, mut len) = (number & 3, number >> 2);
        let short = len == 0 && kind < 2 && !self.shape.files.is_empty();
        let mut seeks = kind == 1 || kind == 2;
        if short && kind == 0 {
            // Zeros to the end of the tar archive's block.
            len = self.at.next_multiple_of(TAR_BLOCK) - self.at;
        } else if short {
            (self.old, len) = self.next_file()?;
            seeks = false;
        }
        if len == 0 || len > size - self.at {
            return Err(invalid("an op makes no byte, or more than its payload has"));
        }
        let kind = match kind {
            0 => Kind::Zero,
            1 => Kind::Copy,
            2 => Kind::Add,
            _ => Kind::Extra,
        };
        if seeks {
            let seek = self.seeks.next(&self.batch)?;
            let seek = seek.ok_or_else(|| invalid("an op has no place to read from"))?;
            // Zigzag: the lowest bit is the sign.
            let (distance, back) = (seek >> 1, seek & 1 != 0);
            let at = match back {
                false => self.old.checked_add(distance),
                true => self.old.checked_sub(distance).and_then(|at| at.checked_sub(1)),
            };
            let end = at.and_then(|at| at.checked_add(len));
            let (Some(at), Some(_)) = (at, end.filter(|end| *end <= from_size)) else {
                return Err(invalid("an op reads outside the old image"));
            };
            self.old = at;
        }
        if matches!(kind, Kind::Copy | Kind::Add) && len < LEAST_OLD {
            return Err(invalid("an op reads fewer old bytes than 16"));
        }
        Ok((kind, len))
    }

    /// Where the file begins that follows the one that was read last, and its length.
    fn next_file(&self) -> Result<(u64, u64)> {
        let files = &self.shape.files;
        // No file is empty, and what was read ends inside or at the end of one.
        let next = files.partition_point(|end| *end < self.old) + usize::from(self.old > 0);
        let start = if next == 0 { 0 } else { files.get(next - 1).copied().unwrap_or(0) };
        let end = files.get(next).copied();
        let end = end.ok_or_else(|| invalid("an op copies a file behind the last one"))?;
        Ok((start, end - start))
    }

    fn next_batch(&mut self, delta: &StoredBlocks, input: &mut dyn Read) -> Result<()> {
        self.batch_used_up()?;
        if self.blocks.left(delta) == 0 {
            return Err(invalid("the ops end before the last payload does"));
        }
        let mut lens = [0; 16];
        self.blocks.read(delta, input, &mut lens)?;
        let (mut ends, mut sum) = ([0; 4], 0usize);
        for (end, len) in ends.iter_mut().zip(lens.chunks_exact(4)) {
            let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]);
            sum = sum.saturating_add(len as usize);
            *end = sum;
        }
        if sum == 0 || sum > STORED_BATCH_MAX {
            return Err(invalid(format!("a batch of {sum} bytes; 1 to {STORED_BATCH_MAX}")));
        }
        spare::resize(&mut self.batch, sum)?;
        self.blocks.read(delta, input, &mut self.batch)?;
        self.lengths.stream().load(0..ends[0])?;
        self.seeks.stream().load(ends[0]..ends[1])?;
        self.differences.load(ends[1]..ends[2])?;
        self.extra.load(ends[2]..ends[3])
    }

    fn batch_used_up(&mut self) -> Result<()> {
        self.lengths.used_up(&self.batch)?;
        self.seeks.used_up(&self.batch)?;
        self.differences.used_up(&self.batch)?;
        self.extra.used_up(&self.batch)
    }
}

fn no_memory() -> Failure {
    Failure::new(ReasonCode::NoMemory, "the pieces of a span")
}
