//! The life of an update, as a person at the console lives it; each scene on each bootloader that
//! a simulated device can have.

use crate::common;
use crate::common::bootloaders::{On, scenes};

scenes! {
    a_bad_release_stays_where_the_old_one_cannot_be_loaded_any_more_and_the_next_replaces_it,
    a_good_update_is_committed_and_the_next_goes_the_other_way,
    the_slot_holds_exactly_the_image,
    an_unhealthy_update_flips_back_at_once_and_is_not_tried_again,
    a_signature_added_later_does_not_evade_the_denylist,
    a_system_that_never_comes_up_is_given_up_after_its_tries,
    a_kernel_that_does_not_load_gives_way_without_spending_tries,
    stage_then_switch,
    rollback_in_every_state,
    rollback_does_not_arm_again_what_came_back_by_itself,
    a_trial_is_not_disturbed,
    versions_and_floor,
    a_dry_run_touches_nothing,
    standard_input_serves_as_well,
    a_copied_device_never_touches_the_first_ones_disk,
    a_check_that_cannot_run_decides_nothing_and_none_is_a_persons_word,
    a_lost_journal_in_a_trial_leaves_the_verdict_to_health,
    an_armed_system_that_is_never_tried_is_given_up,
    a_boot_that_nobody_counted_is_left_at_once,
    what_is_announced_and_not_done_is_not_told_as_done,
}

fn a_bad_release_stays_where_the_old_one_cannot_be_loaded_any_more_and_the_next_replaces_it(
    on: On,
) {
    let bench = on.bench();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&["--fail"]), "b");
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert_eq!(bench.status()["next"]["action"], "reboot");
    // Slot a is worn out: the boot script gives way to b, and there is nothing to reboot for.
    assert_eq!(bench.reboot(&["--fail=kernel"]), "b");
    let status = bench.status();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert_eq!(status["degraded"], true);
    assert_eq!(status["next"]["action"], "none");
    assert_eq!(status["last"]["reason"], "HEALTH_FAILED");
    let said = bench.surefoot(&["status"]).ok().out;
    assert!(said.contains("slot a cannot be loaded: install another"), "{said}");
    bench.surefoot(&["install", &bench.release("2.0.0")]).refused(65, "ROLLED_BACK_BEFORE");
    bench.surefoot(&["install", &bench.release("2.1.0")]).ok();
    assert_eq!(bench.reboot(&[]), "a");
    bench.surefoot(&["commit"]).ok();
    assert_eq!(bench.status()["state"], "updated");
    assert_eq!(bench.status()["degraded"], false);
}

fn a_good_update_is_committed_and_the_next_goes_the_other_way(on: On) {
    let bench = on.bench();
    assert_eq!(bench.status()["state"], "idle");
    let first = bench.release("2.0.0");
    let said = bench.surefoot(&["install", &first]).ok();
    assert!(said.out.contains("Reboot to try it"), "{}", said.out);
    assert_eq!(bench.status()["state"], "switching");
    assert_eq!(bench.booted(), "a", "nothing reboots by itself");
    assert_eq!(bench.reboot(&[]), "b");
    let status = bench.status();
    assert_eq!((&status["state"], &status["booted"]), (&"trying".into(), &"b".into()));
    bench.surefoot(&["commit"]).ok();
    let status = bench.status();
    assert_eq!(status["state"], "updated");
    assert_eq!(status["slots"]["b"]["version"], "2.0.0");
    assert_eq!(status["last"]["outcome"], "updated");
    let line = bench.surefoot(&["status"]).ok().out;
    let first_line = line.lines().next().unwrap();
    assert_eq!(
        first_line,
        "Running 2.0.0 (slot b), committed just now. Rollback armed. Nothing new."
    );
    bench.surefoot(&["commit"]).ok(); // already committed
    bench.update_to("2.1.0");
    assert_eq!(bench.booted(), "a");
    assert_eq!(bench.status()["slots"]["a"]["version"], "2.1.0");
    let history = bench.surefoot(&["history", "--json"]).ok().json();
    assert_eq!(history["history"].as_array().unwrap().len(), 2);
}

fn the_slot_holds_exactly_the_image(on: On) {
    let bench = on.bench();
    bench.update_to("2.0.0");
    let image = common::read(&bench.path("v2.0.0.img"));
    assert!(bench.slot_bytes("b")[..image.len()] == image[..], "the slot differs from the image");
    let sums =
        std::process::Command::new("sha256sum").arg(bench.path("v2.0.0.img")).output().unwrap();
    let sum = String::from_utf8(sums.stdout).unwrap();
    assert_eq!(bench.status()["slots"]["b"]["sha256"], sum.split(' ').next().unwrap());
    let said = bench.surefoot(&["verify", "b"]).ok();
    assert!(said.out.contains("exactly 2.0.0"), "{}", said.out);
    bench.patch_disk(bench.slot_offset("b") + 700_000, b"X");
    bench.surefoot(&["verify", "b"]).refused(74, "SLOT_DAMAGED");
}

fn an_unhealthy_update_flips_back_at_once_and_is_not_tried_again(on: On) {
    let bench = on.bench();
    let bad = bench.release("3.0.0");
    bench.surefoot(&["install", &bad]).ok();
    assert_eq!(bench.reboot(&["--fail"]), "b");
    let said = bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    assert!(said.err.contains("self-test"), "the check is named: {}", said.err);
    assert_eq!(bench.reboot(&[]), "a");
    let status = bench.status();
    assert_eq!(status["state"], "rolled-back");
    assert_eq!(status["last"]["reason"], "HEALTH_FAILED");
    bench.surefoot(&["install", &bad]).refused(65, "ROLLED_BACK_BEFORE");
    bench.surefoot(&["install", &bad, "--retry-rolled-back"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
}

fn a_signature_added_later_does_not_evade_the_denylist(on: On) {
    let bench = on.bench();
    let bad = bench.release("3.0.0");
    bench.surefoot(&["install", &bad]).ok();
    bench.reboot(&["--fail"]);
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    bench.reboot(&[]);
    common::forge(&["sign", &bad, "--key", &bench.path("KEYS/release-next.key")]).ok();
    bench.surefoot(&["install", &bad]).refused(65, "ROLLED_BACK_BEFORE");
    // Even when the state folder is lost: the environment remembers.
    std::fs::remove_dir_all(bench.path("DEV/state")).unwrap();
    bench.surefoot(&["install", &bad]).refused(65, "ROLLED_BACK_BEFORE");
}

fn a_system_that_never_comes_up_is_given_up_after_its_tries(on: On) {
    for how in ["--fail=panic", "--fail=hang"] {
        for (bench, board) in on.every_board() {
            bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
            for _ in 0..3 {
                assert_eq!(bench.reboot(&[how]), "b");
            }
            assert_eq!(bench.reboot(&[]), "a", "{how} {board}");
            let status = bench.status();
            assert_eq!(status["state"], "rolled-back");
            assert_eq!(status["last"]["reason"], "BOOT_FAILED");
        }
    }
}

fn a_kernel_that_does_not_load_gives_way_without_spending_tries(on: On) {
    let bench = on.bench();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&["--fail=kernel"]), "a");
    assert_eq!(bench.status()["state"], "rolled-back");
    bench.update_to("2.1.0");
    assert_eq!(bench.booted(), "b");
}

fn stage_then_switch(on: On) {
    let bench = on.bench();
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["switch"]).refused(77, "NOT_STAGED");
    bench.surefoot(&["install", &artifact, "--stage"]).ok();
    assert_eq!(bench.status()["state"], "staged");
    assert_eq!(bench.reboot(&[]), "a", "staged is not armed");
    bench.surefoot(&["wait", "staged", "--timeout", "1s"]).ok();
    let waited = bench.surefoot(&["wait", "staged", "--timeout", "1s", "--json"]).ok().json();
    assert_eq!(waited["state"], "staged");
    bench.surefoot(&["wait", "updated", "--timeout", "1s"]).refused(77, "TIMEOUT");
    bench.surefoot(&["switch"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
}

fn rollback_in_every_state(on: On) {
    let bench = on.bench();
    bench.surefoot(&["rollback"]).refused(77, "NOTHING_TO_ROLL_BACK");
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["install", &artifact]).ok();
    bench.surefoot(&["rollback"]).ok(); // disarms
    assert_eq!(bench.reboot(&[]), "a");
    assert_eq!(bench.status()["state"], "failed");
    bench.surefoot(&["install", &artifact]).ok(); // disarming is no verdict on the release
    bench.reboot(&[]);
    let said = bench.surefoot(&["rollback", "--reason", "the screen is dark"]).ok();
    assert!(said.out.contains("Slot a"), "says what it returns to: {}", said.out);
    assert_eq!(bench.reboot(&[]), "a");
    let why = format!("the screen is dark (by {})", surefoot::sys::host::user());
    assert_eq!(bench.status()["last"]["detail"], why);
    bench.surefoot(&["install", &artifact]).refused(65, "ROLLED_BACK_BEFORE");
    bench.update_to("2.1.0");
    bench.surefoot(&["rollback"]).ok(); // after a commit: an ordinary trial of the old system
    assert_eq!(bench.reboot(&[]), "a");
    assert_eq!(bench.status()["state"], "trying");
    bench.surefoot(&["commit"]).ok();
    assert_eq!(bench.status()["state"], "updated");
}

fn rollback_does_not_arm_again_what_came_back_by_itself(on: On) {
    let bench = on.bench();
    bench.update_to("1.1.0");
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&["--fail"]), "a");
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    // Twice: on its way back the first one has nothing to change, home the second one refuses.
    assert_eq!(bench.reboot(&[]), "b");
    let before = bench.environment();
    let said = bench.surefoot(&["rollback"]).refused(65, "ROLLED_BACK_BEFORE");
    assert!(said.err.contains("--retry-rolled-back"), "{}", said.err);
    assert!(bench.environment() == before, "the environment is changed");
    // Also where only the environment remembers it.
    std::fs::remove_file(bench.path("DEV/state/journal.0")).ok();
    std::fs::remove_file(bench.path("DEV/state/journal.1")).ok();
    bench.surefoot(&["rollback"]).refused(65, "ROLLED_BACK_BEFORE");
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["rollback", "--retry-rolled-back"]).ok();
    assert_eq!(bench.reboot(&[]), "a");
    bench.surefoot(&["commit"]).ok();
    // What was committed and left by an operator is no bad release.
    bench.surefoot(&["rollback"]).ok();
}

fn a_trial_is_not_disturbed(on: On) {
    let bench = on.bench();
    let (one, two) = (bench.release("2.0.0"), bench.release("2.1.0"));
    bench.surefoot(&["commit"]).refused(77, "NOT_TRYING");
    bench.surefoot(&["install", &one]).ok();
    bench.surefoot(&["install", &one]).ok(); // the same again: nothing to do
    bench.surefoot(&["commit"]).refused(77, "NOT_TRYING");
    bench.surefoot(&["install", &two]).ok(); // another one takes its place
    assert_eq!(bench.status()["slots"]["b"]["version"], "2.1.0");
    bench.reboot(&[]);
    let before = bench.firm_ground();
    bench.surefoot(&["install", &one]).refused(77, "TRIAL_PENDING");
    assert!(bench.firm_ground() == before);
    bench.surefoot(&["commit", "--force", "--reason", "seen with my own eyes"]).ok();
    let detail = bench.status()["last"]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("seen with my own eyes"), "{detail}");
}

fn versions_and_floor(on: On) {
    let bench = on.bench();
    let of = |name: &str, words: &[&str]| bench.artifact(name, 9, 1 << 20, words);
    let old = of("old", &["--version", "1.0.0", "--epoch", "1"]);
    let older_epoch = of("ancient", &["--version", "9.0.0", "--epoch", "0"]);
    for version in ["2.0.0", "2.1.0"] {
        let artifact = of(version, &["--version", version, "--epoch", "1"]);
        bench.surefoot(&["install", &artifact]).ok();
        bench.reboot(&[]);
        bench.surefoot(&["commit"]).ok();
    }
    assert_eq!(bench.status()["floor"], 1, "both slots carry epoch 1 now");
    let again = bench.path("2.1.0.surefoot");
    bench.surefoot(&["install", &again]).refused(3, "ALREADY_INSTALLED");
    bench.surefoot(&["install", &older_epoch]).refused(65, "BELOW_FLOOR");
    bench.surefoot(&["install", &older_epoch, "--allow-older"]).refused(65, "BELOW_FLOOR");
    bench.surefoot(&["install", &old]).refused(65, "VERSION_OLDER");
    let said = bench.surefoot(&["verify", &old]).refused(65, "VERSION_OLDER");
    assert!(said.err.contains("older than the running 2.1.0"), "{}", said.err);
    bench.surefoot(&["install", &old, "--allow-older"]).ok();
    bench.reboot(&[]);
    bench.surefoot(&["commit"]).ok();
    assert_eq!(bench.status()["slots"]["b"]["version"], "1.0.0");
}

fn a_dry_run_touches_nothing(on: On) {
    let bench = on.bench();
    let artifact = bench.release("2.0.0");
    let disk = common::read(&bench.path("DEV/disk.img"));
    let said = bench.surefoot(&["install", &artifact, "--dry-run"]).ok();
    assert!(
        said.out.contains("Would install 2.0.0") && said.out.contains("slot b"),
        "{}",
        said.out
    );
    assert!(said.out.contains("to read from the artifact"), "{}", said.out);
    for word in ["HTTP://127.0.0.1/x", "ftp://127.0.0.1/x", "localhost:80/x"] {
        let said = bench.surefoot(&["install", word, "--dry-run"]).refused(64, "USAGE");
        assert!(said.err.contains("a URL begins with http:// or https://"), "{}", said.err);
    }
    let said = bench.surefoot(&["verify", "http://127.0.0.1/x"]).refused(64, "USAGE");
    assert!(said.err.contains("curl -sf URL | surefoot verify -"), "{}", said.err);
    let plan = bench.surefoot(&["install", &artifact, "--dry-run", "--json"]).ok().json();
    assert_eq!((&plan["dry_run"], &plan["slot"]), (&true.into(), &"b".into()));
    assert!(common::read(&bench.path("DEV/disk.img")) == disk);
    assert!(
        std::fs::read_dir(bench.path("DEV/state")).unwrap().next().is_none(),
        "not even a lock"
    );
}

fn standard_input_serves_as_well(on: On) {
    let bench = on.bench();
    let bytes = common::read(&bench.release("2.0.0"));
    bench.surefoot_with(&["verify", "-"], &[], &bytes).ok();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    bench.surefoot_with(&["verify", "-"], &[], &flipped).refused(65, "CHUNK_CORRUPT");
    let cut = &bytes[..bytes.len() - 1];
    bench.surefoot_with(&["verify", "-"], &[], cut).refused(69, "SOURCE_LOST");
    bench.surefoot_with(&["install", "-"], &[], &bytes).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["verify", "b"]).ok();
}

fn a_copied_device_never_touches_the_first_ones_disk(on: On) {
    let bench = on.bench();
    let copied = std::process::Command::new("cp")
        .args(["-a", &bench.path("DEV"), &bench.path("TWO")])
        .status();
    assert!(copied.unwrap().success());
    let before = common::read(&bench.path("DEV/disk.img"));
    let artifact = bench.release("2.0.0");
    let config = bench.path("TWO/surefoot.toml");
    let words = ["--config", &config, "install", &artifact];
    common::run(env!("CARGO_BIN_EXE_surefoot"), &words, &[], b"").ok();
    assert!(common::read(&bench.path("DEV/disk.img")) == before);
}

fn a_check_that_cannot_run_decides_nothing_and_none_is_a_persons_word(on: On) {
    let bench = on.bench();
    let config = bench.path("DEV/surefoot.toml");
    let text = String::from_utf8(common::read(&config)).unwrap();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.reboot(&[]);
    std::fs::write(&config, text.replace("./health.sh", "./not-there.sh")).unwrap();
    let before = bench.firm_ground();
    let said = bench.surefoot(&["commit"]).refused(77, "HEALTH_UNKNOWN");
    assert!(said.err.contains("self-test") && said.err.contains("not-there.sh"), "{}", said.err);
    assert!(bench.firm_ground() == before);
    assert_eq!(bench.status()["state"], "trying");
    let without = text.split("[[health.check]]").next().unwrap();
    std::fs::write(&config, without).unwrap();
    bench.surefoot(&["commit"]).ok();
    let detail = bench.status()["last"]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("no check is configured"), "{detail}");
}

fn a_lost_journal_in_a_trial_leaves_the_verdict_to_health(on: On) {
    for (fail, slot) in [(None, "b"), (Some("--fail"), "a")] {
        let bench = on.bench();
        bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
        bench.reboot(fail.as_slice());
        for generation in ["journal.0", "journal.1"] {
            std::fs::write(bench.path(&format!("DEV/state/{generation}")), b"garbage").unwrap();
        }
        assert_eq!(bench.status()["state"], "trying");
        let said = bench.surefoot(&["commit"]);
        assert_eq!(said.code, if fail.is_some() { 77 } else { 0 }, "{}", said.err);
        assert_eq!(bench.reboot(&[]), slot);
        let state = if fail.is_some() { "rolled-back" } else { "updated" };
        assert_eq!(bench.status()["state"], state);
    }
}

fn an_armed_system_that_is_never_tried_is_given_up(on: On) {
    let bench = on.bench();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    // A boot script that ignores the environment: the device boots, and slot a runs, untried.
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(bench.path("DEV/run/booted"), "a\n").unwrap();
        bench.surefoot(&["switch"]);
    }
    let status = bench.status();
    assert_eq!(status["last"]["reason"], "TRIAL_NOT_STARTED", "{status}");
    assert_eq!(bench.reboot(&[]), "a");
    bench.surefoot(&["install", &bench.path("v2.0.0.surefoot")]).ok();
}

fn a_boot_that_nobody_counted_is_left_at_once(on: On) {
    let bench = on.bench();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    // Slot b runs and the stored count is still 0.
    std::fs::write(bench.path("DEV/run/booted"), "b\n").unwrap();
    bench.surefoot(&["commit"]).refused(74, "COUNTER_DEAD");
    assert_eq!(bench.reboot(&[]), "a");
    assert_eq!(bench.status()["last"]["reason"], "COUNTER_DEAD");
    bench.update_to("2.0.0"); // the release is not to blame
}

fn what_is_announced_and_not_done_is_not_told_as_done(on: On) {
    let bench = on.bench();
    bench.surefoot(&["install", &bench.release("2.0.0"), "--stage"]).ok();
    let mut seen = false;
    for cut in 0..6 {
        let plug = cut.to_string();
        bench.surefoot_with(&["switch"], &[("SUREFOOT_SIM_CUT", &plug)], b"");
        let status = bench.status();
        if status["state"] == "switching" && status["trial"].is_null() {
            seen = true;
            assert_eq!(status["next"]["action"], "switch", "{status}");
        }
    }
    assert!(seen, "no cut fell between the announcement and the arming");
    bench.surefoot(&["switch"]).ok();
    assert_eq!(bench.status()["next"]["action"], "reboot");
    assert_eq!(bench.reboot(&[]), "b");
}
