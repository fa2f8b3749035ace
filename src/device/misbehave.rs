//! How a system on trial misbehaves because a drill has asked for it.

use super::world::World;
use crate::health::Verdict;
use crate::model::{Against, By, Failing};
use crate::sys::process::Invocation;
use crate::update::Drill;
use std::time::Duration;

/// What is said of a system that misbehaves because it was told to.
pub fn on_purpose(kind: Drill) -> Verdict {
    let said = format!("{} on purpose", kind.as_str());
    Verdict::Bad(Against::one(Failing::by(By::Drill, "drill", &said)))
}

/// Makes this system misbehave. A machine that still runs afterwards has not, and its verdict is
/// the same.
pub(super) fn misbehave(world: &World, kind: Drill) -> Verdict {
    let words: &[&str] = match kind {
        Drill::Unhealthy => &[],
        // The init system stands still and feeds no watchdog any more.
        Drill::Hang => &["/bin/kill", "-SEGV", "1"],
        Drill::Panic => &["/bin/sh", "-c", "echo c >/proc/sysrq-trigger"],
    };
    // Never on a machine that only keeps an image.
    if !words.is_empty() && !world.disk.is_image() {
        let command: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let call = Invocation {
            command: &command,
            folder: "/".as_ref(),
            environment: &[],
            input: b"",
            deadline: Duration::from_secs(10),
            keep: 0,
        };
        let _ = world.runner.run(&call);
        std::thread::sleep(Duration::from_secs(120));
    }
    on_purpose(kind)
}
