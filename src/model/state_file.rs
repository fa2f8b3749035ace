//! The state folder: one list of what a device keeps in it.

use std::path::{Path, PathBuf};

/// How a file of the state folder is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line with a checksum, then a document; two copies, the newer valid one counts.
    Copies,
    /// A JSON document.
    Document,
    /// A JSON document a line.
    Lines,
    /// A word.
    Word,
    /// Nothing in it counts: it is locked, or it keeps room free.
    Empty,
    /// A folder.
    Folder,
}

/// A file of the state folder. What reads, writes, reports and cuts it takes its name and its
/// limit from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// It has at most this many bytes; a reader reads no more. For a folder: nothing.
    pub limit: u64,
    /// How it is written.
    pub format: Format,
}

const fn kept(name: &'static str, limit: u64, format: Format) -> StateFile {
    StateFile { name, limit, format }
}

const KIB: u64 = 1024;

impl StateFile {
    /// Locked by the process that works on the device.
    pub const LOCK: StateFile = kept("lock", 4 * KIB, Format::Empty);
    /// The journal.
    pub const JOURNAL: [StateFile; 2] = [
        kept("journal.0", 256 * KIB, Format::Copies),
        kept("journal.1", 256 * KIB, Format::Copies),
    ];
    /// What runs by right, and what was denied.
    pub const COMMITTED: [StateFile; 2] = [
        kept("committed.0", 32 * KIB, Format::Copies),
        kept("committed.1", 32 * KIB, Format::Copies),
    ];
    /// No release with a lower counter is installed.
    pub const FLOOR: [StateFile; 2] =
        [kept("floor.0", 256, Format::Copies), kept("floor.1", 256, Format::Copies)];
    /// What updates have come to.
    pub const HISTORY: StateFile = kept("history.jsonl", 512 * KIB, Format::Lines);
    /// What hooks have said.
    pub const HOOKS: StateFile = kept("hooks.json", 256 * KIB, Format::Document);
    /// What was well before an update.
    pub const BASELINE: StateFile = kept("baseline.json", 256 * KIB, Format::Document);
    /// The installation that was begun last.
    pub const BEGUN: StateFile = kept("begun.json", 16 * KIB, Format::Document);
    /// What the first boot of a new system is to be told.
    pub const FIRST_BOOT: StateFile = kept("first-boot.json", 64 * KIB, Format::Document);
    /// Why the last trial failed.
    pub const POSTMORTEM: StateFile = kept("postmortem.json", 128 * KIB, Format::Document);
    /// What is still to be done after a decision.
    pub const AFTERMATH: StateFile = kept("aftermath", 4 * KIB, Format::Word);
    /// Written to see whether the folder can be written.
    pub const CAN_UPDATE: StateFile = kept("can-update-again", KIB, Format::Word);
    /// What a person holds back.
    pub const HOLD: StateFile = kept("hold.json", 4 * KIB, Format::Document);
    /// Locked while that changes.
    pub const HOLD_LOCK: StateFile = kept("hold.lock", 4 * KIB, Format::Empty);
    /// What a drill has shown.
    pub const DRILL: StateFile = kept("drill.json", 4 * KIB, Format::Document);
    /// A drill that runs.
    pub const DRILL_BEGUN: StateFile = kept("drill-begun.json", 4 * KIB, Format::Document);
    /// The last good channel, and the highest serial of each.
    pub const CHANNEL: StateFile = kept("channel.json", 768 * KIB, Format::Document);
    /// What is still to be told to the source of updates.
    pub const OUTCOMES: StateFile = kept("outcomes.json", 256 * KIB, Format::Document);
    /// How many bytes this day has fetched.
    pub const BUDGET: StateFile = kept("budget.json", 4 * KIB, Format::Document);
    /// Locked while that changes.
    pub const BUDGET_LOCK: StateFile = kept("budget.lock", 4 * KIB, Format::Empty);
    /// Whether the system that is left has reached the source of updates.
    pub const REACHED: StateFile = kept("reached.json", 4 * KIB, Format::Document);
    /// Which steps of the first boot are done.
    pub const SETUP: StateFile = kept("setup.json", 64 * KIB, Format::Document);
    /// A factory reset that the next boot does, or what one has left.
    pub const RESET: StateFile = kept("factory-reset.json", 64 * KIB, Format::Document);
    /// The journal of apps.
    pub const APPS: [StateFile; 2] =
        [kept("apps.0", 512 * KIB, Format::Copies), kept("apps.1", 512 * KIB, Format::Copies)];
    /// Heads and documents of bundles; elsewhere if `[apps]` says so.
    pub const BUNDLES: StateFile = kept("bundles", 0, Format::Folder);
    /// Room for a few writes when the folder is full.
    pub const RESERVE: [StateFile; 8] = [
        kept("reserve.0", 32 * KIB, Format::Empty),
        kept("reserve.1", 32 * KIB, Format::Empty),
        kept("reserve.2", 32 * KIB, Format::Empty),
        kept("reserve.3", 32 * KIB, Format::Empty),
        kept("reserve.4", 32 * KIB, Format::Empty),
        kept("reserve.5", 32 * KIB, Format::Empty),
        kept("reserve.6", 32 * KIB, Format::Empty),
        kept("reserve.7", 32 * KIB, Format::Empty),
    ];
    /// What a system on trial says.
    pub const BLACK_BOX: StateFile = kept("blackbox", 0, Format::Folder);
    /// Artifacts that a person or a program has put there; elsewhere if `[inbox]` says so.
    pub const INBOX: StateFile = kept("inbox", 0, Format::Folder);
    /// Reports on them.
    pub const OUTBOX: StateFile = kept("outbox", 0, Format::Folder);

    /// All of them.
    pub fn all() -> impl Iterator<Item = StateFile> {
        let copies = [StateFile::JOURNAL, StateFile::COMMITTED, StateFile::FLOOR, StateFile::APPS];
        let alone = [
            StateFile::LOCK,
            StateFile::HISTORY,
            StateFile::HOOKS,
            StateFile::BASELINE,
            StateFile::BEGUN,
            StateFile::FIRST_BOOT,
            StateFile::POSTMORTEM,
            StateFile::AFTERMATH,
            StateFile::CAN_UPDATE,
            StateFile::HOLD,
            StateFile::HOLD_LOCK,
            StateFile::DRILL,
            StateFile::DRILL_BEGUN,
            StateFile::CHANNEL,
            StateFile::OUTCOMES,
            StateFile::BUDGET,
            StateFile::BUDGET_LOCK,
            StateFile::REACHED,
            StateFile::SETUP,
            StateFile::RESET,
            StateFile::BUNDLES,
            StateFile::BLACK_BOX,
            StateFile::INBOX,
            StateFile::OUTBOX,
        ];
        copies.into_iter().flatten().chain(StateFile::RESERVE).chain(alone)
    }

    /// The file of that name, if it is one of ours.
    pub fn named(name: &str) -> Option<StateFile> {
        StateFile::all().find(|kept| kept.name == name)
    }

    /// Where it is.
    pub fn within(self, state: &Path) -> PathBuf {
        state.join(self.name)
    }
}
