//! What a program tells while it works (the log), on standard error: one line each.

use crate::model::printable_lines;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::{Result, Write, stderr};

/// Standard error for the log: what it repeats of other programs is made printable here too.
#[derive(Debug)]
pub struct Shown;

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let text = printable_lines(&String::from_utf8_lossy(bytes), usize::MAX);
        stderr().write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        stderr().flush()
    }
}

/// How much is told where `-v` was typed so often.
pub fn level(verbose: u8) -> LevelFilter {
    match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    }
}

/// Tells what happens from now on, up to this level. A program on a device does it with this and
/// needs no crate for it; those of a host have `simplelog`.
pub fn narrate(level: LevelFilter) {
    if log::set_logger(&Narrator).is_ok() {
        log::set_max_level(level);
    }
}

struct Narrator;

impl Log for Narrator {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Nobody may be listening there.
            let _ = Shown.write_all(line(super::clock::unix_seconds(), record).as_bytes());
        }
    }

    fn flush(&self) {}
}

/// A record as a line; the time of day is UTC.
fn line(now: u64, record: &Record<'_>) -> String {
    let (hour, minute, second) = (now / 3600 % 24, now / 60 % 60, now % 60);
    let place = match record.level() {
        Level::Debug | Level::Trace => format!("{}: ", record.target()),
        _ => String::new(),
    };
    let (level, text) = (record.level(), record.args());
    format!("{hour:02}:{minute:02}:{second:02} [{level}] {place}{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_time_the_level_and_the_text() {
        let told = |level, now| {
            line(
                now,
                &Record::builder().level(level).target("room").args(format_args!("x")).build(),
            )
        };
        assert_eq!(told(Level::Warn, 1_767_225_600 + 3_723), "01:02:03 [WARN] x\n");
        assert_eq!(told(Level::Debug, 86_399), "23:59:59 [DEBUG] room: x\n");
    }

    #[test]
    fn each_v_tells_more() {
        assert_eq!([0, 1, 2, 9].map(level), {
            use LevelFilter::{Debug, Info, Warn};
            [Warn, Info, Debug, Debug]
        });
    }
}
