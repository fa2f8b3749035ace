//! What this device has committed, apart from today's trust file and from what stands in the slots.
//!
//! Two copies, each one line `surefoot-committed FORMAT SEQUENCE CRC32` and a JSON document, written
//! one after the other, the older one first; the higher valid sequence counts. It is derived from
//! the journal after a commit, so that a power cut anywhere only means that it is written again.

use super::{Ended, Identity, Label, Named, Outcome};
use crate::model::{Digest, KeyId, ReasonCode, Result, SlotId, StateFile, WithReason, document};
use crate::sys::durable;
use crate::trust::{PublicKey, Role, Trust};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const LIMIT: u64 = StateFile::COMMITTED[0].limit;

/// More keys than a trust file has room for; the ones that were seen last stay.
const KEYS_MAX: usize = 128;

/// The system that a slot was left with by a commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kept {
    /// Its name; for one without a name, that it has none.
    #[serde(flatten)]
    pub named: Named,
    /// SHA-256 of its manifest; [`Digest::NONE`] where there is none or it is not known.
    pub digest: Digest,
    /// The keys that had signed it.
    #[serde(default)]
    pub signers: Vec<KeyId>,
}

impl Kept {
    /// Its label.
    pub fn label(&self) -> Label {
        Label { named: self.named.clone(), digest: self.digest }
    }
}

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// What stands in slot a; `None` where nothing was committed there, or it was written over.
    pub a: Option<Kept>,
    /// What stands in slot b.
    pub b: Option<Kept>,
    /// The release keys of every trust file under which something was installed or committed, in
    /// hexadecimal, newest last: by them a record is told from garbage when they are not trusted
    /// any more.
    keys: Vec<String>,
}

impl Memory {
    /// What is remembered of a slot.
    pub fn of(&self, slot: SlotId) -> Option<&Kept> {
        match slot {
            SlotId::A => self.a.as_ref(),
            SlotId::B => self.b.as_ref(),
        }
    }

    /// The same, with this in a slot. Only what was verified, or that nothing is known: a claim that
    /// nobody can verify now is not remembered.
    #[must_use]
    pub fn with(mut self, slot: SlotId, label: Option<Label>, signers: Vec<KeyId>) -> Memory {
        let kept = label.map(|Label { named, digest }| match named.identity() {
            Identity::Known | Identity::Factory => Kept { named, digest, signers },
            Identity::NotAccepted | Identity::Unknown => {
                Kept { named: Named::unknown(), digest: Digest::NONE, signers: Vec::new() }
            }
        });
        match slot {
            SlotId::A => self.a = kept,
            SlotId::B => self.b = kept,
        }
        self
    }

    /// What is remembered once a commit has come to rest. `accepted`: what the record of the slot
    /// says, where it is accepted now; it says more than a journal that was lost meanwhile. `other`:
    /// what the other slot holds, told where nothing is remembered of it.
    #[must_use]
    pub fn after_commit(
        self,
        last: &Outcome,
        accepted: Option<Label>,
        signers: Vec<KeyId>,
        other: impl FnOnce() -> Option<(Label, Vec<KeyId>)>,
    ) -> Memory {
        let slot = last.work.slot;
        let told = || Label { named: last.work.to.clone(), digest: last.work.digest };
        let memory = self.with(slot, Some(accepted.unwrap_or_else(told)), signers);
        match memory.of(slot.other()) {
            Some(_) => memory,
            None => match other() {
                Some((label, signers)) => memory.with(slot.other(), Some(label), signers),
                None => memory,
            },
        }
    }

    /// The same with what runs.
    #[must_use]
    pub fn with_running(
        self,
        booted: SlotId,
        runs: Label,
        signers: Vec<KeyId>,
        last: Option<&Outcome>,
    ) -> Memory {
        let commit = last.filter(|l| l.outcome == Ended::Updated && l.work.slot == booted);
        let told = commit.map(|l| Label { named: l.work.to.clone(), digest: l.work.digest });
        // A claim that nobody can verify now does not take the place of what was verified once.
        match (runs.named.identity(), told) {
            (Identity::Known | Identity::Factory, _) => self.with(booted, Some(runs), signers),
            (_, Some(told)) => self.with(booted, Some(told), signers),
            (_, None) if self.of(booted).is_none() => self.with(booted, Some(runs), signers),
            (_, None) => self,
        }
    }

    /// The same without the other slot, before its first byte is destroyed.
    #[must_use]
    pub fn before_writing(
        self,
        booted: SlotId,
        runs: Label,
        signers: Vec<KeyId>,
        last: Option<&Outcome>,
    ) -> Memory {
        self.with_running(booted, runs, signers, last).with(booted.other(), None, Vec::new())
    }

    /// The same, with the release keys of a trust file.
    #[must_use]
    pub fn knowing(mut self, trust: &Trust) -> Memory {
        let news: Vec<String> = trust
            .keys_of(Role::Release)
            .map(|key| key.public.to_hex())
            .filter(|key| !self.keys.contains(key))
            .collect();
        self.keys.extend(news);
        let surplus = self.keys.len().saturating_sub(KEYS_MAX);
        self.keys.drain(..surplus);
        self
    }

    /// Release keys that were trusted once.
    pub fn keys(&self) -> Vec<PublicKey> {
        self.keys.iter().filter_map(|key| PublicKey::from_hex(key).ok()).collect()
    }
}

/// What was found of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Remembered {
    /// The newest valid copy.
    pub memory: Option<Memory>,
    /// A copy was there and could not be read.
    pub damaged: bool,
}

/// The two copies.
#[derive(Debug, Clone)]
pub struct CommittedStore {
    folder: PathBuf,
}

impl CommittedStore {
    /// The memory in this folder.
    pub fn new(folder: &Path) -> CommittedStore {
        CommittedStore { folder: folder.to_owned() }
    }

    fn path(&self, copy: usize) -> PathBuf {
        StateFile::COMMITTED[copy].within(&self.folder)
    }

    fn copies(&self) -> [(Option<(u64, Memory)>, bool); 2] {
        [0, 1].map(|copy| match durable::read(&self.path(copy), LIMIT) {
            Ok(None) => (None, false),
            Ok(Some(bytes)) => (parse(&bytes), true),
            Err(_) => (None, true),
        })
    }

    /// The newest valid copy.
    pub fn load(&self) -> Remembered {
        let copies = self.copies();
        let damaged = copies.iter().any(|(read, there)| *there && read.is_none());
        let newest = copies.into_iter().filter_map(|(read, _)| read).max_by_key(|(n, _)| *n);
        Remembered { memory: newest.map(|(_, memory)| memory), damaged }
    }

    /// Makes both copies say this; writes nothing where they do. The copy that counts is written
    /// last, so that one of them is whole at every moment.
    pub fn save(&self, memory: &Memory) -> Result<()> {
        let sequences = self.copies().map(|(read, _)| read.map(|(n, found)| (n, found == *memory)));
        let newest = sequences.iter().flatten().map(|(n, _)| *n).max();
        let says = |copy: usize| sequences[copy].is_some_and(|(n, same)| same && Some(n) == newest);
        if says(0) && says(1) {
            return Ok(());
        }
        let sequence = match says(0) || says(1) {
            // One copy is written and the power went before the other.
            true => newest.unwrap_or(1),
            false => newest.map_or(1, |n| n.saturating_add(1)),
        };
        let bytes = encode(sequence, memory)?;
        let counts = |copy: &usize| sequences[*copy].map(|(n, _)| n);
        let mut order = [0, 1];
        order.sort_by_key(counts);
        order
            .into_iter()
            .filter(|copy| !says(*copy))
            .try_for_each(|copy| durable::write(&self.path(copy), &bytes))
    }
}

fn checksum(sequence: u64, body: &str) -> u32 {
    crc32fast::hash(format!("committed {sequence}\n{body}").as_bytes())
}

fn encode(sequence: u64, memory: &Memory) -> Result<Vec<u8>> {
    let body = serde_json::to_string_pretty(memory).reason(ReasonCode::Internal, "committed")?;
    let body = format!("{body}\n");
    let crc = checksum(sequence, &body);
    Ok(format!("surefoot-committed {FORMAT} {sequence} {crc:08x}\n{body}").into_bytes())
}

/// One copy: its sequence, and what it says. `None` if its checksum is wrong or its format another.
pub fn parse(bytes: &[u8]) -> Option<(u64, Memory)> {
    let (head, body) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let words: Vec<&str> = head.split(' ').collect();
    let ["surefoot-committed", format, sequence, crc] = words.as_slice() else {
        return None;
    };
    let sequence = sequence.parse().ok()?;
    let known =
        *format == FORMAT.to_string() && *crc == format!("{:08x}", checksum(sequence, body));
    known.then(|| document(body.as_bytes())).flatten().map(|memory| (sequence, memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(counter: u64) -> Named {
        let version = "1.0".parse().ok();
        Named { version, release_counter: counter, security_epoch: 3, ..Named::default() }
    }

    fn memory(counter: u64) -> Memory {
        let label = Label { named: named(counter), digest: Digest::of(b"x") };
        Memory::default().with(SlotId::B, Some(label), vec![KeyId([7; 32])])
    }

    #[test]
    fn what_is_saved_is_read_and_one_lost_copy_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = CommittedStore::new(dir.path());
        assert_eq!(store.load(), Remembered::default());
        for (n, spoilt) in [(1, 0), (2, 1), (3, 0), (4, 0)] {
            store.save(&memory(n)).unwrap();
            assert_eq!(store.load(), Remembered { memory: Some(memory(n)), damaged: false });
            std::fs::write(store.path(spoilt), b"torn").unwrap();
            assert_eq!(store.load(), Remembered { memory: Some(memory(n)), damaged: true });
        }
        store.save(&memory(4)).unwrap();
        assert!(!store.load().damaged, "saved again, a damaged copy is mended");
        std::fs::write(store.path(0), b"").unwrap();
        std::fs::write(store.path(1), b"surefoot-committed 1 9 00000000\n{}").unwrap();
        assert_eq!(store.load(), Remembered { memory: None, damaged: true });
    }

    #[test]
    fn a_cut_between_the_copies_leaves_the_new_one_in_force_and_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let store = CommittedStore::new(dir.path());
        store.save(&memory(1)).unwrap();
        let old = [0, 1].map(|copy| std::fs::read(store.path(copy)).unwrap());
        store.save(&memory(2)).unwrap();
        for copy in [0, 1] {
            let new = std::fs::read(store.path(copy)).unwrap();
            std::fs::write(store.path(copy), &old[copy]).unwrap();
            assert_eq!(store.load().memory, Some(memory(2)), "copy {copy} is old");
            store.save(&memory(2)).unwrap();
            assert_eq!(std::fs::read(store.path(copy)).unwrap(), new);
        }
    }

    #[test]
    fn every_damaged_byte_is_noticed_and_what_a_newer_program_adds_is_ignored() {
        let good = encode(5, &memory(1)).unwrap();
        assert_eq!(parse(&good), Some((5, memory(1))));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(parse(&bad), None, "byte {at}");
            assert_eq!(parse(&good[..at]), None, "cut at {at}");
        }
        let mut value = serde_json::to_value(memory(1)).unwrap();
        value["later"] = 1.into();
        value["b"]["later"] = 1.into();
        let (body, sequence) = (format!("{value}\n"), 6);
        let crc = checksum(sequence, &body);
        let text = format!("surefoot-committed 1 {sequence} {crc:08x}\n{body}");
        assert_eq!(parse(text.as_bytes()), Some((6, memory(1))));
        assert_eq!(parse(text.replacen(" 1 ", " 2 ", 1).as_bytes()), None, "a newer format");
    }

    #[test]
    fn keys_are_kept_once_and_the_oldest_go_first() {
        let trust = Trust::parse(include_str!("../../artifacts/test-keys/trust.toml")).unwrap();
        let known = Memory::default().knowing(&trust);
        assert_eq!(known.keys().len(), 2);
        assert_eq!(known.clone().knowing(&trust), known);
        let hex = |n: usize| format!("{n:064x}");
        let full = Memory { keys: (0..KEYS_MAX).map(hex).collect(), ..Memory::default() };
        let full = full.knowing(&trust);
        assert_eq!(full.keys.len(), KEYS_MAX);
        assert_eq!(full.keys[0], hex(2));
        let bytes = encode(u64::MAX, &full.with(SlotId::A, Some(Label::factory()), Vec::new()));
        assert!(bytes.unwrap().len() as u64 * 2 < LIMIT, "it can always be read");
    }

    #[test]
    fn a_name_that_nobody_verified_is_not_remembered() {
        let label = Label { named: named(9).not_accepted(), digest: Digest::of(b"x") };
        let kept = Memory::default().with(SlotId::A, Some(label), vec![KeyId([7; 32])]).a.unwrap();
        assert_eq!(kept.named, Named::unknown());
        assert_eq!((kept.digest, kept.signers.len()), (Digest::NONE, 0));
    }
}
