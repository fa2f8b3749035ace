//! What is done about an installation that a daemon has found half done at its start.

use super::core::{Core, Rings};
use crate::device::{self, Origin, Unfinished, World};
use crate::event::{Event, Sink};
use crate::model::{Class, ReasonCode, Result, WithReason};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// An installation that a daemon before this one, or a power cut, has left half done.
#[derive(Default)]
pub(super) enum Left {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// It was gone on with; the flag says that it only had to wait.
    WentOn(Instant, Arc<AtomicBool>),
    /// There is none. One that fails in this daemon's life is not begun again by itself: a worn
    /// medium would be written again and again.
    Nothing,
}

/// What was gone on with and did not come to its end is tried again after so long.
const AGAIN: Duration = Duration::from_secs(300);

/// What is to be done next about it.
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// Another look, after so long.
    Later(Duration),
    /// A person must bring something, as this text says.
    Waits(String),
}

impl Left {
    /// Goes on with it, where its source is still there.
    pub(super) fn go_on(&mut self, core: &Arc<Core>, world: &World) -> Result<Then> {
        match self {
            Left::Unknown => {}
            Left::Nothing => return Ok(Then::Nothing),
            Left::WentOn(_, waits) if !waits.load(Ordering::SeqCst) => {
                *self = Left::Nothing;
                return Ok(Then::Nothing);
            }
            Left::WentOn(tried, _) if tried.elapsed() < AGAIN => {
                return Ok(Then::Later(AGAIN.saturating_sub(tried.elapsed())));
            }
            Left::WentOn(..) => {}
        }
        let (origin, ask) = match device::unfinished(world)? {
            Some(Unfinished::GoesOn(origin, ask)) => (origin, ask),
            Some(Unfinished::Waits(text)) => {
                *self = Left::Nothing;
                return Ok(Then::Waits(text));
            }
            None => {
                *self = Left::Nothing;
                return Ok(Then::Nothing);
            }
        };
        // What the channel has brought is gone on with by its next look.
        let far = matches!(origin, Origin::Url(_)) && !device::goes_on_by_itself(world);
        let waits = Arc::new(AtomicBool::new(false));
        *self = Left::WentOn(Instant::now(), waits.clone());
        let core = core.clone();
        // It takes its time, and a device is looked after meanwhile.
        let thread = std::thread::Builder::new().name("goes on".to_owned());
        let spawned = thread.spawn(move || {
            let _rings = Rings(&core.bell);
            let _turn = core.request();
            let done =
                core.world().and_then(|world| device::go_on(&world, &origin, *ask, &core.hub));
            if let Err(failure) = done
                && failure.code() != ReasonCode::Cancelled
            {
                let later = matches!(failure.code(), ReasonCode::Held | ReasonCode::BudgetSpent);
                let later = later || far && is_outage(failure.code());
                waits.store(later || failure.code().class() == Class::Busy, Ordering::SeqCst);
                let (reason, text) = (failure.code(), failure.detail().to_owned());
                core.hub.emit(&Event::Refused { reason, text });
            }
        });
        spawned.reason(ReasonCode::Io, "going on with an installation")?;
        Ok(Then::Later(AGAIN))
    }
}

/// Whether a server may well give the rest later.
fn is_outage(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::Unreachable | ReasonCode::Stalled | ReasonCode::SourceLost)
}
