//! The integrator's programs at the moments of an update, and what their answers do.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench};
use crate::kept::{Kept, configure, until};

/// A device with one program at every moment. It writes down its moment, and answers with the
/// status in the file `answer-MOMENT`, if there is one.
fn bench() -> Bench {
    let bench = Bench::new();
    let program = bench.path("DEV/hook.sh");
    let script = "#!/bin/sh\n\
        cat >\"$0.$SUREFOOT_MOMENT.json\"\n\
        echo \"$SUREFOOT_MOMENT $SUREFOOT_SLOT $SUREFOOT_VERSION $SUREFOOT_BY\" >>\"$0.log\"\n\
        [ ! -e \"$0.answer-$SUREFOOT_MOMENT\" ] || { echo \"not while baking\" >&2; exit $(cat \"$0.answer-$SUREFOOT_MOMENT\"); }\n";
    common::program(&program, script.as_bytes());
    let moments = [
        "before-download",
        "before-install",
        "after-install",
        "before-reboot",
        "first-boot",
        "before-commit",
        "after-commit",
        "after-rollback",
    ];
    let hook = |at: &str| {
        format!("\n[[hook]]\nname = \"{at}\"\nat = \"{at}\"\ncommand = [\"./hook.sh\"]\n")
    };
    let config = bench.path("DEV/surefoot.toml");
    let mut text = String::from_utf8(common::read(&config)).unwrap();
    text.extend(moments.iter().map(|m| hook(m)));
    std::fs::write(&config, text).unwrap();
    bench
}

/// The moments so far, and forgets them.
fn heard(bench: &Bench) -> Vec<String> {
    let log = bench.path("DEV/hook.sh.log");
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    text.lines().map(|l| l.split(' ').next().unwrap().to_owned()).collect()
}

fn answers(bench: &Bench, moment: &str, status: Option<i32>) {
    let file = bench.path(&format!("DEV/hook.sh.answer-{moment}"));
    match status {
        Some(status) => std::fs::write(&file, status.to_string()).unwrap(),
        None => std::fs::remove_file(&file).unwrap(),
    }
}

#[test]
fn every_moment_of_a_good_update_and_of_one_that_comes_back() {
    let bench = bench();
    bench.surefoot(&["install", &bench.release("2.0.0"), "--reboot"]).ok();
    let installed = ["before-download", "before-install", "after-install", "before-reboot"];
    assert_eq!(heard(&bench), installed);
    let told = common::read(&bench.path("DEV/hook.sh.before-install.json"));
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((&told["v"], &told["version"]), (&1.into(), &"2.0.0".into()));
    assert_eq!((&told["slot"], &told["booted"]), (&"b".into(), &"a".into()));
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    assert_eq!(heard(&bench), ["first-boot", "before-commit", "after-commit"]);
    // Told once, also of an update that ended long ago.
    bench.surefoot(&["commit"]).ok();
    assert_eq!(heard(&bench), [""; 0]);
    bench.surefoot(&["install", &bench.release("2.1.0")]).ok();
    assert_eq!(bench.reboot(&[]), "a");
    bench.surefoot(&["rollback"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    heard(&bench);
    bench.surefoot(&["rollback", "--retry-rolled-back", "--reason", "to see"]).ok();
    assert_eq!(heard(&bench)[0], "after-rollback");
}

#[test]
fn a_veto_before_the_slot_is_touched_leaves_everything_as_it_is() {
    for moment in ["before-download", "before-install"] {
        let bench = bench();
        let release = bench.release("2.0.0");
        let before = bench.slot_bytes("b");
        answers(&bench, moment, Some(1));
        let said = bench.surefoot(&["install", &release]).refused(77, "HOOK_VETO");
        assert!(said.err.contains("not while baking"), "{}", said.err);
        assert_eq!(bench.status()["state"], "idle");
        answers(&bench, moment, Some(75));
        bench.surefoot(&["install", &release]).refused(75, "HOOK_LATER");
        assert!(bench.slot_bytes("b") == before, "{moment}: the slot was touched");
        answers(&bench, moment, None);
        bench.surefoot(&["install", &release]).ok();
    }
}

#[test]
fn a_veto_before_the_reboot_disarms_and_later_keeps_it_armed() {
    let bench = bench();
    let release = bench.release("2.0.0");
    answers(&bench, "before-reboot", Some(75));
    bench.surefoot(&["install", &release, "--reboot"]).refused(75, "HOOK_LATER");
    assert_eq!(bench.status()["state"], "switching");
    answers(&bench, "before-reboot", Some(3));
    bench.surefoot(&["install", &release, "--reboot"]).refused(77, "HOOK_VETO");
    let status = bench.status();
    assert_eq!(status["state"], "failed", "{status:#}");
    let told = "hook before-reboot at before-reboot: exit status 3: not while baking";
    assert_eq!(status["last"]["reason"], "HOOK_VETO", "{status:#}");
    assert_eq!(status["last"]["detail"], told);
    let no = &status["last"]["failing"][0];
    assert_eq!(
        (&no["by"], &no["name"]),
        (&"hook".into(), &"before-reboot at before-reboot".into())
    );
    for words in [&["status"][..], &["history"], &["report"], &["history", "--json"]] {
        let said = bench.surefoot(words).ok().out;
        assert!(said.contains("HOOK_VETO") && said.contains(told), "{words:?}: {said}");
        let wrong = ["REQUESTED", "health check failed"].iter().any(|w| said.contains(w));
        assert!(!wrong, "{words:?}: {said}");
    }
    assert_eq!(bench.reboot(&[]), "a", "it was disarmed");
    // The release is not to blame.
    answers(&bench, "before-reboot", None);
    bench.surefoot(&["install", &release, "--reboot"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
}

#[test]
fn a_veto_before_the_reboot_outlasts_a_cut_wherever_it_falls() {
    let bench = bench();
    let release = bench.release("2.0.0");
    bench.surefoot(&["install", &release, "--stage"]).ok();
    answers(&bench, "before-reboot", Some(3));
    let mut ends = [0, 0];
    for cut in 0..40 {
        bench.surefoot(&["install", &release]).ok();
        let plug = cut.to_string();
        let ask = ["install", release.as_str(), "--reboot"];
        let said = bench.surefoot_with(&ask, &[("SUREFOOT_SIM_CUT", &plug)], b"");
        let whole = said.reason() == Some("HOOK_VETO");
        let status = bench.surefoot(&["status", "--json"]).ok().json();
        match status["state"].as_str().unwrap() {
            "switching" if !whole => ends[0] += 1,
            "failed" => {
                ends[1] += 1;
                assert_eq!(status["last"]["reason"], "HOOK_VETO", "cut {cut}: {status:#}");
                assert_eq!(status["last"]["failing"][0]["by"], "hook", "cut {cut}");
                // Whoever looks next disarms it, whatever the cut has left undone.
                bench.surefoot(&["commit"]).refused(77, "NOT_TRYING");
                assert_eq!(bench.reboot(&[]), "a", "cut {cut}");
            }
            other => panic!("cut {cut}: {other}, {}", said.err),
        }
        if whole {
            assert!(ends[0] > 0 && ends[1] > 0, "no cut fell before it and none after: {ends:?}");
            return;
        }
    }
    panic!("it never ended");
}

#[test]
fn a_drill_that_was_called_off_is_told_as_that_and_is_no_alarm() {
    for vetoed in [true, false] {
        let bench = bench();
        for version in ["2.0.0", "2.1.0"] {
            bench.surefoot(&["install", &bench.release(version)]).ok();
            bench.reboot(&[]);
            bench.surefoot(&["commit"]).ok();
        }
        let (code, how) = match vetoed {
            true => ("HOOK_VETO", "vetoed"),
            false => ("REQUESTED", "cancelled"),
        };
        answers(&bench, "before-reboot", Some(if vetoed { 3 } else { 75 }));
        configure(&bench, "[metrics]\nfile = \"run/metrics.prom\"\n");
        bench.surefoot(&["drill"]).ok();
        let daemon = Kept::start(&bench);
        if !vetoed {
            daemon.surefoot(&["rollback", "--reason", "not today"]).ok();
        }
        until("it is called off", || daemon.status()["state"] == "updated");
        let events = daemon.surefoot(&["events"]).ok().out;
        assert!(!events.contains("failed:"), "{events}");
        let metrics =
            || std::fs::read_to_string(bench.path("DEV/run/metrics.prom")).unwrap_or_default();
        until("the metrics say so", || metrics().contains("surefoot_state{state=\"updated\"} 1\n"));
        let metrics = metrics();
        for end in ["failed", "vetoed", "cancelled", "rolled-back"] {
            let none = format!("surefoot_updates_total{{outcome=\"{end}\"}} 0\n");
            assert!(metrics.contains(&none), "{none}{metrics}");
        }
        assert!(metrics.contains("surefoot_drills_total 0\n"), "{metrics}");
        drop(daemon);
        let status = bench.status();
        assert_eq!(status["state"], "updated", "{status:#}");
        let last = &status["last"];
        assert_eq!(
            (&last["outcome"], &last["reason"], &last["drill"]),
            (&how.into(), &code.into(), &"unhealthy".into()),
            "{status:#}"
        );
        let told = format!("The drill was called off just now ({code}).");
        assert!(status["summary"].as_str().unwrap().ends_with(&told), "{status:#}");
        let text = bench.surefoot(&["status"]).ok().out;
        let line = format!("reason   {code}: ");
        assert!(text.contains("a drill was called off before it tried 2.0.0"), "{text}");
        assert!(text.contains(&line), "{text}");
        let history = bench.surefoot(&["history"]).ok().out;
        let line = history.lines().last().unwrap();
        let told = format!("called off before it began  {code}");
        assert!(line.contains(" drill ") && line.contains(&told), "{line}");
        assert!(!history.contains("failed"), "{history}");
        let history = bench.surefoot(&["history", "--json"]).ok().json();
        assert_eq!(history["history"][2]["outcome"], how, "{history:#}");
        assert_eq!(bench.reboot(&[]), "a", "it was disarmed");
        assert!(bench.status()["drill"].is_null(), "nothing is proven by it");
    }
}

#[test]
fn a_first_boot_that_says_no_sends_the_release_home_and_a_good_one_is_not_repeated() {
    let bench = bench();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    heard(&bench);
    answers(&bench, "before-commit", Some(75));
    bench.surefoot(&["commit"]).refused(75, "HOOK_LATER");
    bench.surefoot(&["commit"]).refused(75, "HOOK_LATER");
    assert_eq!(heard(&bench), ["first-boot", "before-commit", "before-commit"]);
    answers(&bench, "before-commit", Some(1));
    let said = bench.surefoot(&["commit"]).refused(77, "HOOK_VETO");
    let told = "hook before-commit at before-commit: exit status 1: not while baking";
    assert!(said.err.contains(told), "{}", said.err);
    let status = bench.surefoot(&["status"]).ok().out;
    assert!(!status.contains("health check failed"), "a hook is no health check: {status}");
    assert_eq!(bench.reboot(&[]), "a");
    answers(&bench, "before-commit", None);
    answers(&bench, "first-boot", Some(9));
    bench.surefoot(&["install", &bench.release("2.1.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    let said = bench.surefoot(&["commit"]).refused(77, "HOOK_VETO");
    assert!(said.err.contains("hook first-boot at first-boot: exit status 9"), "{}", said.err);
    assert_eq!(bench.reboot(&[]), "a");
    // A person's word goes over theirs.
    bench.surefoot(&["install", &bench.release("2.2.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit", "--force", "--reason", "I know"]).ok();
    assert_eq!(bench.status()["state"], "updated");
}

/// What a program ignores or blocks goes on to those that it starts.
#[test]
fn programs_are_heard_and_have_the_usual_signals_whatever_the_caller_ignores() {
    let bench = Bench::new();
    let (config, seen) = (bench.path("DEV/surefoot.toml"), bench.path("DEV/seen"));
    let mut text = String::from_utf8(common::read(&config)).unwrap();
    // No shell: some make the signals usual again.
    text += &format!(
        "\n[[hook]]\nname = \"look\"\nat = \"before-install\"\n\
         command = [\"/bin/cp\", \"/proc/self/status\", \"{seen}\"]\n"
    );
    std::fs::write(&config, text).unwrap();
    let release = bench.release("2.0.0");
    let program = env!("CARGO_BIN_EXE_surefoot");
    let words = ["--ignore-signal=CHLD", program, "--config", &config, "install", &release];
    common::run("env", &words, &[], b"").ok();
    let seen = String::from_utf8(common::read(&seen)).unwrap();
    for name in ["SigBlk:", "SigIgn:"] {
        let bits = seen.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let bits = u64::from_str_radix(bits.trim(), 16).unwrap();
        // SIGCHLD is 17, SIGXFSZ 25.
        assert_eq!(bits & (1 << 16 | 1 << 24), 0, "{name} {bits:x}");
    }
}
