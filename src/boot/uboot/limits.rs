//! What the stored variables allow: the limit, who counts, and where the way back leads.

use super::Env;
use super::scheme::{self, names};
use super::way_back;
use crate::boot::Finding;

/// Everything in the variables that keeps this board from booting, or a bad system from coming home.
pub(super) fn findings(env: &Env) -> Vec<Finding> {
    let mut out = Vec::new();
    let three = "Put `bootlimit=3` into the environment.";
    match scheme::count_of(env, names::BOOTLIMIT) {
        Some(1..=9) => {}
        None => out.push(Finding::off(
            "`bootlimit` is missing or no plain number: U-Boot would count for ever, or the script gives up at once",
            three,
        )),
        Some(other) => {
            out.push(Finding::off(format!("`bootlimit` is {other}; 1 to 9 are allowed"), three));
        }
    }
    out.extend(way_back::findings(env));
    if scheme::counter_of(env).is_none() {
        out.push(Finding::off(
            "`surefoot_counter` does not say who counts the boots of a trial",
            "Set it to `uboot` (CONFIG_BOOTCOUNT_ENV) or `script`; see docs/uboot-environment.md.",
        ));
    }
    if !scheme::is_trial(env) && scheme::count_of(env, names::BOOTCOUNT).unwrap_or(0) > 0 {
        out.push(Finding::weak(
            "`bootcount` is not 0 outside a trial: something else may be counting",
            "Use CONFIG_BOOTCOUNT_ENV or `surefoot_counter=script` and no other counter.",
        ));
    }
    if scheme::slot_of(env, names::SLOT).is_none() {
        out.push(Finding::weak(
            "`surefoot_slot` names no slot: what boots is left to the script's default",
            "Nothing to do: the next update sets it.",
        ));
    }
    out
}
