//! What is waited for and what only warns: told by all, and it refuses nothing.

use super::all_tell;
use crate::common::Bench;
use crate::kept::configure;

#[test]
fn a_hold_is_a_note_and_install_keeps_its_own_status() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["hold", "--reason", "the line is being moved"]).ok();
    let said = all_tell(&|words| bench.surefoot(words), &artifact, "waits", "HELD");
    assert_eq!((said.code, said.json()["error"]["code"].clone()), (77, "HELD".into()));
}

#[test]
fn what_inhibits_and_a_persons_word_are_notes_and_a_person_installs() {
    for (code, text) in [
        ("INHIBITED", "[inhibit]\nfiles = [\"busy\"]\n"),
        ("CONFIRM_NEEDED", "[update]\nconfirm = true\n"),
    ] {
        let bench = Bench::new();
        let artifact = bench.release("2.0.0");
        std::fs::write(bench.path("DEV/busy"), "").unwrap();
        configure(&bench, text);
        all_tell(&|words| bench.surefoot(words), &artifact, "waits", code).ok();
    }
}

#[test]
fn a_trial_is_a_note_and_install_keeps_its_own_status() {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    let next = bench.release("3.0.0");
    for words in [&["doctor"][..], &["why"], &["verify", &next]] {
        let said = bench.surefoot(words).ok();
        assert!(said.out.contains("[TRIAL_PENDING]"), "{words:?}: {}", said.out);
    }
    bench.surefoot(&["install", &next]).refused(77, "TRIAL_PENDING");
}

#[test]
fn a_release_that_mends_a_sick_device_installs() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    configure(&bench, "[[health.check]]\nname = \"app\"\nfile = \"mended\"\n");
    let said = all_tell(&|words| bench.surefoot(words), &artifact, "warns", "CHECK_FAILS").ok();
    assert!(said.err.contains("the check app fails now"), "{}", said.err);
    let findings = said.json()["findings"].clone();
    assert_eq!(bench.reboot(&[]), "b", "{findings}");
    std::fs::write(bench.path("DEV/mended"), "").unwrap();
    bench.surefoot(&["commit"]).ok();
    assert_eq!(bench.status()["state"], "updated");
}

#[test]
fn a_limited_way_back_is_told_by_all_and_refuses_nothing() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    bench.patch_disk((8 << 20) + 100, &[0xff; 3]);
    all_tell(&|words| bench.surefoot(words), &artifact, "warns", "ROLLBACK_WEAK").ok();
}
