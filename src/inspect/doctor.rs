//! Would a bad update come back on this board? Every finding with its remedy.

use super::finding::Diagnosis;
use super::{doctor_machine, doctor_state};
use crate::boot::{Grade, overall};
use crate::config::Settings;
use crate::device::{Found, ROOM, World, conditions, enough_room, find_booted, standing};
use crate::disk::Disk;
use crate::event::Sink;
use crate::model::{ByteLen, PART_BOOT, SlotId};
use crate::slot::{Layout, Part};
use crate::sys::process::Children;
use std::sync::Arc;

/// Looks at everything that an update leans on, and runs the health checks once. `equip` gives the
/// world what this process runs programs with.
pub fn doctor(settings: Settings, equip: impl Fn(&mut World), sink: &dyn Sink) -> Diagnosis {
    let mut out = Diagnosis::new();
    let disk = match settings.device.disk.open() {
        Ok(disk) => Arc::new(disk),
        Err(failure) => {
            out.block("disk", &failure);
            return out;
        }
    };
    let layout = look_at_disk(&settings, &disk, &mut out);
    match World::open(settings.clone()) {
        Ok(mut world) => {
            equip(&mut world);
            let found = conditions(&world, sink);
            look_at_environment(&settings, &disk, &found, &mut out);
            look_at_world(&world, &found, &mut out);
        }
        // Without a layout or a place for the environment there is no more to ask.
        Err(_) => {
            if let Some(layout) = &layout
                && let Err(failure) = find_booted(&settings, &disk, layout)
            {
                out.block("booted", &failure);
            }
            look_at_environment(&settings, &disk, &[], &mut out);
        }
    }
    out
}

fn look_at_disk(settings: &Settings, disk: &Disk, out: &mut Diagnosis) -> Option<Layout> {
    let table = match disk.table() {
        Ok(table) => table,
        Err(failure) => {
            out.block("partitions", &failure);
            return None;
        }
    };
    for warning in &table.warnings {
        let remedy = "Repair it with `sgdisk -e DISK` or `sgdisk -v DISK`.".to_owned();
        out.warn("partitions", warning.clone(), remedy);
    }
    match Layout::find(&table, &settings.slots) {
        Ok(layout) => {
            let [a, b] = [SlotId::A, SlotId::B].map(|slot| lengths(layout.parts(slot)));
            out.good("partitions", format!("slot a has {a}, slot b {b}"));
            // A boot part that is written before its root filesystem offers a kernel without it.
            if layout.parts(SlotId::A).iter().skip(1).any(|part| part.name.as_str() == PART_BOOT) {
                let remedy = "Name it first in `slots.a` and `slots.b`: docs/integrator.md.";
                out.warn("partitions", "boot is not the first part".to_owned(), remedy.to_owned());
            }
            Some(layout)
        }
        Err(failure) => {
            out.block("partitions", &failure);
            None
        }
    }
}

/// The lengths of a slot's partitions, with the names of its parts where it has several.
fn lengths(parts: &[Part]) -> String {
    let told: Vec<_> = parts
        .iter()
        .map(|part| match parts.len() {
            1 => ByteLen(part.partition.len).to_string(),
            _ => format!("{} {}", part.name, ByteLen(part.partition.len)),
        })
        .collect();
    told.join(" + ")
}

fn look_at_environment(
    settings: &Settings,
    disk: &Arc<Disk>,
    found: &[Found],
    out: &mut Diagnosis,
) {
    for topic in ["booted", "disk", "environment"] {
        out.found(topic, found);
    }
    let boot = settings.bootloader.open(Some(disk.clone()));
    let (facts, findings) = match boot.and_then(|boot| {
        let facts = boot.look()?;
        let findings = boot.findings(&facts);
        Ok((facts, findings))
    }) {
        Ok(found) => found,
        // A world that opens has told it already.
        Err(_) if !found.is_empty() => return,
        Err(failure) => return out.block("environment", &failure),
    };
    out.rollback = overall(&findings);
    if !out.has("environment") {
        let copies = facts.copies.len();
        let text = format!("{copies} valid copies, counter, limit and way back in place");
        out.good("environment", text);
    }
    if facts.readable() && out.rollback == Grade::Armed {
        out.good("rollback", "armed: a bad update comes back by itself".to_owned());
    }
}

fn look_at_world(world: &World, found: &[Found], out: &mut Diagnosis) {
    if let Ok(slot) = world.booted() {
        out.good("booted", format!("slot {slot} runs"));
    }
    for topic in ["trust", "identity", "state", "space"] {
        out.found(topic, found);
    }
    if let Ok(trust) = world.trust() {
        doctor_state::keys(&trust, out);
    }
    if let Ok(target) = world.target() {
        let revision = target.hardware.map_or(String::new(), |h| format!(", hardware {h}"));
        out.good("identity", format!("{}, {}{revision}", target.product, target.compatible));
    }
    let state = &world.settings.device.state;
    if !out.has("state") {
        out.good("state", state.display().to_string());
        if let Ok(free) = enough_room(state, ROOM) {
            doctor_state::left(free, state, out);
        }
    }
    if world.floor.load().damaged {
        let text = "a copy of the stored floor is damaged".to_owned();
        let remedy = "Nothing to do: the next commit mends it. Ask why it happened.".to_owned();
        out.warn("floor", text, remedy);
    }
    out.found("reset", found);
    doctor_state::first_boot(world, out);
    out.found("release", found);
    doctor_state::order(world, out);
    doctor_machine::look(world, &Children, out);
    let certificate = match standing(world) {
        Ok((journal, _)) => world.certified(&journal),
        Err(_) => world.certificate(),
    };
    doctor_state::drill(certificate.as_ref(), out);
    for topic in ["hooks", "times", "hold", "inhibit", "confirm", "trial", "health"] {
        out.found(topic, found);
    }
    #[cfg(feature = "apps")]
    super::apps::look(world, out);
    match world.settings.checks.len() {
        0 => out.warn(
            "health",
            "no health check is configured: only a person can commit".to_owned(),
            "Add a `[[health.check]]` to the configuration.".to_owned(),
        ),
        _ if out.has("health") => {}
        n => out.good("health", format!("{n} check{} configured", if n == 1 { "" } else { "s" })),
    }
}
