//! Thousands of mutations of everything that a device reads, through the real programs: no panic, no
//! hang, no end by a signal, no exit status that is not documented, and no character that does
//! something else than be seen.
//!
//! `SUREFOOT_FULL=1` tries 10,000 of each kind. A failure names the round, which is the seed of its
//! generator, and where the mutation is kept.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "tests panic on purpose; the lengths here are small"
)]

mod kinds;
mod run;

use crate::corpus::Random;
use run::Tried;

/// Mutations of each kind in the ordinary run: a process each, of 10 ms and more.
const USUAL: usize = 25;
const FULL: usize = 10_000;

fn rounds(usual: usize) -> usize {
    if std::env::var_os("SUREFOOT_FULL").is_some() { FULL } else { usual }
}

/// Tries `kind` so many times. `one` makes a mutation with this generator, and says what was
/// mutated and what the programs did with it.
fn each(
    kind: &str,
    usual: usize,
    mut one: impl FnMut(usize, &mut Random) -> (Vec<u8>, Vec<Tried>),
) {
    for round in 0..rounds(usual) {
        let mut random = Random(round as u64 ^ 0x5eed);
        let (mutant, tried) = one(round, &mut random);
        for told in tried {
            if let Err(why) = told.judge() {
                let kept = std::env::temp_dir().join(format!("surefoot-mutant-{kind}-{round}"));
                std::fs::write(&kept, &mutant).unwrap();
                panic!("{kind}, round {round}, kept as {}: {why}", kept.display());
            }
        }
    }
}
