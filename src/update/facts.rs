//! What `decide` is told, and what it can say: plain values.

use super::Label;
use super::journal::{Journal, Work};
use crate::boot::GIVE_BACK_MAX;
use crate::model::{Against, Digest, ReasonCode, SlotId, Txn};

/// What the bootloader's environment says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnvView {
    /// The slot it boots; `None` if the variable is missing or wrong.
    pub slot: Option<SlotId>,
    /// The transaction that set it.
    pub txn: Option<Txn>,
    /// Whether a trial is pending.
    pub trial: bool,
    /// Boots counted in this trial.
    pub bootcount: u32,
    /// The transaction that the boot script gave up on.
    pub fallback: Option<Txn>,
    /// Tries that orderly reboots of this trial have given back.
    pub clean: u32,
    /// Whether every stored copy names the running slot and carries no trial: the only state in
    /// which the other slot may be written (DESIGN 9.1).
    pub settled: bool,
}

impl EnvView {
    /// Whether a boot of this trial was counted. A count of 0 alone does not say that none was: an
    /// orderly reboot has given its try back, which only a counted boot can.
    pub fn was_counted(&self) -> bool {
        self.bootcount > 0 || self.clean > 0
    }
}

/// What stands in the slot that a move is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Nothing that would boot.
    Nothing,
    /// The system that no artifact has brought, which has run here.
    Factory,
    /// A system that may not be booted into: nobody who is trusted now has signed for it, or its
    /// record is lost, so that it cannot be read back.
    Refused(ReasonCode),
    /// A record that a trusted key has signed, for the release with this digest.
    Recorded(Digest),
}

/// What an integrator has settled about trials (DESIGN 9.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Seconds, summed over its boots, after which an undecided trial is left.
    pub deadline: u64,
    /// How many orderly reboots of a trial give their try back; never more than
    /// [`GIVE_BACK_MAX`].
    pub clean_reboots: u32,
}

impl Default for Rules {
    /// An hour: long enough for a person at the console, where no daemon decides by itself.
    fn default() -> Rules {
        Rules { deadline: 3_600, clean_reboots: GIVE_BACK_MAX }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Nothing: come to rest.
    Settle,
    /// Bring this release. Its artifact has been verified and fits.
    Install(Work, Then),
    /// Arm what is staged.
    Switch,
    /// Decide the trial; with a reason, without running the checks.
    Commit(Option<String>),
    /// Abandon what is under way, or send the trial back.
    Rollback(String),
    /// Disarm what waits for its reboot, as a program of the integrator has said no to it.
    Veto(Against),
    /// End what is not tried yet, as a person has said so; it may be begun again by a person.
    Cancel {
        /// Who said so, and why.
        why: String,
        /// What was cancelled before the journal spoke of it.
        begun: Option<Work>,
    },
    /// Arm the system in the other slot, which has been read back.
    Return(Work),
    /// An orderly reboot follows: of a trial, keep the time and give the try back.
    Leave,
}

/// What follows a slot that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    /// It waits in `staged`.
    Stage,
    /// It is armed.
    Switch,
}

/// What an effect found, for the decision after it. Gone after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Done {
    /// The slot is written and read back.
    Written,
    /// Writing ended with this reason; the line is for people.
    NotWritten(ReasonCode, String),
    /// All checks passed, or there is none and a person decided; the line says which.
    Healthy(String),
    /// Checks or a hook said no.
    Unhealthy(Against),
    /// Checks could not be run, or a hook asks to be asked later.
    HealthUnknown(Against),
}

/// What the machine can see. Read afresh before every decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The slot that runs.
    pub booted: SlotId,
    /// Which boot this is.
    pub boot_id: String,
    /// The environment.
    pub env: EnvView,
    /// What stands in the slot of the move being made.
    pub target: Target,
    /// What stands in both slots, where the journal cannot say it.
    pub labels: Option<Box<[Label; 2]>>,
    /// What is asked for.
    pub wish: Wish,
    /// What the effect just run has found.
    pub done: Option<Done>,
    /// Seconds for which this boot has been up, asked once for a request.
    pub up: u64,
    /// What is settled about trials.
    pub rules: Rules,
    /// Seconds since 1970: dates outcomes, decides nothing.
    pub now: u64,
}

/// Something done to the world. Each is idempotent; each environment change is one write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Make every environment copy name the running slot without a trial.
    SettleEnv,
    /// Write the release into its slot and read it back.
    WriteSlot(Work),
    /// Slot, fallback, transaction and trial in one write.
    Arm {
        /// The slot to try.
        slot: SlotId,
        /// The transaction.
        txn: Txn,
    },
    /// The running slot stays, no trial.
    Disarm,
    /// Run the health checks.
    CheckHealth,
    /// The trial's slot stays.
    Commit {
        /// The slot.
        slot: SlotId,
        /// The transaction.
        txn: Txn,
    },
    /// This boot of the trial ends in an orderly way: one try back.
    GiveBack,
    /// The other slot, no trial, and the transaction that was given up.
    FallBack {
        /// The slot to go back to.
        to: SlotId,
        /// The transaction given up.
        txn: Txn,
    },
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack of a loop")]
pub enum Step {
    /// Make this the journal.
    Persist(Journal),
    /// Do this, then look again.
    Run(Effect),
    /// At rest.
    Wait,
    /// What is asked for cannot be done in this state; nothing was changed.
    Refuse(ReasonCode),
}
