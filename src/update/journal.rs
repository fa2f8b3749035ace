//! What survives a power cut. It is written before the effect that it announces.

use super::Named;
use crate::model::{Against, Digest, ReasonCode, SlotId, Txn};
use serde::{Deserialize, Serialize};

/// Whose wish a move is, and when its reboot comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// Who asked: a user's name, `stick`, `inbox`; for people, and empty where it is not known.
    pub by: String,
    /// Nobody asked for this very move: a hold and whatever else holds updates back applies to it.
    pub automatic: bool,
    /// When the device reboots into it.
    pub reboot: Reboot,
    /// A drill: the other slot's system is to misbehave on purpose, and nobody is to blame.
    pub drill: Option<Drill>,
}

/// When a device reboots into what is armed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reboot {
    /// As soon as nothing holds it back, whatever the time of day.
    Now,
    /// In the next maintenance window.
    Window,
    /// When somebody does it.
    #[default]
    #[serde(other)]
    Asked,
}

/// How a drill's trial misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drill {
    /// A check fails.
    Unhealthy,
    /// The machine stands still, and its watchdog must reset it.
    Hang,
    /// The kernel panics.
    #[serde(other)]
    Panic,
}

impl Drill {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Drill::Unhealthy => "unhealthy",
            Drill::Hang => "hang",
            Drill::Panic => "panic",
        }
    }
}

impl std::fmt::Display for Drill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Drill {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Drill::Unhealthy, Drill::Hang, Drill::Panic];
        let found = known.into_iter().find(|d| d.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no drill: unhealthy, hang or panic"))
    }
}

impl std::fmt::Display for Reboot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reboot::Now => "now",
            Reboot::Window => "window",
            Reboot::Asked => "asked",
        })
    }
}

impl std::str::FromStr for Reboot {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Reboot::Now),
            "window" => Ok(Reboot::Window),
            "asked" => Ok(Reboot::Asked),
            _ => Err(format!("`{text}` is no time for a reboot: now, window or asked")),
        }
    }
}

/// One move: this release, into this slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Work {
    /// SHA-256 of the manifest's bytes; [`Digest::NONE`] for a system that no artifact has brought.
    pub digest: Digest,
    /// Where it goes.
    pub slot: SlotId,
    /// The partitions that are that slot.
    pub partitions: Vec<String>,
    /// What runs while the move is made.
    pub from: Named,
    /// What the move brings.
    pub to: Named,
    /// Whose wish it is.
    #[serde(default)]
    pub order: Order,
}

impl Work {
    /// What is told of the release that makes way for this one.
    pub fn takes_its_place(&self) -> String {
        format!("{} takes its place", self.to)
    }

    /// The same. Where an older program wrote down a move that it had read from the environment
    /// alone, it called both systems the factory's; such a move names no partitions.
    #[must_use]
    pub(super) fn read_back(mut self) -> Work {
        let nameless = [&self.from, &self.to].iter().all(|named| **named == Named::default());
        if self.partitions.is_empty() && self.digest == Digest::NONE && nameless {
            (self.from, self.to) = (Named::unknown(), Named::unknown());
        }
        self
    }
}

/// How long a trial has run in the boots that ended in an orderly way, so that they cannot
/// stretch it (DESIGN 9.4). A boot that ended otherwise is counted by the bootloader instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Seconds of all such boots but the last.
    pub before: u64,
    /// The last such boot; it may still be the one that runs.
    pub boot_id: Option<String>,
    /// Its seconds.
    pub up: u64,
    /// What `surefoot_clean` says once its try is given back: announced before the deed.
    pub clean: u32,
    /// The boot of the trial, as the bootloader counts them, in which its updater ran first; 0 where
    /// an older program wrote this.
    pub came_up: u32,
}

/// Where the current move stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// No move is being made.
    #[default]
    Idle,
    /// The slot is being written; nothing is armed.
    Installing(Work),
    /// Written and verified, not armed.
    Staged(Work),
    /// To be armed, or armed and not yet booted.
    Switching {
        /// The move.
        work: Work,
        /// The id that the environment carries once it is armed.
        txn: Txn,
        /// The boot in which it was last seen not to be running.
        boot_id: String,
        /// How many boots since arming went to the old slot untried.
        reboots: u32,
    },
    /// The new system runs and is not decided.
    Trying {
        /// The move.
        work: Work,
        /// Its id in the environment.
        txn: Txn,
        /// Whether the journal was lost and this was read from the environment alone.
        recovered: bool,
        /// How long it has run.
        #[serde(default)]
        spent: Spent,
    },
    /// The new system was found bad, or sent away: flip back, then wait for the reboot.
    Returning {
        /// The move.
        work: Work,
        /// Its id in the environment.
        txn: Txn,
        /// Why.
        reason: ReasonCode,
        /// One line for people.
        detail: String,
        /// The boot that flips back: a later one that still runs the new system tells that the old
        /// one cannot be loaded. `None` where an older program wrote this.
        #[serde(default)]
        boot_id: Option<String>,
        /// What spoke against it, where something did; empty where an older program wrote this.
        #[serde(flatten)]
        against: Against,
    },
}

/// How a move ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The new system stays.
    Updated,
    /// The new system was booted, or should have been, and the old one is back.
    RolledBack,
    /// The new system was never tried; or it failed, and there is none to go back to.
    Failed,
    /// A person cancelled it before it was tried.
    Cancelled,
    /// A program of the integrator said no before it was tried.
    Vetoed,
    /// Another release took its place before it was tried.
    Superseded,
}

/// A move that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outcome {
    /// How.
    pub outcome: Ended,
    /// The move.
    pub work: Work,
    /// Its id, if it was ever to be armed.
    pub txn: Option<Txn>,
    /// Why it did not succeed.
    pub reason: Option<ReasonCode>,
    /// One line for people; for a commit without checks, who said so.
    pub detail: String,
    /// What spoke against it, where something did; empty where an older program wrote this.
    #[serde(flatten)]
    pub against: Against,
    /// Of a trial that nobody decided: the boot in which its updater ran first. `None` where it never
    /// did, or an older program wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_up: Option<u32>,
    /// Seconds since 1970 by the clock of that moment.
    pub at: u64,
    /// In files only: it is over and was never tried, beside the word *failed* that an older program
    /// knows. See [`Outcome::stored`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untried: bool,
}

impl Outcome {
    /// The drill that ended as it should: the device came home. That is no alarm.
    pub fn drilled(&self) -> Option<Drill> {
        self.work.order.drill.filter(|_| self.outcome == Ended::RolledBack)
    }

    /// The drill that did not take place: a person or a program called it off before it was tried.
    /// That is no alarm either, and proves nothing.
    pub fn called_off(&self) -> Option<Drill> {
        let ends = [Ended::Cancelled, Ended::Vetoed, Ended::Superseded];
        self.work.order.drill.filter(|_| ends.contains(&self.outcome))
    }

    /// What made way for another before it was armed; `why` names the other. It is kept in the history
    /// alone.
    pub fn made_way(work: Work, why: &str, at: u64) -> Outcome {
        Outcome {
            outcome: Ended::Superseded,
            work,
            txn: None,
            reason: Some(ReasonCode::Superseded),
            detail: why.to_owned(),
            against: Against::default(),
            came_up: None,
            at,
            untried: false,
        }
    }

    /// The drill that it was, if it is no alarm.
    pub fn drill(&self) -> Option<Drill> {
        self.drilled().or_else(|| self.called_off())
    }
}

/// A release that is not tried again by itself (DESIGN 9.17).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Denied {
    /// SHA-256 of its manifest's bytes, so that signing it again does not evade this.
    pub digest: Digest,
    /// Why it came back.
    pub reason: ReasonCode,
}

/// Everything that survives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Journal {
    /// Where the current move stands.
    pub phase: Phase,
    /// How often something was armed: makes each transaction id fresh.
    pub attempts: u32,
    /// Releases not tried again by themselves, newest last.
    pub denied: Vec<Denied>,
    /// The move that ended last.
    pub last: Option<Outcome>,
    /// Artifacts that a person cancelled, newest last: none of them is begun again by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<Digest>,
}

/// More remembered refusals than any device collects; the oldest goes first.
const DENIED_MAX: usize = 64;

/// More cancelled artifacts than anybody offers at a time; the oldest goes first.
const CANCELLED_MAX: usize = 16;

impl Outcome {
    /// As it is kept in files. An older program does not know the words *cancelled*, *vetoed* and
    /// *superseded*, and would lose the whole journal for one: there they stand as *failed*, with the
    /// reason that says more.
    #[must_use]
    pub fn stored(&self) -> Outcome {
        match self.outcome {
            Ended::Cancelled | Ended::Vetoed | Ended::Superseded => {
                Outcome { outcome: Ended::Failed, untried: true, ..self.clone() }
            }
            Ended::Updated | Ended::RolledBack | Ended::Failed => self.clone(),
        }
    }

    /// The other way round.
    #[must_use]
    pub fn read(self) -> Outcome {
        let outcome = match (self.outcome, self.reason, self.untried) {
            // The program that wrote this first had no other word for it.
            (Ended::Failed, Some(ReasonCode::Cancelled), _) => Ended::Cancelled,
            (Ended::Failed, Some(ReasonCode::Superseded), true) => Ended::Superseded,
            (Ended::Failed, Some(ReasonCode::HookVeto | ReasonCode::HookLater), true) => {
                Ended::Vetoed
            }
            (Ended::Failed, _, true) => Ended::Cancelled,
            (outcome, ..) => outcome,
        };
        Outcome { outcome, untried: false, ..self }
    }
}

impl Journal {
    /// The same, as it is read: see [`Work::read_back`].
    #[must_use]
    pub(super) fn read_back(mut self) -> Journal {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Installing(work)
            | Phase::Staged(work)
            | Phase::Switching { work, .. }
            | Phase::Trying { work, .. }
            | Phase::Returning { work, .. } => *work = work.clone().read_back(),
        }
        if let Some(last) = &mut self.last {
            last.work = last.work.clone().read_back();
        }
        self
    }

    /// The same journal in another phase.
    #[must_use]
    pub fn in_phase(&self, phase: Phase) -> Journal {
        Journal { phase, ..self.clone() }
    }

    /// The same journal, its trial having run for `spent`; nothing else has a time.
    #[must_use]
    pub fn spending(&self, spent: Spent) -> Journal {
        let mut journal = self.clone();
        if let Phase::Trying { spent: old, .. } = &mut journal.phase {
            *old = spent;
        }
        journal
    }

    /// The same journal with `digest` remembered as having come back.
    #[must_use]
    pub fn denying(&self, digest: Digest, reason: ReasonCode) -> Journal {
        let mut denied: Vec<_> =
            self.denied.iter().filter(|d| d.digest != digest).cloned().collect();
        if digest != Digest::NONE {
            denied.push(Denied { digest, reason });
        }
        let surplus = denied.len().saturating_sub(DENIED_MAX);
        denied.drain(..surplus);
        Journal { denied, ..self.clone() }
    }

    /// The same journal with `digest` remembered as cancelled by a person.
    #[must_use]
    pub fn cancelling(&self, digest: Digest) -> Journal {
        let mut journal = self.resuming(&digest);
        if digest != Digest::NONE {
            journal.cancelled.push(digest);
        }
        let surplus = journal.cancelled.len().saturating_sub(CANCELLED_MAX);
        journal.cancelled.drain(..surplus);
        journal
    }

    /// The same journal without the memory that `digest` was cancelled.
    #[must_use]
    pub fn resuming(&self, digest: &Digest) -> Journal {
        let cancelled = self.cancelled.iter().filter(|d| *d != digest).copied().collect();
        Journal { cancelled, ..self.clone() }
    }

    /// The same journal with `digest` forgiven.
    #[must_use]
    pub fn forgiving(&self, digest: &Digest) -> Journal {
        let denied = self.denied.iter().filter(|d| d.digest != *digest).cloned().collect();
        Journal { denied, ..self.clone() }
    }

    /// The move being made, if any.
    pub fn work(&self) -> Option<&Work> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Installing(work) | Phase::Staged(work) => Some(work),
            Phase::Switching { work, .. }
            | Phase::Trying { work, .. }
            | Phase::Returning { work, .. } => Some(work),
        }
    }
}
