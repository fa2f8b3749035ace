//! The ssh host keys of this device, made by the system's own `ssh-keygen`.

use super::keep::is_own;
use super::work::Work;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::below::Below;
use crate::sys::files;
use crate::sys::process::{Ending, Invocation, run};
use crate::sys::tree::{clear, make_folder};
use std::path::Path;
use std::time::Duration;

/// What this step is called.
pub(super) const STEP: &str = "ssh-keys";

/// What ssh clients know.
const TYPES: [&str; 2] = ["ed25519", "ecdsa"];

/// A board may wait for its first random numbers.
const DEADLINE: Duration = Duration::from_secs(120);

/// The program for it, where this system is one to log in to by ssh.
pub(super) fn program(work: &Work<'_>) -> Option<&'static str> {
    let program =
        ["/usr/bin/ssh-keygen", "/bin/ssh-keygen"].into_iter().find(|p| Path::new(p).exists());
    program.filter(|_| work.at("/etc/ssh").is_dir())
}

/// Below the data partition and below `/`: a private key, and the public one.
fn pair(kind: &str) -> [String; 2] {
    ["", ".pub"].map(|end| format!("etc/ssh/ssh_host_{kind}_key{end}"))
}

/// All of them.
pub(super) fn names() -> impl Iterator<Item = String> {
    TYPES.into_iter().flat_map(pair)
}

fn is_sound(work: &Work<'_>, kind: &str) -> bool {
    let about = |name: &String| Below::hold(&work.data, name.as_ref())?.about();
    pair(kind).iter().all(|name| about(name).is_ok_and(|a| a.is_file() && a.len() > 0))
}

/// Whether ssh clients of this system would find no key.
pub(super) fn are_lost(work: &Work<'_>) -> bool {
    program(work).is_some() && !TYPES.into_iter().all(|kind| is_sound(work, kind))
}

pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    let Some(program) = program(work) else {
        return Ok("the system has no ssh-keygen, or no /etc/ssh".to_owned());
    };
    for kind in TYPES {
        if is_sound(work, kind) {
            continue;
        }
        if work.setup.done.contains_key(STEP) {
            work.warn(format!("the ssh host key {kind} that was kept is gone or damaged"));
        }
        match own(work, kind) {
            Some(pair) => keep(work, kind, &pair)?,
            None => make(work, program, kind)?,
        }
    }
    Ok(TYPES.join(", "))
}

/// The keys by which clients know this device already.
fn own(work: &Work<'_>, kind: &str) -> Option<[Vec<u8>; 2]> {
    let [private, public] = pair(kind).map(|name| Path::new("/").join(name));
    let read = |at: &Path| {
        let bytes = files::read_foreign(&work.at(at), files::SMALL).ok();
        bytes.filter(|bytes| !bytes.is_empty() && is_own(work, at, STEP))
    };
    Some([read(&private)?, read(&public)?])
}

/// Keeps a pair: the public one last.
fn keep(work: &Work<'_>, kind: &str, bytes: &[Vec<u8>; 2]) -> Result<()> {
    for ((name, bytes), mode) in pair(kind).iter().zip(bytes).zip([0o600, 0o644]) {
        work.keep(name, bytes, mode)?;
    }
    Ok(())
}

/// The key is made beside, and kept under its name when it is whole.
fn make(work: &Work<'_>, program: &str, kind: &str) -> Result<()> {
    let told = || format!("making the ssh host key {kind}");
    let folder = work.folder_for("etc/ssh/.new".as_ref())?;
    clear(&folder).reason(ReasonCode::Io, told())?;
    make_folder(&folder)?;
    let beside = folder.join("key");
    let path = beside.display().to_string();
    let words = [program, "-q", "-t", kind, "-N", "", "-C", "", "-f", &path];
    let command: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    let call = Invocation {
        command: &command,
        folder: Path::new("/"),
        environment: &[],
        input: b"",
        deadline: DEADLINE,
        keep: 1024,
    };
    let done = run(&call).reason(ReasonCode::Io, told())?;
    if done.ending != Ending::Exit(0) {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(Failure::new(ReasonCode::Io, format!("{}: {:?}: {said}", told(), done.ending)));
    }
    let read = |file: &Path| files::read_own(file, files::SMALL).reason(ReasonCode::Io, told());
    keep(work, kind, &[read(&beside)?, read(&beside.with_extension("pub"))?])?;
    clear(&folder).reason(ReasonCode::Io, told())
}
