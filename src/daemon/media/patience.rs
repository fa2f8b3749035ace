//! What ends by itself is waited for: a trial, another update, a daemon that comes back.

use super::desk;
use super::shelf::Shelf;
use crate::device::Installed;
use crate::inspect::Status;
use crate::model::{Class, Failure, ReasonCode, Result, State};
use crate::request::Client;
use crate::stick::{Board, Shown};
use crate::sys::{clock, signals};
use std::time::{Duration, Instant};

/// For a trial to be decided, or another update to end: longer than either may take.
const PATIENCE: Duration = Duration::from_secs(100 * 60);

/// Between two looks: soon, then ever later.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(15);

/// A word to end is looked for so often.
const SLICE: Duration = Duration::from_secs(1);

/// A trial is decided before anything else: by the daemon, or by a person, and then it is told.
pub(super) fn wait_until_decided(
    client: &dyn Client,
    shelf: &dyn Shelf,
    board: &Board,
) -> Result<Status> {
    let start = Instant::now();
    let mut pause = SOON;
    loop {
        let status = match desk::status(client) {
            // One that was killed comes back.
            Err(f) if f.code() == ReasonCode::DaemonSilent && start.elapsed() < PATIENCE => {
                if is_over(shelf, pause) {
                    return Err(f);
                }
                pause = (pause * 2).min(LATE);
                continue;
            }
            status => status?,
        };
        if status.state != State::Trying {
            return Ok(status);
        }
        let pending = |text| Err(Failure::new(ReasonCode::TrialPending, text));
        if client.alone().is_some() || start.elapsed() >= PATIENCE {
            return pending("the running system is on trial and not decided yet");
        }
        let text = "the running system is on trial; it is decided first";
        board.show(Shown::Waiting, text, Some(ReasonCode::TrialPending));
        if is_over(shelf, pause) {
            return pending(text);
        }
        pause = (pause * 2).min(LATE);
    }
}

/// Waits for so long, and says whether there is no more to wait for: something else has come, or this
/// process is told to end, and then the report must still be written.
fn is_over(shelf: &dyn Shelf, pause: Duration) -> bool {
    let mut left = clock::pause(pause);
    while !left.is_zero() {
        let slice = left.min(SLICE);
        if signals::told().is_some() || shelf.is_outdated(slice) {
            return true;
        }
        left -= slice;
    }
    signals::told().is_some()
}

/// What ends by itself; a daemon that was killed comes back and goes on where it stopped.
fn ends(failure: &Failure, by: &str) -> bool {
    match failure.code() {
        ReasonCode::Cancelled => false,
        // The newer release may be refused yet, and then this one goes on. What lies in the inbox is
        // chosen anew; a stick is looked at once.
        ReasonCode::Superseded => by == "stick" && signals::told().is_none(),
        // The daemon is told to end, and comes back; this process may be told as well.
        ReasonCode::Interrupted | ReasonCode::DaemonSilent => signals::told().is_none(),
        code => code.class() == Class::Busy,
    }
}

/// Another update ends some time, and so does what holds back this one. But what has come
/// meanwhile may be the better choice: then the failure is returned, and the caller chooses anew.
pub(super) fn patiently(
    shelf: &dyn Shelf,
    by: &str,
    board: &Board,
    mut act: impl FnMut() -> Result<Installed>,
) -> Result<Installed> {
    let start = Instant::now();
    let mut pause = SOON;
    loop {
        match act() {
            Err(failure) if ends(&failure, by) && start.elapsed() < PATIENCE => {
                board.show(Shown::Waiting, failure.detail(), Some(failure.code()));
                if is_over(shelf, pause) {
                    return Err(failure);
                }
                pause = (pause * 2).min(LATE);
            }
            other => return other,
        }
    }
}
