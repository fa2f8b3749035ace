//! What the decision about apps is told, and what it can say: plain values.

use super::journal::{AppJournal, AppMove, Change};
use crate::model::{ReasonCode, SlotId};
use crate::update::Order;
use std::collections::{BTreeMap, BTreeSet};

/// Where the system's own move stands, as far as apps are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotTrial {
    /// No system is on trial, none is armed.
    None,
    /// The next boot tries the other slot.
    Armed,
    /// The running system is on trial.
    Running,
    /// The running system was on trial and is left at the next boot.
    Leaving,
}

/// What is left of the containers, units or programs of one side of a change. *Its own* are those that the other side
/// does not have, or shall not run, as a person has stopped the app; what both sides shall run goes on through the whole
/// change, and counts for [`Live::All`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Live {
    /// None of its own runs, and something is missing that should run on this side.
    Nothing,
    /// Some of its own run, or one has ended that should run.
    Some,
    /// All were started and have come as far as they should, once. Whether they are well is another question.
    All,
    /// It has none of its own that should run, and what both sides have runs: nothing is to be stopped and nothing to
    /// be started. So it is for a side without services, and for apps that a person has stopped.
    Same,
}

impl Live {
    /// What was seen: whether one of its own runs, and whether all that should run on this side does.
    pub fn seen(own_runs: bool, complete: bool) -> Live {
        match (own_runs, complete) {
            (false, false) => Live::Nothing,
            (true, false) => Live::Some,
            (true, true) => Live::All,
            (false, true) => Live::Same,
        }
    }

    /// None of its own runs.
    pub fn is_stopped(self) -> bool {
        matches!(self, Live::Nothing | Live::Same)
    }

    /// All that should run on this side does.
    pub fn is_up(self) -> bool {
        matches!(self, Live::All | Live::Same)
    }
}

/// What is settled about trials of apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AppRules {
    /// So many boots may begin a trial: the last one that is cut is taken back.
    pub attempts: u32,
}

impl Default for AppRules {
    fn default() -> AppRules {
        AppRules { attempts: 2 }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AppCommand {
    /// Nothing: come to rest.
    Settle,
    /// Make these moves; `switch` where they need not wait for another word. All of it was admitted.
    Change {
        /// The moves.
        moves: Vec<AppMove>,
        /// Who asks.
        order: Order,
        /// Not only stage.
        switch: bool,
    },
    /// Switch to what is staged.
    Switch,
    /// Take back what is under way.
    Abandon(String),
}

/// What an effect found, for the decision after it. Gone after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AppDone {
    /// All images and files of the change are here, compared and durable.
    Staged,
    /// Staging ended with this reason.
    NotStaged(ReasonCode, String),
    /// The effect cannot be done: starting, copying a volume, putting one back.
    Failed(ReasonCode, String),
    /// Every service came as far as it should and stayed well for the soak.
    Healthy,
    /// A service did not.
    Unhealthy(ReasonCode, String),
    /// It is too early to say: look again later. Also where a start waits for a condition of another service.
    Undecided,
    /// What was to be started on one side was started. How it fares is asked later.
    Started,
    /// All copies of volumes were put back, durably.
    Restored,
    /// The start goes on only after this is in the journal: run-once services that have ended well, and ports that
    /// were chosen.
    Noted {
        /// Each as [`super::AppJournal::ran`] names it.
        ran: BTreeSet<String>,
        /// Each as [`super::AppJournal::ports`] names it.
        ports: BTreeMap<String, u16>,
    },
}

/// What the machine can see. Read afresh before every decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AppFacts {
    /// The slot that runs.
    pub booted: SlotId,
    /// Which boot this is.
    pub boot_id: String,
    /// The system's own trial.
    pub slot: SlotTrial,
    /// The old side of the change under way; [`Live::Same`] where there is none.
    pub from: Live,
    /// The new side of it. What [`super::Cause::Asked`] brings is started also where a person has stopped the app; what
    /// [`super::Cause::Slot`] brings, and every old side, is not.
    pub to: Live,
    /// What the change needs copies of is copied, whole and durable.
    pub copied: bool,
    /// Whether the change needs copies of volumes at all.
    pub copies: bool,
    /// Something is there that neither a set nor a change under way names: containers, images, files, copies.
    pub rubbish: bool,
    /// What is asked for.
    pub command: AppCommand,
    /// What the effect just run has found.
    pub done: Option<AppDone>,
    /// What is settled.
    pub rules: AppRules,
    /// Seconds since 1970: dates outcomes, decides nothing.
    pub now: u64,
}

/// Something done to the world. Each may be repeated, and cut anywhere. What it finds is told once: it is gone with the
/// next journal. An effect that can neither go on nor say why says [`AppDone::Failed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AppEffect {
    /// Bring in all that the new side needs, compare it, make it durable. What runs goes on.
    Stage(Change),
    /// Stop what is the old side's own, in the reverse order of its start; what both sides shall run goes on.
    StopOld(Change),
    /// Copy the volumes that could not be taken back.
    CopyVolumes(Change),
    /// Start the new side in its order, or what of it does not run: [`AppDone::Started`].
    StartNew(Change),
    /// Look at the health of the new side.
    Check(Change),
    /// Stop what is the new side's own; what both sides shall run goes on.
    StopNew(Change),
    /// Put the copies of volumes back, and leave the copies: [`AppDone::Restored`].
    RestoreVolumes(Change),
    /// Start the old side: [`AppDone::Started`], or [`AppDone::Failed`], and the supervisor goes on with it.
    StartOld(Change),
    /// Take away what neither a set nor a change under way names.
    Collect,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack of a loop")]
pub enum AppStep {
    /// Make this the journal.
    Persist(AppJournal),
    /// Do this, then look again.
    Run(AppEffect),
    /// At rest.
    Wait,
    /// What is asked for cannot be done in this state; nothing was changed.
    Refuse(ReasonCode),
}
