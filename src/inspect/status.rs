//! What a device says of itself. Reads only, takes no lock, hashes nothing.

use crate::artifact::Installed;
use crate::boot::{BootFacts, Grade};
use crate::device::{
    Certificate, Hold, Next, Reset, Running, Summary, World, grade, look, postmortem, sentence,
    time_left,
};
use crate::model::{Against, Digest, Failure, ReasonCode, Result, SlotId, State, Txn};
use crate::slot::Part;
use crate::sys::clock;
use crate::update::{Drill, Ended, Identity, Journal, Phase, Wish, at_rest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlotView {
    /// The release in it; `None` for a system that no artifact has brought, and for one whose name
    /// is not known.
    pub version: Option<String>,
    /// How far that is known; `None` for a slot that holds no system.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// Why its record does not vouch for it.
    #[serde(default)]
    pub doubt: Option<String>,
    /// Orders releases; 0 if unknown.
    pub release_counter: u64,
    /// The anti-rollback epoch; 0 if unknown.
    pub security_epoch: u32,
    /// SHA-256 of the image of the root filesystem, as signed.
    pub sha256: Option<Digest>,
    /// The artifact that brought it: SHA-256 of its manifest.
    pub artifact: Option<Digest>,
    /// Whether a bootloader would find a filesystem in it.
    pub bootable: bool,
    /// Its partitions.
    pub partitions: Vec<String>,
    /// Its parts, in the order of `[slots]`.
    #[serde(default)]
    pub parts: Vec<PartView>,
}

/// One part of a slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartView {
    /// What a release calls it.
    pub part: String,
    /// Its partition.
    pub partition: String,
    /// SHA-256 of its image, as signed.
    pub sha256: Option<Digest>,
}

/// A trial that is armed or running.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trial {
    /// Its slot.
    pub slot: SlotId,
    /// Its id.
    pub txn: Option<Txn>,
    /// Boots counted.
    pub bootcount: u32,
    /// Boots allowed.
    pub bootlimit: Option<u32>,
    /// Boots that it may still have after this one; `None` if the limit is unknown.
    pub tries_left: Option<u32>,
    /// Orderly reboots that will still give their try back.
    pub clean_reboots_left: u32,
    /// Seconds until it is left undecided; `None` before its first boot.
    pub seconds_left: Option<u64>,
    /// Which setting that is: `[trial] deadline` or the nearer `[health] deadline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
}

/// How the last move ended; all `None` on a device that never updated.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LastEnd {
    /// How.
    pub outcome: Option<Ended>,
    /// Why not.
    pub reason: Option<ReasonCode>,
    /// One line for people.
    pub detail: Option<String>,
    /// Every check and hook that said no.
    #[serde(flatten)]
    pub against: Against,
    /// The drill that it was, if the device came home from one (`rolled-back`) or it was called off
    /// before it began: no alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
    /// From which release.
    pub from: Option<String>,
    /// To which.
    pub to: Option<String>,
    /// Into which slot.
    pub slot: Option<SlotId>,
    /// The artifact: SHA-256 of its manifest.
    #[serde(default)]
    pub artifact: Option<Digest>,
    /// Seconds since 1970.
    pub at: Option<u64>,
}

/// What is next, and in words.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NextStep {
    /// What a person does.
    pub action: Next,
    /// In words.
    pub text: String,
}

/// The whole answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The version of this answer's shape.
    pub v: u32,
    /// The line a technician reads out.
    pub summary: String,
    /// Where the device stands.
    pub state: State,
    /// The slot that runs.
    pub booted: Option<SlotId>,
    /// Another slot than the one the bootloader was told to boot runs: its kernel could not be
    /// loaded.
    pub degraded: bool,
    /// Why the bootloader environment says nothing, if no copy of it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvTrouble>,
    /// What it is.
    pub product: String,
    /// What an artifact must be compatible with.
    pub compatible: String,
    /// Both slots.
    pub slots: BTreeMap<SlotId, SlotView>,
    /// Whether a bad update would come back.
    pub rollback: Grade,
    /// The epoch below which nothing is installed.
    pub floor: u32,
    /// The trial.
    pub trial: Option<Trial>,
    /// What is next.
    pub next: NextStep,
    /// How the last move ended.
    pub last: LastEnd,
    /// Why the last release came back, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postmortem: Option<Summary>,
    /// That this board's rollback was tried, if it was.
    pub drill: Option<Certificate>,
    /// Why automatic updates are stopped, if they are.
    pub hold: Option<Hold>,
    /// A factory reset that the next boot does, or one that has left something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
    /// The installation that runs, whoever runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// The apps; none where this device has none.
    #[cfg(feature = "apps")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apps: Option<crate::apps::AppsStatus>,
}

/// A bootloader environment of which no copy is valid.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnvTrouble {
    /// `ENV_UNREADABLE`, or `ENV_CONFIG` where a healthy one was found that is described wrong.
    pub code: ReasonCode,
    /// What is wrong with each copy.
    pub text: String,
}

/// Looks at everything and says where the device stands.
pub fn status(world: &World) -> Result<Status> {
    let boot = world.boot.look()?;
    let booted = world.booted().ok();
    let journal = match booted {
        Some(slot) => {
            let journal = world.load_journal();
            at_rest(&journal, &look(world, slot, &journal, &Wish::Settle, None)?)
        }
        None => world.load_journal(),
    };
    // Its last words are told after it is armed; and what takes the place of another does so once it
    // is known what it is.
    let done = |artifact: Option<Digest>| match &journal.phase {
        Phase::Staged(work) | Phase::Switching { work, .. } => {
            artifact.is_none_or(|artifact| artifact == work.digest)
        }
        _ => false,
    };
    let running = world.running().filter(|r| r.stoppable && !r.app && !done(r.artifact));
    let decided = !matches!(journal.phase, Phase::Trying { .. } | Phase::Returning { .. });
    let state = match &running {
        Some(_) if decided => State::Installing,
        _ => State::of(&journal),
    };
    let views = [SlotId::A, SlotId::B].map(|slot| (slot, view(world, slot)));
    let slots: BTreeMap<_, _> = views.into_iter().collect();
    let degraded = booted.is_some_and(|b| {
        boot.readable()
            && !boot.trial
            && boot.slot != Some(b)
            && !matches!(journal.phase, Phase::Returning { .. })
    });
    let rules = world.settings.trial;
    let trial = (boot.trial && boot.slot.is_some()).then(|| Trial {
        slot: boot.slot.unwrap_or(SlotId::A),
        txn: boot.txn.clone(),
        bootcount: boot.bootcount.unwrap_or(0),
        bootlimit: boot.bootlimit,
        tries_left: boot.bootlimit.map(|l| l.saturating_sub(boot.bootcount.unwrap_or(0))),
        clean_reboots_left: rules.clean_reboots.saturating_sub(boot.clean),
        seconds_left: match &journal.phase {
            Phase::Trying { spent, .. } => Some(time_left(world, spent).0),
            _ => None,
        },
        deadline: match &journal.phase {
            Phase::Trying { spent, .. } => Some(time_left(world, spent).1.to_owned()),
            _ => None,
        },
    });
    let next = match &journal.phase {
        _ if decided && running.is_some() => NextStep {
            action: Next::None,
            text: running.as_ref().map_or_else(String::new, Running::sentence),
        },
        Phase::Installing(work) if world.at_work => NextStep {
            action: Next::None,
            text: sentence(format!("{} is being installed.", work.to)),
        },
        _ => next_step(&journal, booted, &boot),
    };
    let rollback = grade(world, &boot);
    let certificate = world.certified(&journal);
    let installs = decided && running.is_some();
    let trial_seen = trial.as_ref();
    let seen = Seen { booted, slots: &slots, rollback, trial: trial_seen, next: &next, installs };
    let environment =
        boot.unreadable().map(|f| EnvTrouble { code: f.code(), text: f.detail().to_owned() });
    let summary = summary(&journal, &seen, certificate.as_ref(), world.now());
    // What made way for the one that is under way is in the history alone.
    let past = match journal.phase {
        Phase::Idle => Vec::new(),
        _ => world.history.load(),
    };
    let past = past.last().filter(|end| end.outcome == Ended::Superseded);
    let last = past.or(journal.last.as_ref()).map_or_else(LastEnd::default, |l| LastEnd {
        outcome: Some(l.outcome),
        reason: l.reason,
        detail: Some(l.detail.clone()).filter(|d| !d.is_empty()),
        against: l.against.clone(),
        drill: l.drill(),
        from: Some(l.work.from.to_string()),
        to: Some(l.work.to.to_string()),
        slot: Some(l.work.slot),
        artifact: Some(l.work.digest),
        at: Some(l.at),
    });
    let summary = match &environment {
        Some(trouble) => format!("{summary} {}: run `surefoot doctor`.", trouble.code),
        None => summary,
    };
    Ok(Status {
        v: 1,
        summary,
        state,
        booted,
        degraded,
        environment,
        product: world.settings.device.product.to_string(),
        compatible: world.settings.device.compatible.to_string(),
        slots,
        rollback,
        floor: world.floor_epoch(),
        trial,
        next,
        last,
        postmortem: postmortem(world, &journal)
            .filter(|_| !is_drill(&journal))
            .map(|p| p.summary()),
        drill: certificate,
        hold: world.hold(),
        reset: world.reset().unwrap_or_default(),
        running,
        #[cfg(feature = "apps")]
        apps: super::apps::of(world),
    })
}

fn parts(world: &World, slot: SlotId, installed: Option<&Installed>) -> Vec<PartView> {
    let view = |part: &Part| {
        let payload = installed.and_then(|i| Some(&i.manifest.payloads[i.payload_of(&part.name)?]));
        let (name, partition) = (part.name.to_string(), part.partition.name.clone());
        PartView { part: name, partition, sha256: payload.map(|p| p.sha256) }
    };
    world.layout.parts(slot).iter().map(view).collect()
}

fn view(world: &World, slot: SlotId) -> SlotView {
    let held = world.held(slot);
    let (label, bootable) = (&held.stand.label, world.bootable(slot));
    let named = &label.named;
    let stands = bootable || held.recorded;
    SlotView {
        version: named.version.as_ref().map(|v| v.to_string()),
        identity: stands.then(|| named.identity()),
        doubt: held.stand.why.as_ref().filter(|_| stands).map(Failure::to_string),
        release_counter: named.release_counter,
        security_epoch: named.security_epoch,
        sha256: held.installed.as_ref().and_then(|i| i.rootfs()).map(|p| p.sha256),
        artifact: Some(label.digest).filter(|d| *d != Digest::NONE),
        bootable,
        parts: parts(world, slot, held.installed.as_deref()),
        partitions: world.layout.parts(slot).iter().map(|p| p.partition.name.clone()).collect(),
    }
}

/// How a move ended, to stand before the name of the release that it was to bring.
pub fn ended_in_words(ended: Ended, drill: Option<Drill>) -> &'static str {
    match (ended, drill) {
        (Ended::RolledBack, Some(_)) => "a drill came home from",
        (Ended::Cancelled | Ended::Vetoed | Ended::Superseded, Some(_)) => {
            "a drill was called off before it tried"
        }
        (Ended::Updated, _) => "updated to",
        (Ended::RolledBack, None) => "rolled back from",
        (Ended::Failed, _) => "did not install",
        (Ended::Cancelled, None) => "cancelled",
        (Ended::Vetoed, None) => "a program said no to",
        (Ended::Superseded, None) => "another release took the place of",
    }
}

/// What people are told of the running release where its name has a doubt.
fn doubt(slot: &SlotView) -> &'static str {
    match slot.identity {
        Some(Identity::NotAccepted) => {
            " The trust file on this system does not accept its signature."
        }
        Some(Identity::Unknown) => {
            " What it is called is not known, so that the order of releases cannot be checked."
        }
        Some(Identity::Known | Identity::Factory) | None => "",
    }
}

/// A journal may be ahead of its deed: after a cut between the two, what the environment does not
/// say yet is not told as done.
fn next_step(journal: &Journal, booted: Option<SlotId>, boot: &BootFacts) -> NextStep {
    let step = |action, text: String| NextStep { action, text: sentence(text) };
    match &journal.phase {
        Phase::Installing(work) => step(
            Next::Resume,
            format!(
                "The installation of {} did not finish: install it again and it goes on.",
                work.to
            ),
        ),
        Phase::Staged(work) => step(
            Next::Switch,
            format!("{} waits in slot {}: arm it with `surefoot switch`.", work.to, work.slot),
        ),
        Phase::Switching { work, txn, .. } if boot.txn.as_ref() != Some(txn) => step(
            Next::Switch,
            format!(
                "{} is verified in slot {} and not armed yet: arm it with `surefoot switch`.",
                work.to, work.slot
            ),
        ),
        Phase::Returning { work, .. } if boot.trial => step(
            Next::Decide,
            format!(
                "{} is to be left and is not disarmed yet: `surefoot rollback` again.",
                work.to
            ),
        ),
        Phase::Switching { work, .. } if booted != Some(work.slot) => step(
            Next::Reboot,
            format!("{} is armed in slot {}: reboot to try it.", work.to, work.slot),
        ),
        Phase::Switching { work, .. } | Phase::Returning { work, .. } => step(
            Next::Reboot,
            format!("Slot {} is armed again: reboot to return to it.", work.slot.other()),
        ),
        Phase::Trying { work, .. } => step(
            Next::Decide,
            format!("{} is on trial: `surefoot commit` or `surefoot rollback`.", work.to),
        ),
        Phase::Idle => step(Next::None, "Nothing new.".to_owned()),
    }
}

/// Whether what comes back, or came back last, was to do so.
fn is_drill(journal: &Journal) -> bool {
    let work = journal.work().or(journal.last.as_ref().map(|l| &l.work));
    work.is_some_and(|w| w.order.drill.is_some())
}

/// What a summary is made of, besides the journal.
struct Seen<'a> {
    booted: Option<SlotId>,
    slots: &'a BTreeMap<SlotId, SlotView>,
    rollback: Grade,
    trial: Option<&'a Trial>,
    next: &'a NextStep,
    /// Whether an installation runs.
    installs: bool,
}

fn summary(
    journal: &Journal,
    seen: &Seen<'_>,
    certificate: Option<&Certificate>,
    now: u64,
) -> String {
    let Seen { booted, slots, rollback, trial, next, installs } = *seen;
    let Some(slot) = booted else {
        return "Which slot runs is not known for certain, so nothing will be written. Run `surefoot doctor`.".to_owned();
    };
    let view = slots.get(&slot);
    let running = match (view.and_then(|s| s.version.clone()), view.and_then(|s| s.identity)) {
        (Some(version), _) => version,
        (None, Some(Identity::Factory)) => "the factory system".to_owned(),
        (None, _) => "an unknown release".to_owned(),
    };
    let doubt = view.map_or("", doubt);
    let since = match (&journal.phase, &journal.last) {
        (Phase::Trying { .. }, _) => {
            let (count, limit) = trial.map_or((0, None), |t| (t.bootcount, t.bootlimit));
            let limit = limit.map_or_else(String::new, |l| format!(" of {l}"));
            format!(", on trial, boot {count}{limit}")
        }
        (_, Some(last)) if last.outcome == Ended::Updated && last.work.slot == slot => {
            format!(", committed {}", clock::ago(last.at, now))
        }
        _ => String::new(),
    };
    let drilled = journal.last.as_ref().filter(|l| l.drilled().is_some());
    let fate = match (State::of(journal), &journal.last) {
        _ if installs => next.text.clone(),
        _ if journal.phase == Phase::Idle && drilled.is_some() => {
            let took = certificate.map_or_else(|| "the device came home".to_owned(), |c| c.home());
            format!("The drill ended: {took}; rollback proven.")
        }
        (_, Some(last)) if journal.phase == Phase::Idle && last.called_off().is_some() => {
            let why = last.reason.map_or_else(String::new, |r| format!(" ({r})"));
            format!("The drill was called off {}{why}.", clock::ago(last.at, now))
        }
        (State::Idle, Some(last)) if last.outcome == Ended::Cancelled => {
            sentence(format!("{} was cancelled {}.", last.work.to, clock::ago(last.at, now)))
        }
        (State::Idle, Some(last)) if last.outcome == Ended::Superseded => {
            let ago = clock::ago(last.at, now);
            sentence(format!("{} ended {ago}: {}.", last.work.to, last.detail))
        }
        (State::RolledBack, Some(last)) => {
            let why = last.reason.map_or_else(String::new, |r| format!(" ({r})"));
            sentence(format!("{} was rolled back {}{why}.", last.work.to, clock::ago(last.at, now)))
        }
        (State::Failed, Some(last)) if last.work.slot == slot => {
            let why = last.reason.map_or_else(String::new, |r| format!(" ({r})"));
            let other = slot.other();
            format!("It failed its trial{why}, and slot {other} cannot be loaded: install another.")
        }
        (State::Failed, Some(last)) => {
            let why = last.reason.map_or_else(String::new, |r| format!(" ({r})"));
            sentence(format!("{} was not installed{why}.", last.work.to))
        }
        _ => next.text.clone(),
    };
    format!("Running {running} (slot {slot}){since}.{doubt} Rollback {rollback}. {fate}")
}
