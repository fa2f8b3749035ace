//! The way out of a trial for a daemon that can decide nothing: this boot has failed, and the
//! bootloader's counter does the rest.

use super::core::Core;
use crate::config::Settings;
use crate::device;
use crate::health::Patience;
use crate::model::paths;
use crate::sys::{host, mounts, systemd};
use std::path::Path;
use std::time::Duration;

/// What the boot script puts on the kernel's command line of a trial, and only there.
const MARK: &str = "watchdog.open_timeout=180";

/// What is told of it.
const WHY: &str = "this system can decide nothing; this boot of its trial has failed";

/// Reboots a system on trial that has failed for so long to look at itself, or to write down what
/// it decides. Says whether it did.
pub(super) fn leave(core: &Core, failing: Duration) -> bool {
    match core.world().and_then(|world| Ok((device::is_undecided(&world)?, world))) {
        Ok((undecided, world)) => {
            let over = failing >= world.settings.patience.deadline;
            undecided && over && core.reboot(&world, WHY).is_ok()
        }
        Err(_) => {
            let settings = core.settings().ok();
            let lost = is_lost(settings.as_ref(), failing);
            lost && core.reboot_blindly(WHY).is_ok()
        }
    }
}

/// The same where not even the settings can be read, for a daemon that ends and comes back: what
/// counts is the time since the boot.
pub(super) fn leave_unsettled() -> bool {
    is_lost(None, Duration::from_secs(host::uptime())) && host::restart().is_ok()
}

/// Whether a device that cannot be looked at is on trial, as far as its kernel knows, and its time
/// is over.
fn is_lost(settings: Option<&Settings>, failing: Duration) -> bool {
    // What only plays a device on this machine has nothing to reboot.
    let plays = settings.is_some_and(|s| {
        s.device.booted.is_some() || s.device.disk.named().is_some_and(Path::is_file)
    });
    // Where the mark of a decided trial is, unless the settings say otherwise (`Core::mark_decided`).
    let run = settings.map_or(Path::new(paths::RUN), |s| &s.run);
    let patience = settings.map_or_else(Patience::default, |s| s.patience);
    systemd::is_notified()
        && !plays
        && !run.join("decided").exists()
        && mounts::kernel_command_line().is_ok_and(|line| is_over(&line, failing, &patience))
}

/// Whether the kernel was started for a trial that has had its time.
fn is_over(command_line: &str, failing: Duration, patience: &Patience) -> bool {
    command_line.split_whitespace().any(|word| word == MARK) && failing >= patience.deadline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trial_that_has_had_its_time_is_left() {
        let patience = Patience::default();
        let (soon, late) = (Duration::from_secs(599), Duration::from_secs(600));
        let trial = "root=PARTUUID=x ro surefoot.slot=b panic=10 watchdog.open_timeout=180 quiet";
        assert!(is_over(trial, late, &patience));
        assert!(!is_over(trial, soon, &patience));
        let short = Patience { deadline: soon, ..patience };
        assert!(is_over(trial, soon, &short));
        for other in
            ["", "root=/dev/x ro", "watchdog.open_timeout=1800", "xwatchdog.open_timeout=180"]
        {
            assert!(!is_over(other, late, &patience), "{other}");
        }
    }

    #[test]
    fn this_machine_is_never_left() {
        assert!(!is_lost(None, Duration::MAX));
    }

    #[test]
    fn the_mark_is_the_boot_scripts_and_the_guards() {
        assert!(include_str!("../../uboot-scripts/boot.cmd").contains(&format!(" {MARK}\"")));
        let guard = include_str!("../../systemd/surefoot-guard.service");
        assert!(guard.contains(&format!("ConditionKernelCommandLine={MARK}\n")));
        assert!(guard.contains("ConditionPathExists=!@RUN@/decided\n"));
    }
}
