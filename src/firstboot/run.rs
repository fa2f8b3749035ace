//! The steps in their order, each done once; and what is shown at every boot.

use super::allowed::allowed;
use super::work::{Setup, Work};
use super::{grow, identity, keep, keys, preload, reset, shown, take};
use crate::config::Settings;
use crate::device::Working;
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::tree::make_folder;
use crate::sys::{durable, host};
use serde::Serialize;
use std::path::Path;

type Step = fn(&mut Work<'_>) -> Result<String>;

/// A step may be repeated after a cut at any point of it, and is recorded when it is done.
const STEPS: [(&str, Step); 7] = [
    ("grow", grow::step),
    ("folders", folders),
    // Before what is taken is shown: a layer over `/etc` hides the id that systemd has made for this boot.
    (keep::MACHINE_ID, keep::machine_id),
    (PROVISION, take::step),
    (identity::STEP, identity::step),
    (keys::STEP, keys::step),
    (KEPT, keep::step),
];

const PROVISION: &str = "provision";
const KEPT: &str = "etc";

/// What a factory reset is called among the steps.
const RESET: &str = "reset";

/// The mark that steps were done in this boot, for the unit that shows the doctor's answer.
const MARK: &str = "first-boot";

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Became {
    /// Done now.
    Done,
    /// Done at an earlier boot.
    Before,
    /// Left as it is, and not tried again.
    Left,
    /// Tried again at the next boot.
    Failed,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
pub struct Stepped {
    /// Its name.
    pub step: &'static str,
    /// What became of it.
    pub became: Became,
    /// One line.
    pub text: String,
    /// Why not, where it is not done.
    pub code: Option<ReasonCode>,
}

/// What a first boot has come to.
#[derive(Debug, Serialize)]
pub struct FirstBoot {
    /// The version of this shape.
    pub v: u32,
    /// The steps in their order.
    pub steps: Vec<Stepped>,
    /// What is kept and could not be shown at its place.
    pub hidden: Vec<String>,
    /// Why it has to be repeated.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// Shows what is kept, ends a factory reset, does what is not done yet, and shows what is new. Whatever of it fails or is refused is a
/// step that failed (`TRIAL_PENDING` in a trial, `BUSY` where another process works on the device), and keeps nothing else back.
pub fn first_boot(settings: &Settings, sink: &dyn Sink) -> Result<FirstBoot> {
    let mut work = Work::new(settings, sink);
    let mut out = FirstBoot { v: 1, steps: Vec::new(), hidden: Vec::new(), failure: None };
    if !work.data.is_dir() || work.real && host::same_filesystem(&work.data, "/".as_ref()) {
        // A partition that a torn table made too short is mended here, and mounted at the next boot.
        try_step(&mut work, ("grow", grow::mend), &mut out);
        let why = format!("no data partition is mounted on {}", work.data.display());
        out.failure = Some(Failure::new(ReasonCode::StateNotDurable, why));
        return Ok(out);
    }
    // Before anything that may hang or end this process: it needs the data partition and nothing else. What is to be erased is not
    // shown, so that it is in no use.
    let erases = reset::is_due(&work);
    if !erases {
        out.hidden = shown::show(&work);
    }
    let ready = make_folder(&settings.device.state).and_then(|()| reset::finish(&mut work));
    if let Err(failure) = ready {
        work.warn(failure.to_string());
        out.failed(RESET, failure);
    }
    let held = begin(&work);
    let mut worked = false;
    for step in STEPS {
        let before = work.setup.done.get(&record(&work, step.0)).cloned();
        let before = before.filter(|_| !is_lost(&work, step.0));
        // What a technician lays on the boot partition later is taken, too; and what was refused is looked at again: a person may
        // have mended it.
        let refused = work.setup.left.get(step.0).is_some_and(|code| is_mendable(*code));
        let taken = step.0 == PROVISION && settings.first_boot.provision;
        let again = held.is_ok() && (taken || refused);
        match (before, &held) {
            (Some(text), _) if !again => out.before(step.0, text),
            (None, Err(failure)) => out.failed(step.0, failure.clone()),
            (before, _) => {
                try_step(&mut work, step, &mut out);
                let last = out.steps.last_mut();
                match (before, last) {
                    (Some(text), Some(last)) if last.text == take::NOTHING => {
                        work.setup.done.insert(PROVISION.to_owned(), text.clone());
                        (last.became, last.text) = (Became::Before, text);
                    }
                    (Some(text), Some(last)) if refused && last.text == text => {}
                    _ => worked = true,
                }
            }
        }
    }
    drop(held);
    if worked && make_folder(&settings.run).is_ok() {
        let _nobody_waits_for_it = durable::publish(&settings.run.join(MARK), b"");
    }
    if worked || erases {
        out.hidden = shown::show(&work);
    }
    out.hidden.iter().for_each(|text| work.warn(text.clone()));
    Ok(out)
}

/// What can wait until the boot is over: what the preloaded artifacts are.
pub fn preloads(settings: &Settings, sink: &dyn Sink) -> FirstBoot {
    let mut work = Work::new(settings, sink);
    let mut out = FirstBoot { v: 1, steps: Vec::new(), hidden: Vec::new(), failure: None };
    match preload::step(&mut work) {
        Ok(text) => {
            let (step, became) = (preload::PRELOAD, Became::Done);
            out.steps.push(Stepped { step, became, text, code: None });
        }
        Err(failure) => out.failed(preload::PRELOAD, failure),
    }
    out
}

/// What a step is recorded as when it is done: with what it depends on, so that it is done again where another image says otherwise.
fn record(work: &Work<'_>, step: &str) -> String {
    let more = match step {
        KEPT => work.settings.first_boot.keep.iter().map(|p| p.display().to_string()).collect(),
        keys::STEP if keys::program(work).is_none() => vec!["none".to_owned()],
        PROVISION if !work.settings.first_boot.provision => vec!["off".to_owned()],
        _ => Vec::new(),
    };
    [&[step.to_owned()], &more[..]].concat().join(" ")
}

/// Whether what a step has made is not there any more, or is not all that there is to it now.
fn is_lost(work: &Work<'_>, step: &str) -> bool {
    match step {
        keep::MACHINE_ID => keep::id_is_lost(work),
        keys::STEP => keys::are_lost(work),
        KEPT => keep::has_more(work),
        _ => false,
    }
}

/// What is held while steps are done. Of a device that cannot be opened nothing is held: its steps say so themselves.
fn begin(work: &Work<'_>) -> Result<Option<Working>> {
    allowed(work)?;
    work.world().map_or(Ok(None), |world| world.lock("first-boot").map(Some))
}

fn try_step(work: &mut Work<'_>, (step, act): (&'static str, Step), out: &mut FirstBoot) {
    work.again = false;
    let done = act(work);
    let (became, text, code) = match done {
        Ok(text) => {
            work.setup.left.remove(step);
            (Became::Done, text, None)
        }
        Err(failure) if is_final(failure.code()) => {
            work.warn(failure.to_string());
            work.setup.left.insert(step.to_owned(), failure.code());
            (Became::Left, failure.detail().to_owned(), Some(failure.code()))
        }
        Err(failure) => return out.failed(step, failure),
    };
    if !work.again {
        let record = record(work, step);
        let old = work.setup.done.insert(record.clone(), text.clone());
        // A look that has found nothing new is not worth a write at every boot.
        let same = old.is_some() && (old.as_ref() == Some(&text) || text == take::NOTHING);
        if !same && let Err(failure) = work.setup.save(&work.settings.device.state) {
            work.setup.done.remove(&record);
            return out.failed(step, failure);
        }
    }
    out.steps.push(Stepped { step, became, text, code });
}

/// What a person can mend on the device itself.
fn is_mendable(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::GrowthRefused | ReasonCode::DiskTooSmall)
}

/// What no later boot would do better, unless a person has mended it before.
fn is_final(code: ReasonCode) -> bool {
    is_mendable(code) || code == ReasonCode::NotFirstBoot
}

impl FirstBoot {
    fn before(&mut self, step: &'static str, text: String) {
        self.steps.push(Stepped { step, became: Became::Before, text, code: None });
    }

    fn failed(&mut self, step: &'static str, failure: Failure) {
        let text = failure.detail().to_owned();
        self.steps.push(Stepped { step, became: Became::Failed, text, code: Some(failure.code()) });
        self.failure.get_or_insert(failure);
    }
}

fn folders(work: &mut Work<'_>) -> Result<String> {
    for name in [keep::ETC, preload::PRELOAD] {
        work.folder_for(&Path::new(name).join("x"))?;
    }
    shown::close(work).reason(ReasonCode::Io, keep::ETC)?;
    Ok(work.data.display().to_string())
}

/// The steps that a first boot has begun with and not come to an end with, and why. None on a device that has had none.
pub fn unfinished(settings: &Settings) -> Vec<(&'static str, String)> {
    let Setup { done, left, .. } = Setup::load(&settings.device.state);
    let recorded = |name: &str| done.iter().find(|(key, _)| key.split(' ').next() == Some(name));
    let why = |name: &'static str| match (recorded(name), left.get(name)) {
        (None, _) => Some((name, "it is not done yet".to_owned())),
        // As it should be.
        (_, None | Some(ReasonCode::NotFirstBoot)) => None,
        (Some((_, text)), Some(_)) => Some((name, text.clone())),
    };
    let all = STEPS.iter().filter(|_| !done.is_empty());
    all.filter_map(|(name, _)| why(name)).collect()
}
