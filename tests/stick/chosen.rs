//! Which artifact is chosen, and how that is explained.

use crate::common::Bench;
use crate::media::{Medium, Shape};

fn stick(bench: &Bench) -> Medium {
    Medium::new(bench.dir.path(), "s.img", Shape::Primary, 32, 40)
}

#[test]
fn the_newest_that_fits_is_taken_and_the_others_are_explained() {
    let bench = Bench::new();
    let stick = stick(&bench);
    let strange =
        bench.artifact("strange", 9, 1 << 20, &["--version", "9.0.0", "--compatible", "x"]);
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    stick.put(&bench.release("2.1.0"), "y.surefoot");
    stick.put(&strange, "z.surefoot");
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    for part in [
        "3 artifacts: ",
        "x.surefoot: 2.0.0 is older",
        "y.surefoot: 2.1.0 installed",
        "z.surefoot: ",
        "(INCOMPATIBLE)",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
        let one = part.split(": ").last().unwrap();
        assert!(stick.report().contains(one), "{one}: {}", stick.report());
    }
    assert_eq!(bench.reboot(&[]), "b");
    assert_eq!(bench.status()["slots"]["b"]["version"], "2.1.0");
    let before = stick.report();
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["stick", stick.text()]).ok();
    assert!(stick.report() != before);
    assert!(stick.report().contains("updated to 2.1.0"), "{}", stick.report());
}

#[test]
fn what_is_unsigned_or_for_others_is_refused_and_told() {
    let bench = Bench::new();
    let before = bench.firm_ground();
    let words = |flag: &'static str, value: &'static str| ["--version", "9.0.0", flag, value];
    let cases = [
        (
            bench.artifact("unsigned", 3, 1 << 20, &["--version", "2.0.0", "--unsigned"]),
            65,
            "SIGNATURE_MISSING",
        ),
        (bench.artifact("other", 4, 1 << 20, &words("--compatible", "other")), 65, "INCOMPATIBLE"),
        (bench.artifact("product", 5, 1 << 20, &words("--product", "other")), 65, "WRONG_PRODUCT"),
    ];
    for (artifact, code, reason) in cases {
        let stick = stick(&bench);
        stick.put(&artifact, "x.surefoot");
        let said = bench.surefoot(&["stick", stick.text()]);
        assert_eq!(said.code, code, "{}", said.out);
        assert!(stick.report().contains(&format!("Code: {reason}\nNext: ")), "{}", stick.report());
        assert_eq!(stick.json()["result"]["code"], reason);
        assert_eq!(stick.json()["result"]["state"], "refused");
        let status = std::fs::read_to_string(bench.path("DEV/run/surefoot/stick.status")).unwrap();
        assert!(status.contains(&format!("state=refused\ncode={reason}\n")), "{status}");
        assert!(bench.firm_ground() == before);
    }
}

#[test]
fn an_artifact_that_is_cut_short_or_damaged_leaves_room_for_the_next() {
    let bench = Bench::new();
    let stick = stick(&bench);
    let mut short = crate::common::read(&bench.release("4.0.0"));
    short.pop();
    let mut flipped = crate::common::read(&bench.release("3.0.0"));
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (name, bytes) in [("short", &short), ("flipped", &flipped)] {
        std::fs::write(bench.path(name), bytes).unwrap();
        stick.put(&bench.path(name), &format!("{name}.surefoot"));
    }
    let before = bench.firm_ground();
    let said = bench.surefoot(&["stick", stick.text()]);
    assert_eq!(said.code, 65, "{}", said.out);
    assert!(said.out.contains("(TRUNCATED)"), "{}", said.out);
    assert!(said.out.contains("flipped.surefoot: "), "{}", said.out);
    assert_eq!(stick.json()["result"]["code"], "CHUNK_CORRUPT");
    assert!(bench.firm_ground() == before);
    stick.put(&bench.release("2.0.0"), "good.surefoot");
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("good.surefoot: 2.0.0 is in slot b"), "{}", said.out);
}

#[test]
fn of_two_equal_releases_the_same_one_is_taken_whatever_they_are_called() {
    let bench = Bench::new();
    let one = bench.artifact("one", 1, 1 << 20, &["--version", "2.0.0"]);
    let two = bench.artifact("two", 2, 1 << 20, &["--version", "2.0.0"]);
    let mut taken = Vec::new();
    for (a, b) in [(&one, &two), (&two, &one)] {
        let stick = stick(&bench);
        stick.put(a, "a.surefoot");
        stick.put(b, "b.surefoot");
        let said = bench.surefoot(&["stick", stick.text()]).ok();
        assert!(said.out.contains("another build with the same release counter"), "{}", said.out);
        taken.push(bench.status()["slots"]["b"]["sha256"].clone());
        bench.surefoot(&["rollback"]).ok();
        bench.surefoot(&["stick", "--gone", stick.text()]).ok();
    }
    assert_eq!(taken[0], taken[1]);
    let stick = stick(&bench);
    stick.put(&one, "a.surefoot");
    stick.put(&one, "b.surefoot");
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("b.surefoot: 2.0.0, a copy of another one"), "{}", said.out);
}

#[test]
fn a_stick_that_stays_in_does_not_install_again_what_did_not_stay() {
    let bench = Bench::new();
    let stick = stick(&bench);
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    bench.surefoot(&["stick", stick.text()]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    // On trial: told, and no failure.
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("on trial"), "{}", said.out);
    assert_eq!(stick.json()["result"]["state"], "waiting");
    bench.surefoot(&["rollback", "--reason", "ugly"]).ok();
    assert_eq!(bench.reboot(&[]), "a");
    // Looked at again and again, with others beside it: nobody has put it in.
    for _ in 0..2 {
        let said = bench.surefoot(&["stick", stick.text()]);
        assert!(said.code != 0, "{}", said.out);
        assert!(stick.report().contains("rolled back from 2.0.0"), "{}", stick.report());
        assert_eq!(bench.status()["state"], "rolled-back");
    }
}

#[test]
fn ten_thousand_files_come_to_an_end() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 16, 20).with_room(10_240);
    stick.put(&bench.release("2.0.0"), "first.surefoot");
    let entry = |n: usize| {
        let mut entry = *b"F0000000TXT \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        entry[1..8].copy_from_slice(format!("{n:07}").as_bytes());
        entry
    };
    stick.add_entries(&(0..10_000).map(entry).collect::<Vec<_>>());
    stick.put(&bench.release("3.0.0"), "last.surefoot");
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("first.surefoot: 2.0.0 installed"), "{}", said.out);
    assert!(!said.out.contains("last.surefoot"), "{}", said.out);
    assert!(stick.report().contains("more files than are looked at"), "{}", stick.report());
}

#[test]
fn a_report_has_a_date_a_result_in_one_word_and_the_fate_of_every_file() {
    let bench = Bench::new();
    let stick = stick(&bench);
    let mut damaged = crate::common::read(&bench.release("3.0.0"));
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(bench.path("damaged"), &damaged).unwrap();
    stick.put(&bench.path("damaged"), "new.surefoot");
    stick.put(&bench.release("2.0.0"), "old.surefoot");
    let said = bench.surefoot(&["stick", stick.text(), "--json"]).ok();
    let report = stick.report();
    assert!(report.starts_with("Result    INSTALLED\nDate      20"), "{report}");
    let lines: Vec<_> = report.lines().filter(|l| l.starts_with("Artifact  ")).collect();
    assert_eq!(lines.len(), 2, "{report}");
    assert!(lines[0].contains("new.surefoot") && lines[0].contains("(CHUNK_CORRUPT)"), "{report}");
    assert!(lines[1].contains("old.surefoot") && lines[1].ends_with("2.0.0 installed"), "{report}");
    let (printed, left): (serde_json::Value, _) =
        (serde_json::from_str(&said.out).unwrap(), stick.json());
    assert_eq!(printed["result"], left["result"]);
    assert_eq!(left["result"]["word"], "installed");
    assert!(left["at"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(left["candidates"][0]["verdict"], "refused");
    assert_eq!(left["candidates"][1]["fate"], "2.0.0 installed");
}

#[test]
fn a_refusal_is_told_on_standard_error_with_advice_for_a_person_with_a_stick() {
    let bench = Bench::new();
    let stick = stick(&bench);
    stick.put(
        &bench.artifact("unsigned", 3, 1 << 20, &["--version", "2.0.0", "--unsigned"]),
        "x.surefoot",
    );
    let said = bench.surefoot(&["stick", stick.text()]);
    assert_eq!(said.code, 65);
    assert!(
        said.err.contains("[SIGNATURE_MISSING]") && said.err.contains("next: "),
        "{}",
        said.err
    );
    assert!(said.out.starts_with("refused: 1 artifact: x.surefoot: "), "{}", said.out);
    for (text, what) in [(&said.err, "stderr"), (&stick.report(), "report")] {
        for word in ["surefoot-forge", "--reinstall", "ebuild"] {
            assert!(!text.contains(word), "{what}: {text}");
        }
    }
}
