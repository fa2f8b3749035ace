//! The stick is pulled at any moment, and put in again.

use crate::common::Bench;
use crate::media::{Medium, Shape};

fn stick_with(bench: &Bench, stick: &Medium, reads: u64) -> crate::common::Said {
    let reads = reads.to_string();
    bench.surefoot_with(&["stick", stick.text()], &[("SUREFOOT_SIM_UNPLUG", &reads)], b"")
}

#[test]
fn pulled_at_a_hundred_moments_it_loses_nothing_and_goes_on() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 32, 40);
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    let before = bench.firm_ground();
    let running = bench.slot_bytes("a");
    let (mut lost, mut ends) = (0, std::collections::BTreeMap::new());
    let mut reads = 0;
    // Each child may read so often: from the first sector of the table to the last byte.
    loop {
        let said = stick_with(&bench, &stick, reads);
        if said.code == 0 {
            break;
        }
        lost += 1;
        assert!([66, 69].contains(&said.code), "after {reads}: {}{}", said.out, said.err);
        *ends.entry(said.code).or_insert(0) += 1;
        assert!(bench.slot_bytes("a") == running, "after {reads} reads");
        let now = bench.firm_ground();
        // What the environment says boots: the running slot, and no trial.
        assert_eq!(now[2..], before[2..], "after {reads} reads");
        assert_eq!(bench.status()["trial"], serde_json::Value::Null);
        reads += 1;
        assert!(reads < 500, "it never ends");
    }
    assert!(ends.contains_key(&69), "no install was ever interrupted: {ends:?}");
    println!("note: pulled at {lost} moments: {ends:?}");
    assert_eq!(bench.reboot(&[]), "b");
    let image = crate::common::read(&bench.path("v2.0.0.img"));
    assert!(bench.slot_bytes("b")[..image.len()] == image[..], "other bytes in the slot");
    bench.surefoot(&["commit"]).ok();
}

#[test]
fn pulled_at_random_moments_a_fresh_device_each_time_finishes_with_the_same_bytes() {
    let mut state = 0x5eed_u64;
    let mut word = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Gpt, 16, 20);
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    let image = crate::common::read(&bench.path("v2.0.0.img"));
    let copy = |from: &str, to: &str| {
        crate::media::tool("cp", &["--sparse=always", &bench.path(from), &bench.path(to)]);
    };
    copy("DEV/disk.img", "fresh.img");
    let (mut interrupted, rounds) = (0, crate::common::rounds(15));
    for round in 0..rounds {
        copy("fresh.img", "DEV/disk.img");
        let _ = std::fs::remove_dir_all(bench.path("DEV/state"));
        std::fs::create_dir(bench.path("DEV/state")).unwrap();
        let reads = 14 + word() % 18;
        let said = stick_with(&bench, &stick, reads);
        if said.code != 0 {
            assert!([66, 69].contains(&said.code), "{round}: {}{}", said.out, said.err);
            interrupted += u32::from(bench.status()["state"] == "installing");
            bench.surefoot(&["stick", stick.text()]).ok();
        }
        assert_eq!(bench.status()["state"], "switching");
        assert!(bench.slot_bytes("b")[..image.len()] == image[..], "round {round}");
    }
    assert!(interrupted > rounds / 20, "only {interrupted} were interrupted while writing");
}

#[test]
fn pulled_while_the_report_is_written_it_keeps_its_files_and_gets_a_whole_one_the_next_time() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 32, 40);
    let artifact = bench.release("2.0.0");
    stick.put(&artifact, "x.surefoot");
    stick.put(&artifact, "holiday.jpg");
    bench.surefoot(&["stick", stick.text()]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    // A report stands there from the installation: it is replaced.
    let fresh = bench.path("fresh.img");
    let restore = |from: &str, to: &str| crate::media::tool("cp", &["--sparse=always", from, to]);
    restore(stick.text(), &fresh);
    let mut moments = 0;
    loop {
        restore(&fresh, stick.text());
        let after = [("SUREFOOT_SIM_UNPLUG_REPORT", moments.to_string())];
        let after = after.each_ref().map(|(name, n)| (*name, n.as_str()));
        let said = bench.surefoot_with(&["stick", stick.text()], &after, b"").ok();
        let whole = !said.out.contains("No report is on the stick: ");
        for name in ["x.surefoot", "holiday.jpg"] {
            let (own, there) = (crate::common::read(&artifact), stick.bytes(name));
            assert!(own == there, "{name} is another one, after {moments} reads and writes");
        }
        bench.surefoot(&["stick", stick.text()]).ok();
        assert!(stick.report().contains("ALREADY_INSTALLED"), "{}", stick.report());
        assert_eq!(stick.json()["result"]["code"], "ALREADY_INSTALLED", "after {moments}");
        if whole {
            break;
        }
        moments += 1;
        assert!(moments < 500, "it never ends");
    }
    assert!(moments > 10, "only {moments} moments");
    println!("note: pulled at {moments} moments of writing");
}

#[test]
fn a_lamp_sees_that_it_was_pulled() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Bare, 16, 20);
    let status = || std::fs::read_to_string(bench.path("DEV/run/surefoot/stick.status")).unwrap();
    bench.surefoot(&["stick", stick.text()]);
    bench.surefoot(&["stick", "--gone", stick.text()]).ok();
    assert_eq!(status(), "state=none\n");
    std::fs::write(bench.path("DEV/run/surefoot/stick.status"), "state=installing\n").unwrap();
    bench.surefoot(&["stick", "--gone", stick.text()]).ok();
    assert!(status().starts_with("state=lost\n"), "{}", status());
}
