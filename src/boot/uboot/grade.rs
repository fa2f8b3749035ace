//! How well the copies of the environment are kept, with a remedy for everything that is not right.

use super::place::Place;
use crate::boot::{BootFacts, CopyFacts, Finding};
use crate::disk::{Partition, PartitionTable};
use crate::model::ReasonCode;
use std::ops::Range;

/// The type of a GPT partition that U-Boot itself keeps its environment in.
const ENV_PARTITION: &str = "3de21764-95bd-54bd-a5c3-4abe786f38a8";

/// Copies nearer than this may die together (DESIGN 9.10).
const ERASE_UNIT: u64 = 4 << 20;

/// What is wrong with each copy. `accept_single_copy` is `[boot] accept_single_copy` (DESIGN 9.15).
pub(super) fn copies(
    facts: &BootFacts,
    described: &[Place],
    accept_single_copy: bool,
) -> Vec<Finding> {
    let mut out = Vec::new();
    for (copy, number) in facts.copies.iter().zip(1..) {
        let Some(why) = copy.why() else { continue };
        let reason = format!("copy {number} of the environment ({why}) is not valid");
        if let Some(elsewhere) = &copy.elsewhere {
            // What stands there is healthy: a repair would destroy it, and a write go astray.
            let reason =
                format!("{reason}, and fw_env.config is wrong: there is {}", elsewhere.found);
            let remedy = format!(
                "Correct fw_env.config, and write no environment until then; it needs {}.",
                elsewhere.needs
            );
            out.push(Finding::off(reason, remedy));
        } else if facts.readable() {
            out.push(Finding::weak(reason, "Nothing to do: the next write repairs it."));
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
        out.push(Finding::off(failure.detail(), remedy));
    }
    if described.len() < 2 {
        let reason =
            "there is a single copy of the environment: a power cut while it is written loses it";
        out.push(match accept_single_copy {
            true => Finding::weak(
                reason,
                "Build U-Boot with a redundant environment (CONFIG_ENV_REDUNDANT or CONFIG_SYS_REDUNDAND_ENVIRONMENT).",
            ),
            false => Finding::off(
                reason,
                "Build U-Boot with a redundant environment, or accept the risk: `[boot] accept_single_copy = true`.",
            ),
        });
    }
    if share_erase_unit(&facts.copies, described) {
        out.push(Finding::weak(
            "both copies of the environment lie in one unit of 4 MiB, which a card may lose as a whole",
            "Move them 4 MiB apart, in U-Boot's configuration and in fw_env.config.",
        ));
    }
    out
}

/// Two copies in one device whose units of 4 MiB meet. Copies in files say nothing: where a file
/// system puts them is its own choice.
fn share_erase_unit(copies: &[CopyFacts], described: &[Place]) -> bool {
    let ([first, second], [one, two]) = (copies, described) else { return false };
    let units = |copy: &CopyFacts, place: &Place| {
        let range = copy.on_disk.clone().unwrap_or_else(|| {
            let start = place.offset();
            start..start + place.len()
        });
        (range.start / ERASE_UNIT, (range.end - 1) / ERASE_UNIT)
    };
    let (a, b) = (units(first, one), units(second, two));
    let same_device =
        one.device == two.device || (first.on_disk.is_some() && second.on_disk.is_some());
    same_device && a.0 <= b.1 && b.0 <= a.1
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

/// What each copy lies in that is not for it, on a disk with this table.
pub(super) fn places(copies: &[CopyFacts], table: &PartitionTable) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut seen: Vec<&Range<u64>> = Vec::new();
    for (copy, number) in copies.iter().zip(1..) {
        let Some(range) = &copy.on_disk else { continue };
        for (place, remedy) in trespasses(copy, table) {
            let reason = format!("copy {number} of the environment lies {place}");
            out.push(Finding::off(reason, remedy));
        }
        if seen.iter().any(|s| meet(s, range)) {
            out.push(Finding::off(
                "the two copies of the environment overlap",
                "Correct the offsets in fw_env.config.",
            ));
        }
        seen.push(range);
    }
    out
}
