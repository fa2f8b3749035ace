//! The programs of a build host that read what is not read here.

use super::part::Part;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::process::{Ending, Invocation, run};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// Ends a program that hangs; a large image takes seconds.
const DEADLINE: Duration = Duration::from_secs(600);

/// Runs one of `package`; its standard output, of at most `keep` bytes.
pub(super) fn output(part: &Part, package: &str, words: &[&str], keep: usize) -> Result<Vec<u8>> {
    let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let call = Invocation {
        command: &command,
        folder: Path::new("/"),
        environment: &[("LC_ALL".to_owned(), "C".to_owned()), ("TZ".to_owned(), "UTC".to_owned())],
        input: &[],
        deadline: DEADLINE,
        keep: keep.saturating_add(1),
    };
    let program = words.first().copied().unwrap_or_default();
    let done = run(&call).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Failure::new(
            ReasonCode::NoSuchFile,
            format!("{program} is not installed; it reads {}", part.name.display()),
        )
        .with_next(format!("Install the package {package}.")),
        _ => Failure::new(ReasonCode::Io, format!("{program}: {e}")),
    })?;
    if done.ending != Ending::Exit(0) {
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
        return Err(part.broken(&format!("{program}: {said}")));
    }
    if done.stdout.len() > keep {
        return Err(part.broken(&format!("{program} says more than {keep} bytes")));
    }
    Ok(done.stdout)
}
