//! After a rollback the old system names the cause: from what the new one could still say, or
//! from what the old one finds.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The black box as its unit starts it.
struct Recorder(Child);

impl Recorder {
    fn start(bench: &Bench) -> Recorder {
        let child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
            .args(["--config", &bench.path("DEV/surefoot.toml"), "blackbox"])
            .stdout(Stdio::piped())
            .spawn();
        Recorder(child.unwrap())
    }

    /// How it ends by itself.
    fn end(mut self) -> String {
        let due = Instant::now() + Duration::from_secs(300);
        while self.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < due, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(self.0.wait().unwrap().success(), "it never fails");
        let mut said = String::new();
        std::io::Read::read_to_string(self.0.stdout.as_mut().unwrap(), &mut said).unwrap();
        said
    }

    /// The power goes.
    fn cut(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

fn black_box(bench: &Bench) -> Vec<surefoot::blackbox::BootLog> {
    surefoot::blackbox::read(bench.path("DEV/state/blackbox").as_ref())
}

/// Waits until something said is in the black box.
fn recorded(bench: &Bench, text: &str) {
    let due = Instant::now() + Duration::from_secs(300);
    while !black_box(bench).iter().any(|b| b.lines.iter().any(|l| l.text.contains(text))) {
        assert!(Instant::now() < due, "`{text}` is not recorded: {:#?}", black_box(bench));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn says(bench: &Bench, kernel: &str) {
    std::fs::write(bench.path("DEV/run/kmsg"), kernel).unwrap();
}

fn cause(bench: &Bench) -> (String, String) {
    let status = bench.status();
    let of = |name: &str| status["postmortem"][name].as_str().unwrap_or("").to_owned();
    (of("kind"), of("text"))
}

/// A trial in its first boot.
fn on_trial() -> Bench {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench
}

/// The power goes in each of the trial's three boots, after the black box has begun.
fn three_cut_boots(bench: &Bench, kernel: &str, mark: &str) {
    for boot in 1..=3 {
        says(bench, &format!("{kernel}6,9,9000000,-;{mark} {boot}\n"));
        let recorder = Recorder::start(bench);
        recorded(bench, &format!("{mark} {boot}"));
        recorder.cut();
        bench.reboot(&[]);
    }
    assert_eq!(bench.booted(), "a");
}

#[test]
fn a_failed_check_is_named_before_the_reboot_and_after_it() {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.reboot(&["--fail"]);
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    let (kind, text) = cause(&bench);
    assert_eq!(kind, "check");
    assert!(text.contains("self-test"), "{text}");
    let file = common::read(&bench.path("DEV/state/postmortem.json"));
    bench.reboot(&[]);
    assert_eq!(cause(&bench), (kind, text.clone()));
    bench.surefoot(&["switch"]);
    assert_eq!(common::read(&bench.path("DEV/state/postmortem.json")), file, "it is kept");
    let kept: surefoot::device::Postmortem = serde_json::from_slice(&file).unwrap();
    assert_eq!(kept.checks.len(), 2, "what the built-in check says is kept too");
    assert_eq!(kept.check.unwrap().name, "self-test");
    let people = bench.surefoot(&["status"]).ok().out;
    assert!(people.contains(&format!("cause    {text}\n")), "{people}");
    // The next one has its own.
    bench.update_to("3.0.0");
    assert!(bench.status()["postmortem"].is_null());
}

#[test]
fn a_trial_without_a_trace_is_told_as_a_pulled_plug() {
    for how in ["--fail=hang", "--fail=kernel"] {
        let bench = Bench::new();
        bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
        while bench.reboot(&[how]) == "b" {}
        let (kind, text) = cause(&bench);
        assert_eq!(kind, "no-trace");
        assert!(text.contains("like a pulled plug"), "{text}");
        // Composed on the spot, and the same once it is kept.
        assert!(!common::exists(&bench.path("DEV/state/postmortem.json")));
        bench.surefoot(&["switch"]);
        assert!(common::exists(&bench.path("DEV/state/postmortem.json")));
        assert_eq!(cause(&bench), (kind, text));
    }
}

#[test]
fn a_boot_that_ends_without_a_word_is_told_with_its_last_line() {
    let bench = on_trial();
    three_cut_boots(&bench, "6,1,0,-;Linux version 6.1\n", "starting the motor");
    let (kind, text) = cause(&bench);
    assert_eq!(kind, "unclean-end");
    let want = "without a word in early boot after 9 s in boot 3 of 3: the last line was \"starting the motor 3\"";
    assert!(text.contains(want), "{text}");
    let boots = black_box(&bench);
    let tries: Vec<_> = boots.iter().map(|b| b.head.bootcount.unwrap()).collect();
    assert_eq!(tries, [1, 2, 3]);
}

#[test]
fn a_watchdog_that_says_it_did_it_is_believed_and_one_that_says_nothing_is_not() {
    for (word, kind) in [("32\n", "hang"), ("0\n", "unclean-end"), ("garbage", "unclean-end")] {
        let bench = on_trial();
        three_cut_boots(&bench, "", "starting the motor");
        std::fs::create_dir(bench.path("DEV/run/watchdog")).unwrap();
        std::fs::write(bench.path("DEV/run/watchdog/identity"), "i6300ESB timer\n").unwrap();
        std::fs::write(bench.path("DEV/run/watchdog/bootstatus"), word).unwrap();
        let (found, text) = cause(&bench);
        assert_eq!(found, kind, "{text}");
        assert_eq!(text.contains("the watchdog (i6300ESB timer) reset it"), kind == "hang");
    }
}

#[test]
fn a_panic_that_pstore_has_kept_is_told_and_an_old_one_is_not() {
    let bench = Bench::new();
    let store = bench.path("DEV/run/pstore");
    std::fs::create_dir(&store).unwrap();
    let dump = |n: u32, why: &str| {
        let text = format!(
            "Panic#1 Part1\n<4>[ 3.0] before\n<0>[ 3.1] Kernel panic - {why}\n<0>[ 3.2] a\n<0>[ 3.3] b\n<0>[ 3.4] c\n"
        );
        std::fs::write(format!("{store}/dmesg-ramoops-{n}"), text).unwrap();
    };
    dump(0, "an old one");
    assert!(Recorder::start(&bench).end().contains("nothing is on trial"));
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    three_cut_boots(&bench, "", "starting the motor");
    Recorder::start(&bench).end();
    assert_eq!(cause(&bench).0, "unclean-end", "an old panic is not its");

    bench.surefoot(&["install", &bench.release("2.1.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    three_cut_boots(&bench, "", "starting the motor");
    dump(1, "not syncing: no init");
    let said = Recorder::start(&bench).end();
    assert!(said.contains("kept what the kernel of"), "{said}");
    // The init system puts it away: it is kept.
    std::fs::remove_dir_all(&store).unwrap();
    let want = ("panic".into(), "the kernel panicked: Kernel panic - not syncing: no init".into());
    assert_eq!(cause(&bench), want);
    let people = bench.surefoot(&["status"]).ok().out;
    assert!(people.contains("log      <0>[ 3.1] Kernel panic"), "{people}");
}

#[test]
fn a_panic_of_a_boot_of_the_trial_is_found_by_the_next_one() {
    let bench = on_trial();
    Recorder::start(&bench).cut();
    let store = bench.path("DEV/run/pstore");
    std::fs::create_dir(&store).unwrap();
    std::fs::write(format!("{store}/dmesg-efi-0"), "<0>[ 3.1] Kernel panic - x\n").unwrap();
    bench.reboot(&[]);
    let recorder = Recorder::start(&bench);
    recorded(&bench, "Kernel panic - x");
    recorder.cut();
    std::fs::remove_dir_all(&store).unwrap();
    while bench.reboot(&[]) == "b" {}
    assert_eq!(cause(&bench).0, "panic");
}

#[test]
fn the_black_box_ends_when_the_trial_is_decided_and_by_a_word_of_the_init_system() {
    let bench = on_trial();
    says(&bench, "6,1,0,-;Linux version 6.1\n");
    let recorder = Recorder::start(&bench);
    recorded(&bench, "Linux version");
    // Asked, and nothing decided: it goes on.
    bench.surefoot(&["shutdown"]).ok();
    std::thread::sleep(Duration::from_millis(100));
    bench.surefoot(&["commit"]).ok();
    let said = recorder.end();
    assert!(said.contains("it stays"), "{said}");
    assert!(Recorder::start(&bench).end().contains("nothing is on trial"));

    bench.surefoot(&["install", &bench.release("3.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "a");
    says(&bench, "6,1,0,-;Linux version 6.2\n");
    let mut recorder = Recorder::start(&bench);
    recorded(&bench, "Linux version 6.2");
    let pid = recorder.0.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(recorder.0.wait().unwrap().success());
    let last = black_box(&bench).pop().unwrap();
    assert_eq!(last.end.unwrap().1, "stopped in good order");
    while bench.reboot(&[]) == "a" {}
    let (kind, text) = cause(&bench);
    assert_eq!(kind, "undecided", "{text}");
}

#[test]
fn a_trial_that_is_left_is_recorded_until_the_system_goes_down() {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    bench.reboot(&["--fail"]);
    says(&bench, "6,1,0,-;Linux version 6.1\n");
    let mut recorder = Recorder::start(&bench);
    recorded(&bench, "Linux version");
    bench.surefoot(&["commit"]).refused(77, "HEALTH_FAILED");
    std::thread::sleep(Duration::from_millis(300));
    assert!(recorder.0.try_wait().unwrap().is_none(), "the reboot may be what hangs");
    recorder.cut();
    bench.reboot(&[]);
    assert_eq!(cause(&bench).0, "check", "what it said itself counts");
}

#[test]
fn garbage_in_every_file_costs_the_story_and_nothing_else() {
    for garbage in [&b""[..], b"{}", b"\xff\0\xfe", &[b'['; 200_000], b"{\"v\":1,\"by\":\"trial\"}"]
    {
        let bench = on_trial();
        three_cut_boots(&bench, "", "starting the motor");
        let state = |name: &str| bench.path(&format!("DEV/state/{name}"));
        for name in
            ["postmortem.json", "blackbox/0.log", "blackbox/1.log", "blackbox/pstore-known.json"]
        {
            std::fs::write(state(name), garbage).unwrap();
        }
        let (kind, text) = cause(&bench);
        assert_eq!(kind, "no-trace", "{text}");
        bench.surefoot(&["switch"]);
        assert_eq!(cause(&bench).0, "no-trace");
        Recorder::start(&bench).end();
        bench.update_to("3.0.0");
    }
}

#[test]
fn a_state_folder_that_takes_nothing_stops_neither_the_boot_nor_the_answer() {
    let bench = on_trial();
    std::fs::write(bench.path("DEV/state/blackbox"), "a file").unwrap();
    assert!(Recorder::start(&bench).end().contains("the black box records nothing: cannot write"));
    std::fs::remove_file(bench.path("DEV/state/blackbox")).unwrap();
    three_cut_boots(&bench, "", "starting the motor");
    std::fs::create_dir_all(bench.path("DEV/state/postmortem.json/x")).unwrap();
    let said = bench.surefoot(&["switch"]);
    assert!(said.err.contains("why 2.0.0 came back cannot be kept"), "{}", said.err);
    assert_eq!(cause(&bench).0, "unclean-end", "composed on the spot");
    // No environment, no configuration: a boot does not depend on it.
    std::fs::write(bench.path("DEV/fw_env.config"), "garbage").unwrap();
    assert!(Recorder::start(&bench).end().contains("nothing is recorded"));
    std::fs::write(bench.path("DEV/surefoot.toml"), "garbage").unwrap();
    assert!(Recorder::start(&bench).end().contains("nothing is recorded"));
}
