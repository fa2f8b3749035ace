//! `surefoot push`, through a real sshd on this machine.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common;
use crate::common::kept;
use crate::common::skip;

use crate::common::{Bench, Said, run};
use kept::{Kept, until};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

/// A device with an sshd in front of it.
struct Place {
    bench: Bench,
    sshd: Child,
    port: u16,
}

fn write(path: &str, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn place(bench: Bench) -> Option<Place> {
    let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|p| common::exists(p));
    let (Some(program), 0) = (sshd, run("ssh", &["-V"], &[], b"").code) else {
        skip::skipped("openssh-server or openssh-client is not installed");
        return None;
    };
    for name in ["host", "user"] {
        let key = bench.path(name);
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key], &[], b"").ok();
    }
    std::fs::create_dir(bench.path("bin")).unwrap();
    // What stands on the device: the updater with its configuration. A file `cut` beside it ends
    // the connection after so many bytes, a file `dies` after the answer, as a reboot does. A file
    // `halts` lets so many bytes through, and the rest once it is gone. A file `asked` gets a line
    // for each question for the status.
    let real = env!("CARGO_BIN_EXE_surefoot");
    let wrapper = format!(
        "#!/bin/sh\nexport SUREFOOT_CONFIG={config}\n\
         if [ -e {cut} ] && [ \"$1\" = install ]; then\n  \
             {{ head -c \"$(cat {cut})\"; rm {cut}; kill -9 $PPID; }} | {real} \"$@\"\n\
         elif [ -e {halts} ] && [ \"$1\" = install ]; then\n  \
             {{ head -c \"$(cat {halts})\"; touch {halts}.now; \
                while [ -e {halts} ]; do sleep 0.05; done; cat; }} | {real} \"$@\"\n\
         elif [ -e {dies} ] && [ \"$1\" = install ]; then\n  \
             {real} \"$@\"; rm {dies}; sleep 0.2; kill -9 $PPID\n\
         else\n  [ \"$1\" != status ] || echo >>{asked}\n  exec {real} \"$@\"\nfi\n",
        asked = bench.path("asked"),
        config = bench.path("DEV/surefoot.toml"),
        cut = bench.path("cut"),
        halts = bench.path("halts"),
        dies = bench.path("dies"),
    );
    common::program(bench.path("bin/surefoot"), wrapper.as_bytes());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
         PidFile none\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin yes\nPrintMotd no\nSetEnv PATH={}:/usr/bin:/bin\n",
        bench.path("host"),
        bench.path("user.pub"),
        bench.path("bin"),
    );
    write(&bench.path("sshd_config"), &config, 0o600);
    // Where it separates its privileges; an init script makes it elsewhere.
    let _exists = std::fs::create_dir("/run/sshd");
    let log = std::fs::File::create(bench.path("sshd.log")).unwrap();
    let sshd = Command::new(program)
        .args(["-D", "-e", "-f", &bench.path("sshd_config")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut place = Place { bench, sshd, port };
    until("sshd listens", || {
        assert!(place.sshd.try_wait().unwrap().is_none(), "{}", place.log());
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    Some(place)
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
        if std::thread::panicking() {
            eprintln!("sshd said:\n{}", self.log());
        }
    }
}

impl Place {
    fn log(&self) -> String {
        std::fs::read_to_string(self.bench.path("sshd.log")).unwrap_or_default()
    }

    fn push_to(&self, port: u16, words: &[&str]) -> Said {
        let all = self.words(port, words);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        run(env!("CARGO_BIN_EXE_surefoot"), &all, &[], b"")
    }

    fn words(&self, port: u16, words: &[&str]) -> Vec<String> {
        let (user, port) = (run("id", &["-un"], &[], b"").ok().out, port.to_string());
        let host = format!("{}@127.0.0.1", user.trim());
        let (key, known) = (self.bench.path("user"), self.bench.path("known_hosts"));
        let known = format!("UserKnownHostsFile={known}");
        let mut all = vec!["push", &host];
        all.extend(words);
        all.extend(["--", "-F", "none", "-p", &port, "-i", &key, "-o", &known]);
        all.extend(["-o", "StrictHostKeyChecking=no", "-o", "IdentitiesOnly=yes"]);
        all.into_iter().map(str::to_owned).collect()
    }

    fn push(&self, words: &[&str]) -> Said {
        self.push_to(self.port, words)
    }
}

#[test]
fn a_file_is_installed_on_a_device_and_its_words_and_status_come_back() {
    let Some(place) = place(Bench::new()) else { return };
    let artifact = place.bench.release("2.0.0");
    let said = place.push(&[&artifact]).ok();
    assert!(said.out.contains("2.0.0") && said.out.contains("Reboot to try it"), "{}", said.out);
    let sent = said.err.lines().find(|l| l.starts_with("sending ")).unwrap_or("");
    assert!(sent.contains(" KiB in "), "{}", said.err);
    assert!(said.err.contains("writing ") && said.err.contains("finishing "), "{}", said.err);
    assert_eq!(place.bench.status()["state"], "switching");
    assert_eq!(place.bench.reboot(&[]), "b");
    place.bench.surefoot(&["commit"]).ok();
    // What the device refuses is refused with its own words and its own status.
    let said = place.push(&[&artifact]);
    assert_eq!((said.code, said.reason()), (3, Some("ALREADY_INSTALLED")), "{}", said.err);
    let unsigned =
        place.bench.artifact("unsigned", 3, 1 << 20, &["--version", "3.0.0", "--unsigned"]);
    let said = place.push(&[&unsigned]);
    assert_eq!((said.code, said.reason()), (65, Some("SIGNATURE_MISSING")), "{}", said.err);
    let noise = place.bench.path("noise");
    std::fs::write(&noise, common::image(4, 8 << 20)).unwrap();
    let said = place.push(&[&noise]);
    assert_eq!((said.code, said.reason()), (65, Some("NOT_AN_ARTIFACT")), "{}", said.err);
    assert!(said.err.contains("were sent"), "it stops when nobody wants more: {}", said.err);
    // And what it is allowed goes along.
    place.bench.surefoot(&["hold"]).ok();
    let next = place.bench.release("2.1.0");
    assert_eq!(place.push(&[&next]).code, 77);
    let said = place.push(&[&next, "--hold-ok", "--stage", "--json"]).ok();
    assert_eq!(said.json()["v"], 1, "{}", said.out);
    assert_eq!(place.bench.status()["state"], "staged");
}

#[test]
fn a_delta_is_pushed_as_any_artifact_and_one_that_does_not_fit_is_named() {
    let made = crate::delta::install::Place::new();
    let delta = made.delta;
    let Some(place) = place(made.bench) else { return };
    let said = place.push(&[&delta]).ok();
    assert!(said.out.contains("1.0.2 is in slot"), "{}", said.out);
    let slot = place.bench.reboot(&[]);
    assert_eq!(place.bench.status()["slots"][slot]["version"], "1.0.2");
    place.bench.surefoot(&["commit"]).ok();
    let said = place.push(&[&delta]);
    assert_eq!((said.code, said.reason()), (65, Some("DELTA_BASE")), "{}", said.err);
    assert!(said.err.contains("from 1.0.1") && said.err.contains("full artifact"), "{}", said.err);
}

#[test]
fn what_is_missing_on_the_way_is_named() {
    let Some(place) = place(Bench::new()) else { return };
    let artifact = place.bench.release("2.0.0");
    let here = |words: &[&str]| run(env!("CARGO_BIN_EXE_surefoot"), words, &[], b"");
    let said = here(&["push", "host", &artifact, "--ssh", "/not/there/ssh"]);
    let said = said.refused(66, "NO_SUCH_FILE");
    assert!(said.err.contains("`/not/there/ssh` is not installed here"), "{}", said.err);
    here(&["push", "-oProxyCommand=touch /tmp/x", &artifact]).refused_usage();
    here(&["push", "host", "/not/there"]).refused(66, "NO_SUCH_FILE");
    here(&["push", "host", &artifact, "--reboot", "--timeout", "soon"]).refused(64, "USAGE");
    // Nothing listens at the near end of a connection, and no other test is given its port.
    let kept = TcpStream::connect(("127.0.0.1", place.port)).unwrap();
    let port = kept.local_addr().unwrap().port();
    let said = place.push_to(port, &[&artifact]).refused_twice(69, "HOST_UNREACHABLE");
    assert!(said.err.contains("Connection refused"), "{}", said.err);
    let said =
        place.push(&[&artifact, "--remote", "no-such-updater"]).refused_twice(78, "NO_UPDATER");
    assert!(said.err.contains("no-such-updater"), "{}", said.err);
    std::fs::remove_file(place.bench.path("user.pub")).unwrap();
    let said = place.push(&[&artifact]).refused_twice(69, "HOST_UNREACHABLE");
    assert!(said.err.contains("Permission denied"), "{}", said.err);
    assert_eq!(place.bench.status()["state"], "idle");
}

#[test]
fn a_connection_that_breaks_is_told_and_the_same_command_goes_on() {
    let Some(place) = place(Bench::new()) else { return };
    let artifact = place.bench.artifact("good", 5, 3 << 20, &["--version", "2.0.0"]);
    let length = std::fs::metadata(&artifact).unwrap().len();
    std::fs::write(place.bench.path("cut"), (length * 3 / 4).to_string()).unwrap();
    place.push(&[&artifact]).refused_twice(69, "HOST_UNREACHABLE");
    until("the device has noticed", || place.bench.status()["state"] != "idle");
    assert_eq!(place.bench.booted(), "a");
    let said = place.push(&[&artifact]).ok();
    assert!(said.err.contains("comparing"), "what stands is not written again: {}", said.err);
    assert_eq!(place.bench.reboot(&[]), "b");
    place.bench.surefoot(&["verify", "b"]).ok();
}

#[test]
fn who_ends_it_at_the_keyboard_ends_it_on_the_device_too_and_the_same_command_goes_on() {
    let Some(place) = place(Bench::new()) else { return };
    let artifact = place.bench.artifact("good", 5, 3 << 20, &["--version", "2.0.0"]);
    let length = std::fs::metadata(&artifact).unwrap().len();
    let halts = place.bench.path("halts");
    std::fs::write(&halts, (length * 3 / 4).to_string()).unwrap();
    // Ctrl-C reaches the whole group: this program and its ssh.
    let mut push = Command::new("env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_surefoot")])
        .args(place.words(place.port, &[&artifact]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    until("it is half sent", || common::exists(&format!("{halts}.now")));
    until("it is written", || place.bench.status()["running"]["phase"] == "write");
    run("kill", &["-INT", "--", &format!("-{}", push.id())], &[], b"").ok();
    assert_eq!(push.wait().unwrap().signal(), Some(2));
    std::fs::remove_file(&halts).unwrap();
    until("the device has noticed", || place.bench.status()["running"].is_null());
    let status = place.bench.status();
    assert_eq!((&status["state"], &status["booted"]), (&"installing".into(), &"a".into()));
    let said = place.push(&[&artifact]).ok();
    assert!(said.err.contains("comparing"), "what stands is not written again: {}", said.err);
    assert_eq!(place.bench.reboot(&[]), "b");
    place.bench.surefoot(&["verify", "b"]).ok();
}

#[test]
fn it_waits_for_the_verdict_of_the_device() {
    for (fail, code, words) in [(&[][..], 0, "Running 2.0.0"), (&["--fail"], 77, "HEALTH_FAILED")] {
        let Some(place) = place(kept::quick()) else { return };
        std::fs::write(place.bench.path("dies"), "").unwrap();
        let artifact = place.bench.release("2.0.0");
        let said = std::thread::scope(|scope| {
            let push =
                scope.spawn(|| place.push(&[&artifact, "--reboot", "--timeout", "2m", "--json"]));
            let daemon = Kept::start(&place.bench);
            until("it is to reboot", || daemon.log().contains("rebooting: 2.0.0 in slot b"));
            daemon.kill();
            assert_eq!(place.bench.reboot(fail), "b");
            // The second of two questions from here on: the first has its answer.
            let asked = || std::fs::read(place.bench.path("asked")).unwrap_or_default().len();
            let before = asked();
            until("it looks", || asked() > before + 1);
            let daemon = Kept::start(&place.bench);
            if code == 0 {
                return push.join().unwrap();
            }
            daemon.until_left();
            daemon.kill();
            assert_eq!(place.bench.reboot(&[]), "a");
            let _daemon = Kept::start(&place.bench);
            push.join().unwrap()
        });
        assert_eq!(said.code, code, "{}{}", said.out, said.err);
        // The answer of the installation, then the status at the end.
        let documents = serde_json::Deserializer::from_str(&said.out).into_iter();
        let all: Vec<serde_json::Value> = documents.map(|found| found.unwrap()).collect();
        let summary = all.last().unwrap()["summary"].as_str().unwrap();
        assert!(all.len() > 1 && summary.contains(words), "{}\n{}", said.out, said.err);
        assert!(said.err.contains("trying: "), "{}", said.err);
    }
}

impl Said {
    /// A failure of ours, after words of ssh or of the shell there.
    fn refused_twice(self, code: i32, reason: &str) -> Said {
        let line = self.err.lines().rfind(|l| l.starts_with("surefoot: ")).unwrap_or("");
        let told = (self.code, line.ends_with(&format!("[{reason}]")));
        assert_eq!(told, (code, true), "{}", self.err);
        assert_eq!(self.err.lines().filter(|l| l.starts_with("  next: ")).count(), 1);
        self
    }

    fn refused_usage(self) {
        assert_eq!(self.code, 64, "{}", self.err);
    }
}
