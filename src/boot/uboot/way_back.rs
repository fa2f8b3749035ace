//! Where the stored variables lead: follows `altbootcmd` and `bootcmd` on a model of the board, with a
//! trial armed and its boots used up, and says what keeps a bad system from coming home.
//!
//! Nothing is touched: the model is a copy of the environment. What a command answers that looks at
//! the hardware is not known here, so both answers are tried. docs/decisions/the-way-back-is-followed.md

use super::model::{ADDRESSES, Ended, Model, Phase};
use super::scheme::{self, Counter, names};
use super::{Env, apply, hex_address};
use crate::boot::{BootChange, Finding, Grade};
use crate::model::{Digest, SlotId, Txn};
use std::sync::{Mutex, PoisonError};

const WAY_BACK: &str = "Put the `altbootcmd` of uboot-scripts/ into the environment, or let yours store surefoot_slot=${surefoot_good} and upgrade_available=0 and then `run bootcmd`; see docs/uboot-environment.md.";
const BOOTCMD: &str = "Let `bootcmd` end in the boot script, as `run surefoot_boot` does; see docs/uboot-environment.md.";
const ADDRESS: &str = "Put the board's load addresses into the stored environment: `uboot-scripts/make factory-env.txt --board FILE`; see docs/uboot-environment.md.";

/// How many answers of the hardware are tried both ways; a longer way is taken as if the rest
/// succeeded.
const COINS: u32 = 5;

/// Everything in the variables that keeps this board from booting, or a bad system from coming
/// home; empty if the way back is proved.
///
/// The variables seldom change and are looked at in every step, and following a script takes most
/// of such a look: what was found of the same variables is kept.
pub(super) fn findings(env: &Env) -> Vec<Finding> {
    static LAST: Mutex<Option<(Env, Vec<Finding>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((same, found)) if same == env => found.clone(),
        _ => {
            let found = followed(env);
            *last = Some((env.clone(), found.clone()));
            found
        }
    }
}

fn followed(env: &Env) -> Vec<Finding> {
    let mut out = Vec::new();
    boots(env, &mut out);
    match env.get(names::ALTBOOTCMD) {
        None => {
            out.push(Finding::off("`altbootcmd` is not set: nothing would lead back", WAY_BACK))
        }
        Some(way_back) => leads_back(env, &way_back, &mut out),
    }
    out
}

/// The load addresses that the boot script uses, as `bootcmd` leaves them: a word that is missing
/// makes `load` fail.
fn addresses(env: &Env, model: &Model, out: &mut Vec<Finding>) {
    let set = |name: &str| env.get(name).is_some();
    let needs = [
        ("no kernel can be loaded", Some(Grade::Off)),
        (
            "an initramfs cannot be loaded",
            Some(if set("surefoot_initrd") { Grade::Off } else { Grade::Weak }),
        ),
        (
            "the device tree that `surefoot_fdt` names cannot be loaded",
            set("surefoot_fdt").then_some(Grade::Off),
        ),
    ];
    for (name, (what, level)) in ADDRESSES.into_iter().zip(needs) {
        let Some(level) = level else { continue };
        let reason = match model.addresses.get(name) {
            Some(value) if hex_address(value).is_some() => continue,
            Some(value) => format!("`{name}` is `{value}`, which is no load address: {what}"),
            None => format!("`{name}` is not set: {what}"),
        };
        out.push(Finding { level, reason, remedy: ADDRESS.to_owned() });
    }
}

/// Whether `bootcmd` gets as far as the boot script.
fn boots(env: &Env, out: &mut Vec<Finding>) {
    if scheme::waits_at_prompt(env) {
        out.push(Finding::off(
            "`bootdelay` is negative: U-Boot waits at its prompt and boots nothing",
            "Set `bootdelay=0` in the environment.",
        ));
    }
    let Some(script) = env.get("bootcmd") else {
        let why = "`bootcmd` is not set: U-Boot would stop at its prompt";
        return out.push(Finding::off(why, BOOTCMD));
    };
    let mut first = None;
    let mut coins = 0;
    let mut mask = 0;
    while mask < 1u32 << coins {
        let mut model = Model::new(env, Phase::Bootcmd, mask);
        let ended = model.run(&script);
        coins = coins.max(model.coins.min(COINS));
        mask += 1;
        match ended {
            Ended::Arrived => return addresses(env, &model, out),
            other => drop(first.get_or_insert((other, model.step.take()))),
        }
    }
    let (ended, step) = first.unwrap_or((Ended::Over, None));
    let step = step.map_or(String::new(), |step| format!(": `{step}` fails"));
    match ended {
        // It has started the system that runs; only this program does not understand it.
        Ended::Unknown(what) => {
            let why = format!("`bootcmd` cannot be followed to the boot script: {what}");
            out.push(Finding::weak(why, BOOTCMD));
        }
        other => out.push(Finding::off(
            format!("`bootcmd` does not lead to the boot script{step}{}", other.aside()),
            BOOTCMD,
        )),
    }
}

fn leads_back(env: &Env, way_back: &str, out: &mut Vec<Finding>) {
    // Both directions: what leads home only from one slot would end the updates of the device.
    let named = scheme::slot_of(env, names::SLOT).unwrap_or(SlotId::A);
    let pending = scheme::slot_of(env, names::GOOD).filter(|_| scheme::is_trial(env));
    let first = pending.unwrap_or(named);
    let mut doubts: Vec<String> = Vec::new();
    for good in [first, first.other()] {
        // U-Boot runs it, if it counts; the boot script always may, and takes over when it is done.
        let by_uboot = scheme::counter_of(env) != Some(Counter::Script);
        let phases = [Phase::Nested, Phase::Limit];
        for phase in phases.into_iter().take(1 + usize::from(by_uboot)) {
            if let Err(why) = every_answer(env, way_back, phase, good, &mut doubts) {
                let reason = format!("`altbootcmd` does not lead back to slot {good}: {why}");
                return out.push(Finding::off(reason, WAY_BACK));
            }
        }
    }
    doubts.dedup();
    out.extend(doubts.into_iter().map(|doubt| Finding::weak(doubt, WAY_BACK)));
}

/// Follows it with every combination of answers.
fn every_answer(
    env: &Env,
    way_back: &str,
    phase: Phase,
    good: SlotId,
    doubts: &mut Vec<String>,
) -> Result<(), String> {
    let txn = Txn::new(&Digest::NONE, u32::MAX);
    let arm = BootChange::Arm { slot: good.other(), good, txn: txn.clone() };
    let mut armed = env.clone();
    // Only a program with a defect makes a transaction that cannot be stored.
    apply(&mut armed, &arm).map_err(|f| f.detail().to_owned())?;
    let limit = env.get(names::BOOTLIMIT).and_then(|v| scheme::exact(&v)).unwrap_or(3);
    let count = limit.saturating_add(u32::from(phase == Phase::Limit)).to_string();
    armed.set(names::BOOTCOUNT, &count).map_err(|f| f.detail().to_owned())?;
    let (mut mask, mut coins) = (0, 0);
    while mask < 1u32 << coins {
        let mut model = Model::new(&armed, phase, mask);
        let ended = model.run(way_back);
        coins = coins.max(model.coins.min(COINS));
        mask += 1;
        judge(&model, ended, phase, good)?;
        if model.stored.get(names::FALLBACK).map(String::as_str) != Some(txn.as_str()) {
            doubts.push("`altbootcmd` does not store surefoot_fallback=${surefoot_txn}: which release came back is not told".into());
        }
        for foreign in &model.foreign {
            doubts.push(format!(
                "`altbootcmd` uses `{foreign}`, which is not known here; it leads back if that changes no variable"
            ));
        }
    }
    Ok(())
}

fn judge(model: &Model, ended: Ended, phase: Phase, good: SlotId) -> Result<(), String> {
    match ended {
        Ended::Arrived => {}
        // The next boot finds what is stored, and no trial.
        Ended::Reset if model.is_home(good) => {}
        Ended::Over if phase == Phase::Nested => {}
        Ended::Over => {
            let step = model.step.as_ref().map_or(String::new(), |s| format!(" (`{s}` fails)"));
            let stops = "it ends without `run bootcmd`, and U-Boot stops at its prompt";
            return Err(format!("{stops}{step}"));
        }
        Ended::Reset => return Err("it resets the board before the way back is stored".to_owned()),
        Ended::Off => return Err("it switches the board off".to_owned()),
        Ended::Kernel => return Err("it starts a kernel by itself".to_owned()),
        Ended::Unknown(what) => return Err(format!("it cannot be followed: {what}")),
        Ended::Endless(why) => return Err(why),
    }
    match model.is_home(good) {
        true => Ok(()),
        false => Err(model.why_not_home(good)),
    }
}
