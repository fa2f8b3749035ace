//! `surefoot blackbox`: early in every boot. In a trial it records until the trial is decided;
//! in any other boot it looks at what a dead kernel has left, and ends.

use super::world::World;
use crate::blackbox::{Head, Job, Line, Ring, SEGMENT, pstore, record};
use crate::boot::BootFacts;
use crate::config::Settings;
use crate::model::{ReasonCode, Result, SlotId, Txn, WithReason};
use crate::sys::host;
use crate::sys::kmsg::{self, Kmsg};
use crate::update::{Ended, Phase};

/// What the services say from here on down is recorded (syslog(3)): notices, for the init system
/// tells with them how a service ended.
const FOLLOW: [&str; 6] = [
    "journalctl",
    "--follow",
    "--boot",
    "--lines=all",
    "--priority=notice",
    "--output=short-monotonic",
];

/// Records what there is to record and says in one line why it ended. It never fails: a boot does
/// not depend on it. What it cannot do in a trial, it says on the kernel's console.
pub fn black_box(settings: Settings) -> String {
    let world = match World::open(settings) {
        Ok(world) => world,
        Err(failure) => return format!("nothing is recorded: {failure}"),
    };
    let looked = world.booted().and_then(|slot| Ok((slot, world.boot.look()?)));
    let (slot, boot) = match looked {
        Ok(found) => found,
        Err(failure) => return format!("nothing is recorded: {failure}"),
    };
    let trial = boot.trial && boot.slot == Some(slot);
    let done = world.state_is_durable().and_then(|()| match trial {
        true => in_trial(&world, slot, &boot),
        false => after_trial(&world, slot, &boot),
    });
    match done {
        Ok(said) => said,
        Err(failure) => {
            let text = format!("the black box records nothing: {failure}");
            if trial && !world.disk.is_image() {
                kmsg::say(&text);
            }
            text
        }
    }
}

fn head(world: &World, slot: SlotId, boot: &BootFacts, trial: bool, txn: Option<&Txn>) -> Head {
    Head {
        v: 1,
        boot_id: world.boot_id(),
        slot,
        trial,
        txn: txn.map(|t| t.as_str().to_owned()),
        version: world.named(slot).version.map(|v| v.to_string()),
        bootcount: boot.bootcount,
        bootlimit: boot.bootlimit,
        at: world.now(),
    }
}

fn in_trial(world: &World, slot: SlotId, boot: &BootFacts) -> Result<String> {
    let head = head(world, slot, boot, true, boot.txn.as_ref());
    let (found, known) = look_at_pstore(world);
    let kernel = match world.disk.is_image() {
        true => Kmsg::at(&world.machine("kmsg", "")),
        false => Kmsg::open(),
    };
    if let Err(error) = &kernel
        && !world.disk.is_image()
    {
        kmsg::say(&format!("the black box hears no kernel: {error}"));
    }
    let folder = world.black_box();
    let state = &world.settings.device.state;
    if !state.exists() {
        std::fs::create_dir(state).reason(ReasonCode::Io, state.display())?;
    }
    let journal = (!world.disk.is_image()).then(|| FOLLOW.map(str::to_owned).to_vec());
    let before = known.fresh(&found);
    let mut decided = || decision(world, slot);
    let job = Job {
        folder: &folder,
        head: &head,
        kernel: kernel.ok(),
        journal,
        before: &before,
        watched: state,
        decided: &mut decided,
    };
    let told = || format!("cannot write {}", folder.display());
    // Known before it is recorded would be lost in a cut; recorded twice is only twice.
    let why = record(job).reason(ReasonCode::Io, told())?;
    let _ = known.remember(&found, &world.known_pstore());
    Ok(format!("recorded a boot of slot {slot}: {why}"))
}

/// How the trial ended, if it has. A trial that is left goes on being recorded until the system
/// goes down, and one that was decided until the journal says how.
fn decision(world: &World, slot: SlotId) -> Option<String> {
    let boot = world.boot.look().ok()?;
    let journal = world.load_journal();
    let open = matches!(journal.phase, Phase::Returning { .. } | Phase::Trying { .. });
    if open || boot.trial && boot.slot == Some(slot) {
        return None;
    }
    let how = journal.last.as_ref().filter(|l| l.work.slot == slot).map(|l| l.outcome);
    Some(match how {
        Some(Ended::Updated) => "the trial was decided: it stays".to_owned(),
        _ => "the trial is over".to_owned(),
    })
}

/// The boot after a trial keeps what a dead kernel has left; every boot takes note of what is
/// there, so that an old panic is never taken for a new one.
fn after_trial(world: &World, slot: SlotId, boot: &BootFacts) -> Result<String> {
    let folder = world.black_box();
    let told = || format!("cannot write {}", folder.display());
    if !world.settings.device.state.exists() {
        return Ok("nothing is on trial".to_owned());
    }
    if !folder.exists() {
        std::fs::create_dir(&folder).reason(ReasonCode::Io, told())?;
    }
    let (found, known) = look_at_pstore(world);
    let journal = world.load_journal();
    let txn = match &journal.phase {
        Phase::Switching { txn, .. } | Phase::Trying { txn, .. } | Phase::Returning { txn, .. } => {
            Some(txn)
        }
        _ => None,
    };
    // Its files are made while there is room: a data partition that the new system fills does not
    // stop it.
    let mut ring = Ring::open(&folder, SEGMENT).reason(ReasonCode::Io, told())?;
    let fresh = known.fresh(&found);
    let mut said = "nothing is on trial".to_owned();
    if let Some(txn) = txn
        && !fresh.is_empty()
    {
        let head = head(world, slot, boot, false, Some(txn));
        let lines: Vec<Line> = fresh
            .iter()
            .flat_map(|r| {
                let title = Line::pstore(&format!("-- {} --", r.name));
                std::iter::once(title).chain(r.lines.iter().map(|l| Line::pstore(l)))
            })
            .collect();
        let kept = ring
            .begin(&head)
            .and_then(|()| ring.add(lines.iter()))
            .and_then(|()| ring.end(&head.boot_id, host::uptime(), "the boot after the trial"));
        kept.reason(ReasonCode::Io, told())?;
        said = format!("kept what the kernel of {txn} has left");
    }
    known.remember(&found, &world.known_pstore())?;
    Ok(said)
}

fn look_at_pstore(world: &World) -> (Vec<pstore::Record>, pstore::Known) {
    let found = pstore::look(&world.pstore_folders());
    (found, pstore::Known::load(&world.known_pstore()))
}
