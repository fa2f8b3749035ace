//! Ranges of a file in the order in which they are wanted, fetched ahead over several connections.

use super::resource::Resource;
use crate::model::{Failure, Result};
use crate::sys::spare;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What lies between two ranges is fetched along where it is no longer: it costs less than a request.
pub(super) const GAP: u64 = 16 << 10;

/// Bytes of one request.
const PIECE: u64 = 512 << 10;

/// What goes to the caller: bytes, or nothing for now. An error says that it is gone.
pub(super) type Give<'a> = dyn FnMut(&[u8]) -> std::io::Result<()> + 'a;

/// One request, and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    span: Range<u64>,
    wanted: Vec<Range<u64>>,
}

/// Cuts ranges into requests.
#[derive(Debug)]
struct Plan<'a> {
    ranges: &'a [Range<u64>],
    /// How much of the first one is cut off already.
    done: u64,
    /// Bytes of one request at most.
    most: u64,
}

impl Iterator for Plan<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let mut piece: Option<Piece> = None;
        while let [range, rest @ ..] = self.ranges {
            let start = range.start + self.done;
            if start >= range.end {
                (self.ranges, self.done) = (rest, 0);
                continue;
            }
            let from = piece.as_ref().map_or(start, |p| p.span.start);
            let fits = piece.as_ref().is_none_or(|p| {
                let gap = start.checked_sub(p.span.end);
                gap.is_some_and(|gap| gap <= GAP) && range.end - from <= self.most
            });
            if !fits {
                break;
            }
            let end = range.end.min(from + self.most);
            let piece = piece.get_or_insert(Piece { span: start..end, wanted: Vec::new() });
            piece.span.end = end;
            piece.wanted.push(start..end);
            self.done += end - start;
        }
        piece
    }
}

struct State<'a> {
    plan: Plan<'a>,
    /// How many requests were begun, and how many of them have gone to the caller.
    begun: u64,
    given: u64,
    ended: bool,
    done: BTreeMap<u64, (Piece, Result<Vec<u8>>)>,
}

/// Gives the bytes of `ranges` to the caller, one range after the other.
pub(super) fn give(
    file: &Resource,
    ranges: &[Range<u64>],
    out: &mut Give<'_>,
) -> std::io::Result<Result<()>> {
    let stop = AtomicBool::new(false);
    let most = piece(file.client().setup().budget);
    let mut one = Plan { ranges, done: 0, most };
    let (first, more) = (one.next(), one.next().is_some());
    let Some(first) = first else { return Ok(Ok(())) };
    if !more {
        return pass_on(&first, file.piece(&first.span, &stop), out);
    }
    let plan = Plan { ranges, done: 0, most };
    let state = State { plan, begun: 0, given: 0, ended: false, done: BTreeMap::new() };
    let shared = (Mutex::new(state), Condvar::new());
    let lock = || shared.0.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let mut last = Ok(());
        for _ in 0..file.client().setup().connections.clamp(1, 8) {
            // With fewer threads it takes longer.
            last = spare::scoped(scope, "connection", || work(file, &shared, &stop)).map(|_| ());
        }
        let result = match last {
            Ok(()) => collect(&shared.0, &shared.1, out),
            Err(failure) => Ok(Err(failure)),
        };
        stop.store(true, Ordering::Relaxed);
        lock().ended = true;
        shared.1.notify_all();
        result
    })
}

/// Bytes of one request, where so many may still be fetched: what is under way when they are spent is lost.
fn piece(budget: Option<u64>) -> u64 {
    budget.map_or(PIECE, |left| (left / 32).clamp(GAP, PIECE))
}

/// How many pieces are in memory at once.
fn ahead(file: &Resource) -> u64 {
    u64::from(file.client().setup().connections.clamp(1, 8)) + 1
}

fn work(file: &Resource, shared: &(Mutex<State<'_>>, Condvar), stop: &AtomicBool) {
    let (state, bell) = shared;
    let mut it = state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        while !it.ended && it.begun >= it.given + ahead(file) {
            it = bell.wait(it).unwrap_or_else(PoisonError::into_inner);
        }
        if it.ended {
            return;
        }
        let Some(piece) = it.plan.next() else {
            it.ended = true;
            bell.notify_all();
            return;
        };
        let number = it.begun;
        it.begun += 1;
        drop(it);
        let found = file.piece(&piece.span, stop);
        it = state.lock().unwrap_or_else(PoisonError::into_inner);
        it.done.insert(number, (piece, found));
        bell.notify_all();
    }
}

fn collect(
    state: &Mutex<State<'_>>,
    bell: &Condvar,
    out: &mut Give<'_>,
) -> std::io::Result<Result<()>> {
    let lock =
        || -> MutexGuard<'_, State<'_>> { state.lock().unwrap_or_else(PoisonError::into_inner) };
    loop {
        let mut it = lock();
        let next = loop {
            let given = it.given;
            match it.done.remove(&given) {
                Some(next) => break next,
                None if it.ended && it.given == it.begun => return Ok(Ok(())),
                None => {}
            }
            let (back, late) = bell
                .wait_timeout(it, Duration::from_secs(1))
                .unwrap_or_else(PoisonError::into_inner);
            it = back;
            if late.timed_out() {
                drop(it);
                // The caller hears that it goes on, and this hears whether the caller is there.
                out(&[])?;
                it = lock();
            }
        };
        drop(it);
        let (piece, found) = next;
        if let Err(failure) = pass_on(&piece, found, out)? {
            return Ok(Err(failure));
        }
        lock().given += 1;
        bell.notify_all();
    }
}

fn pass_on(
    piece: &Piece,
    found: Result<Vec<u8>>,
    out: &mut Give<'_>,
) -> std::io::Result<Result<()>> {
    let bytes = match found {
        Ok(bytes) => bytes,
        Err(failure) => return Ok(Err(failure)),
    };
    for range in &piece.wanted {
        let at = |n: u64| usize::try_from(n - piece.span.start).unwrap_or(usize::MAX);
        match bytes.get(at(range.start)..at(range.end)) {
            Some(part) => out(part)?,
            None => {
                let text = "a piece is shorter than what was asked for";
                return Ok(Err(Failure::new(crate::model::ReasonCode::Internal, text)));
            }
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(ranges: &[Range<u64>]) -> Vec<Piece> {
        Plan { ranges, done: 0, most: PIECE }.collect()
    }

    #[test]
    fn small_gaps_are_fetched_along_and_large_ones_are_not() {
        let near = plan(&[0..10, 20..30, 30..40, 40 + GAP..50 + GAP]);
        assert_eq!(near.len(), 1);
        assert_eq!((near[0].span.clone(), near[0].wanted.len()), (0..50 + GAP, 4));
        let far = plan(&[0..10, 11 + GAP..20 + GAP]);
        assert_eq!(
            far.iter().map(|p| p.span.clone()).collect::<Vec<_>>(),
            [0..10, 11 + GAP..20 + GAP]
        );
        let back = plan(&[100..110, 0..10, 5..8]);
        assert_eq!(back.len(), 3, "what lies before is another request");
    }

    #[test]
    fn no_request_is_longer_than_a_piece_and_nothing_is_lost() {
        let ranges = [0..3 * PIECE + 5, 3 * PIECE + 5..3 * PIECE + 10, 10 * PIECE..10 * PIECE];
        let pieces = plan(&ranges);
        assert!(pieces.iter().all(|p| p.span.end - p.span.start <= PIECE));
        let wanted: Vec<u64> =
            pieces.iter().flat_map(|p| &p.wanted).map(|r| r.end - r.start).collect();
        assert_eq!(wanted.iter().sum::<u64>(), 3 * PIECE + 10);
        assert_eq!(pieces.len(), 4);
    }
}
