//! Which release a slot holds: from its record, from what was committed, and from the journal. Pure.
//!
//! Four answers. A record that today's trust file accepts is *known*. One that it does not accept is
//! *not accepted*, if this device committed it or a key that was trusted once has signed it. Where
//! there is no such record, what was committed is remembered. Without a memory a device that never
//! began an update runs its *factory* system, and everything else is *unknown*: it is never taken
//! for the oldest release.

use super::{Doubt, Ended, Identity, Journal, Label, Named, Outcome, Phase, Remembered, Stored};
use crate::model::{Digest, Failure, ReasonCode, SlotId};
use crate::slot::record::Lack;

/// What the end of a slot says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordSays {
    /// Nothing: there is no complete record.
    Nothing(Lack),
    /// This, signed by keys that are trusted now.
    Accepted(Label),
    /// Something that is not accepted now.
    NotAccepted {
        /// Why not.
        why: Failure,
        /// SHA-256 of the manifest in it, if there is one.
        digest: Option<Digest>,
        /// The name in it, if a key that was trusted once has signed it.
        once: Option<Named>,
    },
}

/// What the device has kept of its past.
#[derive(Debug, Clone)]
pub struct Traces {
    /// What was committed.
    pub remembered: Remembered,
    /// The journal.
    pub journal: Stored,
    /// Every move that ended, oldest first.
    pub history: Vec<Outcome>,
    /// The bootloader's environment names a transaction.
    pub in_environment: bool,
    /// The stored floor.
    pub floor: u32,
}

/// What is known of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// Its name, and how far it can be believed.
    pub label: Label,
    /// Why its record does not vouch for it; `None` where it does, and for a factory system.
    pub why: Option<Failure>,
}

impl Stand {
    /// Which of the four answers it is.
    pub fn identity(&self) -> Identity {
        self.label.named.identity()
    }
}

/// Which release `slot` holds.
pub fn identify(slot: SlotId, says: &RecordSays, traces: &Traces) -> Stand {
    let kept = traces.kept(slot);
    match says {
        RecordSays::Accepted(label) => Stand { label: label.clone(), why: None },
        RecordSays::NotAccepted { why, digest, once } => {
            let label = not_accepted(kept, *digest, once.as_ref());
            Stand { label: label.unwrap_or_else(Label::unknown), why: Some(why.clone()) }
        }
        RecordSays::Nothing(lack) => {
            let missing = |rest: &str| {
                let text = format!("it has {}{rest}", lack.words());
                Some(Failure::new(ReasonCode::SlotDamaged, text))
            };
            match kept {
                Some(label) if label.named.identity() == Identity::Factory => {
                    Stand { label, why: None }
                }
                Some(label) if label.named.identity() == Identity::Known => {
                    Stand { label, why: missing("; the name is remembered") }
                }
                None if !traces.any() => Stand { label: Label::factory(), why: None },
                Some(_) | None => {
                    let why = missing(", and nothing that was committed is remembered of it");
                    Stand { label: Label::unknown(), why }
                }
            }
        }
    }
}

/// The name of a slot whose record is not accepted.
fn not_accepted(
    kept: Option<Label>,
    digest: Option<Digest>,
    once: Option<&Named>,
) -> Option<Label> {
    let claim = || {
        let digest = digest.unwrap_or(Digest::NONE);
        once.map(|named| Label { named: named.clone().not_accepted(), digest })
    };
    match kept.map(|kept| (kept.named.identity(), kept)) {
        // The journal alone does not say under which digest.
        Some((Identity::Known, kept))
            if Some(kept.digest) == digest || kept.digest == Digest::NONE =>
        {
            Some(Label { named: kept.named.not_accepted(), digest: digest.unwrap_or(Digest::NONE) })
        }
        // Another record than the one that was committed here: what was verified counts.
        Some((Identity::Known, kept)) => Some(kept),
        Some((Identity::Factory, kept)) => claim().or(Some(kept)),
        _ => claim(),
    }
}

impl Traces {
    /// What is remembered of a slot, without its record.
    fn kept(&self, slot: SlotId) -> Option<Label> {
        let journal = match &self.journal {
            Stored::Found(journal) => Some(journal),
            Stored::Absent | Stored::Lost => None,
        };
        let told = journal.and_then(|journal| moved(journal, slot));
        if let Some(label) = told {
            return label.filter(|label| label.named.doubt == Doubt::None);
        }
        let remembered = self.remembered.memory.as_ref().and_then(|m| m.of(slot));
        if let Some(kept) = remembered {
            return Some(kept.label());
        }
        // A memory without this slot, or one that cannot be read, knows better than an older journal.
        if self.remembered.memory.is_some() || self.remembered.damaged {
            return None;
        }
        let from = journal.and_then(|journal| left_behind(journal, slot))?;
        match from.identity() {
            Identity::Known => Some(Label { named: from.clone(), digest: Digest::NONE }),
            // An older program wrote the same where it could not read a record.
            Identity::Factory if !self.had_release(slot) => Some(Label::factory()),
            _ => None,
        }
    }

    /// Whether the last move into a slot that stayed there brought a release.
    fn had_release(&self, slot: SlotId) -> bool {
        let mut into = self.history.iter().rev().filter(|o| o.work.slot == slot);
        let last = into.find(|o| o.outcome == Ended::Updated);
        last.is_some_and(|o| o.work.to.identity() != Identity::Factory)
    }

    /// Whether anything tells of an update that was begun.
    pub fn any(&self) -> bool {
        let journal = match &self.journal {
            Stored::Absent => false,
            Stored::Lost => true,
            Stored::Found(j) => j.last.is_some() || j.attempts > 0 || j.phase != Phase::Idle,
        };
        let Remembered { memory, damaged } = &self.remembered;
        journal
            || memory.is_some()
            || *damaged
            || !self.history.is_empty()
            || self.in_environment
            || self.floor > 0
    }
}

/// What the journal's move, or the one before it, has brought into a slot: `Some(None)` where it is
/// being written.
fn moved(journal: &Journal, slot: SlotId) -> Option<Option<Label>> {
    let brought = |work: &super::Work| Label { named: work.to.clone(), digest: work.digest };
    match &journal.phase {
        Phase::Installing(work) if work.slot == slot => return Some(None),
        Phase::Staged(work)
        | Phase::Switching { work, .. }
        | Phase::Trying { work, .. }
        | Phase::Returning { work, .. }
            if work.slot == slot =>
        {
            return Some(Some(brought(work)));
        }
        _ => {}
    }
    // Without a transaction it was never armed, and may be half of something.
    let last = journal.last.as_ref().filter(|l| l.work.slot == slot && l.txn.is_some())?;
    Some(Some(brought(&last.work)))
}

/// What ran while the journal's move was made.
fn left_behind(journal: &Journal, slot: SlotId) -> Option<&Named> {
    let work = journal.work().or(journal.last.as_ref().map(|l| &l.work))?;
    (work.slot == slot.other()).then_some(&work.from)
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, Order, Work};
    use super::*;
    use crate::model::{KeyId, Txn};

    fn label(counter: u64) -> Label {
        let version = "1.0".parse().ok();
        let named = Named { version, release_counter: counter, ..Named::default() };
        Label { named, digest: Digest([u8::try_from(counter).unwrap(); 32]) }
    }

    fn traces() -> Traces {
        Traces {
            remembered: Remembered::default(),
            journal: Stored::Absent,
            history: Vec::new(),
            in_environment: false,
            floor: 0,
        }
    }

    fn remembering(memory: Memory) -> Traces {
        let remembered = Remembered { memory: Some(memory), damaged: false };
        Traces { remembered, ..traces() }
    }

    /// A move into slot b.
    fn ended(outcome: Ended, from: Label, to: Label) -> Outcome {
        let (digest, slot) = (to.digest, SlotId::B);
        let partitions = vec!["rootfs-b".to_owned()];
        let (from, to, order) = (from.named, to.named, Order::default());
        let work = Work { digest, slot, partitions, from, to, order };
        let txn = Some(Txn::new(&digest, 1));
        Outcome {
            outcome,
            work,
            txn,
            reason: None,
            detail: String::new(),
            against: Default::default(),
            came_up: None,
            untried: false,
            at: 0,
        }
    }

    fn journal(last: Outcome) -> Stored {
        Stored::Found(Journal { last: Some(last), attempts: 1, ..Journal::default() })
    }

    fn refused(counter: u64, once: bool) -> RecordSays {
        let Label { named, digest } = label(counter);
        let why = Failure::new(ReasonCode::KeyRevoked, "key x has been revoked");
        RecordSays::NotAccepted { why, digest: Some(digest), once: once.then_some(named) }
    }

    /// What is said of slot b: which of the four answers, and with which counter.
    #[test]
    fn the_table() {
        use Identity::*;
        use RecordSays::{Accepted, Nothing};
        let kept = |label| Memory::default().with(SlotId::B, Some(label), vec![KeyId([1; 32])]);
        let two = || remembering(kept(label(2)));
        let factory = || remembering(kept(Label::factory()));
        let home = || remembering(Memory::default().with(SlotId::A, Some(label(1)), Vec::new()));
        let lost = Remembered { memory: None, damaged: true };
        let told =
            |outcome, from, to| Traces { journal: journal(ended(outcome, from, to)), ..traces() };
        let updated = || told(Ended::Updated, label(1), label(2));
        let came_back = ended(Ended::RolledBack, Label::factory(), label(2));
        let swapped = |slot, mut o: Outcome| {
            o.work.slot = slot;
            o
        };
        let from_b = |from| swapped(SlotId::A, ended(Ended::RolledBack, from, label(9)));
        let into_b = ended(Ended::Updated, label(1), label(3));
        let writing = |traces: Traces| match traces.journal {
            Stored::Found(journal) => {
                let Outcome { work, .. } =
                    swapped(SlotId::A, ended(Ended::Failed, label(2), label(9)));
                let journal = Stored::Found(journal.in_phase(Phase::Installing(work)));
                Traces { journal, ..traces }
            }
            _ => traces,
        };
        for (what, says, traces, want, counter) in [
            ("a record", Accepted(label(2)), traces(), Known, 2),
            ("a record beside an older memory", Accepted(label(3)), two(), Known, 3),
            ("nothing ever", Nothing(Lack::Absent), traces(), Factory, 0),
            ("a memory alone", Nothing(Lack::Absent), two(), Known, 2),
            ("a factory that was left", Nothing(Lack::Absent), factory(), Factory, 0),
            ("a slot that was written over", Nothing(Lack::Absent), home(), Unknown, 0),
            (
                "both copies damaged",
                Nothing(Lack::Absent),
                Traces { remembered: lost, ..traces() },
                Unknown,
                0,
            ),
            (
                "a lost journal",
                Nothing(Lack::Absent),
                Traces { journal: Stored::Lost, ..traces() },
                Unknown,
                0,
            ),
            (
                "the environment alone",
                Nothing(Lack::Absent),
                Traces { in_environment: true, ..traces() },
                Unknown,
                0,
            ),
            ("the floor alone", Nothing(Lack::Absent), Traces { floor: 1, ..traces() }, Unknown, 0),
            (
                "the history alone",
                Nothing(Lack::Absent),
                Traces { history: vec![came_back], ..traces() },
                Unknown,
                0,
            ),
            ("the journal's commit", Nothing(Lack::Absent), updated(), Known, 2),
            (
                "what the journal left",
                Nothing(Lack::Absent),
                Traces { journal: journal(from_b(label(4))), ..traces() },
                Known,
                4,
            ),
            (
                "the journal's commit while the next is written",
                Nothing(Lack::Absent),
                writing(updated()),
                Known,
                2,
            ),
            (
                "a factory of an older program",
                Nothing(Lack::Absent),
                Traces { journal: journal(from_b(Label::factory())), ..traces() },
                Factory,
                0,
            ),
            (
                "an older program that could not read the record",
                Nothing(Lack::Absent),
                Traces {
                    journal: journal(from_b(Label::factory())),
                    history: vec![into_b],
                    ..traces()
                },
                Unknown,
                0,
            ),
            ("the committed record, refused", refused(2, false), two(), NotAccepted, 2),
            ("the journal's record, refused", refused(2, false), updated(), NotAccepted, 2),
            ("a claim of a key of once", refused(7, true), traces(), NotAccepted, 7),
            ("a claim of nobody", refused(7, false), traces(), Unknown, 0),
            ("another claim than was committed", refused(7, true), two(), Known, 2),
            ("garbage over what was committed", refused(7, false), two(), Known, 2),
            ("garbage over the factory's", refused(7, false), factory(), Factory, 0),
            ("a claim over the factory's", refused(7, true), factory(), NotAccepted, 7),
        ] {
            let stand = identify(SlotId::B, &says, &traces);
            let got = (stand.identity(), stand.label.named.release_counter);
            assert_eq!(got, (want, counter), "{what}");
            let vouched =
                matches!(says, Accepted(_)) || want == Factory && says == Nothing(Lack::Absent);
            assert_eq!(stand.why.is_none(), vouched, "{what}: {:?}", stand.why);
        }
    }
}
