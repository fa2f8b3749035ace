//! Pulling the plug while a command runs.

use super::device::Device;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::power::{CUT_STATUS, CUT_VARIABLE};
use std::path::PathBuf;
use std::process::Command;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plug {
    /// The power went as asked.
    Cut,
    /// The command ended first, with this status.
    EndedFirst(u8),
}

/// Runs `words` as a `surefoot` command on the device (or `reboot …` as one of this program) and
/// cuts its power after `after` writes, `torn` bytes of the next one still landing.
pub(super) fn unplug(device: &Device, after: u64, torn: usize, words: &[String]) -> Result<Plug> {
    let mut command = match words {
        [first, rest @ ..] if first == "reboot" => {
            let mut command = Command::new(program("surefoot-sim"));
            command.arg("reboot").arg(&device.folder).args(rest);
            command
        }
        words => {
            let mut command = Command::new(program("surefoot"));
            command.arg("--config").arg(device.path("surefoot.toml")).args(words);
            command
        }
    };
    let status = command
        .env(CUT_VARIABLE, format!("{after}:{torn}"))
        .status()
        .reason(ReasonCode::NoSuchFile, format!("running {}", command.get_program().display()))?;
    match status.code() {
        Some(CUT_STATUS) => Ok(Plug::Cut),
        Some(code) => Ok(Plug::EndedFirst(u8::try_from(code).unwrap_or(u8::MAX))),
        None => Err(Failure::new(ReasonCode::Internal, format!("the command ended with {status}"))),
    }
}

/// The program beside this one, or else the one on the path.
pub(super) fn program(name: &str) -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(name));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}
