//! The same with a daemon, which gets the stick's bytes and never the stick.

use crate::common::Bench;
use crate::media::{Medium, Shape};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Daemon(Child);

impl Daemon {
    fn start(bench: &Bench) -> Daemon {
        let child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
            .args(["--config", &bench.path("DEV/surefoot.toml"), "daemon"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Daemon(child);
        let socket = bench.path("DEV/run/surefoot/control.sock");
        let up = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        until("the daemon is up", up);
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn until(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(300), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_daemon_installs_what_a_child_reads() {
    let bench = Bench::new();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 32, 40);
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    stick.put(&bench.release("2.1.0"), "y.surefoot");
    let _daemon = Daemon::start(&bench);
    // Pulled while the daemon installs: it is told so, and holds on to nothing.
    let cut = [("SUREFOOT_SIM_UNPLUG", "14")];
    let said = bench.surefoot_with(&["stick", stick.text()], &cut, b"");
    assert_eq!(said.code, 69, "{}{}", said.out, said.err);
    assert!(said.out.contains("the medium failed"), "{}", said.out);
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("y.surefoot: 2.1.0 is in slot b and armed"), "{}", said.out);
    assert_eq!(stick.json()["status"]["state"], "switching");
    let image = crate::common::read(&bench.path("v2.1.0.img"));
    assert!(bench.slot_bytes("b")[..image.len()] == image[..]);
}

#[test]
fn a_report_waits_for_the_trial_to_be_decided() {
    let bench = Bench::new();
    let config = bench.path("DEV/surefoot.toml");
    let old = std::fs::read_to_string(&config).unwrap();
    let quick = old.replacen("[health]", "[health]\nstable = \"1s\"", 1);
    let quick = if quick == old { format!("{old}\n[health]\nstable = \"1s\"\n") } else { quick };
    std::fs::write(&config, quick).unwrap();
    let stick = Medium::new(bench.dir.path(), "s.img", Shape::Primary, 32, 40);
    stick.put(&bench.release("2.0.0"), "x.surefoot");
    bench.surefoot(&["stick", stick.text()]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    let _daemon = Daemon::start(&bench);
    let said = bench.surefoot(&["stick", stick.text()]).ok();
    assert!(said.out.contains("ALREADY_INSTALLED"), "{}", said.out);
    assert!(stick.report().contains("updated to 2.0.0"), "{}", stick.report());
}

#[test]
fn the_inbox_is_a_stick_too() {
    let bench = Bench::new();
    let (inbox, outbox) = (bench.path("DEV/state/inbox"), bench.path("DEV/state/outbox"));
    std::fs::create_dir_all(&inbox).unwrap();
    let drop_in = |artifact: &str, name: &str| {
        std::fs::copy(artifact, bench.path("DEV/state/coming")).unwrap();
        std::fs::rename(bench.path("DEV/state/coming"), format!("{inbox}/{name}")).unwrap();
    };
    let empty = || std::fs::read_dir(&inbox).unwrap().count() == 0;
    let reports = || {
        let mut names: Vec<_> = std::fs::read_dir(&outbox)
            .map(|d| d.map(|e| e.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        names.sort();
        names
    };
    let last = |end: &str| {
        let names: Vec<String> = reports();
        let name = names.iter().rfind(|n| n.ends_with(end)).unwrap();
        std::fs::read_to_string(format!("{outbox}/{name}")).unwrap()
    };
    // What was there before the daemon is looked at too.
    let strange = bench.artifact("s", 9, 1 << 20, &["--version", "9.0.0", "--compatible", "x"]);
    drop_in(&strange, "strange.surefoot");
    let daemon = Daemon::start(&bench);
    until("the strange one is refused", empty);
    assert!(last(".txt").contains("Code: INCOMPATIBLE"), "{}", last(".txt"));
    assert_eq!(bench.status()["state"], "idle");
    // A link leads nowhere, a half file is not there yet.
    std::os::unix::fs::symlink("/etc/passwd", format!("{inbox}/link.surefoot")).unwrap();
    drop_in(&bench.release("2.0.0"), "x.surefoot");
    until("it is installed", || bench.status()["state"] == "switching");
    until("it is taken away", || !std::path::Path::new(&format!("{inbox}/x.surefoot")).exists());
    assert!(last(".txt").contains("2.0.0 is in slot b and armed"), "{}", last(".txt"));
    assert_eq!(reports().len(), 4, "{:?}", reports());
    drop(daemon);
    let image = crate::common::read(&bench.path("v2.0.0.img"));
    assert!(bench.slot_bytes("b")[..image.len()] == image[..]);
}

#[test]
fn a_file_that_takes_the_name_of_one_that_is_being_installed_is_not_taken_away_unread() {
    let bench = Bench::new();
    let inbox = bench.path("DEV/state/inbox");
    std::fs::create_dir_all(&inbox).unwrap();
    // The next delivery arrives in the middle of the first one's installation, under the same name.
    let (next, place) = (bench.path("DEV/state/next"), format!("{inbox}/update.surefoot"));
    let config = bench.path("DEV/surefoot.toml");
    let hook = format!(
        "\n[[hook]]\nname = \"transport\"\nat = \"before-install\"\n\
         command = [\"/bin/sh\", \"-c\", \"[ ! -e {next} ] || mv {next} {place}\"]\n"
    );
    let text = std::fs::read_to_string(&config).unwrap() + &hook;
    std::fs::write(&config, text).unwrap();
    std::fs::copy(bench.release("3.0.0"), &next).unwrap();
    std::fs::copy(bench.release("2.0.0"), bench.path("DEV/state/coming")).unwrap();
    std::fs::rename(bench.path("DEV/state/coming"), &place).unwrap();
    let _daemon = Daemon::start(&bench);
    until("the second one is installed", || {
        bench.status()["slots"]["b"]["version"] == "3.0.0" && bench.status()["state"] == "switching"
    });
    until("it is taken away", || !std::path::Path::new(&place).exists());
}

#[test]
fn the_outbox_does_not_grow_for_ever() {
    let bench = Bench::new();
    let (inbox, outbox) = (bench.path("DEV/state/inbox"), bench.path("DEV/state/outbox"));
    std::fs::create_dir_all(&inbox).unwrap();
    std::fs::create_dir_all(&outbox).unwrap();
    for n in 1..=100 {
        std::fs::write(format!("{outbox}/{n:06}-surefoot-report-x.txt"), "old").unwrap();
    }
    std::fs::write(format!("{outbox}/somebody's"), "kept").unwrap();
    std::fs::write(format!("{inbox}/bad.surefoot"), "no artifact").unwrap();
    let _daemon = Daemon::start(&bench);
    until("it is refused", || std::fs::read_dir(&inbox).unwrap().count() == 0);
    until("old ones go", || std::fs::read_dir(&outbox).unwrap().count() == 65);
    assert!(std::path::Path::new(&format!("{outbox}/somebody's")).exists());
    assert!(
        std::path::Path::new(&format!("{outbox}/000101-surefoot-report-demo-board.txt")).exists()
            || std::fs::read_dir(&outbox).unwrap().any(|e| {
                e.unwrap().file_name().to_str().unwrap().starts_with("000101-surefoot-report-demo")
            })
    );
}
