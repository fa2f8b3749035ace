//! The seeds of `fuzz/corpus` and mutations of them, run as ordinary tests: what a fuzzer has found
//! once stays found where there is no fuzzer.

use std::path::Path;

/// Mutations of each target's seeds, together.
const USUAL: usize = 300;
/// The same in `./check --full`.
const FULL: usize = 10_000;
/// No input takes more processor time, in nanoseconds.
const MOST: u64 = 2_000_000_000;

/// Runs `property` on every seed of `target`, and on mutations of them. The property panics where it
/// does not hold. Deterministic: a failure names the seed and the number of the mutation.
pub(crate) fn run(target: &str, property: fn(&[u8])) {
    run_some(target, property, USUAL);
}

/// The same with another number of mutations, for a property that is slow.
pub(crate) fn run_some(target: &str, property: fn(&[u8]), usual: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut seeds: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for (number, seed) in seeds.iter().enumerate() {
        timed(property, seed, target, number, 0);
    }
    let rounds = if std::env::var_os("SUREFOOT_FULL").is_some() { FULL } else { usual };
    for round in 1..=rounds {
        let number = round % seeds.len();
        let mut random = Random(u64::try_from(round).unwrap());
        let mutant = mutated(&seeds[number], &seeds, &mut random);
        timed(property, &mutant, target, number, round);
    }
}

fn timed(property: fn(&[u8]), input: &[u8], target: &str, seed: usize, round: usize) {
    let before = on_cpu();
    let told = std::panic::catch_unwind(|| property(input));
    let took = on_cpu().saturating_sub(before);
    if told.is_err() || took > MOST {
        let kept = std::env::temp_dir().join(format!("surefoot-{target}-{seed}-{round}"));
        let _ = std::fs::write(&kept, input);
        panic!(
            "{target}: seed {seed}, mutation {round}, {} ms; it is kept as {}",
            took / 1_000_000,
            kept.display()
        );
    }
}

/// Processor time of this thread in nanoseconds: other work on the machine does not count.
fn on_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 where that is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap();
        if limit == 0 { 0 } else { usize::try_from(self.next() % limit).unwrap() }
    }
}

/// One to four changes: a bit, a byte, a piece cut out, doubled or taken from another seed, digits and
/// signs that parsers trip over.
pub(crate) fn mutated(seed: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const WORDS: [&[u8]; 14] = [
        b"0",
        b"-1",
        b"18446744073709551616",
        b"9223372036854775807",
        b"4294967295",
        b"\0",
        b"\n",
        b"\x1b[31m",
        b"\xe2\x80\xae",
        b"\xff\xff\xff\xff",
        b"\"",
        b"[[",
        b"=",
        b" ",
    ];
    let mut out = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len() + 1);
        let end = at + random.below((out.len() - at).min(64) + 1);
        match random.below(8) {
            0 | 1 if at < out.len() => out[at] ^= 1 << random.below(8),
            2 if at < out.len() => out[at] = u8::try_from(random.below(256)).unwrap(),
            3 => drop(out.drain(at..end)),
            4 => {
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            5 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below((other.len() - from).min(64) + 1);
                out.splice(at..end, other[from..to].iter().copied());
            }
            6 => out.truncate(at),
            _ => drop(out.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
        }
    }
    out
}
