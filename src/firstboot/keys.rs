//! The ssh host keys of this device, made by the system's own `ssh-keygen`.

use super::work::{Work, make_folder};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::process::{Ending, Invocation, run};
use crate::sys::{durable, files};
use std::path::Path;
use std::time::Duration;

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

pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    let Some(program) = program(work) else {
        return Ok("the system has no ssh-keygen, or no /etc/ssh".to_owned());
    };
    for kind in TYPES {
        let name = format!("etc/ssh/ssh_host_{kind}_key");
        let public = format!("{name}.pub");
        if !work.folder_for(public.as_ref())?.exists() {
            make(work, program, kind, &name)?;
        }
    }
    Ok(TYPES.join(", "))
}

/// The key is made beside, and kept under its name when it is whole: the public one last.
fn make(work: &Work<'_>, program: &str, kind: &str, name: &str) -> Result<()> {
    let told = || format!("making the ssh host key {kind}");
    let folder = work.folder_for("etc/ssh/.new".as_ref())?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder).reason(ReasonCode::Io, told())?;
    }
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
    for (from, to) in
        [(beside.clone(), name.to_owned()), (beside.with_extension("pub"), format!("{name}.pub"))]
    {
        let bytes = files::read_own(&from, files::SMALL).reason(ReasonCode::Io, told())?;
        durable::write(&work.data.join(to), &bytes)?;
    }
    std::fs::remove_dir_all(&folder).reason(ReasonCode::Io, told())
}
