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

/// Where `/` lies, as far as it concerns one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root {
    /// For people: what is mounted on `/`, and the devices under it.
    pub said: String,
    /// The partitions of the disk under it, as (offset, length): one, or several below dm-verity.
    pub places: Vec<(u64, u64)>,
}

/// The slot that runs on this machine: the kernel command line and the partitions of `/` must
/// agree.
pub fn booted_on_device(command_line: &str, root: &Root, layout: &Layout) -> Result<SlotId> {
    let said = slot_on_command_line(command_line)?;
    let found = &root.said;
    if root.places.is_empty() {
        let why = format!(
            "`/` is {found}, which does not lie on the configured disk (is there a copy of it on another disk?)"
        );
        return Err(unknown(why));
    }
    let slots = root.places.iter().filter_map(|(start, len)| layout.slot_at(*start, *len));
    let mut slots: Vec<SlotId> = slots.collect();
    slots.sort();
    slots.dedup();
    match slots[..] {
        [slot] if slot == said => Ok(slot),
        [slot] => Err(unknown(format!(
            "the kernel command line says slot {said}, but `/` is {found}, on slot {slot}"
        ))),
        [] => Err(unknown(format!("`/` is {found}, on no partition of a slot"))),
        _ => Err(unknown(format!("`/` is {found}, on both slots"))),
    }
}

/// What `/` is on `disk`, as [`booted_on_device`] wants it.
pub fn root_on(disk: &Disk) -> Result<Root> {
    let root = mounts::root().reason(ReasonCode::BootedUnknown, "finding `/`")?;
    let places: Vec<_> = root.devices.iter().filter_map(|d| mounts::disk_of(*d)).collect();
    let nodes: Vec<String> = places.iter().map(|(_, p)| p.node.display().to_string()).collect();
    let said = match nodes.is_empty() {
        true => root.said,
        false => format!("{} on {}", root.said, nodes.join(" and ")),
    };
    let here = places.into_iter().filter(|(on, _)| Some(*on) == disk.number());
    Ok(Root { said, places: here.map(|(_, p)| (p.start, p.len)).collect() })
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
    let root = root_on(disk)?;
    let mut slots = root.places.iter().filter_map(|(start, len)| layout.slot_at(*start, *len));
    match slots.any(|slot| slot != booted) {
        true => Err(Failure::new(ReasonCode::SlotNeeded, "the running system lies on it")),
        false => Ok(()),
    }
}
