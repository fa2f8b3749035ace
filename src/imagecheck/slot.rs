//! Slot a: what the boot script loads from it, and whether it is what was signed.

use super::own::Own;
use super::table::opened;
use crate::disk::{Disk, Window};
use crate::event::Sink;
use crate::inspect::Diagnosis;
use crate::install::{SlotVerdict, installed, verify_slot};
use crate::model::{Failure, PART_BOOT, ReasonCode, Result, SlotId};
use crate::provision::{Measured, check_for_script, overlap, read_boot_file};
use crate::rootfs::Root;
use crate::slot::record::{Found, Lack, read_record};
use crate::slot::{FILESYSTEM_HEAD, Layout, bootable, filesystem, read_parts};
use std::path::Path;

const TOPIC: &str = "slot a";

/// Whether the script finds what it loads, by its own rules (uboot-scripts/boot.cmd), and has room for it. Of a boot part in FAT the
/// room is not looked at.
pub(super) fn kernel(
    path: &Path,
    layout: &Layout,
    root: Option<&Root>,
    variable: &dyn Fn(&str) -> Option<String>,
    out: &mut Diagnosis,
) {
    let parts = layout.parts(SlotId::A);
    let boot = parts.iter().find(|part| part.name.as_str() == PART_BOOT);
    let folder = if boot.is_some() { "" } else { "/boot" };
    let named = |name: &str| variable(name).filter(|value| !value.is_empty());
    let kernel = named("surefoot_kernel").unwrap_or_else(|| format!("{folder}/Image"));
    let wanted = [
        ("kernel", Some(kernel)),
        ("initramfs", named("surefoot_initrd")),
        ("device tree", named("surefoot_fdt")),
    ];
    let has = |file: &str| -> Result<bool> {
        let Some(part) = boot else {
            return root.map_or(Ok(true), |root| root.exists(file));
        };
        let disk = Disk::open(path)?;
        let window: Window = disk.read_partition(&part.partition)?;
        let mut head = vec![0; FILESYSTEM_HEAD];
        crate::disk::BlockDevice::read_at(&window, 0, &mut head)?;
        match filesystem(&head) {
            Some("FAT") => Ok(read_boot_file(&window, file).is_ok()),
            _ => opened(path, &part.partition)?.exists(file),
        }
    };
    for (what, file) in wanted {
        let Some(file) = file else { continue };
        match has(&file) {
            Ok(true) => {}
            Ok(false) => {
                let text = format!("there is no {what} {file}: the boot script cannot start it");
                let failure = Failure::new(ReasonCode::NotBootable, text);
                let next = "Put it into the root filesystem, or name its place in the environment (`surefoot_kernel`, `surefoot_initrd`, `surefoot_fdt`).";
                out.block(TOPIC, &failure.with_next(next));
            }
            Err(failure) => out.block(TOPIC, &failure),
        }
    }
    for name in ["surefoot_args", "surefoot_kernel", "surefoot_initrd", "surefoot_fdt"] {
        if let Some(Err(why)) = named(name).map(|value| check_for_script(name, &value)) {
            let failure = Failure::new(ReasonCode::NotBootable, why);
            let next = "Correct it in `[boot.set]` of the recipe, and build the image again.";
            out.block(TOPIC, &failure.with_next(next));
        }
    }
    let measure = |file: &str| -> Result<Option<Measured>> {
        let own = boot.and_then(|part| opened(path, &part.partition).ok());
        let Some(root) = (if boot.is_some() { own.as_ref() } else { root }) else {
            return Ok(None);
        };
        let Some(head) = root.read_head(file, 64)? else { return Ok(None) };
        Ok(root.about(file)?.map(|about| Measured { len: about.len, head }))
    };
    match overlap(variable, &measure, folder) {
        Ok(None) => {}
        Ok(Some(over)) => {
            let next =
                format!("Set `{}` in the environment to {:#x} or more.", over.variable, over.least);
            let failure = Failure::new(ReasonCode::NotBootable, over.text);
            out.block(TOPIC, &failure.with_next(next));
        }
        Err(failure) => out.block(TOPIC, &failure),
    }
}

/// The record of what was installed, and every byte of it. True for a factory system that nobody has signed.
pub(super) fn release(
    disk: &Disk,
    layout: &Layout,
    own: &Own,
    sink: &dyn Sink,
    out: &mut Diagnosis,
) -> bool {
    let parts = match read_parts(disk, layout, SlotId::A) {
        Ok(parts) => parts,
        Err(failure) => {
            out.block(TOPIC, &failure);
            return false;
        }
    };
    if !bootable(&parts) {
        let text = "slot a begins with no file system that the bootloader reads";
        out.block(TOPIC, &Failure::new(ReasonCode::NotBootable, text));
        return false;
    }
    let lack = match read_record(&parts[0].device) {
        Ok(Found::Complete(_)) => None,
        Ok(Found::None(lack)) => Some(lack),
        Err(failure) => {
            out.block(TOPIC, &failure);
            return false;
        }
    };
    if lack == Some(Lack::Absent) {
        let text = "factory release unsigned: version unknown, no delta".to_owned();
        let remedy = "Build the image from a signed artifact: `surefoot-forge image --artifact X.surefoot`, or with `--rootfs`, `--version` and `--key`.";
        out.warn("release", text, remedy.to_owned());
        return true;
    }
    let damaged = |text: &str| {
        let next = "Build the image again.";
        Failure::new(ReasonCode::SlotDamaged, text).with_next(next)
    };
    if let Some(lack) = lack {
        out.block("release", &damaged(&format!("slot a has {}", lack.words())));
        return false;
    }
    let Some(trust) = &own.trust else {
        let text = "slot a is signed, and there is no trust file to verify it with".to_owned();
        let remedy = "Put the trust file into the root, or beside the image.".to_owned();
        out.warn("release", text, remedy);
        return false;
    };
    match verify_slot(&parts, trust, sink) {
        Ok(SlotVerdict::Matches { version, .. }) => {
            out.good("release", format!("{version} in slot a, every byte as signed"));
            if let (Ok(Some(installed)), Some(settings)) = (installed(&parts, trust), &own.settings)
            {
                let (manifest, device) = (&installed.manifest, &settings.device);
                if manifest.product != device.product {
                    let text = format!(
                        "slot a is of the product {}, and the settings say {}",
                        manifest.product, device.product
                    );
                    out.block("release", &Failure::new(ReasonCode::WrongProduct, text));
                }
                if !manifest.compatible.contains(&device.compatible) {
                    let text = format!("slot a is not made for {}", device.compatible);
                    out.block("release", &Failure::new(ReasonCode::Incompatible, text));
                }
            }
        }
        // Nobody has mounted a disk that was never started: both are damage.
        Ok(verdict) => {
            let why = verdict.require_match().err();
            let text = why.map_or_else(String::new, |failure| failure.detail().to_owned());
            out.block("release", &damaged(&format!("slot a is not what was signed: {text}")));
        }
        Err(failure) => out.block("release", &failure.at("slot a")),
    }
    false
}
