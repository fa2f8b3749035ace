//! What is remembered of what was committed, while keys change, a record is written over and the state
//! folder is lost. The answers are those of the real `identify`, `Memory` and `wanted`.

use super::asks::named;
use super::machine::Machine;
use super::mistakes::Mistake;
use super::world::{Content, Violation, World};
use crate::model::{Digest, Failure, ReasonCode, SlotId};
use crate::slot::record::Lack;
use crate::trust::{PublicKey, Trust};
use crate::update::{
    Allowed, Ended, Identity, Label, Memory, Phase, RecordSays, Remembered, Standing, Stored,
    Traces, identify, wanted,
};
use ed25519_dalek::SigningKey;

/// The keys of the old systems, and those that the update brings along.
pub(super) struct Trusts {
    old: Trust,
    new: Trust,
    /// The old release key.
    key: PublicKey,
}

impl Trusts {
    pub(super) fn new() -> Trusts {
        let public = |seed: u8| {
            let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
            PublicKey::from_bytes(key.as_bytes()).expect("a sound key")
        };
        let trust = |root: u8, release: u8| {
            let entry = |seed: u8, role: &str| {
                let (id, hex) = (public(seed).id(), public(seed).to_hex());
                format!(
                    "[[keys]]\nid = '{id}'\nrole = '{role}'\nalg = 'ed25519'\npublic = '{hex}'\n"
                )
            };
            let head = "format = 1\nname = 'x'\nversion = 1\n[thresholds]\nroot = 1\nrelease = 1\n";
            let text = [head, &entry(root, "root"), &entry(release, "release")].concat();
            Trust::parse(&text).expect("our own words")
        };
        Trusts { old: trust(1, 2), new: trust(3, 4), key: public(2) }
    }
}

/// What an answer depends on.
pub(super) type Asked = (u16, u16, SlotId, Content, bool, bool);

impl Machine {
    /// Whether what runs brings the new trust file.
    pub(super) fn rekeyed(&self, world: &World) -> bool {
        let runs = world.content(world.booted);
        self.scenario.rekey && matches!(runs, Content::First | Content::Second)
    }

    /// What the device says of a slot.
    pub(super) fn label(&mut self, world: &World, slot: SlotId) -> Label {
        let (content, rekeyed) = (world.content(slot), self.rekeyed(world));
        let blank = world.blank & (1 << slot as u8) != 0;
        let asked = (world.journal, world.memory[0], slot, content, rekeyed, blank);
        if let Some(known) = self.labels.get(&asked) {
            return known.clone();
        }
        let memory = self.memories.get(world.memory[0]).clone();
        let label = Label { named: named(content), digest: content.digest() };
        let torn = matches!(content, Content::Torn | Content::TornBootable);
        let says = match () {
            () if blank || torn => RecordSays::Nothing(Lack::Absent),
            // The release of the update is signed by the old key alone; the newer one by both.
            () if !rekeyed || content == Content::Second => RecordSays::Accepted(label),
            () => {
                let keys = memory.as_ref().map_or_else(Vec::new, Memory::keys);
                RecordSays::NotAccepted {
                    why: Failure::new(ReasonCode::SignatureUntrusted, "the old key"),
                    digest: Some(label.digest),
                    once: keys.contains(&self.trusts.key).then_some(label.named),
                }
            }
        };
        let journal = self.journals.get(world.journal).clone();
        let lost = journal == Default::default();
        let traces = Traces {
            remembered: Remembered { memory, damaged: false },
            journal: if lost { Stored::Absent } else { Stored::Found(journal) },
            history: Vec::new(),
            in_environment: true,
            floor: 0,
        };
        let mut label = identify(slot, &says, &traces).label;
        let unread = !matches!(says, RecordSays::Accepted(_));
        if self.mistake == Some(Mistake::RefusedIsFactory) && unread {
            label = Label::factory();
        }
        self.labels.insert(asked, label.clone());
        label
    }

    /// The copies of the memory are made to say this, one after the other.
    fn keep(&mut self, world: &World, memory: Memory, cut: &mut Vec<World>) -> World {
        let number = self.memories.number(Some(memory));
        // The one that counts is written last: then the other counts.
        let first = World { memory: [number, world.memory[0]], ..*world };
        cut.push(first);
        World { memory: [number, number], ..*world }
    }

    fn known(&self, world: &World) -> Memory {
        self.memories.get(world.memory[0]).clone().unwrap_or_default()
    }

    /// After a commit has come to rest: the world with it remembered, if that is to be written.
    pub(super) fn remember(
        &mut self,
        world: &World,
        cut: &mut Vec<World>,
    ) -> Result<Option<World>, Violation> {
        let journal = self.journals.get(world.journal);
        let last = journal.last.clone().filter(|l| {
            self.scenario.memory
                && journal.phase == Phase::Idle
                && l.outcome == Ended::Updated
                && l.work.slot == world.booted
        });
        let Some(last) = last else { return Ok(None) };
        let label = self.label(world, world.booted);
        let blank = world.blank & (1 << world.booted as u8) != 0;
        let read = !blank && label.named.identity() == Identity::Known;
        let spare = world.booted.other();
        let other = self.label(world, spare);
        let stands = world.content(spare).is_whole().then_some((other, Vec::new()));
        let accepted = read.then_some(label);
        let memory = self.known(world).after_commit(&last, accepted, Vec::new(), || stands);
        let trust = if self.rekeyed(world) { &self.trusts.new } else { &self.trusts.old };
        let memory = memory.knowing(trust);
        let number = self.memories.number(Some(memory.clone()));
        if world.memory == [number, number] {
            return Ok(None);
        }
        Ok(Some(self.keep(world, memory, cut)))
    }

    /// What a program does that remembers first and commits then.
    pub(super) fn remember_early(&mut self, world: &World, cut: &mut Vec<World>) -> World {
        let label = self.label(world, world.booted);
        let memory = self.known(world).with(world.booted, Some(label), Vec::new());
        self.keep(world, memory, cut)
    }

    /// Before the first byte of the other slot is destroyed.
    pub(super) fn before_writing(&mut self, world: &World, cut: &mut Vec<World>) -> World {
        if !self.scenario.memory {
            return *world;
        }
        let label = self.label(world, world.booted);
        let last = self.journals.get(world.journal).last.clone();
        let trust = if self.rekeyed(world) { &self.trusts.new } else { &self.trusts.old };
        let known = self.known(world).knowing(trust);
        let memory = known.before_writing(world.booted, label, Vec::new(), last.as_ref());
        self.keep(world, memory, cut)
    }

    /// Nothing is remembered as committed that never was.
    pub(super) fn remembers_truly(&self, world: &World) -> Result<(), Violation> {
        let Some(memory) = self.memories.get(world.memory[0]) else { return Ok(()) };
        for slot in [SlotId::A, SlotId::B] {
            let digest = memory.of(slot).map_or(Digest::NONE, |kept| kept.digest);
            let releases = [Content::Old, Content::Older, Content::First, Content::Second];
            let named = releases.into_iter().find(|c| c.digest() == digest);
            if named.is_some_and(|c| world.committed & c.bit() == 0) {
                return Err(Violation::RememberedUncommitted);
            }
        }
        Ok(())
    }

    /// At rest no older release is taken, and only where record and memory are both gone the order
    /// is unknown.
    pub(super) fn in_order(&mut self, world: &World) -> Result<(), Violation> {
        if !self.scenario.memory {
            return Ok(());
        }
        let runs = world.content(world.booted);
        let running = self.label(world, world.booted).named;
        let blank = world.blank & (1 << world.booted as u8) != 0;
        let unread = blank || self.rekeyed(world) && runs != Content::Second;
        let standing =
            Standing { running: &running, committed: true, floor: 0, denied: &[], given_up: None };
        let takes = |content: Content| {
            wanted(&named(content), &content.digest(), &standing, Allowed::default()).is_ok()
        };
        match running.identity() {
            // Nothing in sight may know it, and then nobody is locked out.
            Identity::Unknown if world.lost && unread => match takes(Content::Second) {
                true => Ok(()),
                false => Err(Violation::LockedOut),
            },
            Identity::Unknown | Identity::Factory => Err(Violation::OrderForgotten),
            Identity::Known | Identity::NotAccepted if runs == Content::Older => Ok(()),
            Identity::Known | Identity::NotAccepted => match takes(Content::Older) {
                true => Err(Violation::OrderForgotten),
                false => Ok(()),
            },
        }
    }
}
