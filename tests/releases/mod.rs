//! What a release has written, every later program reads; what today's program writes, every
//! release reads (docs/compatibility.md). `UPDATE_GOLDEN=1 cargo test --test promises releases::` records a
//! release that is not recorded yet; what is recorded is never changed.

// Helpers of a test stand outside #[test] functions; a panic there is the test's verdict.
#![allow(clippy::unwrap_used)]

mod older;
mod recording;
mod scenes;
mod shape;
use crate::common;

use recording::releases;
use scenes::{files, journal, play, restore};
use serde_json::Value;
use shape::Shape;

#[test]
fn a_finished_version_is_recorded() {
    let version = env!("CARGO_PKG_VERSION");
    let recorded = releases().iter().any(|r| r.version == version);
    assert!(
        recorded || version.contains('-'),
        "UPDATE_GOLDEN=1 cargo test --test promises releases::"
    );
}

/// What each state's device does next, and the word that it then is in.
fn goes_on(bench: &common::Bench, scene: &str, second: &str) -> &'static str {
    let install = || bench.surefoot(&["install", second]);
    match scene {
        "updated" => drop(install().refused(3, "ALREADY_INSTALLED")),
        "rolled-back" => drop(install().refused(65, "ROLLED_BACK_BEFORE")),
        "staged" => drop(bench.surefoot(&["switch"]).ok()),
        "switching" => assert_eq!(bench.reboot(&[]), "a"),
        "trying" => drop(bench.surefoot(&["commit"]).ok()),
        "returning" => assert_eq!(bench.reboot(&[]), "b"),
        _ => drop(install().ok()),
    }
    match scene {
        "switching" => "trying",
        "trying" | "updated" => "updated",
        "returning" | "rolled-back" => "rolled-back",
        _ => "switching",
    }
}

#[test]
fn every_recorded_state_is_read_as_what_it_was_and_goes_on() {
    for release in releases() {
        let artifacts = release.artifacts();
        for (scene, recorded) in &release.scenes {
            let bench = restore(scene, recorded, &artifacts);
            let at = |what: &str| format!("{} {scene}: {what}", release.version);
            let was: Value = serde_json::from_slice(&recorded["status.json"]).unwrap();
            let status = bench.status();
            for key in ["state", "booted", "degraded", "rollback", "floor"] {
                assert_eq!(status[key], was[key], "{}", at(key));
            }
            assert_eq!(status["next"]["action"], was["next"]["action"], "{}", at("next"));
            for part in ["last", "trial"] {
                let keys = was[part].as_object().into_iter().flatten();
                keys.for_each(|(key, value)| assert_eq!(status[part][key], *value, "{}", at(key)));
            }
            let told: Value = serde_json::from_slice(&recorded["history.json"]).unwrap();
            let history = bench.surefoot(&["history", "--json"]).ok().json();
            let moves = |v: &Value| v["history"].as_array().unwrap().len();
            assert_eq!(moves(&history), moves(&told), "{}", at("history"));
            let word = goes_on(&bench, scene, &artifacts.second);
            assert_eq!(bench.status()["state"], word, "{}", at("what comes next"));
        }
    }
}

#[test]
fn every_recorded_artifact_installs_and_runs() {
    for release in releases() {
        let artifacts = release.artifacts();
        let bench = artifacts.updated_once();
        bench.surefoot(&["install", &artifacts.second]).ok();
        assert_eq!(bench.reboot(&[]), "a");
        bench.surefoot(&["commit"]).ok();
        bench.surefoot(&["verify", "a"]).ok();
        bench.surefoot(&["verify", "b"]).ok();
    }
}

#[test]
fn every_recorded_settings_file_is_sound() {
    for release in releases() {
        let file = release.path("surefoot.toml");
        let words = ["--config", &file, "config", "check"];
        common::run(env!("CARGO_BIN_EXE_surefoot"), &words, &[], b"").ok();
    }
}

#[test]
fn every_release_understands_what_is_written_today() {
    for release in releases() {
        let artifacts = release.artifacts();
        let documents = |name: &str, files: &scenes::Files| -> Option<Value> {
            match name {
                "journal" => journal(files).map(|(_, body)| body),
                name => files.get(name).map(|bytes| serde_json::from_slice(bytes).unwrap()),
            }
        };
        let today: Vec<_> =
            release.scenes.keys().map(|scene| files(&play(scene, &artifacts))).collect();
        for name in ["journal", "status.json", "history.json"] {
            let mut shape = Shape::default();
            let olds: Vec<_> = release.scenes.values().map(|f| documents(name, f)).collect();
            olds.iter().flatten().for_each(|old| shape.learn(old));
            for ((scene, old), new) in release.scenes.keys().zip(&olds).zip(&today) {
                let Some(old) = old else {
                    continue;
                };
                let new = documents(name, new).expect("what the release wrote is written");
                let complaints = shape.complaints(old, &new, &release.words);
                assert!(
                    complaints.is_empty(),
                    "{} {scene} {name}: {complaints:#?}",
                    release.version
                );
            }
        }
        // A line under a checksum has no keys: it is the same, to its last byte.
        for ((scene, old), new) in release.scenes.iter().zip(&today) {
            for floor in ["floor.0", "floor.1"] {
                assert_eq!(new.get(floor), old.get(floor), "{} {scene}", release.version);
            }
        }
    }
}

#[test]
fn a_trial_keeps_the_journal_in_the_format_in_which_it_was_found() {
    for release in releases() {
        let artifacts = release.artifacts();
        let bench = restore("switching", &release.scenes["switching"], &artifacts);
        let format = || journal(&files(&bench)).unwrap().0;
        assert_eq!(format(), release.journal_format);
        bench.reboot(&[]);
        bench.surefoot(&["switch"]).refused(77, "TRIAL_PENDING"); // written down: the trial began
        assert_eq!(format(), release.journal_format, "{}", release.version);
        bench.surefoot(&["rollback"]).ok();
        assert_eq!(format(), release.journal_format, "{}", release.version);
    }
}
