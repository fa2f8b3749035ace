//! A file that a program with a lamp or a display can follow.

use crate::model::{ReasonCode, printable};
use crate::sys::{durable, files};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most five a second.
const PACE: Duration = Duration::from_millis(200);

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The stick is looked at.
    Reading,
    /// A system on trial must be decided first.
    Waiting,
    /// An artifact is installed.
    Installing,
    /// What was to do is done.
    Done,
    /// Nothing was installed, and why.
    Refused,
    /// A person has cancelled it.
    Cancelled,
    /// The stick cannot be read.
    Unreadable,
    /// The stick was pulled before the end.
    Lost,
}

impl Shown {
    /// The word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Shown::Reading => "reading",
            Shown::Waiting => "waiting",
            Shown::Installing => "installing",
            Shown::Done => "done",
            Shown::Refused => "refused",
            Shown::Cancelled => "cancelled",
            Shown::Unreadable => "unreadable",
            Shown::Lost => "lost",
        }
    }
}

/// The file. It lives in memory only and means nothing after a boot.
#[derive(Debug)]
pub struct Board {
    path: PathBuf,
    device: String,
    last: Mutex<(Option<Instant>, u8)>,
}

impl Board {
    /// The file at `path`, about this stick. Nobody fails if it cannot be written.
    pub fn new(path: PathBuf, device: &str) -> Board {
        Board { path, device: printable(device, 80), last: Mutex::default() }
    }

    /// Shows something else than before.
    pub fn show(&self, state: Shown, text: &str, code: Option<ReasonCode>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (Some(Instant::now()), 0);
        self.write(state, (state == Shown::Done).then_some(100), text, code);
    }

    /// Shows how far an installation is. It never goes back, and not every step is shown.
    pub fn percent(&self, percent: u8, text: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.is_some_and(|t| t.elapsed() < PACE) || percent < last.1 {
            return;
        }
        *last = (Some(Instant::now()), percent);
        self.write(Shown::Installing, Some(percent), text, None);
    }

    /// The stick is gone: pulled before the end if it was still needed.
    pub fn gone(&self) {
        let word = files::read_own(&self.path, 16 * 1024).unwrap_or_default();
        let word = String::from_utf8_lossy(&word);
        let state = word.lines().next().and_then(|l| l.strip_prefix("state="));
        // What is shown may be of the next one.
        let named = word.lines().find_map(|l| l.strip_prefix("device="));
        if named.is_some_and(|device| device != self.device) {
            return;
        }
        match state {
            Some("reading" | "installing") => {
                let text = "pulled before the end: put it in again, and it goes on";
                self.show(Shown::Lost, text, Some(ReasonCode::SourceLost));
            }
            Some("lost") => {}
            _ => self.put("state=none\n"),
        }
    }

    fn write(&self, state: Shown, percent: Option<u8>, text: &str, code: Option<ReasonCode>) {
        let mut out = format!("state={}\n", state.word());
        if let Some(percent) = percent {
            let _ = writeln!(out, "percent={percent}");
        }
        if let Some(code) = code {
            let _ = writeln!(out, "code={code}");
        }
        let _ = writeln!(out, "text={}\ndevice={}", printable(text, 400), self.device);
        self.put(&out);
    }

    /// Whoever reads finds the old file or the new one.
    fn put(&self, text: &str) {
        if let Err(failure) = durable::publish(&self.path, text.as_bytes()) {
            log::info!("{failure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lamp_can_follow_and_a_pulled_stick_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stick.status");
        let read = || std::fs::read_to_string(&path).unwrap();
        let board = Board::new(path.clone(), "/dev/sda");
        board.show(Shown::Refused, "two\nlines", Some(ReasonCode::Incompatible));
        assert_eq!(read(), "state=refused\ncode=INCOMPATIBLE\ntext=two lines\ndevice=/dev/sda\n");
        board.gone();
        assert_eq!(read(), "state=none\n");
        let begun = Instant::now();
        board.show(Shown::Installing, "x", None);
        board.percent(40, "too soon");
        // On a machine that is busy enough it may not have been too soon.
        assert!(!read().contains("percent") || begun.elapsed() >= PACE);
        std::thread::sleep(PACE);
        board.percent(40, "writing");
        board.percent(30, "back");
        assert!(read().contains("percent=40"));
        board.gone();
        assert!(read().starts_with("state=lost\ncode=SOURCE_LOST\n"));
        board.gone();
        assert!(read().starts_with("state=lost\n"));
    }
}
