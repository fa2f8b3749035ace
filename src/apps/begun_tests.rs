//! Native and command apps on a small world: a systemd that is stricter than the real one, and a real program.

#![allow(clippy::unwrap_used)]

use super::begun::Begun;
use super::fixture::{Bench, name};
use super::plain::{PlainApp, PlainHealth};
use super::{AppContext, Generation};
use crate::bundle::AppDocument;
use crate::model::{Digest, ReasonCode};
use crate::sys::process::{Children, Ending, Finished, Invocation, Runner};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;

/// Units that are linked and run, as systemd has them, and all that it was asked.
#[derive(Default)]
pub(super) struct Systemd {
    linked: BTreeMap<String, PathBuf>,
    /// As it was read at the last reload.
    loaded: BTreeMap<String, String>,
    active: BTreeSet<String>,
    restarts: u32,
    asked: Vec<String>,
}

#[derive(Default)]
pub(super) struct Systemctl(Mutex<Systemd>);

impl Systemctl {
    /// The text of a unit that runs.
    pub(super) fn running(&self, unit: &str) -> Option<String> {
        let world = self.0.lock().unwrap();
        world.active.contains(unit).then(|| world.loaded.get(unit).cloned())?
    }

    /// How many units are linked.
    pub(super) fn linked(&self) -> usize {
        self.0.lock().unwrap().linked.len()
    }
}

impl Runner for Systemctl {
    fn run(&self, call: &Invocation<'_>) -> std::io::Result<Finished> {
        assert_eq!(call.command[0], "systemctl");
        let mut world = self.0.lock().unwrap();
        let words: Vec<&str> = call.command[1..].iter().map(String::as_str).collect();
        let names = words.iter().skip_while(|w| **w != "--").skip(1);
        world.asked.push(words.join(" "));
        let (mut out, mut status) = (String::new(), 0);
        match words[0] {
            "link" => {
                assert_eq!(words[1], "--runtime");
                for file in names {
                    let path = PathBuf::from(file);
                    assert!(path.is_absolute() && path.is_file(), "{file}");
                    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                    world.linked.insert(name, path);
                }
            }
            "daemon-reload" => {
                let texts = world.linked.iter();
                let texts = texts.map(|(n, p)| (n.clone(), std::fs::read_to_string(p).unwrap()));
                world.loaded = texts.collect();
            }
            "start" => {
                for name in names {
                    let text = world.loaded.get(*name);
                    let program = text.and_then(|text| {
                        let line = text.lines().find_map(|l| l.strip_prefix("ExecStart="))?;
                        Some(line.split(' ').next().unwrap().to_owned())
                    });
                    // A service without its program does not start.
                    let runs =
                        program.is_some_and(|p| std::fs::metadata(p).is_ok_and(|a| a.is_file()));
                    match runs || name.ends_with("timer") {
                        true => drop(world.active.insert((*name).to_owned())),
                        false => status = 1,
                    }
                }
            }
            "stop" => world.active.retain(|unit| !names.clone().any(|name| name == unit)),
            "disable" => {
                for name in names {
                    assert!(!world.active.contains(*name), "{name} runs");
                    world.linked.remove(*name);
                }
            }
            "show" if words[1] == "--property=Version" => out = "Version=252\n".to_owned(),
            "show" => {
                for name in names {
                    let load =
                        if world.loaded.contains_key(*name) { "loaded" } else { "not-found" };
                    let active = if world.active.contains(*name) { "active" } else { "inactive" };
                    let restarts = world.restarts;
                    out.push_str(&format!(
                        "Id={name}\nLoadState={load}\nActiveState={active}\nSubState=x\nResult=success\nNRestarts={restarts}\n\n"
                    ));
                }
            }
            _ => {}
        }
        Ok(Finished {
            ending: Ending::Exit(status),
            stdout: out.into_bytes(),
            stderr: b"no\n".to_vec(),
        })
    }
}

struct Release {
    document: AppDocument,
    generation: Generation,
    bytes: Vec<u8>,
}

/// A release of an app with these files.
fn release(n: u8, more: &str, files: &[(&str, &str)]) -> Release {
    let of: Vec<_> = files
        .iter()
        .map(|(path, text)| {
            let sha256 = Digest::of(text.as_bytes()).to_string();
            serde_json::json!({ "path": path, "size": text.len(), "sha256": sha256,
                "executable": path.starts_with("bin/") })
        })
        .collect();
    let text = format!(
        r#"{{"format":1,"app":"shop","deadline":1000,"soak":0,"max_restarts":1,"keep":1,
            "config":{{"LEVEL":{{"type":"string","default":"info"}}}},{more}}}"#
    )
    .replace("FILES", &serde_json::to_string(&of).unwrap());
    let document: AppDocument = crate::model::from_json(text.as_bytes()).unwrap();
    let generation = Generation {
        digest: Digest([n; 32]),
        version: format!("{n}.0").parse().unwrap(),
        release_counter: u64::from(n),
        config: BTreeMap::new(),
        development: false,
        keep: 1,
    };
    let bytes = files.iter().flat_map(|(_, text)| text.bytes()).collect();
    Release { document, generation, bytes }
}

fn app<'a>(
    ctx: &'a AppContext<'a>,
    release: &'a Release,
    before: Option<&Release>,
) -> PlainApp<'a> {
    let data = ctx.settings.data.as_ref().unwrap().join("shop");
    let run = ctx.run.join("apps/shop");
    let variables = BTreeMap::from([("CONFIG_LEVEL".to_owned(), "info".to_owned())]);
    let previous = before.map(|release| release.generation.digest);
    PlainApp {
        ctx,
        document: &release.document,
        generation: &release.generation,
        variables,
        previous,
        data,
        run,
    }
}

fn native(n: u8, unit: &str) -> Release {
    let native = r#""kind":"native","native":{"files":FILES,"units":["web.service"]}"#;
    release(n, native, &[("bin/web", "program"), ("web.service", unit)])
}

const WEB: &str = "[Service]\nType=notify\nExecStart=@ROOT@/bin/web @DATA@\n";

fn with<'a>(bench: &'a Bench, runner: &'a dyn Runner) -> AppContext<'a> {
    AppContext { runner, ..bench.ctx() }
}

#[test]
fn a_native_app_runs_until_it_is_stopped_and_leaves_nothing_in_systemd() {
    let (bench, systemd) = (Bench::new(), Systemctl::default());
    let ctx = with(&bench, &systemd);
    let one = native(1, WEB);
    let one = app(&ctx, &one, None);
    one.admit().unwrap();
    one.stage(&mut &b"programs and more"[..]).unwrap_err();
    let bytes = [b"program".as_slice(), WEB.as_bytes()].concat();
    one.stage(&mut &bytes[..]).unwrap();
    assert_eq!(one.begun(), Begun::No);
    one.start().unwrap();
    assert_eq!((one.begun(), one.check(true).unwrap()), (Begun::Whole, PlainHealth::Well));
    {
        let world = systemd.0.lock().unwrap();
        let text = &world.loaded["surefoot-app-shop.web.service"];
        let root = one.root().display().to_string();
        assert!(text.contains(&format!("ExecStart={root}/bin/web {}", one.own_data().display())));
        for line in
            ["\"CONFIG_LEVEL=info\"", "\"SUREFOOT_APP=shop\"", "\"SUREFOOT_APP_VERSION=1.0\""]
        {
            assert!(text.contains(&format!("Environment={line}\n")), "{text}");
        }
    }
    one.stop().unwrap();
    one.stop().unwrap();
    let world = systemd.0.lock().unwrap();
    assert!(world.linked.is_empty() && world.loaded.is_empty() && world.active.is_empty());
    assert_eq!(one.begun(), Begun::No);
}

#[test]
fn the_next_generation_of_a_native_app_is_the_one_that_the_root_leads_to() {
    let (bench, systemd) = (Bench::new(), Systemctl::default());
    let ctx = with(&bench, &systemd);
    let (first, second) = (native(1, WEB), native(2, WEB));
    let (one, two) = (app(&ctx, &first, None), app(&ctx, &second, Some(&first)));
    for (app, release) in [(&one, &first), (&two, &second)] {
        app.stage(&mut &release.bytes[..]).unwrap();
    }
    one.start().unwrap();
    assert_eq!(std::fs::read_link(one.root()).unwrap(), one.tree());
    one.stop().unwrap();
    two.start().unwrap();
    assert_eq!((one.begun(), two.begun()), (Begun::No, Begun::Whole));
    assert_eq!(std::fs::read_link(two.root()).unwrap(), two.tree());
    let previous = &two.environment()["SUREFOOT_APP_PREVIOUS_TREE"];
    assert_eq!(*previous, one.tree().display().to_string());
}

#[test]
fn a_unit_that_ends_or_is_started_again_and_again_is_not_well() {
    let (bench, systemd) = (Bench::new(), Systemctl::default());
    let ctx = with(&bench, &systemd);
    let first = native(1, WEB);
    let one = app(&ctx, &first, None);
    one.stage(&mut &first.bytes[..]).unwrap();
    one.start().unwrap();
    systemd.0.lock().unwrap().restarts = 2;
    let ended = |health| matches!(health, PlainHealth::Bad(ReasonCode::ServiceEnded, why) if why.contains("web.service"));
    assert!(ended(one.check(true).unwrap()));
    assert_eq!(
        one.check(false).unwrap(),
        PlainHealth::Well,
        "after the trial it is systemd's matter"
    );
    systemd.0.lock().unwrap().active.clear();
    assert!(ended(one.check(false).unwrap()));
}

#[test]
fn a_native_app_that_cannot_start_is_a_start_that_was_begun() {
    let (bench, systemd) = (Bench::new(), Systemctl::default());
    let ctx = with(&bench, &systemd);
    let bad = "[Service]\nExecStart=/nowhere/to/be/found\n";
    let native = r#""kind":"native","permissions":["native-programs"],"native":{"files":FILES,"units":["web.service"]}"#;
    let first = release(1, native, &[("web.service", bad)]);
    let one = app(&ctx, &first, None);
    assert_eq!(one.admit().unwrap_err().code(), ReasonCode::NotPermitted);
    let mut granted = ctx.settings.clone();
    granted.permissions.push("native-programs".parse().unwrap());
    let ctx = AppContext { settings: &granted, ..with(&bench, &systemd) };
    let one = PlainApp { ctx: &ctx, ..one };
    one.admit().unwrap();
    one.stage(&mut &first.bytes[..]).unwrap();
    assert_eq!(one.start().unwrap_err().code(), ReasonCode::ServiceEnded);
    assert_eq!(one.begun(), Begun::Partly(0));
    one.stop().unwrap();
    assert!(systemd.0.lock().unwrap().linked.is_empty());
}

#[test]
fn a_device_without_systemd_has_no_native_apps() {
    struct None;
    impl Runner for None {
        fn run(&self, _: &Invocation<'_>) -> std::io::Result<Finished> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let bench = Bench::new();
    let ctx = with(&bench, &None);
    let first = native(1, WEB);
    let failure = app(&ctx, &first, Option::None).admit().unwrap_err();
    assert_eq!(failure.code(), ReasonCode::AppRequires);
}

/// A program that notes each call and fails at what `fail` says.
pub(super) fn firmware(bench: &Bench) -> PathBuf {
    let dir = bench.data().parent().unwrap();
    let text = format!(
        "#!/bin/sh\necho \"$1 $(cat $SUREFOOT_APP_TREE/fw) before=$(cat $SUREFOOT_APP_PREVIOUS_TREE/fw 2>/dev/null) $CONFIG_LEVEL\" >>{0}/calls\n\
         grep -qx \"$1 $(cat $SUREFOOT_APP_TREE/fw)\" {0}/later 2>/dev/null && {{ echo wait; exit 75; }}\n\
         grep -qx \"$1 $(cat $SUREFOOT_APP_TREE/fw)\" {0}/fail 2>/dev/null && {{ echo first; echo the last line >&2; exit 3; }}\n\
         [ \"$1\" = start ] && cat $SUREFOOT_APP_TREE/fw >{0}/flash\nexit 0\n",
        dir.display()
    );
    let program = dir.join("mcu");
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn command(n: u8) -> Release {
    let command = r#""kind":"command","command":{"program":"mcu","files":FILES,"timeout":20000}"#;
    release(n, command, &[("fw", &format!("v{n}"))])
}

#[test]
fn a_program_of_the_image_is_asked_with_each_verb_and_told_where_the_files_lie() {
    let bench = Bench::new();
    let mut settings = bench.settings.clone();
    let (first, second) = (command(1), command(2));
    let ctx = AppContext { settings: &settings, ..with(&bench, &Children) };
    assert_eq!(app(&ctx, &first, None).admit().unwrap_err().code(), ReasonCode::NotPermitted);
    settings.commands.insert("mcu".to_owned(), firmware(&bench));
    let ctx = AppContext { settings: &settings, ..with(&bench, &Children) };
    let (one, two) = (app(&ctx, &first, None), app(&ctx, &second, Some(&first)));
    one.admit().unwrap();
    for (app, release) in [(&one, &first), (&two, &second)] {
        app.stage(&mut &release.bytes[..]).unwrap();
    }
    one.start().unwrap();
    assert_eq!(one.check(true).unwrap(), PlainHealth::Well);
    one.stop().unwrap();
    two.start().unwrap();
    two.stop().unwrap();
    two.remove().unwrap();
    let calls = std::fs::read_to_string(bench.data().parent().unwrap().join("calls")).unwrap();
    let want = "prepare v1 before= info\nprepare v2 before=v1 info\nstart v1 before= info\ncheck v1 before= info\n\
        stop v1 before= info\nstart v2 before=v1 info\nstop v2 before=v1 info\nremove v2 before=v1 info\n";
    assert_eq!(calls, want);
    assert_eq!(name("shop"), first.document.app);
}

#[test]
fn what_a_program_says_last_is_the_reason_and_75_is_not_yet() {
    let bench = Bench::new();
    let mut settings = bench.settings.clone();
    settings.commands.insert("mcu".to_owned(), firmware(&bench));
    let ctx = AppContext { settings: &settings, ..with(&bench, &Children) };
    let first = command(1);
    let one = app(&ctx, &first, None);
    let say = |file: &str, text: &str| {
        std::fs::write(bench.data().parent().unwrap().join(file), text).unwrap()
    };
    say("later", "prepare v1\ncheck v1\n");
    assert_eq!(one.stage(&mut &first.bytes[..]).unwrap_err().code(), ReasonCode::HookLater);
    assert!(matches!(one.check(true).unwrap(), PlainHealth::NotYet(why) if why.contains("wait")));
    say("later", "");
    say("fail", "check v1\nstart v1\nprepare v1\n");
    assert_eq!(one.stage(&mut &first.bytes[..]).unwrap_err().code(), ReasonCode::HookVeto);
    let failure = one.start().unwrap_err();
    assert_eq!(failure.code(), ReasonCode::ServiceEnded);
    assert!(failure.detail().contains("start: the last line (exit status 3)"), "{failure}");
    let PlainHealth::Bad(ReasonCode::ServiceUnhealthy, why) = one.check(true).unwrap() else {
        panic!("it says that it is bad")
    };
    assert!(why.contains("the last line"), "{why}");
}

#[test]
fn a_program_that_cannot_stop_is_passed_over_after_the_third_time() {
    let bench = Bench::new();
    let mut settings = bench.settings.clone();
    settings.commands.insert("mcu".to_owned(), firmware(&bench));
    let ctx = AppContext { settings: &settings, ..with(&bench, &Children) };
    let first = command(1);
    let one = app(&ctx, &first, None);
    one.stage(&mut &first.bytes[..]).unwrap();
    one.start().unwrap();
    std::fs::write(bench.data().parent().unwrap().join("fail"), "stop v1\n").unwrap();
    for left in [Begun::Partly(1), Begun::Partly(2)] {
        assert_eq!(one.stop().unwrap_err().code(), ReasonCode::ServiceEnded);
        assert_eq!(one.begun(), left);
    }
    one.stop().unwrap();
    assert_eq!(one.begun(), Begun::No);
}

#[test]
fn files_that_are_not_those_that_were_signed_are_not_started_in_another_boot() {
    let bench = Bench::new();
    let mut settings = bench.settings.clone();
    settings.commands.insert("mcu".to_owned(), firmware(&bench));
    let ctx = AppContext { settings: &settings, ..with(&bench, &Children) };
    let first = command(1);
    let one = app(&ctx, &first, None);
    one.stage(&mut &first.bytes[..]).unwrap();
    one.start().unwrap();
    std::fs::write(one.tree().join("fw"), "xx").unwrap();
    std::fs::remove_dir_all(ctx.run.join("apps")).unwrap();
    assert_eq!(one.begun(), Begun::No, "after a reboot nothing was begun");
    assert_eq!(one.start().unwrap_err().code(), ReasonCode::ChunkCorrupt);
    assert_eq!(one.begun(), Begun::No);
}
