//! Which slot runs (DESIGN 9.12). Nothing is written before this is known for certain.

use super::Layout;
use crate::disk::Disk;
use crate::model::{Failure, ReasonCode, Result, SlotId, WithReason};
use crate::sys::{files, mounts};
use std::path::Path;

fn unknown(why: impl AsRef<str>) -> Failure {
    Failure::new(ReasonCode::BootedUnknown, why)
}

/// What the kernel command line says: its one `surefoot.slot=a|b`. Two different ones are as bad
/// as none.
pub fn slot_on_command_line(text: &str) -> Result<SlotId> {
    let mut found = None;
    for word in text.split_ascii_whitespace() {
        let Some(value) = word.strip_prefix("surefoot.slot=") else {
            continue;
        };
        let slot: SlotId = value.parse().map_err(unknown)?;
        if found.is_some_and(|f| f != slot) {
            return Err(unknown("the kernel command line names both slots"));
        }
        found = Some(slot);
    }
    found.ok_or_else(|| unknown("`surefoot.slot=` is not on the kernel command line"))
}

/// The slot that runs on this machine: the kernel command line and the partition of `/` must
/// agree. `root` is the partition of `/` as (offset in the disk, length); `None` if `/` does not
/// lie on this disk.
pub fn booted_on_device(
    command_line: &str,
    root: Option<(u64, u64)>,
    layout: &Layout,
) -> Result<SlotId> {
    let said = slot_on_command_line(command_line)?;
    let (start, len) = root.ok_or_else(|| unknown("`/` does not lie on the configured disk"))?;
    match layout.slot_at(start, len) {
        Some(slot) if slot == said => Ok(slot),
        Some(slot) => Err(unknown(format!(
            "the kernel command line says slot {said}, but `/` lies on slot {slot}"
        ))),
        None => Err(unknown("`/` lies on no partition of a slot")),
    }
}

/// The place of `/` on `disk`, as [`booted_on_device`] wants it.
pub fn root_partition(disk: &Disk) -> Result<Option<(u64, u64)>> {
    let root = mounts::root_device().reason(ReasonCode::BootedUnknown, "finding `/`")?;
    let place = root.map(mounts::under).and_then(mounts::disk_of);
    Ok(place.filter(|(on, _)| Some(*on) == disk.number()).map(|(_, p)| (p.start, p.len)))
}

/// The slot that a simulated device runs: the letter on the first line of the file that
/// `[device] booted` names.
pub fn booted_from_file(path: &Path) -> Result<SlotId> {
    let text = files::read_own(path, 4096)
        .reason(ReasonCode::BootedUnknown, format!("reading {}", path.display()))?;
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().next().unwrap_or_default();
    first.trim().parse().map_err(|why: String| unknown(why).at(path.display()))
}

/// A last look before a slot is opened: `/` itself must not lie on it, whatever anybody says.
pub(super) fn refuse_running(disk: &Disk, layout: &Layout, booted: SlotId) -> Result<()> {
    if disk.is_image() {
        return Ok(());
    }
    match root_partition(disk)?.and_then(|(start, len)| layout.slot_at(start, len)) {
        Some(slot) if slot != booted => {
            Err(Failure::new(ReasonCode::SlotNeeded, "the running system lies on it"))
        }
        _ => Ok(()),
    }
}
