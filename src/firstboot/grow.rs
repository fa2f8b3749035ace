//! The data partition gets the rest of the disk: table, kernel, file system, in this order. Each of the three is looked at
//! anew, so that a cut between them is mended by the same step.

use super::allowed::allowed;
use super::links::DATA;
use super::work::Work;
use crate::device::World;
use crate::disk::{Growth, growth};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::lock::FileLock;
use crate::sys::mounts::{self, Mount};
use crate::sys::tree::make_folder;
use crate::sys::{blk, host};
use crate::update::{Phase, Stored};
use std::io::ErrorKind;
use std::ops::Range;
use std::time::Duration;

pub(super) fn step(work: &mut Work<'_>) -> Result<String> {
    if !work.settings.first_boot.grow {
        return Ok("`[first_boot] grow` is false".to_owned());
    }
    let world = work.world()?;
    let disk = &world.disk;
    // Where the table has its end already it is not written, and the file system follows: that of an encrypted partition does so
    // at a later boot, when there may have been an update.
    let new = |growth: &Growth| match growth.is_needed() {
        true => before_any_update(world),
        false => Ok(()),
    };
    let growth = write(world, new)?;
    let again = !disk.is_image() && tell_kernel(world, &growth)?;
    let told = growth.told();
    work.again = again;
    Ok(told)
}

/// Where no data partition is mounted: ends a growth that was cut off, and begins none. What is known of updates lies on the
/// partition that is not there.
pub(super) fn mend(work: &mut Work<'_>) -> Result<String> {
    if !work.settings.first_boot.grow {
        return Ok("`[first_boot] grow` is false".to_owned());
    }
    // Nothing can be recorded, and the file system grows when it is mounted.
    work.again = true;
    allowed(work)?;
    let run = &work.settings.run;
    make_folder(run)?;
    let _held = FileLock::take(&run.join("grow.lock"), Duration::ZERO)?;
    let torn = |growth: &Growth| match growth.is_torn() {
        true => Ok(()),
        false => Err(Failure::new(ReasonCode::StateNotDurable, "no growth was cut off")),
    };
    Ok(write(work.world()?, torn)?.told())
}

fn write(world: &World, look: impl Fn(&Growth) -> Result<()>) -> Result<Growth> {
    let disk = &world.disk;
    if !disk.is_image() {
        // Which disk runs is certain, and it has no twin: the table of no other one is written.
        world.booted()?;
    }
    let device = disk.writable()?;
    let growth = growth(&*device, DATA)?;
    look(&growth)?;
    if growth.is_needed() {
        spares_the_environment(world, &growth)?;
    }
    growth.write(&*device)?;
    Ok(growth)
}

/// `GROWTH_REFUSED` where a copy of the environment lies behind the last partition: it would lie in it afterwards, or under the
/// backup of the table.
fn spares_the_environment(world: &World, growth: &Growth) -> Result<()> {
    let end = growth.start + growth.from;
    let facts = world.boot.look()?;
    let behind = |place: &Range<u64>| place.end > end;
    let copy = facts.copies.iter().find(|copy| copy.on_disk.as_ref().is_some_and(behind));
    let Some(copy) = copy else { return Ok(()) };
    let why = format!(
        "a copy of the environment ({}) lies behind partition {}, which would grow over it",
        copy.place, growth.number
    );
    let next = "Say `[first_boot] grow = false`, or build U-Boot with an environment before the partitions.";
    Err(Failure::new(ReasonCode::GrowthRefused, why).with_next(next))
}

/// `NOT_FIRST_BOOT` where an update was ever begun: by the journal, and by the environment where the data partition was made anew.
fn before_any_update(world: &World) -> Result<()> {
    let why = match world.journal.load() {
        Stored::Absent => {
            let boot = world.boot.look()?;
            match boot.txn.is_some() || boot.trial || boot.fallback.is_some() {
                true => "the bootloader's environment tells of an update",
                false => return Ok(()),
            }
        }
        Stored::Lost => "there is a journal of updates, and it cannot be read",
        Stored::Found(journal) if journal.phase != Phase::Idle => "an update is under way",
        Stored::Found(journal) if journal.last.is_some() => "this device has been updated already",
        Stored::Found(_) => return Ok(()),
    };
    Err(Failure::new(ReasonCode::NotFirstBoot, why))
}

/// Tells the kernel of the new length, and lets it grow the file system, which is mounted. Says whether the file system can
/// only grow after the next boot.
fn tell_kernel(world: &World, growth: &Growth) -> Result<bool> {
    let (disk, path) = (world.disk.number(), world.disk.path());
    let known = disk.map(mounts::partitions_of).unwrap_or_default();
    let known = known.into_iter().find(|p| p.number == u64::from(growth.number));
    let known = known.filter(|p| p.start == growth.start).ok_or_else(|| {
        let why = format!("the kernel knows no partition {} there; reboot", growth.number);
        Failure::new(ReasonCode::LayoutInvalid, why)
    })?;
    if known.len != growth.len {
        let told = || format!("telling the kernel of partition {}", growth.number);
        let file = blk::open_foreign(path, false).reason(ReasonCode::Io, told())?;
        blk::resize_partition(&file, growth.number, growth.start, growth.len)
            .reason(ReasonCode::Io, told())?;
    }
    let mounted = mounts::mounts().reason(ReasonCode::Io, "asking what is mounted")?;
    let on = |m: &&Mount| mounts::all_under(m.device).contains(&known.device);
    let Some(mount) = mounted.iter().find(on) else {
        let why =
            format!("{} is not mounted, so its file system cannot grow", known.node.display());
        return Err(Failure::new(ReasonCode::StateNotDurable, why));
    };
    if mount.fs != "ext4" {
        let why = format!("the file system on {} is {}, not ext4", known.node.display(), mount.fs);
        return Err(Failure::new(ReasonCode::GrowthRefused, why));
    }
    let told = || format!("growing the file system on {}", mount.point);
    let len = match mount.device == known.device {
        true => growth.len,
        false => mounts::len_of(mount.device).unwrap_or(0),
    };
    let block = host::block_size(mount.point.as_ref()).reason(ReasonCode::Io, told())?;
    if let Err(error) = blk::resize_ext4(mount.point.as_ref(), len / block) {
        // The kernel refuses some for good: one with errors, with clusters of blocks, without room for its descriptors.
        let code = match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::InvalidInput => {
                ReasonCode::GrowthRefused
            }
            _ => ReasonCode::Io,
        };
        let node = known.node.display();
        let why = format!(
            "{node} has its new length, and the kernel does not grow the file system on it: {error}"
        );
        let next = format!("Unmount it, then run `e2fsck -f {node}` and `resize2fs {node}`.");
        return Err(Failure::new(code, why).with_next(next));
    }
    // A mapping (encryption) has the new length when it is made anew: it needs some of it for itself.
    Ok(len + (64 << 20) < growth.len)
}
