//! What keeps the rollback of a board with this bootloader from being armed.

use crate::boot::{BootFacts, BootMemory, Finding};

/// What of the stored values keeps a bad system from coming home. The way back itself is the
/// bootloader's own program: only its limit is stored.
pub(super) fn way_back(memory: &BootMemory) -> Vec<Finding> {
    match memory.bootlimit {
        1..=9 => Vec::new(),
        other => {
            let reason = format!("`bootlimit` is {other}; 1 to 9 are allowed");
            vec![Finding::off(reason, "Put `bootlimit=3` into both files.")]
        }
    }
}

/// All of it.
pub(super) fn all(facts: &BootFacts) -> Vec<Finding> {
    let mut out = Vec::new();
    match facts.unreadable() {
        Some(failure) => out.push(Finding::off(failure.detail(), "Make the device anew.")),
        None => {
            for (copy, number) in facts.copies.iter().zip(1..) {
                let Some(why) = copy.why() else { continue };
                let reason = format!("file {number} of the bootloader ({why}) is not valid");
                out.push(Finding::weak(reason, "Nothing to do: the next write repairs it."));
            }
        }
    }
    out.extend(facts.way_back.iter().cloned());
    out
}
