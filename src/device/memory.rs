//! Which release a slot holds, and what is remembered of it apart from its record.

use super::world::{World, named};
use crate::event::{Event, Sink};
use crate::install::{SlotRecord, slot_record};
use crate::model::{Failure, KeyId, Result, SlotId};
use crate::trust::Verified;
use crate::update::{
    Ended, Identity, Journal, Label, Memory, Outcome, Phase, RecordSays, Remembered, Stand, Target,
    Traces, identify,
};

/// What a slot holds, with its record.
pub struct Held {
    /// What is known of it.
    pub stand: Stand,
    /// The record, where it is accepted now.
    pub installed: Option<Verified<crate::artifact::Installed>>,
    /// Whether a complete record stands there, accepted or not.
    pub recorded: bool,
    /// The keys that are said to have signed it.
    pub signers: Vec<KeyId>,
}

impl World {
    /// What a slot holds, by its record, by what was committed, and by the journal.
    pub fn held(&self, slot: SlotId) -> Held {
        let traces = self.traces();
        let record = self.parts(slot).and_then(|parts| slot_record(&parts, &self.trust()));
        let (mut installed, mut signers, mut recorded) = (None, Vec::new(), true);
        let says = match record {
            Ok(SlotRecord::Missing(lack)) => {
                recorded = false;
                RecordSays::Nothing(lack)
            }
            Ok(SlotRecord::Accepted(found)) => {
                let label = Label { named: named(&found.manifest), digest: found.body_digest };
                signers = found.signers().to_vec();
                installed = Some(found);
                RecordSays::Accepted(label)
            }
            Ok(SlotRecord::NotAccepted { why, bytes }) => {
                let once = self.once_trusted(&traces.remembered);
                match crate::artifact::recall_record(&bytes, &once) {
                    Ok(recalled) => {
                        signers = recalled.key_ids;
                        let once = recalled.manifest.as_ref().map(named);
                        let digest = Some(recalled.body_digest);
                        RecordSays::NotAccepted { why, digest, once }
                    }
                    Err(_) => RecordSays::NotAccepted { why, digest: None, once: None },
                }
            }
            Err(why) => RecordSays::NotAccepted { why, digest: None, once: None },
        };
        let stand = identify(slot, &says, &traces);
        Held { stand, installed, recorded, signers }
    }

    /// Release keys that this device has trusted, now or under an earlier trust file.
    fn once_trusted(&self, remembered: &Remembered) -> Vec<crate::trust::PublicKey> {
        let memory = remembered.memory.clone().unwrap_or_default();
        match self.trust() {
            Ok(trust) => memory.knowing(&trust).keys(),
            Err(_) => memory.keys(),
        }
    }

    fn traces(&self) -> Traces {
        let boot = self.boot.look().ok();
        let in_environment = boot.is_some_and(|b| b.txn.is_some() || b.fallback.is_some());
        Traces {
            remembered: self.committed.load(),
            journal: self.journal.load(),
            history: self.history.load(),
            in_environment,
            floor: self.floor.load().epoch,
        }
    }

    /// What a move to `slot` would find there.
    pub fn target_in(&self, slot: SlotId) -> Target {
        let Held { stand, installed, recorded, .. } = self.held(slot);
        match (installed, stand.why) {
            (Some(installed), _) => Target::Recorded(installed.body_digest),
            (None, _) if !recorded && !self.bootable(slot) => Target::Nothing,
            (None, Some(why)) => Target::Refused(why.code()),
            (None, None) => Target::Factory,
        }
    }

    /// Why nothing can return to what stands in a slot, in words.
    pub(crate) fn refusal(&self, slot: SlotId) -> Option<Failure> {
        let Held { stand, installed, recorded, .. } = self.held(slot);
        let why = stand.why.filter(|_| installed.is_none() && (recorded || self.bootable(slot)))?;
        Some(why.at(format!("slot {slot} ({})", stand.label.named)))
    }

    /// Both slots' labels.
    pub(super) fn labels(&self) -> [Label; 2] {
        [SlotId::A, SlotId::B].map(|slot| self.held(slot).stand.label)
    }
}

/// Before the first byte of a slot is destroyed: what runs is remembered, what is written over is
/// not any more, and the keys under which it all was accepted stay known.
pub(super) fn before_writing(world: &World, booted: SlotId) -> Result<()> {
    remember(world, booted, Memory::before_writing)
}

/// Before anything tells of a first update, which may end before it writes a byte: what runs is the
/// factory's system, and nothing else could say so afterwards.
pub(super) fn before_the_first_word(world: &World, booted: SlotId) -> Result<()> {
    match world.traces().any() {
        true => Ok(()),
        false => remember(world, booted, Memory::with_running),
    }
}

type Remember = fn(Memory, SlotId, Label, Vec<KeyId>, Option<&Outcome>) -> Memory;

fn remember(world: &World, booted: SlotId, with: Remember) -> Result<()> {
    let known = world.committed.load().memory.unwrap_or_default();
    let memory = match world.trust() {
        Ok(trust) => known.knowing(&trust),
        Err(_) => known,
    };
    let Held { stand, signers, .. } = world.held(booted);
    let last = world.load_journal().last;
    world.committed.save(&with(memory, booted, stand.label, signers, last.as_ref()))
}

/// After everything has come to rest: what is committed is remembered, whenever the memory says
/// something else. Derived and repeatable, so that a cut anywhere loses nothing.
pub(super) fn follow(world: &World, journal: &Journal, booted: SlotId, sink: &dyn Sink) {
    let found = world.committed.load();
    let last = journal.last.as_ref().filter(|_| journal.phase == Phase::Idle);
    let committed = last.filter(|l| l.outcome == Ended::Updated && l.work.slot == booted);
    let known = found.memory.clone().unwrap_or_default();
    let memory = match committed {
        Some(last) => {
            let Held { stand, installed, signers, .. } = world.held(booted);
            let accepted = installed.is_some().then_some(stand.label);
            known.after_commit(last, accepted, signers, || standing(world, booted.other()))
        }
        // No copy can be read: what can be said without it is kept, and that the rest is unknown.
        None if found.damaged && found.memory.is_none() && journal.phase == Phase::Idle => {
            let (label, signers) = standing(world, booted).unzip();
            known.with(booted, label, signers.unwrap_or_default())
        }
        None if found.damaged => known,
        None => return,
    };
    let memory = match (world.trust(), committed) {
        (Ok(trust), Some(_)) => memory.knowing(&trust),
        _ => memory,
    };
    if let Err(failure) = world.committed.save(&memory) {
        let text = format!("what was committed cannot be remembered: {failure}");
        sink.emit(&Event::Warning { text });
    }
}

/// What a slot holds, if it holds a system.
fn standing(world: &World, slot: SlotId) -> Option<(Label, Vec<KeyId>)> {
    let Held { stand, signers, recorded, .. } = world.held(slot);
    (recorded || world.bootable(slot)).then_some((stand.label, signers))
}

/// The epoch of what a slot holds, by what was verified: 0 where it never was. No claim that nobody
/// can verify now gets into the stored floor.
pub(super) fn verified_epoch(world: &World, slot: SlotId) -> u32 {
    let Held { stand, installed, .. } = world.held(slot);
    match (installed, stand.identity()) {
        (Some(installed), _) => installed.manifest.security_epoch,
        (None, Identity::Known) => stand.label.named.security_epoch,
        (None, Identity::NotAccepted) => {
            let memory = world.committed.load().memory;
            let kept = memory.as_ref().and_then(|m| m.of(slot));
            let same = kept.filter(|kept| kept.digest == stand.label.digest);
            same.map_or(0, |kept| kept.named.security_epoch)
        }
        (None, Identity::Factory | Identity::Unknown) => 0,
    }
}

/// Warns of a release that runs and that the trust file which came with it does not accept: it can be
/// neither verified nor returned to, and only releases of the new keys install from here on.
pub(super) fn warn_if_not_accepted(world: &World, slot: SlotId, sink: &dyn Sink) {
    let stand = world.held(slot).stand;
    if let (Identity::NotAccepted, Some(why)) = (stand.identity(), &stand.why) {
        let text = format!(
            "the trust file on this system does not accept {}, which runs: {why}. It counts for the order of releases; it cannot be returned to. The next release must be signed by a key of this trust file",
            stand.label.named
        );
        sink.emit(&Event::Warning { text });
    }
}

/// The code with which an unknown order is told.
pub(super) fn order_unchecked(world: &World, slot: SlotId) -> Option<String> {
    let stand = world.held(slot).stand;
    (stand.identity() == Identity::Unknown).then(|| {
        let why = stand.why.as_ref().map_or("nothing is remembered of it", Failure::detail);
        format!("which release runs is not known ({why}): whether another one is older cannot be checked; the stored floor still holds")
    })
}
