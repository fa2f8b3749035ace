//! The ops of one part: bsdiff for each pair, then all of it in the order of the image.

use super::image::{Extent, Image, size};
use super::pair::Pair;
use super::stored::{Encoder, Kind};
use crate::delta::LEAST_OLD;
use crate::model::{Failure, ReasonCode, Result};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// New bytes of a pair, and where the old ones begin that they are like.
#[derive(Debug, Clone, Copy)]
struct Op {
    new: u64,
    len: u64,
    old: Option<u64>,
}

/// How many pairs are compared side by side. Each needs five times its old bytes, once its new ones.
const THREADS: usize = 2;

fn compare(pair: &Pair, old: &Image, new: &Image) -> Result<Vec<Op>> {
    let len: u64 = pair.new.iter().map(|run| run.len).sum();
    if pair.same {
        return Ok(vec![Op { new: 0, len, old: Some(0) }]);
    }
    if pair.old.is_empty() {
        return Ok(vec![Op { new: 0, len, old: None }]);
    }
    let (old, new) = (old.bytes(&pair.old)?, new.bytes(&pair.new)?);
    let mut ops = Vec::new();
    let found = bidiff::diff(&old, &new, &bidiff::DiffParams::default(), |found| {
        if found.add_length > 0 {
            let old = Some(found.add_old_start as u64);
            ops.push(Op { new: found.add_new_start as u64, len: found.add_length as u64, old });
        }
        let start = found.copy_start();
        if found.copy_end > start {
            ops.push(Op { new: start as u64, len: (found.copy_end - start) as u64, old: None });
        }
        Ok::<(), std::io::Error>(())
    });
    found.map_err(|e| Failure::new(ReasonCode::Internal, format!("comparing: {e}")))?;
    Ok(ops)
}

/// Compares all pairs, the longest first. `done` hears of the new bytes that are behind.
fn compare_all(
    pairs: &[Pair],
    (old, new): (&Image, &Image),
    done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Vec<Op>>> {
    let len = |pair: &Pair| pair.new.iter().map(|run| run.len).sum::<u64>();
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(if pairs[*n].same { 0 } else { len(&pairs[*n]) }));
    let found = Mutex::new(vec![Ok(Vec::new()); pairs.len()]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(n) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ops = compare(&pairs[*n], old, new);
                    if let Ok(mut found) = found.lock() {
                        found[*n] = ops;
                    }
                    done(len(&pairs[*n]));
                }
            });
        }
    });
    let found = found.into_inner();
    let found = found.map_err(|_| Failure::new(ReasonCode::Internal, "comparing has failed"))?;
    found.into_iter().collect()
}

/// What the new bytes of one pair cost, before compression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) name: String,
    pub(super) len: u64,
    /// Bytes that nothing old is like.
    pub(super) extra: u64,
    /// Bytes that differ from old ones.
    pub(super) differ: u64,
    /// Whether it had old bytes to be compared with.
    pub(super) paired: bool,
    /// Its first bytes.
    pub(super) begin: [u8; 6],
}

/// Writes the ops of one part in the order of its image; says what each pair that is not the same costs.
pub(super) fn write(
    pairs: &[Pair],
    (old, new): (&Image, &Image),
    encoder: &mut Encoder,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Cost>> {
    let ops = compare_all(pairs, (old, new), done)?;
    // Which pair each run of the image belongs to, and where in it.
    let mut owners: Vec<(Extent, usize, u64)> = Vec::new();
    for (n, pair) in pairs.iter().enumerate() {
        let mut at = 0;
        for run in &pair.new {
            owners.push((*run, n, at));
            at += run.len;
        }
    }
    owners.sort_unstable_by_key(|(run, ..)| run.at);
    let olds: Vec<Runs> = pairs.iter().map(|pair| Runs::of(&pair.old)).collect();
    let mut costs: Vec<Cost> = Vec::new();
    for pair in pairs {
        let mut begin = [0; 6];
        if let Some(first) = pair.new.first().filter(|run| run.len >= 6) {
            new.read(first.at, &mut begin)?;
        }
        let len = pair.new.iter().map(|run| run.len).sum();
        let (name, paired) = (pair.name.clone(), !pair.old.is_empty());
        costs.push(Cost { name, len, extra: 0, differ: 0, paired, begin });
    }
    encoder.begin_payload()?;
    let mut at = 0;
    for (run, n, from) in owners {
        // Two files may share a block: it is made once.
        let skip = at.max(run.at) - run.at;
        if skip >= run.len {
            continue;
        }
        encoder.put(Kind::Zero, (run.at + skip) - at, 0, &[])?;
        let mut wanted = from + skip..from + run.len;
        let mut place = run.at + skip;
        let list = &ops[n];
        let mut k = list.partition_point(|op| op.new + op.len <= wanted.start);
        while wanted.start < wanted.end {
            let op = list
                .get(k)
                .filter(|op| op.new <= wanted.start)
                .ok_or_else(|| Failure::new(ReasonCode::Internal, "the comparison has a gap"))?;
            let len = (op.new + op.len).min(wanted.end) - wanted.start;
            let old_at = op.old.map(|old| old + (wanted.start - op.new));
            let pieces = Runs::pieces(&olds[n], old_at, len);
            for (old_at, len) in pieces {
                write_piece(encoder, (old, new), (place, len), old_at, &mut costs[n])?;
                place += len;
            }
            wanted.start += len;
            k += 1;
        }
        at = place;
    }
    encoder.put(Kind::Zero, new.len - at, 0, &[])?;
    costs.retain(|cost| cost.extra + cost.differ > 0);
    Ok(costs)
}

/// Bytes that are written at once.
const STEP: u64 = 64 << 10;

fn write_piece(
    encoder: &mut Encoder,
    (old, new): (&Image, &Image),
    (mut at, mut len): (u64, u64),
    old_at: Option<u64>,
    cost: &mut Cost,
) -> Result<()> {
    let mut old_at = old_at.filter(|_| len >= LEAST_OLD);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    while len > 0 {
        let step = match len {
            _ if len <= STEP => len,
            // What is left is long enough to read old bytes.
            _ if len - STEP < LEAST_OLD => STEP - LEAST_OLD,
            _ => STEP,
        };
        ours.resize(size(step), 0);
        new.read(at, &mut ours)?;
        match old_at {
            None => {
                cost.extra += step;
                encoder.put(Kind::Extra, step, 0, &ours)?;
            }
            Some(from) => {
                theirs.resize(size(step), 0);
                old.read(from, &mut theirs)?;
                ours.iter_mut().zip(&theirs).for_each(|(new, old)| *new = new.wrapping_sub(*old));
                let differ = ours.iter().filter(|byte| **byte != 0).count();
                cost.differ += differ as u64;
                match differ {
                    0 => encoder.put(Kind::Copy, step, from, &[])?,
                    _ => encoder.put(Kind::Add, step, from, &ours)?,
                }
                old_at = Some(from + step);
            }
        }
        at += step;
        len -= step;
    }
    Ok(())
}

/// The old bytes of a pair: from an offset in them to a place in the image.
struct Runs<'a> {
    runs: &'a [Extent],
    /// Bytes before each.
    before: Vec<u64>,
}

impl<'a> Runs<'a> {
    fn of(runs: &'a [Extent]) -> Runs<'a> {
        let mut sum = 0;
        let before = runs.iter().map(|run| {
            sum += run.len;
            sum - run.len
        });
        Runs { before: before.collect(), runs }
    }

    /// Cuts `len` bytes from offset `at` on where their places jump; the places, and how many bytes.
    fn pieces(&self, at: Option<u64>, len: u64) -> Vec<(Option<u64>, u64)> {
        let Some(at) = at else { return vec![(None, len)] };
        let (mut out, mut wanted): (_, Range<u64>) = (Vec::new(), at..at + len);
        let mut n = self.before.partition_point(|before| *before <= at).saturating_sub(1);
        while wanted.start < wanted.end {
            let Some(run) = self.runs.get(n) else {
                out.push((None, wanted.end - wanted.start));
                break;
            };
            let into = wanted.start - self.before[n];
            let len = (run.len - into).min(wanted.end - wanted.start);
            out.push((Some(run.at + into), len));
            wanted.start += len;
            n += 1;
        }
        out
    }
}
