//! What a cut leaves of one write: nothing, all, a part, or worse.

use super::chance::Chance;
use super::small;

/// The unit within which a cut write may leave anything (docs/power-cuts.md).
pub(super) const UNIT: u64 = 4 << 20;

/// What landed of a write that no flush had vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landing {
    /// Not a byte.
    Nothing,
    /// All of it.
    Whole,
    /// The first bytes; the sector that was being written holds `tail` after them.
    First { len: usize, sector: usize, tail: Tail },
    /// Each sector, or not: the medium wrote them in an order of its own.
    Sectors { sector: usize, seed: u64 },
    /// Everything in its 4 MiB unit is old, new or garbage, sector by sector.
    Unit { seed: u64 },
}

/// What a sector holds behind the last byte that landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    Old,
    Zeros,
    Ones,
    Noise(u64),
}

impl Landing {
    /// The name of its kind in reports.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Landing::Nothing => "lost",
            Landing::Whole => "whole",
            Landing::First { .. } => "torn",
            Landing::Sectors { .. } => "scattered",
            Landing::Unit { .. } => "unit garbled",
        }
    }

    /// The bytes from `at` on, `old` before the write and `new` if it had landed whole.
    pub(super) fn applied(self, at: u64, old: &[u8], new: &[u8]) -> Vec<u8> {
        let mut bytes = old.to_vec();
        match self {
            Landing::Nothing => {}
            Landing::Whole | Landing::Unit { .. } => bytes.copy_from_slice(new),
            Landing::First { len, sector, tail } => {
                let len = len.min(new.len());
                bytes[..len].copy_from_slice(&new[..len]);
                let torn = (at + len as u64).next_multiple_of(sector as u64) - at;
                let end = small(torn).min(bytes.len());
                match tail {
                    Tail::Old => {}
                    Tail::Zeros => bytes[len..end].fill(0),
                    Tail::Ones => bytes[len..end].fill(0xff),
                    Tail::Noise(seed) => Chance::new(seed).fill(&mut bytes[len..end]),
                }
            }
            Landing::Sectors { sector, seed } => {
                let mut chance = Chance::new(seed);
                for (b, n) in bytes.chunks_mut(sector).zip(new.chunks(sector)) {
                    if chance.coin() {
                        b.copy_from_slice(n);
                    }
                }
            }
        }
        bytes
    }

    /// Old, new and garbage in equal parts over a whole unit; `bytes` is what it held.
    pub(super) fn garble(seed: u64, bytes: &mut [u8]) {
        let mut chance = Chance::new(seed);
        for sector in bytes.chunks_mut(512) {
            if chance.below(3) == 0 {
                chance.fill(sector);
            }
        }
    }

    /// One of all kinds. `unit` says whether the whole unit may be garbled.
    pub(super) fn any(chance: &mut Chance, len: usize, unit: bool) -> Landing {
        let seed = chance.number();
        // Half of the cuts near the beginning: that is where structures are.
        let near = if chance.coin() { len.min(2048) } else { len };
        let sector = if chance.coin() { 512 } else { 4096 };
        match chance.below(if unit { 8 } else { 7 }) {
            0 => Landing::Nothing,
            1 => Landing::Whole,
            2 | 3 => Landing::Sectors { sector: 512, seed },
            7 => Landing::Unit { seed },
            _ => Landing::First {
                len: small(chance.below(near as u64 + 1)),
                sector,
                tail: match chance.below(4) {
                    0 => Tail::Old,
                    1 => Tail::Zeros,
                    2 => Tail::Ones,
                    _ => Tail::Noise(seed),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_write_changes_nothing_behind_its_sector() {
        let (old, new) = (vec![1; 2048], vec![2; 2048]);
        for (tail, byte) in [(Tail::Old, 1), (Tail::Zeros, 0), (Tail::Ones, 0xff)] {
            let left = Landing::First { len: 700, sector: 512, tail }.applied(4096, &old, &new);
            assert_eq!((left[699], left[700], left[1023], left[1024]), (2, byte, byte, 1));
        }
        let noise = Landing::First { len: 700, sector: 512, tail: Tail::Noise(3) };
        assert_eq!(noise.applied(0, &old, &new), noise.applied(0, &old, &new), "repeatable");
        let whole = Landing::First { len: 9999, sector: 512, tail: Tail::Zeros };
        assert_eq!(whole.applied(0, &old, &new), new);
    }

    #[test]
    fn scattered_sectors_are_old_or_new() {
        let left = Landing::Sectors { sector: 512, seed: 5 }.applied(0, &[1; 8192], &[2; 8192]);
        let kinds: Vec<u8> = left.chunks(512).map(|s| s[0]).collect();
        assert!(left.chunks(512).all(|s| s.iter().all(|b| *b == s[0])));
        assert!(kinds.contains(&1) && kinds.contains(&2), "{kinds:?}");
    }
}
