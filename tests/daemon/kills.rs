//! SIGKILL at any moment, and the same end as without.

use crate::common::{Bench, run};
use crate::kept::{Kept, quick, until};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// xorshift: the same moments in every run.
struct Chance(u64);

impl Chance {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn install(bench: &Bench, artifact: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &bench.path("DEV/surefoot.toml"), "install", artifact])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the daemon after so long and starts it again.
fn again(bench: &Bench, daemon: Kept, after: u64) -> Kept {
    std::thread::sleep(Duration::from_micros(after));
    daemon.kill();
    Kept::start(bench)
}

/// How long an undisturbed installation takes, microseconds.
fn pace(bench: &Bench, artifact: &str) -> u64 {
    let start = std::time::Instant::now();
    let daemon = Kept::start(bench);
    daemon.surefoot(&["install", artifact]).ok();
    daemon.surefoot(&["rollback"]).ok();
    u64::try_from(start.elapsed().as_micros()).unwrap()
}

#[test]
fn killed_at_thirty_moments_it_comes_to_the_same_end() {
    let bench = quick();
    let artifact = bench.artifact("good", 5, 3 << 20, &["--version", "2.0.0"]);
    let pace = pace(&bench, &artifact);
    let mut chance = Chance(0x5EED_CAFE);
    let mut broken = 0;
    let mut daemon = Kept::start(&bench);
    // Fifteen times while it installs: each time the same command goes on. How many of these moments
    // are within an installation is a matter of the machine's load.
    let mut kills = 0;
    while kills < 15 || broken < 3 {
        kills += 1;
        assert!(kills < 300, "only {broken} of {kills} kills met an installation");
        let mut client = install(&bench, &artifact);
        daemon = again(&bench, daemon, chance.up_to(pace));
        broken += u32::from(!client.wait().unwrap().success());
        assert_eq!(bench.booted(), "a");
        // The slot that runs is as the factory made it, whatever stands in the other one.
        assert!(bench.slot_bytes("a")[..1 << 20] == crate::common::read(&bench.path("v1.img"))[..]);
        let state = daemon.status()["state"].as_str().unwrap().to_owned();
        assert!(
            ["installing", "staged", "failed", "switching"].contains(&state.as_str()),
            "{state}"
        );
        if daemon.status()["state"] == "switching" {
            daemon.surefoot(&["rollback"]).ok();
        }
    }
    // The daemon may go on with it by itself just now.
    until("it is installed", || {
        let said = daemon.surefoot(&["install", &artifact]);
        said.code == 0 || said.refused(75, "BUSY").code == 0
    });
    // Five times while nothing happens, armed.
    for _ in 0..5 {
        daemon = again(&bench, daemon, chance.up_to(100_000));
        daemon.until_armed(&bench);
    }
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "b");
    // Ten times in the trial: each start looks at everything anew.
    let mut daemon = Kept::start(&bench);
    for _ in 0..10 {
        daemon = again(&bench, daemon, chance.up_to(300_000));
        let state = daemon.status()["state"].as_str().unwrap().to_owned();
        assert!(["trying", "updated"].contains(&state.as_str()), "{state}");
    }
    daemon.until_state("updated");
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["verify", "b"]).ok();
    let history = bench.surefoot(&["history", "--json"]).ok().json();
    let ends = history["history"].as_array().unwrap();
    let updated = ends.iter().filter(|e| e["outcome"] == "updated").count();
    assert_eq!(updated, 1, "told once: {history}");
}

#[test]
fn killed_while_it_leaves_a_bad_system_it_leaves_it() {
    let mut chance = Chance(0xBAD_5EED);
    let bench = quick();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&["--fail"]), "b");
    let mut daemon = Kept::start(&bench);
    for _ in 0..8 {
        daemon = again(&bench, daemon, chance.up_to(600_000));
        let state = daemon.status()["state"].as_str().unwrap().to_owned();
        assert!(["trying", "switching"].contains(&state.as_str()), "{state}");
    }
    daemon.until_left();
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "a");
    let daemon = Kept::start(&bench);
    daemon.until_state("rolled-back");
    assert_eq!(daemon.status()["last"]["reason"], "HEALTH_FAILED");
}

#[test]
fn a_client_that_vanishes_takes_nothing_with_it() {
    for hurry in [0, 20, 60] {
        let bench = Bench::new();
        let daemon = Kept::start(&bench);
        let artifact = bench.artifact("good", 5, 3 << 20, &["--version", "2.0.0"]);
        let mut client = install(&bench, &artifact);
        until("it has begun", || daemon.log().contains("verifying ended"));
        std::thread::sleep(Duration::from_millis(hurry));
        client.kill().unwrap();
        client.wait().unwrap();
        daemon.until_state("switching");
        assert_eq!(daemon.status()["slots"]["b"]["version"], "2.0.0");
    }
}

#[test]
fn a_client_that_does_not_listen_holds_nothing_up() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let artifact = bench.artifact("good", 5, 3 << 20, &["--version", "2.0.0"]);
    // Stopped by its terminal: it takes no event and no answer.
    let client = install(&bench, &artifact);
    until("it has begun", || daemon.log().contains("verifying ended"));
    let stopped = |signal: &str| {
        let done = run("kill", &[signal, &client.id().to_string()], &[], b"");
        assert_eq!(done.code, 0, "{}", done.err);
    };
    stopped("-STOP");
    daemon.until_state("switching");
    stopped("-CONT");
    assert!({ client }.wait().unwrap().success());
}
