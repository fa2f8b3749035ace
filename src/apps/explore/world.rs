//! One world: a device with two apps made of values, small enough that every cut is a branch.

use crate::model::SlotId;

/// What becomes of the second release of the app *shop* when it runs. The first and the third are good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Nature {
    Good,
    /// Its checks say no.
    Unhealthy,
    /// It is never decided before its time is over.
    Late,
    /// Its start fails, and it has written something before.
    NeverStarts,
    /// It ends right after its start.
    Ends,
    /// Its start takes the whole device down.
    Panics,
}

/// What is explored in one go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scenario {
    pub(super) nature: Nature,
    /// The second release cannot be taken back without copies of the volume.
    pub(super) copies: bool,
    /// Both releases have the same services.
    pub(super) same: bool,
    /// The change also brings the app *tool*, which is not there before.
    pub(super) two: bool,
    /// The second release is offered by the source of updates.
    pub(super) offer: bool,
    /// A third release turns up later.
    pub(super) newer: bool,
    /// It is only staged by the source; a person switches.
    pub(super) stage: bool,
    /// A person stops the app, goes back, removes it or takes back what is under way, once.
    pub(super) person: bool,
    /// An effect fails once, as the engine does not answer.
    pub(super) flaky: bool,
    /// A container of the new side ends once in its trial.
    pub(super) ends: bool,
    /// There is no room for copies of volumes.
    pub(super) full: bool,
    /// The copies of volumes cannot be read.
    pub(super) lost: bool,
    /// So many systems are written into the other slot and tried.
    pub(super) systems: u8,
    /// They bring the second release along.
    pub(super) joint: bool,
    /// They are not kept.
    pub(super) bad_system: bool,
}

impl Scenario {
    pub(super) fn of(nature: Nature) -> Scenario {
        Scenario {
            nature,
            copies: true,
            same: false,
            two: false,
            offer: true,
            newer: false,
            stage: false,
            person: false,
            flaky: false,
            ends: false,
            full: false,
            lost: false,
            systems: 0,
            joint: false,
            bad_system: false,
        }
    }

    /// Much happens at once: there are many worlds.
    pub(super) fn is_busy(&self) -> bool {
        let much = [self.two, self.newer, self.stage, self.person, self.flaky, self.systems > 0];
        much.iter().filter(|one| **one).count() > 2
    }

    /// A system is updated, and no app by itself.
    pub(super) fn system(nature: Nature) -> Scenario {
        Scenario { offer: false, systems: 1, ..Scenario::of(nature) }
    }
}

/// What is asked of the apps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Ask {
    Settle,
    /// The source offers this release of *shop*.
    Offer(u8),
    Switch,
    Abandon,
    /// Back to the release before.
    Back,
    Remove,
}

/// What the effect just run has found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Found {
    Nothing,
    Staged,
    NotStaged,
    /// The engine did not answer, so that nothing was done.
    EngineFailed,
    /// It cannot be done, now or later.
    Failed,
    Healthy,
    Unhealthy,
    Undecided,
    Started,
    Restored,
}

/// Where the system's own move stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum System {
    Committed,
    Armed,
    Trial,
    Leaving,
}

/// Nothing is copied.
pub(super) const NO_COPY: u8 = 0;
/// A write that was cut.
pub(super) const TORN: u8 = 255;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct World {
    pub(super) on: bool,
    pub(super) booted: SlotId,
    /// The slot whose system is committed.
    pub(super) home: SlotId,
    pub(super) system: System,
    /// Boots of the system's trial.
    pub(super) tries: u8,
    /// Systems that were written so far, and whether the last one waits to be armed.
    pub(super) systems: u8,
    pub(super) written: bool,
    pub(super) journal: u16,
    /// Containers that run.
    pub(super) runs: u8,
    /// Images that are here and durable, and those that a power cut takes.
    pub(super) synced: u8,
    pub(super) loose: u8,
    /// The volume of *shop*: who wrote it, and how often in turn.
    pub(super) volume: u8,
    /// How the set that counts has left it: what must be there when it starts again.
    pub(super) left: u8,
    /// The copy of it, and the change that it was made for.
    pub(super) copy: u8,
    pub(super) copy_of: u8,
    /// Which boot this is: 0 or 1, and not the one that the journal speaks of.
    pub(super) boot: u8,
    /// Looks that decided nothing.
    pub(super) looks: u8,
    pub(super) ask: Option<Ask>,
    pub(super) found: Found,
    /// The newest release on offer, 0 for none.
    pub(super) offered: u8,
    pub(super) person: bool,
    pub(super) failed: bool,
    pub(super) ended: bool,
    pub(super) cuts: u8,
    /// Releases whose checks passed in the trial under way, and those that were given up.
    pub(super) vouched: u8,
    pub(super) fell: u8,
    /// The person's word: *shop* is stopped.
    pub(super) stopped: bool,
}

impl World {
    /// The power goes, or the device is restarted.
    pub(super) fn off(mut self) -> World {
        (self.on, self.ask, self.found, self.looks) = (false, None, Found::Nothing, 0);
        (self.runs, self.loose) = (0, 0);
        self
    }

    /// The daemon ends, and is started again: containers go on.
    pub(super) fn killed(mut self) -> World {
        (self.ask, self.found, self.looks) = (None, Found::Nothing, 0);
        self
    }
}

/// A promise that a world breaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Violation {
    /// Two releases of an app run beside each other.
    Mixed,
    /// A service that both sides have was stopped.
    UnchangedStopped,
    /// Something that may have to run again without a network is gone.
    NeededGone,
    /// Something counts as staged that a cut could take.
    StagedUnsynced,
    /// A set stays whose checks have not passed.
    CommittedUnchecked,
    /// Apps of a system on trial were committed before it.
    CommittedInTrial,
    /// A change of apps and a system were on trial together.
    TwoTrials,
    /// Something was tidied away while anything was on trial.
    CollectedInTrial,
    /// A release that came back was tried again by itself.
    TriedAgain,
    /// The set that counts started on a volume that is not as it left it.
    DataLost,
    /// What is asked for is refused in the middle of it, so that its caller goes away.
    LeftByItsCaller,
    /// It never comes to rest.
    NeverRests,
    /// More worlds than are kept.
    TooManyWorlds,
    /// At rest in the middle of a change.
    LeftHalfway,
    /// At rest, and another set runs than that of the running system, or not all of it.
    WrongSet,
    /// At rest, and what a person stopped runs.
    StoppedRuns,
    /// At rest, and a bad release stays.
    BadStays,
    /// At rest, and a good release on offer was not taken.
    OfferForgotten,
    /// At rest, and something is left that nothing needs.
    RubbishLeft,
    /// At rest, and the journal does not tell what happened.
    UntrueStory,
    /// Without a cut it ended otherwise than promised.
    Promise,
}
