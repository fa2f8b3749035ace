//! How far this board's rollback can be trusted, with a remedy for everything that is not right.

use super::{BootFacts, CopyFacts};
use crate::disk::{Partition, PartitionTable};
use crate::model::ReasonCode;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The worst finding decides; in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// A failed trial comes back by itself.
    Armed,
    /// It comes back, but something that should stand behind it is missing.
    Weak,
    /// It would not come back: nothing is armed.
    Off,
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Grade::Armed => "armed",
            Grade::Weak => "weak",
            Grade::Off => "off",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it makes of the grade.
    pub level: Grade,
    /// What is the case.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// The type of a GPT partition that U-Boot itself keeps its environment in.
const ENV_PARTITION: &str = "3de21764-95bd-54bd-a5c3-4abe786f38a8";

/// The grade of a list of findings: the worst, `Armed` if there is none.
pub fn overall(findings: &[Finding]) -> Grade {
    let levels = findings.iter().map(|f| f.level);
    levels.max().unwrap_or(Grade::Armed)
}

fn finding(level: Grade, reason: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { level, reason: reason.into(), remedy: remedy.into() }
}

/// Everything that keeps the rollback of this board from being simply armed. `table` is that of
/// the configured disk; `accept_single_copy` is `[boot] accept_single_copy` (DESIGN 9.15).
pub fn grade(
    facts: &BootFacts,
    table: Option<&PartitionTable>,
    accept_single_copy: bool,
) -> Vec<Finding> {
    let mut out = Vec::new();
    copies(facts, accept_single_copy, &mut out);
    if let Some(table) = table {
        places(facts, table, &mut out);
    }
    if facts.readable() {
        variables(facts, &mut out);
    }
    out
}

fn copies(facts: &BootFacts, accept_single_copy: bool, out: &mut Vec<Finding>) {
    for (copy, number) in facts.copies.iter().zip(1..) {
        let Some(why) = copy.why() else { continue };
        let reason = format!("copy {number} of the environment ({why}) is not valid");
        if let Some(found) = &copy.elsewhere {
            // What stands there is healthy: a repair would destroy it, and a write go astray.
            let reason = format!(
                "{reason}, and fw_env.config is wrong: there is a healthy one with {:#x} bytes at {:#x}",
                found.size, found.offset
            );
            let remedy = format!(
                "Correct fw_env.config, and write no environment until then; it needs {}.",
                found.lines()
            );
            out.push(finding(Grade::Off, reason, remedy));
            continue;
        }
        if facts.readable() {
            let remedy = "Nothing to do: the next write repairs it.";
            out.push(finding(Grade::Weak, reason, remedy));
        }
    }
    if let Some(failure) = facts.unreadable()
        && facts.copies.iter().all(|c| c.elsewhere.is_none())
    {
        // One finding for all of them: none alone would be worth an installation refused.
        let remedy = match failure.code() {
            ReasonCode::EnvConfig => "Correct the path in fw_env.config.",
            _ => {
                "If fw_env.config is right, write every copy with `mkenvimage`; see docs/uboot-environment.md."
            }
        };
        out.push(finding(Grade::Off, failure.detail(), remedy));
    }
    if !facts.redundant {
        let (level, remedy) = match accept_single_copy {
            true => (
                Grade::Weak,
                "Build U-Boot with a redundant environment (CONFIG_ENV_REDUNDANT or CONFIG_SYS_REDUNDAND_ENVIRONMENT).",
            ),
            false => (
                Grade::Off,
                "Build U-Boot with a redundant environment, or accept the risk: `[boot] accept_single_copy = true`.",
            ),
        };
        let reason =
            "there is a single copy of the environment: a power cut while it is written loses it";
        out.push(finding(level, reason, remedy));
    }
    if facts.share_erase_unit {
        out.push(finding(
            Grade::Weak,
            "both copies of the environment lie in one unit of 4 MiB, which a card may lose as a whole",
            "Move them 4 MiB apart, in U-Boot's configuration and in fw_env.config.",
        ));
    }
}

fn meet(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// What a copy lies in that is not for it, each with what to do. A partition's own node, and the
/// type that U-Boot gives its environment, say that the partition is for it.
pub(super) fn trespasses(copy: &CopyFacts, table: &PartitionTable) -> Vec<(String, &'static str)> {
    let Some(range) = &copy.on_disk else { return Vec::new() };
    let mut out = Vec::new();
    let holds = |p: &&Partition| {
        let own = p.range();
        let inside = own.start <= range.start && range.end <= own.end;
        meet(range, &own) && !(inside && (copy.own_partition || p.type_id == ENV_PARTITION))
    };
    if let Some(hit) = table.partitions.iter().find(holds) {
        out.push((
            format!("in partition {} `{}`", hit.number, hit.name),
            "Correct the offsets in fw_env.config and U-Boot's configuration, or move the partition.",
        ));
    }
    if table.reserved.iter().any(|r| meet(r, range)) {
        out.push((
            "over the partition table".to_owned(),
            "Correct the offsets in fw_env.config and U-Boot's configuration.",
        ));
    }
    out
}

fn places(facts: &BootFacts, table: &PartitionTable, out: &mut Vec<Finding>) {
    let mut seen: Vec<&Range<u64>> = Vec::new();
    for (copy, number) in facts.copies.iter().zip(1..) {
        let Some(range) = &copy.on_disk else { continue };
        for (place, remedy) in trespasses(copy, table) {
            let reason = format!("copy {number} of the environment lies {place}");
            out.push(finding(Grade::Off, reason, remedy));
        }
        if seen.iter().any(|s| meet(s, range)) {
            out.push(finding(
                Grade::Off,
                "the two copies of the environment overlap",
                "Correct the offsets in fw_env.config.",
            ));
        }
        seen.push(range);
    }
}

fn variables(facts: &BootFacts, out: &mut Vec<Finding>) {
    match facts.bootlimit {
        Some(1..=9) => {}
        None => out.push(finding(
            Grade::Off,
            "`bootlimit` is missing or no plain number: U-Boot would count for ever, or the script gives up at once",
            "Put `bootlimit=3` into the environment.",
        )),
        Some(other) => out.push(finding(
            Grade::Off,
            format!("`bootlimit` is {other}; 1 to 9 are allowed"),
            "Put `bootlimit=3` into the environment.",
        )),
    }
    out.extend(facts.way_back.iter().cloned());
    if facts.counter.is_none() {
        out.push(finding(
            Grade::Off,
            "`surefoot_counter` does not say who counts the boots of a trial",
            "Set it to `uboot` (CONFIG_BOOTCOUNT_ENV) or `script`; see docs/uboot-environment.md.",
        ));
    }
    if !facts.trial && facts.bootcount.unwrap_or(0) > 0 {
        out.push(finding(
            Grade::Weak,
            "`bootcount` is not 0 outside a trial: something else may be counting",
            "Use CONFIG_BOOTCOUNT_ENV or `surefoot_counter=script` and no other counter.",
        ));
    }
    if facts.slot.is_none() {
        out.push(finding(
            Grade::Weak,
            "`surefoot_slot` names no slot: what boots is left to the script's default",
            "Nothing to do: the next update sets it.",
        ));
    }
}
