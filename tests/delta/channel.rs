//! Deltas by channel: `surefoot-forge channel add --deltas-from` makes and names them, and devices that run one
//! of their bases update by them.

use super::install::{LEN, artifact, last, make, newer};
use crate::common::{Said, forge, image};
use crate::followed::Followed;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use surefoot::sys::power::CUT_VARIABLE;

/// Releases 1.0.1 to 1.0.5, each a little different from the one before.
fn releases(place: &Followed) -> Vec<String> {
    let mut bytes = image(21, LEN);
    (1..=5)
        .map(|n| {
            bytes = newer(&bytes, n);
            artifact(&place.bench, &format!("r{n}"), &bytes, &format!("1.0.{n}"))
        })
        .collect()
}

/// The channel with four releases, and a fifth one with deltas from three of them.
fn published() -> (Followed, Vec<String>) {
    let place = Followed::new();
    let all = releases(&place);
    for older in &all[..4] {
        place.channel(&["add", older]);
    }
    place.channel(&["publish"]);
    add(&place, &all[4]).ok();
    place.channel(&["publish"]);
    (place, all)
}

fn add(place: &Followed, artifact: &str) -> Said {
    let key = place.bench.path("KEYS/release.key");
    let words = [artifact, "--deltas-from", "3", "--delta-key", &key];
    forge(&[&["channel", "add", &place.www], &words[..]].concat())
}

/// Names of deltas in a folder, with the files that they are.
fn deltas(folder: &str) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    let named =
        entries.map(|e| (e.file_name().into_string().unwrap(), e.metadata().unwrap().ino()));
    named.filter(|(name, _)| name.ends_with(".delta.surefoot")).collect()
}

fn from_of(name: &str) -> &str {
    name.split(".from-").nth(1).unwrap().strip_suffix(".delta.surefoot").unwrap()
}

fn runs(place: &Followed, artifact: &str) {
    place.bench.surefoot(&["install", artifact]).ok();
    place.bench.reboot(&[]);
    place.bench.surefoot(&["commit"]).ok();
}

fn asked(place: &Followed) -> Vec<String> {
    let all = place.server.asked();
    all.into_iter().map(|asked| asked.target).filter(|t| t.ends_with(".surefoot")).collect()
}

#[test]
fn a_device_that_runs_a_base_updates_by_its_delta_and_an_older_one_adaptively() {
    let (place, all) = published();
    assert_eq!(deltas(&place.www).len(), 3);
    runs(&place, &all[0]);
    let plan = last(&place.ask(&["update", "--dry-run", "--json"]).ok());
    assert_eq!(plan["via"], "adaptive", "{plan}");
    runs(&place, &all[2]);
    let before = asked(&place).len();
    let plan = last(&place.ask(&["update", "--dry-run", "--json"]).ok());
    assert_eq!(plan["via"], "delta", "{plan}");
    let answer = last(&place.ask(&["update", "--json"]).ok());
    assert_eq!(
        (&answer["via"], &answer["version"]),
        (&"delta".into(), &"1.0.5".into()),
        "{answer}"
    );
    // The whole artifact was not even asked for.
    let fetched = &asked(&place)[before..];
    assert!(fetched.iter().all(|target| from_of(target) == "1.0.3"), "{fetched:?}");
    let slot = place.bench.reboot(&[]);
    assert_eq!(place.bench.status()["slots"][slot]["version"], "1.0.5");
    place.bench.surefoot(&["commit"]).ok();
    place.bench.surefoot(&["verify"]).ok();
}

#[test]
fn where_the_delta_of_an_offer_does_not_help_the_artifact_is_fetched() {
    let (place, all) = published();
    runs(&place, &all[3]);
    let name = deltas(&place.www).into_keys().find(|name| from_of(name) == "1.0.4").unwrap();
    let file = format!("{}/{name}", place.www);
    let good = std::fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    // Not there, not signed so, another file.
    let others = [None, Some(bad), Some(std::fs::read(&all[1]).unwrap())];
    for bytes in others {
        match &bytes {
            None => std::fs::remove_file(&file).unwrap(),
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
        }
        let said = place.ask(&["update", "--dry-run", "--json"]).ok();
        let told = format!("{}{}", said.out, said.err);
        assert!(told.contains("takes its place"), "{told}");
        assert_eq!(last(&said)["via"], "adaptive", "{told}");
    }
    std::fs::write(&file, &good).unwrap();
    // And of the slot that runs, one byte is another.
    let at = place.bench.slot_offset(&place.bench.booted()) + 700_000;
    let old = place.bench.disk_bytes(at as u64, 1);
    place.bench.patch_disk(at, &[old[0] ^ 1]);
    let said = place.ask(&["update", "--json"]).ok();
    let told = format!("{}{}", said.out, said.err);
    assert!(told.contains("DELTA_BASE") && told.contains("takes its place"), "{told}");
    assert_eq!(last(&said)["via"], "adaptive", "{told}");
    let slot = place.bench.reboot(&[]);
    assert_eq!(place.bench.status()["slots"][slot]["version"], "1.0.5");
    place.bench.surefoot(&["commit"]).ok();
    place.bench.surefoot(&["verify"]).ok();
}

#[test]
fn what_a_delta_says_it_makes_is_not_what_was_offered() {
    let (place, all) = published();
    runs(&place, &all[3]);
    // All that is signed, but neither offered nor published: a release, and a delta to it, under the names of
    // those that are.
    let bench = &place.bench;
    let later = artifact(bench, "later", &newer(&image(21, LEN), 9), "1.0.9");
    let delta = bench.path("later.delta");
    make(bench, &all[3], &later, &delta);
    let name = deltas(&place.www).into_keys().find(|name| from_of(name) == "1.0.4").unwrap();
    let full = format!("{}.surefoot", name.split(".from-").next().unwrap());
    for (file, name) in [(&delta, &name), (&later, &full)] {
        std::fs::remove_file(format!("{}/{name}", place.www)).unwrap();
        std::fs::copy(file, format!("{}/{name}", place.www)).unwrap();
    }
    let other = if bench.booted() == "a" { "b" } else { "a" };
    let before = bench.slot_bytes(other);
    place.ask(&["update"]).refused(65, "OTHER_RELEASE");
    assert!(bench.slot_bytes(other) == before, "something was written");
    assert_ne!(bench.status()["state"], "switching");
}

#[test]
fn the_power_may_go_during_an_update_by_delta() {
    let (place, all) = published();
    runs(&place, &all[3]);
    for cut in [4, 9, 14] {
        let plug = format!("{cut}:700");
        let said = place.bench.surefoot_with(&["update"], &[(CUT_VARIABLE, &plug)], b"");
        assert_eq!(said.code, 99, "cut {cut}: {}", said.err);
        let slot = place.bench.reboot(&[]);
        assert_eq!(place.bench.status()["slots"][&slot]["version"], "1.0.4", "cut {cut}");
    }
    place.ask(&["update", "--json"]).ok();
    let slot = place.bench.reboot(&[]);
    assert_eq!(place.bench.status()["slots"][slot]["version"], "1.0.5");
    place.bench.surefoot(&["commit"]).ok();
    place.bench.surefoot(&["verify"]).ok();
}

#[test]
fn what_a_cut_has_left_stands_and_is_not_made_again() {
    let place = Followed::new();
    let all = releases(&place);
    for older in &all[..4] {
        place.channel(&["add", older]);
    }
    let (work, draft) = (place.bench.path("www.work"), place.bench.path("www.work/draft.json"));
    let before = std::fs::read(&draft).unwrap();
    // Without a key that may sign deltas nothing is begun.
    let words = ["channel", "add", &place.www, &all[4], "--deltas-from", "3"];
    let said = forge(&words);
    assert!(said.err.contains("--delta-key") && said.err.contains("[USAGE]"), "{}", said.err);
    let channel = place.bench.path("KEYS/channel.key");
    let said = forge(&[&words[..], &["--delta-key", &channel]].concat());
    assert!(said.err.contains("[KEY_ROLE]"), "{}", said.err);
    assert!(deltas(&work).is_empty());
    add(&place, &all[4]).ok();
    let made = deltas(&work);
    let bases: Vec<_> = made.keys().map(|name| from_of(name)).collect();
    assert_eq!(bases, ["1.0.2", "1.0.3", "1.0.4"]);
    // As after a cut: the draft is the old one, one delta is not there, another one is damaged.
    std::fs::write(&draft, &before).unwrap();
    let path = |from: &str| {
        let name = made.keys().find(|name| from_of(name) == from).unwrap();
        (format!("{work}/{name}"), made[name])
    };
    std::fs::remove_file(path("1.0.2").0).unwrap();
    let cut = std::fs::File::options().write(true).open(path("1.0.3").0).unwrap();
    cut.set_len(5_000).unwrap();
    let said = add(&place, &all[4]).ok();
    assert_eq!(said.out.matches("stands already").count(), 1, "{}", said.out);
    let inode = |path: &str| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&path("1.0.4").0), path("1.0.4").1, "it is the same file");
    assert!(std::fs::metadata(path("1.0.3").0).unwrap().len() > 5_000);
    // Once more with the same words: nothing is left to be made, and nothing is named twice.
    let said = add(&place, &all[4]).ok();
    assert_eq!(said.out.matches("stands already").count(), 3, "{}", said.out);
    let text = std::fs::read_to_string(&draft).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["releases"][4]["release"]["deltas"].as_array().unwrap().len(), 3, "{text}");
    place.channel(&["publish"]);
    assert_eq!((deltas(&place.www).len(), deltas(&work).len()), (3, 0));
    // They stand in the public folder too.
    let said = add(&place, &all[4]).ok();
    assert_eq!(said.out.matches("stands already").count(), 3, "{}", said.out);
}
