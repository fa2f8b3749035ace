//! What is seen of a file on its way: how much has gone, and the words of the other end.

use super::progress::{ended, moving};
use crate::model::{ByteLen, ReasonCode, Result, WithReason, printable};
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No answer of ours is longer.
pub(in crate::cli) const ANSWER_MAX: u64 = 1 << 20;

/// How much has gone, for a person; and the device's own words between.
pub(in crate::cli) struct Meter {
    total: u64,
    started: Instant,
    terminal: bool,
    drawn: Mutex<bool>,
}

impl Meter {
    /// For a file of `total` bytes that is sent from now on.
    pub(in crate::cli) fn new(total: u64) -> Meter {
        let (started, terminal) = (Instant::now(), std::io::stderr().is_terminal());
        Meter { total, started, terminal, drawn: Mutex::new(false) }
    }

    /// Sends everything, unless the other end wants no more; says which.
    pub(in crate::cli) fn pump(&self, mut file: File, pipe: &mut impl Write) -> Result<bool> {
        let (mut block, mut done, mut told) = (vec![0; 64 * 1024], 0, Instant::now());
        loop {
            let n = file.read(&mut block).reason(ReasonCode::SourceLost, "reading the file")?;
            if n == 0 {
                self.say(&ended("sending", done, self.started.elapsed()));
                return Ok(true);
            }
            if pipe.write_all(&block[..n]).is_err() {
                self.say(&format!("{} of {} were sent", ByteLen(done), ByteLen(self.total)));
                return Ok(false);
            }
            done += n as u64;
            if self.terminal && told.elapsed() >= Duration::from_millis(200) {
                told = Instant::now();
                let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
                *drawn = true;
                let line = moving("sending", done, self.total, self.started.elapsed());
                let _ = write!(std::io::stderr().lock(), "\r\x1b[K{line}");
            }
        }
    }

    fn say(&self, line: &str) {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let clear = if std::mem::take(&mut *drawn) { "\r\x1b[K" } else { "" };
        // A closed standard error is nobody's failure.
        let _ = writeln!(std::io::stderr().lock(), "{clear}{line}");
    }

    /// Passes on line by line; the last one, should it be the reason of a failure.
    pub(in crate::cli) fn pass_on(&self, from: impl Read) -> String {
        let (mut lines, mut last) = (BufReader::new(from), String::new());
        loop {
            let mut line = Vec::new();
            match lines.by_ref().take(ANSWER_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return last,
                Ok(_) => {
                    last = printable(String::from_utf8_lossy(&line).trim_end(), 400);
                    self.say(&last);
                }
            }
        }
    }
}
