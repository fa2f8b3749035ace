//! What the decision about apps is told, and what it can say: plain values.

use super::journal::{AppJournal, AppMove, Change};
use crate::model::{ReasonCode, SlotId};
use crate::update::Order;

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

/// What is left of the containers, units or programs of one side of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Live {
    /// None of them runs.
    Nothing,
    /// Some of them run, or one has ended that should run.
    Some,
    /// All of them were started and have come as far as they should, once. Whether they are well is another question.
    All,
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
    /// It is too early to say: look again later.
    Undecided,
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
    /// The old side of the change under way; [`Live::Nothing`] where there is none, and for what has no old side.
    pub from: Live,
    /// The new side of it.
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

/// Something done to the world. Each may be repeated, and cut anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AppEffect {
    /// Bring in all that the new side needs, compare it, make it durable. What runs goes on.
    Stage(Change),
    /// Stop the old side, in the reverse order of its start; what is the same on both sides goes on.
    StopOld(Change),
    /// Copy the volumes that could not be taken back.
    CopyVolumes(Change),
    /// Start the new side in its order, or what of it does not run.
    StartNew(Change),
    /// Look at the health of the new side.
    Check(Change),
    /// Stop the new side; what is the same on both sides goes on.
    StopNew(Change),
    /// Put the copies of volumes back.
    RestoreVolumes(Change),
    /// Start the old side.
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
