//! Promise: this program and libubootenv agree on every environment, whoever wrote last and
//! wherever the power went.
// Helpers outside #[test] count as shipped code for the lint; a test may panic.
#![allow(clippy::unwrap_used)]

use crate::uboot_bench::{Bench, PLACES, Random, SIZE, factory, text};
use std::collections::BTreeMap;
use surefoot::boot::uboot::{Env, choose};

#[test]
fn fw_printenv_reads_what_we_write() {
    for copies in [1, 2] {
        let bench = Bench::new(copies);
        bench.store.write_factory(&factory()).unwrap();
        assert_eq!(bench.theirs(), text(&factory()));
        bench.our_set("surefoot_slot", "b");
        assert!(bench.theirs().contains("surefoot_slot=b\n"));
        assert_eq!(bench.theirs(), bench.ours());
    }
}

/// Random writes by both programs, far enough to cross the wrap of the serial twice.
#[test]
fn whoever_writes_last_both_programs_read_the_same() {
    let bench = Bench::new(2);
    bench.store.write_factory(&factory()).unwrap();
    let mut model: BTreeMap<String, String> =
        factory().iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
    let mut random = Random(0x5eed);
    let mut wraps = 0;
    for round in 0..620 {
        let name = format!("v{}", random.below(9));
        let value = match random.below(4) {
            0 => String::new(),
            n => format!("{round} {}", "x".repeat(usize::try_from(n * 7).unwrap())),
        };
        match &value[..] {
            "" => model.remove(&name),
            value => model.insert(name.clone(), value.to_owned()),
        };
        let before = bench.serials();
        match random.below(2) {
            0 => bench.our_set(&name, &value),
            _ => bench.their_set(&name, &value),
        }
        let expected: String = model.iter().map(|(n, v)| format!("{n}={v}\n")).collect();
        assert_eq!(bench.ours(), expected, "round {round}");
        if round % 5 == 0 {
            assert_eq!(bench.theirs(), expected, "round {round}");
        }
        let after = bench.serials();
        let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(changed <= 1, "one copy per write: {before:?} {after:?}");
        wraps += usize::from(after.contains(&Some(0)) && before != after);
    }
    assert!(wraps >= 2, "the serial must have wrapped: {wraps}");
}

#[test]
fn the_same_change_by_either_program_leaves_the_same_content() {
    let (ours, theirs) = (Bench::new(2), Bench::new(2));
    for bench in [&ours, &theirs] {
        bench.store.write_factory(&factory()).unwrap();
    }
    for (name, value) in [
        ("surefoot_slot", "b"),
        ("aaa", "first"),
        ("zzz", "last"),
        ("baudrate", "9600"),
        ("aaa", ""),
    ] {
        ours.our_set(name, value);
        theirs.their_set(name, value);
        assert_eq!(ours.serials(), theirs.serials());
        let content = |bench: &Bench| {
            let image = bench.image();
            PLACES.map(|at| {
                let at = usize::try_from(at).unwrap();
                let data = &image[at + 4..at + SIZE];
                let end = data.windows(2).skip(1).position(|w| w == [0, 0]).unwrap();
                data[..end + 3].to_vec()
            })
        };
        assert_eq!(content(&ours), content(&theirs), "{name}={value}");
    }
}

/// The stale copy holds only the first `cut` bytes of what was written: both programs see the old
/// environment or the new one, and the same of the two.
#[test]
fn a_write_torn_at_any_byte_reads_as_old_or_new_to_fw_printenv_too() {
    let bench = Bench::new(2);
    bench.store.write_factory(&factory()).unwrap();
    let before = bench.image();
    let old = bench.ours();
    bench.our_set("baudrate", "9600");
    let after = bench.image();
    let new = bench.ours();
    assert_ne!(old, new);
    let (mut olds, mut news) = (0, 0);
    for cut in 0..=SIZE {
        // Beyond the content only every 37th byte: there is nothing but padding.
        if cut > 200 && cut % 37 != 0 && cut != SIZE {
            continue;
        }
        let at = usize::try_from(PLACES[1]).unwrap();
        let mut torn = before[at..at + SIZE].to_vec();
        torn[..cut].copy_from_slice(&after[at..at + cut]);
        bench.put(PLACES[1], &torn);
        let seen = bench.ours();
        assert_eq!(seen, bench.theirs(), "cut at {cut}");
        match seen {
            seen if seen == old => olds += 1,
            seen if seen == new => news += 1,
            other => panic!("cut at {cut}: {other}"),
        }
    }
    assert!(olds > 50 && news > 5, "{olds} {news}");
}

/// Serials at and around the edges, and many others.
#[test]
fn libubootenv_chooses_the_copy_that_we_choose() {
    let bench = Bench::new(2);
    let mut random = Random(7);
    let edges = [0u8, 1, 2, 127, 128, 253, 254, 255];
    let mut pairs: Vec<(u8, u8)> = edges.iter().flat_map(|a| edges.map(|b| (*a, b))).collect();
    let any = |r: &mut Random| u8::try_from(r.below(256)).unwrap();
    pairs.extend((0..150).map(|_| (any(&mut random), any(&mut random))));
    for (first, second) in pairs {
        for (at, serial, name) in [(PLACES[0], first, "0"), (PLACES[1], second, "1")] {
            let mut env = Env::new();
            env.set("copy", name).unwrap();
            bench.put(at, &env.encode(SIZE, Some(serial)).unwrap());
        }
        let expected = format!("copy={}\n", choose(first, second));
        assert_eq!(bench.theirs(), expected, "{first} {second}");
        assert_eq!(bench.ours(), expected, "{first} {second}");
    }
}
