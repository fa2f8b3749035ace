//! Progress: a moving line on a terminal, one line per phase without one, on standard error; and on standard
//! output, first of all, where the bytes of an installation over a network will come from.

use super::printed::print;
use super::render;
use crate::event::{Event, Moved, Sink};
use crate::model::{ByteLen, printable};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Renders events for a person.
pub(super) struct Narrator {
    terminal: bool,
    /// Whether what is printed is JSON.
    json: bool,
    state: Mutex<State>,
}

struct State {
    started: Instant,
    drawn: Option<Instant>,
}

impl Narrator {
    pub(super) fn new(json: bool) -> Narrator {
        let state = State { started: Instant::now(), drawn: None };
        let terminal = std::io::stderr().is_terminal();
        Narrator { terminal, json, state: Mutex::new(state) }
    }
}

impl Sink for Narrator {
    fn emit(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        let mut err = std::io::stderr().lock();
        // A closed standard error is nobody's failure.
        let _ = match event {
            Event::PhaseStarted { .. } => {
                *state = State { started: Instant::now(), drawn: None };
                Ok(())
            }
            Event::Progress { phase, done, total, moved } if self.terminal => {
                let due = state.drawn.is_none_or(|t| t.elapsed() >= Duration::from_millis(200));
                if !due {
                    return;
                }
                state.drawn = Some(Instant::now());
                let line = match moved {
                    Some(moved) => fetching(phase.doing(), *done, *total, moved),
                    None => moving(phase.doing(), *done, *total, state.started.elapsed()),
                };
                write!(err, "\r\x1b[K{line}").and_then(|()| err.flush())
            }
            Event::PhaseEnded { phase, done, moved } => {
                let clear = if self.terminal { "\r\x1b[K" } else { "" };
                let line = ended(phase.doing(), *done, state.started.elapsed());
                let moved = moved.as_ref().map_or_else(String::new, |moved| {
                    let (fetched, reused) = (ByteLen(moved.fetched), ByteLen(moved.reused));
                    format!("; fetched {fetched}, reused {reused}")
                });
                writeln!(err, "{clear}{line}{moved}")
            }
            Event::Planned { forecast } => {
                print(&render::forecast(forecast, self.json));
                Ok(())
            }
            Event::Warning { text } => writeln!(err, "warning: {}", printable(text, usize::MAX)),
            _ => Ok(()),
        };
    }
}

pub(super) fn moving(doing: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let percent = if total == 0 { 100 } else { u128::from(done) * 100 / u128::from(total) };
    let of = format!("{} of {}", ByteLen(done), ByteLen(total));
    let millis = elapsed.as_millis().max(1);
    let rate = u64::try_from(u128::from(done) * 1000 / millis).unwrap_or(u64::MAX);
    let left = match rate {
        0 => "--".to_owned(),
        rate => clock(total.saturating_sub(done).div_ceil(rate)),
    };
    format!("{:<10} {percent:>3} %  {of}  {}/s  {left} left", doing, ByteLen(rate))
}

/// The same of a slot that is written.
fn fetching(doing: &str, done: u64, total: u64, moved: &Moved) -> String {
    let percent = if total == 0 { 100 } else { u128::from(done) * 100 / u128::from(total) };
    let left = moved.seconds_left.map_or_else(|| "--".to_owned(), clock);
    format!(
        "{doing:<10} {percent:>3} %  {} of {}  fetched {}, reused {}, {}/s  {left} left",
        ByteLen(done),
        ByteLen(total),
        ByteLen(moved.fetched),
        ByteLen(moved.reused),
        ByteLen(moved.rate),
    )
}

/// Minutes and seconds.
fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

pub(super) fn ended(doing: &str, done: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_millis() / 100;
    format!("{:<10} {} in {}.{} s", doing, ByteLen(done), seconds / 10, seconds % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_well() {
        let second = Duration::from_secs(1);
        assert_eq!(
            moving("writing", 64 << 20, 256 << 20, second),
            "writing     25 %  64.0 MiB of 256.0 MiB  64.0 MiB/s  0:03 left"
        );
        assert_eq!(
            moving("verifying", 0, 0, Duration::ZERO),
            "verifying  100 %  0 bytes of 0 bytes  0 bytes/s  -- left"
        );
        let moved = Moved {
            fetched: 3 << 20,
            reused: 60 << 20,
            written: 64 << 20,
            rate: 1 << 20,
            seconds_left: Some(65),
        };
        assert_eq!(
            fetching("writing", 64 << 20, 256 << 20, &moved),
            "writing     25 %  64.0 MiB of 256.0 MiB  fetched 3.0 MiB, reused 60.0 MiB, 1.0 MiB/s  1:05 left"
        );
        assert_eq!(
            ended("writing", 1 << 30, Duration::from_millis(1250)),
            "writing    1.0 GiB in 1.2 s"
        );
    }
}
