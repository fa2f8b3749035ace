//! One world: a device made of values, small enough that every cut is a branch, and what is true
//! of it whatever its journal says.

use crate::model::{Digest, SlotId};

/// What stands in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Content {
    /// The system that runs at the start.
    Old,
    /// The one before it.
    Older,
    /// The release of the update.
    First,
    /// The newer release that turns up.
    Second,
    /// Half of something, its first 128 KiB gone.
    Torn,
    /// Half of something that a bootloader takes for a system.
    TornBootable,
    /// What looks like the update and is not, byte for byte.
    Corrupt,
}

impl Content {
    pub(super) fn of(digest: Digest) -> Content {
        match () {
            () if digest == Content::First.digest() => Content::First,
            () => Content::Second,
        }
    }

    /// The digest in its record.
    pub(super) fn digest(self) -> Digest {
        match self {
            Content::Old => Digest([1; 32]),
            Content::Older => Digest([2; 32]),
            Content::First | Content::Corrupt => Digest([3; 32]),
            Content::Second => Digest([4; 32]),
            Content::Torn | Content::TornBootable => Digest::NONE,
        }
    }

    pub(super) fn is_whole(self) -> bool {
        !matches!(self, Content::Torn | Content::TornBootable | Content::Corrupt)
    }

    pub(super) fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// What becomes of the update's release when it runs. The newer one is always good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Nature {
    Good,
    Unhealthy,
    /// Its kernel cannot be loaded.
    Unbootable,
    /// It never comes up: a panic, or a hang that the watchdog ends.
    Panics,
    /// It comes up, and its checks never come to a verdict.
    Hangs,
}

/// Who counts, and what is wrong with the board.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Board {
    /// U-Boot counts.
    Uboot,
    /// The script counts.
    Script,
    /// Nobody counts, and the script does not notice.
    Uncounted,
    /// The script boots what it always booted.
    Deaf,
}

/// What is explored in one go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scenario {
    pub(super) nature: Nature,
    pub(super) board: Board,
    /// A newer release turns up at some moment.
    pub(super) offer: bool,
    /// Somebody reboots in good order during trials, whenever he likes.
    pub(super) orderly: bool,
    /// A person asks for a rollback, or for the system in the other slot, at some moment, once.
    pub(super) person: bool,
    /// The medium does not keep a slot's bytes, once.
    pub(super) flaky: bool,
    /// A cut may take the newest copy of the environment along, once.
    pub(super) rot: bool,
    /// The old system is worn out while the new one is tried: nothing loads it any more.
    pub(super) worn: bool,
    /// What was committed is remembered, and asked for.
    pub(super) memory: bool,
    /// The update brings a trust file that does not accept the update itself, nor what was before.
    pub(super) rekey: bool,
    /// The record of what runs is written over at some moment, once.
    pub(super) blank: bool,
    /// Parts of a slot: one, or a boot part and a root filesystem.
    pub(super) parts: usize,
    /// The source takes the update back at some moment.
    pub(super) withdraw: bool,
    /// The serial of the newest copy at the start.
    pub(super) serial: u8,
    /// The slot that runs at the start.
    pub(super) home: SlotId,
}

impl Scenario {
    pub(super) fn of(nature: Nature) -> Scenario {
        Scenario {
            nature,
            board: Board::Uboot,
            offer: false,
            orderly: true,
            person: false,
            flaky: false,
            rot: false,
            worn: false,
            memory: false,
            rekey: false,
            blank: false,
            parts: 1,
            withdraw: false,
            serial: 100,
            home: SlotId::B,
        }
    }

    /// Units of time after which a trial is left.
    pub(super) fn deadline(&self) -> u8 {
        if self.nature == Nature::Hangs { 3 } else { 200 }
    }
}

/// What is asked of the updater.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Ask {
    Settle,
    First,
    Second,
    Commit,
    Rollback,
    /// Cancel what the journal speaks of.
    Cancel,
    /// Cancel the update, whether the journal speaks of it yet or not.
    CancelFirst,
    /// The verified system in the other slot, whatever its version.
    Return,
    Leave,
}

/// What the last effect of this request has found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Found {
    Nothing,
    Written,
    NotWritten,
    Healthy,
    Unhealthy,
    Unknown,
}

/// One stored copy: dead, or its serial and its variables.
pub(super) type Copy = Option<(u8, u16)>;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct World {
    pub(super) on: bool,
    pub(super) booted: SlotId,
    pub(super) slots: [Content; 2],
    pub(super) copies: [Copy; 2],
    pub(super) journal: u16,
    /// The copy of the memory that counts, and the other one.
    pub(super) memory: [u16; 2],
    /// Slots whose record was written over, or destroyed by a write that was cut.
    pub(super) blank: u8,
    /// Releases that were committed at some time.
    pub(super) committed: u8,
    /// Which boot this is: 0 or 1, and not the one that the journal speaks of.
    pub(super) boot: u8,
    pub(super) up: u8,
    /// The request that is being answered.
    pub(super) ask: Option<Ask>,
    pub(super) found: Found,
    /// An offer is out, a person has asked, the medium has failed, the journal and a
    /// copy were lost.
    pub(super) offered: bool,
    /// The update was taken back, and the device has heard of it.
    pub(super) withdrawn: bool,
    pub(super) person: bool,
    pub(super) failed: bool,
    pub(super) lost: bool,
    pub(super) rotten: bool,
    pub(super) cuts: u8,
    /// Kernels of this trial started.
    pub(super) tried: u8,
    /// Time of this trial in boots that ended in good order.
    pub(super) ran: u8,
    /// Releases whose checks have passed.
    pub(super) vouched: u8,
    /// Releases that were committed.
    pub(super) kept: u8,
    /// Releases that were given up.
    pub(super) fell: u8,
    /// Releases that a person has cancelled.
    pub(super) stopped: u8,
}

impl World {
    pub(super) fn content(&self, slot: SlotId) -> Content {
        self.slots[slot as usize]
    }

    /// The power goes: what was in memory is gone.
    pub(super) fn off(mut self) -> World {
        (self.on, self.ask, self.found, self.up) = (false, None, Found::Nothing, 0);
        self
    }

    pub(super) fn cut(self) -> World {
        let mut world = self.off();
        world.cuts += 1;
        world
    }
}

/// A promise that a world breaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Violation {
    /// The running slot, the fallback, or one that a valid copy may boot was written.
    WroteNeeded,
    /// Content that was not read back as signed was armed.
    ArmedUnverified,
    /// A trial ended in favour of a system whose checks have not passed.
    ConfirmedUnchecked,
    /// No slot can be booted.
    Brick,
    /// A torn slot offers a kernel.
    TornOffersKernel,
    /// A part of a slot begins with a file system and is torn behind it.
    TornOffersPart,
    /// A record describes what does not stand.
    RecordOfTorn,
    /// A torn slot runs.
    TornRuns,
    /// No copy of the environment is valid.
    EnvironmentLost,
    /// A write was not the one that counts.
    WriteWithoutEffect,
    /// The trial ended before the journal knew why.
    FlippedFirst,
    /// A release that came back was tried again by itself.
    TriedAgain,
    /// A committed system was sent back.
    CommitUndone,
    /// More boots or more time than a trial has.
    TrialTooLong,
    /// It never comes to rest.
    NeverRests,
    /// More worlds than are kept: nothing is said of the promises.
    TooManyWorlds,
    /// At rest, and a trial is pending.
    LeftArmed,
    /// At rest, and another slot runs than the environment names.
    Degraded,
    /// At rest, and a bad system runs.
    BadStays,
    /// At rest, and a newer good release on offer was not installed.
    OfferForgotten,
    /// At rest, and which release runs is forgotten though something knew it: an older one is taken.
    OrderForgotten,
    /// At rest, and nothing newer is taken.
    LockedOut,
    /// A release is remembered as committed that was not.
    RememberedUncommitted,
    /// At rest, and the journal does not tell what happened.
    UntrueStory,
    /// The device reboots into a release that was taken back while it only waited.
    WithdrawnTried,
    /// Without a cut it ended otherwise than promised.
    Promise,
}
