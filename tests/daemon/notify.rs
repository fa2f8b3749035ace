//! What the init system is told, and its watchdog.

use crate::common::Bench;
use crate::kept::Kept;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const WORDS: [&str; 8] =
    ["idle", "installing", "staged", "switching", "trying", "updated", "rolled-back", "failed"];

struct Init {
    socket: UnixDatagram,
    path: String,
}

impl Init {
    fn new(bench: &Bench) -> Init {
        let path = bench.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Init { socket, path }
    }

    fn daemon(&self, bench: &Bench, more: &[(&str, &str)]) -> Kept {
        let mut environment = vec![("NOTIFY_SOCKET", self.path.as_str())];
        environment.extend(more);
        Kept::with(bench, &bench.path("DEV/surefoot.toml"), &environment)
    }

    /// All that is said until this is in it, and shortly after.
    fn hears_until(&self, mut seen: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let mut said = Vec::new();
        crate::kept::until("it is told", || {
            said.extend(self.hears(Duration::from_millis(100)));
            seen(&said)
        });
        said.extend(self.hears(Duration::from_millis(200)));
        said
    }

    /// The words until this one is said.
    fn words_until(&self, last: &str) -> Vec<String> {
        let mut said = Vec::new();
        crate::kept::until(last, || {
            let heard = self.hears(Duration::from_millis(100));
            said.extend(heard.iter().filter_map(|l| word(l)).map(str::to_owned));
            said.last().is_some_and(|w| w == last)
        });
        said
    }

    /// All that is said in so long, in order.
    fn hears(&self, time: Duration) -> Vec<String> {
        let (start, mut said, mut buf) = (Instant::now(), Vec::new(), [0; 4096]);
        while start.elapsed() < time {
            if let Ok(n) = self.socket.recv(&mut buf) {
                let text = String::from_utf8_lossy(&buf[..n]).into_owned();
                said.extend(text.lines().map(str::to_owned));
            }
        }
        said
    }
}

/// The word of a `STATUS=` line.
fn word(line: &str) -> Option<&str> {
    line.strip_prefix("STATUS=")?.split(':').next()
}

#[test]
fn the_init_system_hears_when_it_is_ready_and_where_it_stands() {
    let bench = Bench::new();
    let init = Init::new(&bench);
    let daemon = init.daemon(&bench, &[(surefoot::sys::clock::PACE_VARIABLE, "10")]);
    let said = init.hears_until(|said| said.iter().any(|l| word(l).is_some()));
    assert_eq!(said.iter().filter(|l| *l == "READY=1").count(), 1, "{said:?}");
    let ready = said.iter().position(|l| l == "READY=1").expect("READY=1");
    let words: Vec<&str> = said[ready..].iter().filter_map(|l| word(l)).collect();
    assert_eq!(words, ["idle"], "{said:?}");
    assert!(!said.iter().any(|l| l.starts_with("WATCHDOG")), "nobody asked for it: {said:?}");
    daemon.surefoot(&["install", &bench.release("2.0.0"), "--stage"]).ok();
    assert_eq!(init.words_until("staged"), ["installing", "staged"]);
    daemon.surefoot(&["switch"]).ok();
    daemon.surefoot(&["rollback"]).ok();
    let words = init.words_until("failed");
    assert!(words.iter().all(|w| WORDS.contains(&w.as_str())), "{words:?}");
}

#[test]
fn a_daemon_without_a_configuration_is_not_ready_and_says_why() {
    let bench = Bench::new();
    let init = Init::new(&bench);
    std::fs::write(bench.path("DEV/broken.toml"), "this is no configuration").unwrap();
    let mut daemon = std::process::Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &bench.path("DEV/broken.toml"), "daemon"])
        .env("NOTIFY_SOCKET", &init.path)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let said = init.hears_until(|said| said.iter().any(|l| l.contains("broken.toml")));
    assert!(daemon.try_wait().unwrap().is_none(), "it hurries");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(!said.iter().any(|l| l == "READY=1"), "{said:?}");
    let text = said.iter().find_map(|l| l.strip_prefix("STATUS=")).unwrap_or_default();
    assert!(text.contains("broken.toml:1: "), "{said:?}");
}

#[test]
fn the_watchdog_is_fed_twice_in_its_time() {
    let bench = Bench::new();
    let init = Init::new(&bench);
    let daemon = init.daemon(&bench, &[("WATCHDOG_USEC", "1000000")]);
    init.hears(Duration::from_millis(500));
    // Load may keep it from one look; a daemon that feeds once in its time is never seen five times.
    let fed = || init.hears(Duration::from_secs(3)).iter().filter(|l| *l == "WATCHDOG=1").count();
    let looks: Vec<usize> = (0..5).map(|_| fed()).take_while(|n| *n < 5).collect();
    assert!(looks.len() < 5, "{looks:?} times in three seconds");
    drop(daemon);
}

#[test]
fn a_watchdog_that_watches_another_process_is_not_ours() {
    let bench = Bench::new();
    let init = Init::new(&bench);
    let _daemon = init.daemon(&bench, &[("WATCHDOG_USEC", "400000"), ("WATCHDOG_PID", "1")]);
    let said = init.hears(Duration::from_secs(1));
    assert!(!said.iter().any(|l| l.starts_with("WATCHDOG")), "{said:?}");
}

#[test]
fn a_keeper_that_is_stuck_feeds_no_watchdog() {
    use std::io::{Read, Write};
    let bench = Bench::new();
    let init = Init::new(&bench);
    // A log that nobody reads, and that is full: whoever writes to it is stuck. The other threads answer, and that must not
    // look like life.
    let (unread, log) = std::io::pipe().unwrap();
    let mut filler = log.try_clone().unwrap();
    let full = Arc::new(AtomicBool::new(true));
    let keep_full = full.clone();
    std::thread::spawn(
        move || {
            while keep_full.load(Relaxed) && filler.write_all(&[b'x'; 4096]).is_ok() {}
        },
    );
    let mut daemon = std::process::Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .args(["--config", &bench.path("DEV/surefoot.toml"), "daemon"])
        .envs([("NOTIFY_SOCKET", init.path.as_str()), ("WATCHDOG_USEC", "400000")])
        .stderr(log)
        .spawn()
        .unwrap();
    let socket = bench.path("DEV/run/surefoot/status.sock");
    crate::kept::until("it answers", || {
        let Ok(mut stream) = UnixStream::connect(&socket) else { return false };
        let asked = stream.write_all(b"GET /v1 HTTP/1.1\r\n\r\n");
        asked.is_ok() && stream.read(&mut [0]).is_ok_and(|n| n > 0)
    });
    init.hears(Duration::from_millis(300));
    let said = init.hears(Duration::from_secs(2));
    let fed = said.iter().filter(|l| *l == "WATCHDOG=1").count();
    assert!(fed == 0, "fed {fed} times by a keeper that is stuck");
    assert!(daemon.try_wait().unwrap().is_none());
    // It was that: read, and it lives.
    full.store(false, Relaxed);
    std::thread::spawn(move || std::io::copy(&mut { unread }, &mut std::io::sink()));
    let alive = init.hears_until(|said| said.iter().any(|l| l == "WATCHDOG=1"));
    assert!(alive.iter().any(|l| l == "WATCHDOG=1"));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
