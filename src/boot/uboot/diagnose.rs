//! A copy that is not valid where `fw_env.config` says: is the environment dead, or the file wrong?
//! To write over a healthy environment with `mkenvimage` would destroy it.

use super::place::Place;
use super::{CopyState, Env, Loaded};
use crate::boot::Elsewhere;
use std::path::Path;

/// Sizes that boards use, smallest first.
const SIZES: [usize; 9] =
    [0x1000, 0x2000, 0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000];

/// Offsets that boards use, looked at also while the other copy is good.
const OFFSETS: [u64; 14] = [
    0, 0x8000, 0x10000, 0x40000, 0x80000, 0xc0000, 0x100000, 0x200000, 0x3f0000, 0x400000,
    0x410000, 0x600000, 0x800000, 0xc00000,
];

/// How far a device is searched while no copy is valid, bytes, and in which steps.
const SEARCH: u64 = 16 << 20;
const STEP: usize = 0x1000;
const WINDOW: usize = 0x40000;

/// A healthy copy that `fw_env.config` does not describe.
struct Healthy<'a> {
    /// The device, image or file, as `fw_env.config` writes it.
    device: &'a Path,
    /// Offset in it, bytes.
    offset: u64,
    /// Length, bytes.
    size: usize,
    /// Whether it is one of two copies.
    redundant: bool,
    /// Where the second copy stands, if it was found.
    second: Option<u64>,
}

impl Healthy<'_> {
    /// In words: what `fw_env.config` would have to say, in one line for people.
    fn told(&self) -> Elsewhere {
        let line =
            |offset: u64| format!("`{} {offset:#x} {:#x}`", self.device.display(), self.size);
        let needs = match (self.redundant, self.second) {
            (false, _) => format!("one line: {}", line(self.offset)),
            (true, Some(second)) => {
                let (first, second) = (self.offset.min(second), self.offset.max(second));
                format!("two lines: {} and {}", line(first), line(second))
            }
            (true, None) => format!("two lines, one of them {}", line(self.offset)),
        };
        let found = format!("a healthy one with {:#x} bytes at {:#x}", self.size, self.offset);
        Elsewhere { found, needs }
    }
}

/// For each copy that is not valid: a healthy one that stands there in another form, or elsewhere.
pub(super) fn diagnose(places: &[Place], loaded: &Loaded) -> Vec<Option<Elsewhere>> {
    let alive = places.iter().zip(&loaded.copies).find_map(|(place, copy)| match copy {
        CopyState::Alive { serial, .. } => Some((place, *serial)),
        CopyState::Dead(_) => None,
    });
    let both = places.iter().zip(&loaded.copies);
    both.map(|(place, copy)| match (copy, alive) {
        (CopyState::Alive { .. }, _) => None,
        (CopyState::Dead(_), None) => described_wrong(place),
        (CopyState::Dead(_), Some((good, serial))) => misplaced(place, good, serial),
    })
    .collect()
}

/// No copy is valid as described.
fn described_wrong(place: &Place) -> Option<Elsewhere> {
    let own = place.offset();
    let (offset, size, redundant) = match look_at(place, own) {
        Some((size, redundant, _)) => (own, size, redundant),
        None => search(place)?,
    };
    let near = [own, offset + wide(size), offset.wrapping_sub(wide(size))];
    let second = OFFSETS.into_iter().chain(near).find(|at| {
        *at != offset && look_at(place, *at).is_some_and(|(s, r, _)| (s, r) == (size, redundant))
    });
    let second = second.filter(|_| redundant);
    Some(Healthy { device: &place.written, offset, size, redundant, second }.told())
}

/// The other copy is good. What carries the serial number before or after its own is its partner; any
/// other may be left from an older layout, and is none of ours.
fn misplaced(place: &Place, good: &Place, serial: Option<u8>) -> Option<Elsewhere> {
    let serial = serial?;
    let taken = |at: u64| place.device == good.device && at == good.offset();
    let found = OFFSETS.into_iter().filter(|at| !taken(*at)).find(|at| {
        look_at(place, *at).is_some_and(|(size, redundant, other)| {
            let next = other.is_some_and(|o| matches!(o.wrapping_sub(serial), 1 | 255));
            size == place.size && redundant && next
        })
    })?;
    let second = (place.device == good.device).then(|| good.offset());
    let (device, size) = (&place.written, place.size);
    Some(Healthy { device, offset: found, size, redundant: true, second }.told())
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

/// Whether a list of variables could begin here: `name=` behind a checksum, and perhaps a serial.
fn begins(bytes: &[u8]) -> bool {
    [4, 5].into_iter().any(|header| {
        let name = bytes.get(header..).unwrap_or_default().iter().take(64);
        let name: Vec<u8> = name.copied().take_while(|b| *b != b'=').collect();
        !name.is_empty() && name.len() < 64 && name.iter().all(u8::is_ascii_graphic)
    })
}

/// A healthy copy that begins at `offset`: its size, whether it has a serial number, and which.
fn look_at(place: &Place, offset: u64) -> Option<(usize, bool, Option<u8>)> {
    if !begins(&place.peek(offset, STEP)?) {
        return None;
    }
    for size in SIZES {
        let Some(bytes) = place.peek(offset, size) else {
            continue;
        };
        for redundant in [true, false] {
            // An empty list proves nothing.
            if let Ok((env, serial)) = Env::decode(&bytes, redundant)
                && env.iter().next().is_some()
            {
                return Some((size, redundant, serial));
            }
        }
    }
    None
}

fn search(place: &Place) -> Option<(u64, usize, bool)> {
    let mut at = 0;
    while at < SEARCH {
        let window = place.peek_some(at, WINDOW)?;
        for (step, bytes) in (0..).step_by(STEP).zip(window.chunks(STEP)) {
            let offset = at + step;
            if begins(bytes)
                && let Some((size, redundant, _)) = look_at(place, offset)
            {
                return Some((offset, size, redundant));
            }
        }
        at += wide(WINDOW);
    }
    None
}
