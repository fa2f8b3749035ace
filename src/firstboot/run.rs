//! The steps in their order, each done once; and what is shown at every boot.

use super::allowed::allowed;
use super::work::{Setup, Work, make_folder};
use super::{grow, identity, keep, keys, preload, reset, take};
use crate::config::Settings;
use crate::device::Working;
use crate::event::Sink;
use crate::model::{Failure, ReasonCode, Result};
use crate::sys::{durable, host};
use serde::Serialize;

type Step = fn(&mut Work<'_>) -> Result<String>;

/// A step may be repeated after a cut at any point of it, and is recorded when it is done.
const STEPS: [(&str, Step); 8] = [
    ("grow", grow::step),
    ("folders", folders),
    ("provision", take::step),
    ("identity", identity::step),
    ("machine-id", keep::machine_id),
    ("ssh-keys", keys::step),
    ("etc", keep::step),
    ("preload", preload::step),
];

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
        out.hidden = keep::show(&work);
    }
    let ready = make_folder(&settings.device.state).and_then(|()| reset::finish(&mut work));
    if let Err(failure) = ready {
        work.warn(failure.to_string());
        out.failed(RESET, failure);
    }
    let missing = STEPS.iter().any(|(name, _)| !work.setup.done.contains_key(*name));
    let held = if missing { begin(&work) } else { Ok(None) };
    for step in STEPS {
        if let Some(text) = work.setup.done.get(step.0) {
            let (step, text) = (step.0, text.clone());
            out.steps.push(Stepped { step, became: Became::Before, text, code: None });
        } else if let Err(failure) = &held {
            out.failed(step.0, failure.clone());
        } else {
            try_step(&mut work, step, &mut out);
        }
    }
    drop(held);
    if missing && make_folder(&settings.run).is_ok() {
        let _nobody_waits_for_it = durable::publish(&settings.run.join(MARK), b"");
    }
    if missing || erases {
        out.hidden = keep::show(&work);
    }
    out.hidden.iter().for_each(|text| work.warn(text.clone()));
    Ok(out)
}

/// What is held while steps are done. A device that cannot be opened is nobody's, and its steps say so themselves.
fn begin(work: &Work<'_>) -> Result<Option<Working>> {
    allowed(work)?;
    work.world().map_or(Ok(None), |world| world.lock("first-boot").map(Some))
}

fn try_step(work: &mut Work<'_>, (step, act): (&'static str, Step), out: &mut FirstBoot) {
    work.again = false;
    let done = act(work);
    let (became, text, code) = match done {
        Ok(text) => (Became::Done, text, None),
        Err(failure) if is_final(failure.code()) => {
            work.warn(failure.to_string());
            work.setup.left.insert(step.to_owned(), failure.code());
            (Became::Left, failure.detail().to_owned(), Some(failure.code()))
        }
        Err(failure) => return out.failed(step, failure),
    };
    if !work.again {
        work.setup.done.insert(step.to_owned(), text.clone());
        if let Err(failure) = work.setup.save(&work.settings.device.state) {
            work.setup.done.remove(step);
            return out.failed(step, failure);
        }
    }
    out.steps.push(Stepped { step, became, text, code });
}

/// What no later boot would do better.
fn is_final(code: ReasonCode) -> bool {
    matches!(code, ReasonCode::GrowthRefused | ReasonCode::NotFirstBoot | ReasonCode::DiskTooSmall)
}

impl FirstBoot {
    fn failed(&mut self, step: &'static str, failure: Failure) {
        let text = failure.detail().to_owned();
        self.steps.push(Stepped { step, became: Became::Failed, text, code: Some(failure.code()) });
        self.failure.get_or_insert(failure);
    }
}

fn folders(work: &mut Work<'_>) -> Result<String> {
    for name in [keep::ETC, preload::PRELOAD] {
        make_folder(&work.data.join(name))?;
    }
    Ok(work.data.display().to_string())
}

/// The steps that a first boot has begun with and not come to an end with, and why. None on a device that has had none.
pub fn unfinished(settings: &Settings) -> Vec<(&'static str, String)> {
    let Setup { done, left, .. } = Setup::load(&settings.device.state);
    let why = |name: &'static str| match (done.get(name), left.get(name)) {
        (None, _) => Some((name, "it is not done yet".to_owned())),
        // As it should be.
        (_, None | Some(ReasonCode::NotFirstBoot)) => None,
        (Some(text), Some(_)) => Some((name, text.clone())),
    };
    let all = STEPS.iter().filter(|_| !done.is_empty());
    all.filter_map(|(name, _)| why(name)).collect()
}
