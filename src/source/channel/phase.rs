//! The place of a device in the order in which a release reaches devices.

use super::PhaseStart;
use crate::model::Digest;
use sha2::{Digest as _, Sha256};

/// The place of the device `id` for the release whose manifest hashes to `release`, as a number of 2⁻⁶⁴:
/// the first 64 bits, big endian, of SHA-256(`SUREFOOT-PHASE-v1` NUL ‖ digest ‖ id). Another release gives
/// another order, so that no device is always the first.
pub fn place(id: &str, release: &Digest) -> u64 {
    let mut hash = Sha256::new();
    hash.update(b"SUREFOOT-PHASE-v1\0");
    hash.update(release.0);
    hash.update(id.as_bytes());
    let hash = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

/// Whether a device at `place` is among the first `percent` of a hundred.
pub fn reached(place: u64, percent: u8) -> bool {
    u128::from(place) * 100 < u128::from(percent) << 64
}

/// When the device at `place` is reached: `None` if never. Without phases every device is, at once.
pub(super) fn start(phases: &[PhaseStart], place: u64) -> Option<u64> {
    match phases {
        [] => Some(0),
        _ => phases.iter().find(|phase| reached(place, phase.percent)).map(|phase| phase.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_what_the_format_says() {
        let release = Digest([7; 32]);
        let bytes = [&b"SUREFOOT-PHASE-v1\0"[..], &[7; 32], b"device"].concat();
        let first = Digest::of(&bytes).0[..8].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        assert_eq!(place("device", &release), first);
    }

    #[test]
    fn a_million_devices_come_within_two_thousandths_of_each_percentage() {
        let releases = [Digest::of(b"one"), Digest::of(b"two")];
        let percents = [0, 1, 5, 10, 25, 50, 75, 99, 100];
        for release in &releases {
            let mut reached_by = [0u32; 9];
            for n in 0..1_000_000 {
                let place = place(&format!("{n:032x}"), release);
                for (count, percent) in reached_by.iter_mut().zip(percents) {
                    *count += u32::from(reached(place, percent));
                }
            }
            for (count, percent) in reached_by.iter().zip(percents) {
                let share = f64::from(*count) / 10_000.0;
                println!("{percent} % asked: {share:.3} % of 1,000,000 devices");
                assert!((share - f64::from(percent)).abs() < 0.2, "{percent}: {share}");
            }
            assert_eq!((reached_by[0], reached_by[8]), (0, 1_000_000));
        }
        // The order of one release says nothing about that of another.
        let both = (0..100_000).filter(|n| {
            let id = format!("{n:032x}");
            releases.iter().all(|release| reached(place(&id, release), 10))
        });
        let both = both.count();
        assert!((800..1_200).contains(&both), "{both}");
    }
}
