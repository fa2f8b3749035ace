//! Whether a step may be taken in this boot at all.

use super::work::Work;
use crate::device::is_undecided;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::mounts;

/// What the boot script adds to the kernel's command line in a trial, and in no other boot.
const TRIAL: &str = "watchdog.open_timeout=180";

/// `TRIAL_PENDING` in a trial, `DISK_TWIN` where it is not known which disk U-Boot has started from, and `STATE_NOT_DURABLE` where
/// another disk's data partition is mounted.
pub(super) fn allowed(work: &Work<'_>) -> Result<()> {
    let undecided = work.world().and_then(is_undecided);
    let on_trial = match &undecided {
        Ok(undecided) => *undecided,
        Err(failure) if failure.code() == ReasonCode::DiskTwin => return Err(failure.clone()),
        // What cannot be asked for is as the boot script said.
        Err(_) => {
            let line = mounts::kernel_command_line().unwrap_or_default();
            work.real && line.split_ascii_whitespace().any(|word| word == TRIAL)
        }
    };
    match (on_trial, work.world()) {
        (true, _) => Err(Failure::new(ReasonCode::TrialPending, "a new system is on trial")),
        (false, Ok(world)) => world.data_is_here(),
        (false, Err(_)) => Ok(()),
    }
}
