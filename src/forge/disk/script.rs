//! A script for `debugfs` of e2fsprogs: each line of it is looked at.

use super::tools::{Scratch, run};
use crate::model::{Failure, ReasonCode, Result};
use std::path::Path;

/// Of the file systems that are made, bytes.
pub(super) const BLOCK: u64 = 4096;

/// Commands of debugfs, one a line. Each line is looked at: what begins a line of its own is a command, `!` one of the shell, and a line
/// longer than debugfs' buffer goes on as another one.
pub(super) struct Script(String);

/// Bytes of a line; debugfs of e2fsprogs 1.47 reads 8,192 at once.
const LINE: usize = 8000;

impl Script {
    pub(super) fn new() -> Script {
        Script("set_current_time @1\n".to_owned())
    }

    /// `NOT_AN_IMAGE` for a line that debugfs would not read as it is meant.
    pub(super) fn say(&mut self, line: &str) -> Result<()> {
        if line.contains(['\n', '\r', '\0']) || line.len() > LINE {
            let shown: String = line.chars().take(100).collect();
            let text = format!("a name or a link in it cannot be written: {shown}");
            return Err(Failure::new(ReasonCode::NotAnImage, text));
        }
        self.0.push_str(line);
        self.0.push('\n');
        Ok(())
    }
}

/// Runs the commands of a script on an image. What it says on standard error besides its name means that one of them failed.
pub(super) fn debugfs(image: &Path, script: &Script, scratch: &Scratch) -> Result<()> {
    let words = ["debugfs", "-w", "-f", "-", &image.to_string_lossy()];
    let said = run(&words, script.0.as_bytes(), scratch)?;
    let wrong = said.lines().find(|line| {
        !line.trim().is_empty() && !line.starts_with("debugfs 1.") && !line.contains("mke2fs.conf")
    });
    match wrong {
        None => Ok(()),
        Some(line) => {
            let lack = line.contains("allocate") || line.contains("No space");
            let code = match lack {
                // Its words for the value of an attribute that it cannot keep.
                _ if line.starts_with("ea_set:") => ReasonCode::NotAnImage,
                true => ReasonCode::TooBig,
                false => ReasonCode::Io,
            };
            Err(Failure::new(code, format!("debugfs: {line}")))
        }
    }
}

/// A word of debugfs: quotes are doubled.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A path as folder and name.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
