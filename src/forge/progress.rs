//! One line that moves on a terminal; nothing elsewhere.

use crate::model::ByteLen;
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

pub(super) struct Progress {
    doing: &'static str,
    total: u64,
    began: Instant,
    drawn: Cell<Option<Instant>>,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(doing: &'static str, total: u64) -> Progress {
        Progress {
            doing,
            total,
            began: Instant::now(),
            drawn: Cell::new(None),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    pub(super) fn at(&self, done: u64) {
        let recent = |drawn: Instant| drawn.elapsed() < Duration::from_millis(200);
        if !self.terminal || self.drawn.get().is_some_and(recent) {
            return;
        }
        self.drawn.set(Some(Instant::now()));
        let permille = (u128::from(done) * 1000).checked_div(u128::from(self.total)).unwrap_or(0);
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let line = format!(
            "{} {} of {} ({}.{} %), {} s, {}/s",
            self.doing,
            ByteLen(done),
            ByteLen(self.total),
            permille / 10,
            permille % 10,
            millis / 1000,
            ByteLen(done.saturating_mul(1000) / millis)
        );
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.get().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
