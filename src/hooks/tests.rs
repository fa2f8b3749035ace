//! What hooks may do, and what they cannot.

use super::*;
use crate::event::{Event, Sink};
use crate::model::{ReasonCode, SlotId};
use crate::sys::process::{Children, Finished, Invocation, Runner};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A sink that remembers.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn emit(&self, event: &Event) {
        if let Event::Hook { moment, name, text } = event {
            self.0.lock().unwrap().push(format!("{moment} {name}: {text}"));
        }
    }
}

fn hook(name: &str, at: Moment, script: &str) -> Hook {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Hook { name: name.parse().unwrap(), at, command, timeout: Duration::from_secs(20) }
}

fn context() -> Context {
    Context { slot: Some(SlotId::B), by: "uid 0".into(), ..Context::default() }
}

fn ask(hooks: &[Hook], moment: Moment) -> (Ran, Vec<String>) {
    let heard = Heard::default();
    let hands = Hands { root: &Root::Device, runner: &Children, sink: &heard };
    let ran = run(hooks, moment, &context(), &hands);
    (ran, heard.0.into_inner().unwrap())
}

/// What one script, asked before the installation, answers.
fn one(script: &str, timeout: Duration) -> (Permission, Report) {
    let asked = Hook { timeout, ..hook("x", Moment::BeforeInstall, script) };
    let (mut ran, heard) = ask(&[asked], Moment::BeforeInstall);
    assert_eq!(heard.len(), 1);
    (ran.permission, ran.reports.remove(0))
}

const SOON: Duration = Duration::from_secs(60);

fn veto(text: &str) -> Permission {
    Permission::Veto { name: "x".into(), text: text.into() }
}

#[test]
fn exit_0_is_go_75_is_later_and_anything_else_is_a_veto() {
    assert_eq!(one("exit 0", SOON).0, Permission::Go);
    let later = one("echo robot is moving; exit 75", SOON).0;
    let text = "exit status 75: robot is moving".to_owned();
    assert_eq!(later, Permission::Later { name: "x".into(), text });
    assert_eq!(later.failure(Moment::BeforeInstall).unwrap().code(), ReasonCode::HookLater);
    for status in [1, 2, 74, 76, 77, 126, 127, 255] {
        let (said, report) = one(&format!("exit {status}"), SOON);
        assert_eq!(said, veto(&format!("exit status {status}")));
        assert_eq!(report.answer, Answer::Veto);
    }
    let failure = one("echo no >&2; exit 1", SOON).0.failure(Moment::BeforeInstall).unwrap();
    assert_eq!(failure.to_string(), "hook x at before-install: exit status 1: no [HOOK_VETO]");
    assert_eq!(Permission::Go.failure(Moment::BeforeInstall), None);
    assert_eq!(one("kill -9 $$", SOON).0, veto("killed by signal 9"));
}

#[test]
fn only_the_hooks_of_the_moment_run_and_the_first_no_ends_them() {
    let dir = tempfile::tempdir().unwrap();
    let mark = |name: &str, at: Moment, then: &str| {
        let file = dir.path().join(name).display().to_string();
        hook(name, at, &format!("touch '{file}'; {then}"))
    };
    let hooks = [
        mark("other", Moment::BeforeReboot, "exit 1"),
        mark("first", Moment::BeforeInstall, "exit 0"),
        mark("second", Moment::BeforeInstall, "exit 75"),
        mark("third", Moment::BeforeInstall, "exit 0"),
    ];
    let (ran, heard) = ask(&hooks, Moment::BeforeInstall);
    assert!(matches!(ran.permission, Permission::Later { ref name, .. } if name == "second"));
    let ran_names: Vec<_> = ran.reports.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(ran_names, ["first", "second"]);
    let told = ["before-install first: exit status 0", "before-install second: exit status 75"];
    assert_eq!(heard, told);
    let ran_truly: Vec<bool> =
        hooks.iter().map(|h| dir.path().join(h.name.as_str()).exists()).collect();
    assert_eq!(ran_truly, [false, true, true, false]);
    assert_eq!(ask(&hooks, Moment::AfterInstall).0.permission, Permission::Go);
}

#[test]
fn after_a_step_all_are_told_and_nobody_stops_anything() {
    for moment in Moment::ALL.into_iter().filter(|m| !m.is_asked()) {
        let hooks = ["exit 1", "exit 75", "exit 0"].map(|s| hook("x", moment, s));
        let (ran, _) = ask(&hooks, moment);
        assert_eq!(ran.permission, Permission::Go);
        let answers: Vec<_> = ran.reports.iter().map(|r| r.answer).collect();
        assert_eq!(answers, [Answer::Veto, Answer::Later, Answer::Go]);
    }
}

#[test]
fn a_hook_is_told_in_its_environment_and_on_its_input() {
    let script = "echo $SUREFOOT_MOMENT $SUREFOOT_SLOT [$SUREFOOT_VERSION] $SUREFOOT_BY; pwd; cat";
    let (said, report) = one(script, SOON);
    assert_eq!(said, Permission::Go);
    let lines: Vec<_> = report.output.lines().collect();
    assert_eq!(lines[..2], ["before-install b [] uid 0", "/"]);
    let json: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!((json["v"].as_u64(), json["slot"].as_str()), (Some(1), Some("b")));
    assert_eq!((json["hook"].as_str(), json["timeout"].as_u64()), (Some("x"), Some(60)));
}

#[test]
fn a_hook_that_hangs_is_killed_and_is_a_veto() {
    let start = Instant::now();
    for script in ["sleep 600", "trap '' TERM HUP INT; echo busy; sleep 600 & sleep 600 & wait"] {
        let (said, report) = one(script, Duration::from_millis(300));
        assert!(
            matches!(said, Permission::Veto { ref text, .. } if text.starts_with("not finished after 0 s"))
        );
        assert_eq!(report.answer, Answer::Veto);
    }
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
}

#[test]
fn a_hook_that_leaves_something_behind_is_not_waited_for() {
    let start = Instant::now();
    let script = "setsid sleep 600 & echo left it behind; exit 75";
    let (said, report) = one(script, SOON);
    let text = "exit status 75: left it behind".to_owned();
    assert_eq!(said, Permission::Later { name: "x".into(), text });
    assert_eq!(report.output, "left it behind\n");
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
}

#[test]
fn a_hook_that_prints_without_end_is_cut_and_its_output_stays_small() {
    // Under load it may not have said a word when its time is over.
    let talks = |seconds| (seconds, one("yes no; exit 0", Duration::from_secs(seconds)));
    let answers = [1, 4, 16, 64].into_iter().map(talks);
    let (seconds, (said, report)) =
        answers.into_iter().find(|(_, (_, report))| !report.output.is_empty()).unwrap();
    let over = format!("not finished after {seconds} s: ");
    // The last line of what was kept; it may be cut.
    assert!([veto(&format!("{over}no")), veto(&format!("{over}n"))].contains(&said), "{said:?}");
    assert!(report.output.len() <= 16 * 1024 + 1, "{}", report.output.len());
    let (said, report) = one("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2", SOON);
    assert_eq!(said, Permission::Go);
    assert!(report.output.len() < 2 * 16 * 1024, "{}", report.output.len());
}

#[test]
fn a_hook_that_does_not_listen_is_an_answer_all_the_same() {
    assert_eq!(one("exec <&-; exit 0", SOON).0, Permission::Go);
    assert_eq!(one("exec <&- >&- 2>&-; exit 3", SOON).0, veto("exit status 3"));
}

#[test]
fn what_a_hook_prints_cannot_speak_to_a_terminal() {
    let script = r"printf 'a\033[2Jb\n\377\342\200\256x\r\n\n'; exit 1";
    let (said, report) = one(script, SOON);
    assert_eq!(said, veto("exit status 1: \u{fffd}?x"));
    assert_eq!(report.output, "a?[2Jb\n\u{fffd}?x\n\n");
}

#[test]
fn a_hook_that_cannot_be_started_is_a_veto_that_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken");
    std::fs::write(&broken, "#!/nowhere/interpreter\n").unwrap();
    mode(&broken, 0o755);
    for (program, said) in [
        ("/nowhere/at-all".to_owned(), "No such file"),
        ("relative/x".to_owned(), "relative"),
        ("/etc".to_owned(), "not a regular file"),
        ("/proc/self/exe".to_owned(), "another filesystem"),
    ] {
        let missing = Hook { command: vec![program], ..hook("x", Moment::FirstBoot, "") };
        let (ran, _) = ask(&[missing], Moment::FirstBoot);
        let text = match ran.permission {
            Permission::Veto { text, .. } => text,
            other => panic!("{other:?}"),
        };
        assert!(text.starts_with("could not be started: ") && text.contains(said), "{text}");
    }
    let root = Root::Folder(dir.path().to_owned());
    mode(dir.path(), 0o755);
    let heard = Heard::default();
    let hands = Hands { root: &root, runner: &Children, sink: &heard };
    let no_interpreter =
        Hook { command: vec!["./broken".into()], ..hook("x", Moment::FirstBoot, "") };
    let ran = run(&[no_interpreter], Moment::FirstBoot, &context(), &hands);
    assert!(
        matches!(ran.permission, Permission::Veto { ref text, .. } if text.contains("could not be started"))
    );
}

/// Notes what it is asked to run and runs nothing.
#[derive(Default)]
struct Noted(Mutex<Vec<(Vec<String>, PathBuf)>>);

impl Runner for Noted {
    fn run(&self, call: &Invocation<'_>) -> std::io::Result<Finished> {
        self.0.lock().unwrap().push((call.command.to_vec(), call.folder.to_owned()));
        Err(std::io::ErrorKind::PermissionDenied.into())
    }
}

#[test]
fn what_is_run_is_what_was_judged_and_not_the_link_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().canonicalize().unwrap();
    mode(&top, 0o755);
    std::fs::write(top.join("real"), "#!/bin/sh\n").unwrap();
    mode(&top.join("real"), 0o755);
    std::os::unix::fs::symlink("real", top.join("link")).unwrap();
    let (noted, heard) = (Noted::default(), Heard::default());
    let root = Root::Folder(top.clone());
    let hands = Hands { root: &root, runner: &noted, sink: &heard };
    let command = vec!["./link".to_owned(), "word".to_owned()];
    let linked = Hook { command, ..hook("x", Moment::BeforeCommit, "") };
    let ask = || run(std::slice::from_ref(&linked), Moment::BeforeCommit, &context(), &hands);
    assert!(matches!(ask().permission, Permission::Veto { .. }));
    let real = top.join("real").display().to_string();
    assert_eq!(noted.0.lock().unwrap()[0], (vec![real, "word".to_owned()], top.clone()));
    // What is not the image's never reaches whoever runs programs.
    mode(&top.join("real"), 0o775);
    let text = match ask().permission {
        Permission::Veto { text, .. } => text,
        other => panic!("{other:?}"),
    };
    assert!(text.contains("may be changed by others"), "{text}");
    assert_eq!(noted.0.lock().unwrap().len(), 1);
}

fn mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
