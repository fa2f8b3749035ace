//! One run of a program, and what must hold for it whatever it was given.

use crate::hostile_text::is_evil;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Only ends what hangs: how much a program did is counted by its own processor time.
const HANGS: Duration = Duration::from_secs(120);

/// No program takes more processor time for any input, milliseconds.
const MOST: u64 = 2_000;

/// Those of docs/exit-codes.md, without the one that says "a defect".
const DOCUMENTED: [i32; 10] = [0, 3, 64, 65, 66, 69, 74, 75, 77, 78];

/// What a program did.
pub(crate) struct Tried {
    pub(crate) words: String,
    /// `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    cpu: u64,
    json: bool,
}

/// Runs a program to its end.
pub(crate) fn tried(program: &str, words: &[&str]) -> Tried {
    let mut child = Command::new(program)
        .args(words)
        .env_remove("SUREFOOT_CONFIG")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (ended, hears) = channel::<()>();
    let guard = std::thread::spawn(move || {
        if hears.recv_timeout(HANGS) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    });
    let mut pipe = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    let err = errors.join().unwrap().unwrap();
    // It has ended and is not taken away yet: now the kernel knows all of its processor time.
    let id = Id::Pid(nix::unistd::Pid::from_raw(pid.cast_signed()));
    waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    let cpu = on_cpu(pid);
    let code = child.wait().unwrap().code();
    drop(ended);
    guard.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let json = words.contains(&"--json");
    Tried { words: words.join(" "), code, out: text(&out), err: text(&err), cpu, json }
}

/// Processor time that a process has used, with the children that it has waited for, milliseconds.
pub(crate) fn on_cpu(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks = after.split_whitespace().skip(11).take(4).filter_map(|n| n.parse::<u64>().ok());
    ticks.sum::<u64>() * 10
}

impl Tried {
    /// What is wrong with it.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let Tried { words, out, err, .. } = self;
        let fail = |why: &str| Err(format!("{words}: {why}\nstdout:\n{out:?}\nstderr:\n{err:?}"));
        match self.code {
            None => return fail("killed by a signal"),
            Some(code) if !DOCUMENTED.contains(&code) => return fail(&format!("exit {code}")),
            Some(_) => {}
        }
        if err.contains("panicked at") {
            return fail("a panic");
        }
        if self.cpu > MOST {
            return fail(&format!("{} ms of processor time", self.cpu));
        }
        shown(out).and_then(|()| shown(err)).or_else(|why| fail(&why))?;
        match serde_json::from_str(out) {
            Ok(value) => document(&value).or_else(|why| fail(&why)),
            Err(_) if self.json && self.code != Some(64) => fail("no JSON"),
            Err(_) => Ok(()),
        }
    }
}

/// Text as it stands on a terminal.
pub(crate) fn shown(text: &str) -> Result<(), String> {
    let bad = text.lines().find(|line| line.chars().any(is_evil));
    let twice = text.lines().find(|line| line.starts_with("Running fine"));
    bad.or(twice).map_or(Ok(()), |line| Err(format!("not to be seen: {line:?}")))
}

/// The same of every text in a document, as a program that prints it would show it.
pub(crate) fn document(value: &serde_json::Value) -> Result<(), String> {
    use serde_json::Value;
    match value {
        Value::String(text) if text.chars().any(is_evil) => Err(format!("in JSON: {text:?}")),
        Value::Array(items) => items.iter().try_for_each(document),
        Value::Object(map) => map.iter().try_for_each(|(name, value)| {
            shown(name)?;
            document(value)
        }),
        _ => Ok(()),
    }
}
