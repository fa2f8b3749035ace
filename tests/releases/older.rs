//! A released program itself, built from its commit, after a newer one has had its trial.

use super::recording::{Release, releases};
use crate::common::{Bench, Said, run};
use crate::skip;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

fn git(words: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(TOP).args(words).stderr(Stdio::null());
    git
}

/// The tag of a release, or the commit that was recorded. `None` where history is not at hand.
fn revision(release: &Release) -> Option<String> {
    [format!("v{}", release.version), release.commit.clone()].into_iter().find(|revision| {
        let known = git(&["cat-file", "-e", &format!("{revision}^{{commit}}")]).status();
        known.is_ok_and(|s| s.success())
    })
}

/// The release's own `surefoot`. Its sources come out of git without a work tree of theirs, and
/// are built once.
fn built(release: &Release, revision: &str) -> PathBuf {
    let place = Path::new(TOP).join("target/releases").join(&release.version);
    let program = place.join("target/debug/surefoot");
    if !program.exists() {
        let sources = place.join("sources");
        std::fs::create_dir_all(&sources).unwrap();
        let mut archive = git(&["archive", revision]).stdout(Stdio::piped()).spawn().unwrap();
        let unpacked = Command::new("tar")
            .args(["-x", "-C"])
            .arg(&sources)
            .stdin(archive.stdout.take().unwrap())
            .status();
        assert!(unpacked.unwrap().success() && archive.wait().unwrap().success());
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--bin", "surefoot"])
            .env("CARGO_TARGET_DIR", place.join("target"))
            .current_dir(&sources)
            .status();
        assert!(built.unwrap().success(), "{} does not build", release.version);
    }
    program
}

/// Runs `check` with each release's own program.
fn with_each(what: &str, check: impl Fn(&Release, &dyn Fn(&Bench, &[&str]) -> Said)) {
    for release in releases() {
        let version = &release.version;
        if std::env::var_os("SUREFOOT_FULL").is_none() {
            skip::skipped(&format!("{what}, {version} itself: only in ./check --full"));
            continue;
        }
        let Some(revision) = revision(release) else {
            skip::skipped(&format!("{what}, {version} itself: its commit is not in this clone"));
            continue;
        };
        let program = built(release, &revision);
        check(release, &|bench, words| {
            let config = bench.path("DEV/surefoot.toml");
            let all = [&["--config", config.as_str()], words].concat();
            run(program.to_str().unwrap(), &all, &[], b"")
        });
    }
}

#[test]
fn the_old_program_reads_what_the_new_one_left_when_its_trial_was_ended() {
    with_each("a trial that was ended", |release, old| {
        let artifacts = release.artifacts();
        let bench = artifacts.updated_once();
        old(&bench, &["install", &artifacts.second]).ok();
        bench.reboot(&[]);
        bench.surefoot(&["rollback", "--reason", "the screen is dark"]).ok();
        assert_eq!(bench.reboot(&[]), "b");
        let status = old(&bench, &["status", "--json"]).ok().json();
        assert_eq!(status["state"], "rolled-back", "{status}");
        assert_eq!(status["last"]["reason"], "REQUESTED");
        let detail = status["last"]["detail"].as_str().unwrap();
        assert!(detail.starts_with("the screen is dark"), "{detail}");
        old(&bench, &["install", &artifacts.second]).refused(65, "ROLLED_BACK_BEFORE");
        old(&bench, &["install", &artifacts.second, "--retry-rolled-back"]).ok();
        let history = old(&bench, &["history", "--json"]).ok().json();
        assert_eq!(history["history"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn the_old_program_reads_what_the_new_one_left_when_its_boots_were_used_up() {
    with_each("a trial whose boots were used up", |release, old| {
        let artifacts = release.artifacts();
        let bench = artifacts.updated_once();
        old(&bench, &["install", &artifacts.second]).ok();
        bench.reboot(&[]);
        bench.surefoot(&["switch"]).refused(77, "TRIAL_PENDING"); // written down: the trial began
        for slot in ["a", "a", "b"] {
            assert_eq!(bench.reboot(&[]), slot);
        }
        let status = old(&bench, &["status", "--json"]).ok().json();
        assert_eq!(status["state"], "rolled-back", "{status}");
        assert_eq!(status["last"]["reason"], "BOOT_FAILED");
        old(&bench, &["install", &artifacts.second]).refused(65, "ROLLED_BACK_BEFORE");
    });
}

#[test]
fn the_old_program_goes_on_with_what_the_new_one_has_committed_or_interrupted() {
    with_each("a commit and an interruption", |release, old| {
        let artifacts = release.artifacts();
        let bench = super::scenes::play("installing", &artifacts);
        assert_eq!(old(&bench, &["status", "--json"]).ok().json()["state"], "installing");
        old(&bench, &["install", &artifacts.second]).ok();
        assert_eq!(bench.reboot(&[]), "a");
        old(&bench, &["commit"]).ok();
        assert_eq!(bench.status()["state"], "updated");
    });
}
