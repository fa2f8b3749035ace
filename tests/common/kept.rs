//! A daemon that runs for as long as a test holds it.

use crate::common::{Bench, Said, run};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `surefoot daemon`, ended with SIGKILL when it is dropped: it knows no other end.
pub(crate) struct Kept {
    child: Child,
    pub(crate) folder: PathBuf,
    config: String,
    log: String,
}

/// Waits for it. The deadline only ends a hang: other work may use the same cores.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(300), "not in five minutes: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Kept {
    pub(crate) fn start(bench: &Bench) -> Kept {
        Kept::with(bench, &bench.path("DEV/surefoot.toml"), &[])
    }

    /// Looks again ten times as soon as usual, where a test waits for just that.
    pub(crate) fn hurried(bench: &Bench) -> Kept {
        let pace = (surefoot::sys::clock::PACE_VARIABLE, "10");
        Kept::with(bench, &bench.path("DEV/surefoot.toml"), &[pace])
    }

    /// Started with another configuration, and more in its environment. Returns when it answers.
    pub(crate) fn with(bench: &Bench, config: &str, environment: &[(&str, &str)]) -> Kept {
        let log = bench.path("daemon.log");
        let open = || std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
            .args(["--config", config, "daemon"])
            .env_remove("SUREFOOT_CONFIG")
            .env_remove("NOTIFY_SOCKET")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        let folder = PathBuf::from(bench.path("DEV/run/surefoot"));
        let mut kept = Kept { child, folder, config: config.to_owned(), log };
        until("the daemon listens", || {
            assert!(kept.child.try_wait().unwrap().is_none(), "it ended: {}", kept.log());
            // Not only a socket: one that a killed daemon has left is no answer.
            let there = |socket: &str| {
                let mut stream = UnixStream::connect(kept.folder.join(socket)).ok()?;
                stream.set_read_timeout(Some(Duration::from_secs(300))).ok()?;
                stream.write_all(b"GET /v1 HTTP/1.1\r\n\r\n").ok()?;
                stream.read(&mut [0]).ok().filter(|n| *n > 0)
            };
            there("status.sock").and_then(|_| there("control.sock")).is_some()
        });
        kept
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it ends by itself; its status.
    pub(crate) fn ended(mut self) -> Option<i32> {
        until("it ends", || !self.runs());
        self.child.wait().unwrap().code()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        assert!(self.runs(), "it ended by itself: {}", self.log());
    }

    pub(crate) fn connect(&self, socket: &str) -> UnixStream {
        let stream = UnixStream::connect(self.folder.join(socket)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        stream
    }

    /// Says these bytes, and everything that is answered.
    pub(crate) fn raw(&self, socket: &str, bytes: &[u8]) -> String {
        let mut stream = self.connect(socket);
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The same from a client that says no more: what is not whole by then never will be.
    pub(crate) fn raw_and_end(&self, socket: &str, bytes: &[u8]) -> String {
        let mut stream = self.connect(socket);
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asks without a body: the HTTP status and the document.
    pub(crate) fn ask(&self, socket: &str, method: &str, target: &str) -> (u16, serde_json::Value) {
        answer(&self.raw(socket, format!("{method} {target} HTTP/1.1\r\n\r\n").as_bytes()))
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        let mut answer = (0, serde_json::Value::Null);
        // All devices of all tests share one lock of the environment, as libubootenv has it.
        until("its environment is free", || {
            answer = self.ask("status.sock", "GET", "/v1/status");
            answer.1["error"]["code"] != "BUSY"
        });
        assert_eq!(answer.0, 200, "{}", answer.1);
        answer.1
    }

    /// What was decided is written down first, and armed then: a kill between the two is not what a
    /// test means that goes on with a reboot.
    pub(crate) fn until_armed(&self, bench: &Bench) {
        self.until_state("switching");
        let armed = b"upgrade_available=1";
        let copy = |at| bench.disk_bytes(at, 0x4000).windows(armed.len()).any(|w| w == armed);
        until("it is armed", || copy(4 << 20) || copy(8 << 20));
    }

    pub(crate) fn until_state(&self, state: &str) {
        until(&format!("state {state}; {}", self.log()), || self.status()["state"] == state);
    }

    /// Waits until a trial is given up, in the environment too.
    pub(crate) fn until_left(&self) {
        until(&format!("left; {}", self.log()), || self.status()["next"]["action"] == "reboot");
    }

    /// A configuration that knows where the daemon is and no disk: whoever has only this has
    /// nothing but the daemon.
    pub(crate) fn thin(bench: &Bench) -> String {
        let path = bench.path("thin.toml");
        let text = format!(
            "[device]\nproduct = \"demo\"\ncompatible = \"demo-board\"\ndisk = \"not-there\"\n\
             [daemon]\nfolder = \"{}\"\n",
            bench.path("DEV/run/surefoot")
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn surefoot(&self, words: &[&str]) -> Said {
        let mut all = vec!["--config", &self.config];
        all.extend(words);
        run(env!("CARGO_BIN_EXE_surefoot"), &all, &[], b"")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the daemon said:\n{}", self.log());
            return;
        }
        // A program that the daemon was just starting has its sockets until it runs.
        let listens = |socket: &str| UnixStream::connect(self.folder.join(socket)).is_ok();
        until("nothing listens", || !listens("status.sock") && !listens("control.sock"));
    }
}

/// The HTTP status and the document of a whole answer.
pub(crate) fn answer(text: &str) -> (u16, serde_json::Value) {
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or(serde_json::Value::Null))
}

/// A device whose trials are decided within seconds.
pub(crate) fn quick() -> Bench {
    let bench = Bench::new();
    configure(&bench, "[health]\nstable = \"1s\"\ndeadline = \"3s\"\n");
    bench
}

/// Adds to the device's configuration.
pub(crate) fn configure(bench: &Bench, text: &str) {
    let config = bench.path("DEV/surefoot.toml");
    let old = String::from_utf8(crate::common::read(&config)).unwrap();
    std::fs::write(&config, format!("{old}\n{text}")).unwrap();
}
