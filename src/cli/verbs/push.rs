//! Another device, over ssh: the file goes to the updater there, and what it says comes back.

use crate::cli::context::{Context, usage};
use crate::cli::end::{End, Printed};
use crate::cli::json::Json;
use crate::cli::meter::{ANSWER_MAX, Meter};
use crate::cli::printed::print;
use crate::model::{
    Failure, ReasonCode, Result, State, WithReason, from_json, parse_duration, printable,
};
use crate::source::LocalFile;
use clap::Args;
use serde::Deserialize;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Install a file on a device in the network, over ssh
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  surefoot push root@gateway update.surefoot      then reboot it to try it
  surefoot push gateway update.surefoot --reboot  and wait until it decides
  surefoot push gateway u.surefoot --remote \"sudo surefoot\" -- -p 2222 -i key

Runs `ssh HOST surefoot install -` with the file as its input. With --json what
is printed is the device's own answer, and with --reboot its status at the end.
The exit status is the device's own; 69 if it cannot be reached. After a lost
connection run the same command again: it goes on where it stopped.")]
pub(in crate::cli) struct Push {
    /// Where ssh connects to
    host: String,
    /// The artifact
    file: PathBuf,
    /// Write and verify, but do not arm
    #[arg(long, conflicts_with = "reboot")]
    stage: bool,
    /// Reboot the device into it, wait until it has decided, and say how
    #[arg(long)]
    reboot: bool,
    /// Also on a device whose automatic updates are stopped
    #[arg(long)]
    hold_ok: bool,
    /// Accept a release older than the running one, down to the security epoch's floor
    #[arg(long)]
    allow_older: bool,
    /// Write the release that runs already once more
    #[arg(long)]
    reinstall: bool,
    /// Accept a release that was tried there and rolled back
    #[arg(long)]
    retry_rolled_back: bool,
    /// Give up waiting after this long: 90s, 10m, 2h
    #[arg(long, default_value = "10m", value_name = "TIME")]
    timeout: String,
    /// What connects
    #[arg(long, default_value = "ssh", value_name = "PROGRAM")]
    ssh: String,
    /// The updater on the device
    #[arg(long, default_value = "surefoot", value_name = "PROGRAM")]
    remote: String,
    #[command(flatten)]
    pub(super) json: Json,
    /// Words for ssh itself
    #[arg(last = true, value_name = "SSH_ARGS")]
    words: Vec<String>,
}

/// ssh(1): its own failure, and none of the command there.
const SSH_FAILED: i32 = 255;

/// The shell's: there is no such command, or it cannot be executed.
const NO_COMMAND: [i32; 2] = [126, 127];

/// Pauses between two looks at a device that is to come back: doubled, and no longer than this.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Where an update has ended.
const ENDS: [State; 3] = [State::Updated, State::RolledBack, State::Failed];

/// The part of a status that tells how an update went; of any version of the updater.
#[derive(Debug, Deserialize)]
struct Status {
    state: State,
    summary: String,
    #[serde(default)]
    last: Last,
}

#[derive(Debug, Default, Deserialize)]
struct Last {
    reason: Option<ReasonCode>,
}

impl Push {
    /// Sends the file, and with `--reboot` waits for the device's verdict.
    pub(super) fn run(self, _: &Context) -> Printed {
        let patience = parse_duration(&self.timeout).map_err(usage)?;
        if self.host.starts_with('-') || self.host.is_empty() {
            // ssh would take it for an option.
            return Err(usage(format!("`{}` is no host", self.host)).into());
        }
        let file = LocalFile::open(&self.file)?;
        let answer = send(&self, file.into())?;
        if !self.reboot {
            return Ok(answer);
        }
        print(&answer);
        let (status, document) = outcome(&self, patience)?;
        let said = match self.json.json {
            true => document,
            false => format!("{}\n", status.summary),
        };
        match status.state {
            State::Updated => Ok(said),
            _ => Err(End::Said(said, status.last.reason.unwrap_or(ReasonCode::BootFailed))),
        }
    }
}

/// The words for the device, as one line for its shell.
fn order(push: &Push) -> String {
    let flags = [
        (push.stage, "--stage"),
        (push.reboot, "--reboot"),
        (push.hold_ok, "--hold-ok"),
        (push.allow_older, "--allow-older"),
        (push.reinstall, "--reinstall"),
        (push.retry_rolled_back, "--retry-rolled-back"),
        (push.json.json, "--json"),
    ];
    let set = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| format!(" {flag}"));
    format!("{} install -{}", push.remote, set.collect::<String>())
}

/// ssh with what a person has said first: of two settings it takes the first.
fn ssh(push: &Push, settings: &[&str], order: &str) -> Command {
    let mut command = Command::new(&push.ssh);
    command.args(&push.words);
    if Path::new(&push.ssh).file_name().is_some_and(|name| name == "ssh") {
        let usual = ["ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=6"];
        command.args(usual.iter().chain(settings).flat_map(|s| ["-o", s]));
    }
    command.arg(&push.host).arg(order);
    command
}

fn spawned(push: &Push, mut command: Command) -> Result<Child> {
    command.spawn().map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            let text = format!("`{}` is not installed here; `--ssh` names another", push.ssh);
            Failure::new(ReasonCode::NoSuchFile, text)
        }
        _ => Failure::new(ReasonCode::Io, format!("{}: {e}", push.ssh)),
    })
}

/// Sends the whole file and tells of it; the answer of the device.
fn send(push: &Push, file: File) -> std::result::Result<String, End> {
    let mut command = ssh(push, &[], &order(push));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawned(push, command)?;
    let meter = Arc::new(Meter::new(file.metadata().reason(ReasonCode::Io, "the file")?.len()));
    let (there, heard) = (child.stderr.take(), meter.clone());
    let narration = listen(move || there.map(|there| heard.pass_on(there)))?;
    let out = child.stdout.take();
    let answer = listen(move || out.map(all).unwrap_or_default())?;
    if let Some(mut pipe) = child.stdin.take() {
        // A device that refuses it midway closes the pipe, and says why.
        let _closed = meter.pump(file, &mut pipe)?;
    }
    let status = child.wait().reason(ReasonCode::Io, &push.ssh)?;
    let last_words = narration.join().ok().flatten().unwrap_or_default();
    let answer = answer.join().unwrap_or_default();
    let rebooting = push.reboot && !answer.trim().is_empty();
    match status.code() {
        Some(0) => Ok(answer),
        // What it was asked for is done, and it took the connection with it.
        Some(SSH_FAILED) | None if rebooting => Ok(answer),
        _ => Err(refusal(push, status, answer, &last_words)),
    }
}

/// A thread beside this one: `NO_MEMORY` if the system gives none.
fn listen<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    Builder::new().spawn(body).reason(ReasonCode::NoMemory, "a thread could not be started")
}

fn refusal(push: &Push, status: ExitStatus, answer: String, last_words: &str) -> End {
    let said = match last_words {
        "" => String::new(),
        words => format!(": {words}"),
    };
    match status.code() {
        None | Some(SSH_FAILED) => {
            Failure::new(ReasonCode::HostUnreachable, format!("{}{said}", push.host)).into()
        }
        Some(code) if NO_COMMAND.contains(&code) => {
            Failure::new(ReasonCode::NoUpdater, format!("{}{said}", push.host)).into()
        }
        Some(code) => End::Passed(answer, u8::try_from(code).unwrap_or(70)),
    }
}

/// Asks until the device has decided: how it ended, and the document that says so.
fn outcome(push: &Push, patience: Duration) -> std::result::Result<(Status, String), End> {
    let (start, mut pause, mut found) = (Instant::now(), PAUSE, None);
    loop {
        match ask(push)? {
            Some(ended) if ENDS.contains(&ended.0.state) => return Ok(ended),
            Some((status, _)) => {
                if found != Some(status.state) {
                    let line = format!("{}: {}", status.state, printable(&status.summary, 200));
                    // A closed standard error is nobody's failure.
                    let _ = writeln!(std::io::stderr().lock(), "{line}");
                    pause = PAUSE;
                }
                found = Some(status.state);
            }
            None => {}
        }
        if start.elapsed() + pause > patience {
            let state = found.map_or("silent", State::as_str);
            let text = format!("{} is still {state} after {}", push.host, push.timeout);
            return Err(Failure::new(ReasonCode::Timeout, text).into());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Where the device stands; `None` while it does not answer.
fn ask(push: &Push) -> std::result::Result<Option<(Status, String)>, End> {
    let mut command = ssh(push, &["BatchMode=yes"], &format!("{} status --json", push.remote));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawned(push, command)?;
    let err = child.stderr.take();
    let err = listen(move || err.map(all).unwrap_or_default())?;
    let text = child.stdout.take().map(all).unwrap_or_default();
    let status = child.wait().reason(ReasonCode::Io, &push.ssh)?;
    let err = err.join().unwrap_or_default();
    match status.code() {
        Some(0) => {
            let read = from_json(text.as_bytes());
            Ok(Some((read.reason(ReasonCode::HostUnreachable, "its status is none")?, text)))
        }
        Some(SSH_FAILED) if err.contains("Permission denied") => {
            let text = format!("{} asks for a password each time; use a key to wait", push.host);
            Err(Failure::new(ReasonCode::HostUnreachable, text).into())
        }
        // On its way down or up: sshd is there before the disk, and after it.
        _ => Ok(None),
    }
}

fn all(from: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.take(ANSWER_MAX).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
