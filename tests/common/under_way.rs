//! An installation that runs while the test looks at it.

use crate::common::kept::until;
use crate::common::{self, Bench, Said, run};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use surefoot::sys::power::STOP_VARIABLE;

/// `surefoot install`, started. Killed when dropped.
pub(crate) struct UnderWay {
    child: Child,
    streams: bool,
}

impl UnderWay {
    /// Starts the installation of a file, or of what is fed with `-`.
    pub(crate) fn start(bench: &Bench, artifact: &str) -> UnderWay {
        UnderWay::by(Command::new(env!("CARGO_BIN_EXE_surefoot")), bench, artifact)
    }

    /// One that has written so many bytes and is stopped there: what is seen from outside may be seen
    /// late.
    pub(crate) fn stopped(bench: &Bench, artifact: &str, bytes: u64) -> UnderWay {
        let mut surefoot = Command::new(env!("CARGO_BIN_EXE_surefoot"));
        surefoot.env(STOP_VARIABLE, bytes.to_string());
        let install = UnderWay::by(surefoot, bench, artifact);
        until_stopped(install.id());
        install
    }

    /// The same heeding every signal, whatever started this test ignores: a shell that runs it in the
    /// background ignores SIGINT.
    pub(crate) fn heeding(bench: &Bench, artifact: &str) -> UnderWay {
        let mut env = Command::new("env");
        env.args(["--default-signal=INT,HUP", env!("CARGO_BIN_EXE_surefoot")]);
        UnderWay::by(env, bench, artifact)
    }

    fn by(mut command: Command, bench: &Bench, artifact: &str) -> UnderWay {
        let streams = artifact == "-";
        let child = command
            .args(["--config", &bench.path("DEV/surefoot.toml"), "install", artifact])
            .env_remove("SUREFOOT_CONFIG")
            .stdin(if streams { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        UnderWay { child: child.unwrap(), streams }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Feeds a part of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        assert!(self.streams);
        // Who refuses it midway closes the pipe.
        let _closed = self.child.stdin.as_mut().unwrap().write_all(bytes);
    }

    /// Waits until it has written so many bytes, by the kernel's count; how many those are.
    pub(crate) fn until_written(&mut self, bytes: u64) -> u64 {
        let counters = format!("/proc/{}/io", self.child.id());
        let start = Instant::now();
        loop {
            let text = std::fs::read_to_string(&counters).unwrap();
            let line = text.lines().find_map(|l| l.strip_prefix("wchar: "));
            let written = line.unwrap().parse().unwrap();
            if written >= bytes {
                return written;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before");
            assert!(start.elapsed() < Duration::from_secs(300), "{written} of {bytes} bytes");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert!(!status.success(), "it was ready before the kill");
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Said {
        drop(self.child.stdin.take());
        let read = |pipe: &mut dyn std::io::Read| {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        };
        let out = read(&mut self.child.stdout.take().unwrap());
        let err = read(&mut self.child.stderr.take().unwrap());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Said { code, out, err }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a process that was started with `STOP_VARIABLE` stops.
pub(crate) fn until_stopped(pid: u32) {
    let stat = format!("/proc/{pid}/stat");
    until("it stops", || std::fs::read_to_string(&stat).unwrap().contains(") T "));
}

const LEN: usize = 12 << 20;

/// A device whose slots are large enough for an installation to be looked at.
pub(crate) fn roomy() -> Bench {
    Bench::with(&["--slot-size", "16M"])
}

/// An artifact for it.
pub(crate) fn large(bench: &Bench, version: &str) -> String {
    bench.artifact(version, 5, LEN, &["--version", version])
}

/// Feeds three quarters of an artifact to an installation; it writes, and waits for more.
pub(crate) fn fed(bench: &Bench, artifact: &str, mut install: UnderWay) -> UnderWay {
    let bytes = common::read(artifact);
    install.feed(&bytes[..bytes.len() * 3 / 4]);
    until("it writes", || bench.status()["running"]["phase"] == "write");
    install
}

/// One that has written a good part.
pub(crate) fn halfway(bench: &Bench, artifact: &str) -> UnderWay {
    let mut install = fed(bench, artifact, UnderWay::start(bench, "-"));
    install.until_written(5 << 20);
    install
}

pub(crate) fn signal(pid: u32, name: &str) {
    assert_eq!(run("kill", &[name, &pid.to_string()], &[], b"").code, 0);
}

/// The same artifact goes on where it stopped, and is a whole system then.
pub(crate) fn kept_and_installs(bench: &Bench, artifact: &str) {
    let said = bench.surefoot(&["install", artifact, "--json"]).ok().json();
    let kept = said["report"]["kept"].as_u64().unwrap();
    assert!(kept > 1 << 20, "it goes on where it stopped: {said}");
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["verify", "b"]).ok();
}

pub(crate) fn is_cancelled(bench: &Bench) {
    let status = bench.status();
    assert_eq!(
        (&status["state"], &status["last"]["outcome"], &status["last"]["reason"]),
        (&"idle".into(), &"cancelled".into(), &"CANCELLED".into()),
        "{status}"
    );
    assert!(status["running"].is_null());
    let history = bench.surefoot(&["history"]).ok().out;
    assert!(history.contains("cancelled") && !history.contains("failed"), "{history}");
    assert_eq!(bench.surefoot(&["history", "--json"]).json()["history"][0]["outcome"], "cancelled");
}
