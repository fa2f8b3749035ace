//! The environment of the bootloader: both copies, what they say, and that `fw_env.config` says where they are.

use super::own::Own;
use super::table::data;
use crate::boot::uboot::{CopyPlace, EnvStore, FwEnvConfig, UbootControl};
use crate::boot::{BootControl, Bootloader, Grade, overall};
use crate::disk::{BlockDevice, Disk, Partition, PartitionTable};
use crate::inspect::Diagnosis;
use crate::model::{BOOT_PARTITION, Failure, ReasonCode, Result, SlotId, paths};
use crate::provision::read_boot_file;
use crate::slot::Layout;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TOPIC: &str = "environment";

/// The bootloader's memory on the disk, where it is there and can be read.
pub(super) fn look(
    disk: &Arc<Disk>,
    table: &PartitionTable,
    own: &Own,
    layout: Option<&Layout>,
    out: &mut Diagnosis,
) -> Option<Box<dyn BootControl>> {
    let bootloader = own.settings.as_ref().map(|settings| &settings.bootloader);
    let boot: Box<dyn BootControl> = match bootloader {
        Some(Bootloader::Uboot { .. }) | None => {
            let (name, text) = own.environment.as_ref()?;
            let config = match FwEnvConfig::parse(text) {
                Ok(config) => config,
                Err(failure) => {
                    out.block(TOPIC, &failure.at(name));
                    return None;
                }
            };
            let mut copies = Vec::new();
            let single =
                matches!(bootloader, Some(Bootloader::Uboot { accept_single_copy: true, .. }));
            if let Some(files) = in_files(&config, disk, table) {
                // U-Boot makes the second file when it saves for the first time.
                let single = single || (config.is_redundant() && files.1.copies.len() == 1);
                let (memory, config) = files;
                let place = Path::new(FILES);
                let memory = Arc::new(Disk::given(place, Arc::new(memory)));
                let store = EnvStore::new(&config, Path::new("/"), Some(memory));
                let boot = Box::new(UbootControl::new(store).accept_single_copy(single));
                return judged(boot, table, layout, out);
            }
            for copy in config.copies {
                match place(&copy, disk, table) {
                    Ok(place) => copies.push(place),
                    Err(Elsewhere::OffTheDisk(what)) => {
                        let text =
                            format!("{name} puts it into {what}, which is not in this image");
                        let remedy = "Look at it on the device: `surefoot doctor`.".to_owned();
                        out.notice(TOPIC, text, remedy);
                        return None;
                    }
                    Err(Elsewhere::Wrong(why)) => {
                        let failure = Failure::new(ReasonCode::EnvConfig, format!("{name}: {why}"));
                        out.block(TOPIC, &failure);
                        return None;
                    }
                }
            }
            let store = EnvStore::new(&FwEnvConfig { copies }, Path::new("/"), Some(disk.clone()));
            Box::new(UbootControl::new(store).accept_single_copy(single))
        }
        #[allow(unreachable_patterns, reason = "a build without the simulator knows no other one")]
        Some(other) => other.open(Some(disk.clone())).ok()?,
    };
    judged(boot, table, layout, out)
}

fn judged(
    boot: Box<dyn BootControl>,
    table: &PartitionTable,
    layout: Option<&Layout>,
    out: &mut Diagnosis,
) -> Option<Box<dyn BootControl>> {
    match judge(&*boot, table, layout, out) {
        Ok(()) => Some(boot),
        Err(failure) => {
            out.block(TOPIC, &failure);
            None
        }
    }
}

fn judge(
    boot: &dyn BootControl,
    table: &PartitionTable,
    layout: Option<&Layout>,
    out: &mut Diagnosis,
) -> Result<()> {
    let facts = boot.look()?;
    let findings = boot.findings(&facts);
    out.rollback = overall(&findings);
    let unreadable = facts.unreadable();
    for finding in &findings {
        let code = match (finding.level, &unreadable) {
            (Grade::Off, Some(failure)) => failure.code(),
            (Grade::Off, None) => ReasonCode::RollbackOff,
            (Grade::Weak | Grade::Armed, _) => {
                // A copy that is dead on a new disk was never written: on a device the next write mends it.
                if !finding.reason.contains("is not valid") {
                    out.warn(TOPIC, finding.reason.clone(), finding.remedy.clone());
                    continue;
                }
                ReasonCode::EnvUnreadable
            }
        };
        let failure = Failure::new(code, &finding.reason).with_next(&finding.remedy);
        out.block(TOPIC, &failure);
    }
    if !facts.readable() {
        return Ok(());
    }
    if facts.trial {
        let text = "a trial is pending in the environment of a disk that has not started yet";
        let failure = Failure::new(ReasonCode::TrialPending, text);
        out.block(TOPIC, &failure.with_next("Build the image again: a new disk boots slot a."));
    } else if facts.slot != Some(SlotId::A) {
        let slot = facts.slot.map_or_else(|| "no slot".to_owned(), |slot| format!("slot {slot}"));
        let text = format!("the environment boots {slot}");
        out.warn(TOPIC, text, "A new disk boots slot a: build the image again.".to_owned());
    }
    if let Some(layout) = layout
        && let Err(failure) = layout.agrees_with_boot_script(table, |name| boot.variable(name))
    {
        out.block("partitions", &failure);
    }
    if !out.has(TOPIC) {
        let copies = facts.copies.len();
        out.good(TOPIC, format!("{copies} valid copies, counter, limit and way back in place"));
    }
    if out.rollback == Grade::Armed {
        out.good("rollback", "armed: a bad update comes back by itself".to_owned());
    }
    Ok(())
}

/// Under which name the files of an environment are looked at.
const FILES: &str = "/boot partition";

/// An environment in files of the boot partition, as memory with a copy at each whole 4 MiB: what is grave of copies side by
/// side in a disk is nothing of files. `None` where it is not in files, or they are not there.
fn in_files(
    config: &FwEnvConfig,
    disk: &Disk,
    table: &PartitionTable,
) -> Option<(Memory, FwEnvConfig)> {
    let boot = table.by_name(BOOT_PARTITION).or(table.partitions.first())?;
    let part = disk.read_partition(boot).ok()?;
    let (mut memory, mut copies) = (Vec::new(), Vec::new());
    for copy in &config.copies {
        let name = copy.device.file_name()?.to_str()?;
        if copy.device.starts_with("/dev") || copy.offset != 0 {
            return None;
        }
        let Ok(bytes) = read_boot_file(&part, name) else { continue };
        let at = copies.len() * (8 << 20);
        memory.resize(at, 0);
        memory.extend(bytes);
        let offset = i64::try_from(at).ok()?;
        copies.push(CopyPlace { device: FILES.into(), offset, size: copy.size });
    }
    (!copies.is_empty()).then_some((Memory(memory), FwEnvConfig { copies }))
}

/// Bytes that are read like a device.
struct Memory(Vec<u8>);

impl BlockDevice for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn block_size(&self) -> usize {
        512
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self.0.get(start..).and_then(|rest| rest.get(..buf.len()));
        let outside = || Failure::new(ReasonCode::Io, "it ends before that");
        buf.copy_from_slice(there.ok_or_else(outside)?);
        Ok(())
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Failure::new(ReasonCode::Internal, "an image is only read"))
    }
    fn zero(&self, _: u64, _: u64) -> Result<()> {
        Err(Failure::new(ReasonCode::Internal, "an image is only read"))
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// Why a copy is not looked at.
enum Elsewhere {
    OffTheDisk(String),
    Wrong(String),
}

/// Where a copy lies in the disk, from where the device sees it.
fn place(
    copy: &CopyPlace,
    disk: &Disk,
    table: &PartitionTable,
) -> std::result::Result<CopyPlace, Elsewhere> {
    let on_disk = |start: i64| CopyPlace {
        device: std::path::absolute(disk.path()).unwrap_or_else(|_| disk.path().to_owned()),
        offset: copy.offset + start,
        size: copy.size,
    };
    let device = copy.device.as_path();
    let name = device.file_name().unwrap_or_default().to_string_lossy();
    let shown = device.display();
    if device.starts_with("/dev") {
        if name.starts_with("mtd") || name.starts_with("ubi") || is_boot_partition(&name) {
            return Err(Elsewhere::OffTheDisk(shown.to_string()));
        }
        return match partition(device, &name, table) {
            Some(Ok(partition)) => {
                let start = i64::try_from(partition.start).unwrap_or(i64::MAX);
                match copy.offset < 0 {
                    true => {
                        let len = i64::try_from(partition.len).unwrap_or(i64::MAX);
                        Ok(on_disk(start.saturating_add(len)))
                    }
                    false => Ok(on_disk(start)),
                }
            }
            Some(Err(why)) => Err(Elsewhere::Wrong(format!("{shown}: {why}"))),
            None => Ok(on_disk(0)),
        };
    }
    match device.extension().is_some_and(|ending| ending == "img") {
        // The simulator and jigs name the image itself.
        true => Ok(on_disk(0)),
        false => Err(Elsewhere::OffTheDisk(format!("the file {shown}"))),
    }
}

/// `mmcblk0boot1`: a part of an eMMC beside the disk.
fn is_boot_partition(name: &str) -> bool {
    name.strip_prefix("mmcblk").is_some_and(|rest| rest.contains("boot"))
}

/// The partition that a node of the device is; `None` for the whole disk.
fn partition<'t>(
    device: &Path,
    name: &str,
    table: &'t PartitionTable,
) -> Option<std::result::Result<&'t Partition, &'static str>> {
    let found =
        |partition: Option<&'t Partition>| Some(partition.ok_or("the disk has no such partition"));
    if device.starts_with(paths::LINKS) {
        return match name {
            "disk" => None,
            "data" => found(data(table)),
            BOOT_PARTITION => found(table.by_name(name).or(table.partitions.first())),
            name => found(table.by_name(name)),
        };
    }
    if device.parent() == Some(&PathBuf::from("/dev/disk/by-partlabel")) {
        return found(table.by_name(name));
    }
    // A node whose own name ends in a digit has a `p` before the number of the partition.
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name[digits.len()..].parse::<u32>().ok()?;
    let disk = digits.strip_suffix('p').filter(|disk| disk.ends_with(|c: char| c.is_ascii_digit()));
    let plain = ["sd", "vd", "hd", "xvd"].iter().any(|kind| digits.starts_with(kind));
    let is_part = disk.is_some() || (plain && digits.len() > 2);
    is_part.then(|| {
        let mut partitions = table.partitions.iter();
        partitions.find(|p| p.number == number).ok_or("the disk has no such partition")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::TableKind;

    #[test]
    fn a_node_is_the_disk_or_one_of_its_partitions() {
        let part = |number, name: &str| Partition {
            number,
            name: name.to_owned(),
            start: u64::from(number) << 20,
            len: 1 << 20,
            uuid: String::new(),
            type_id: String::new(),
        };
        let table = PartitionTable {
            partitions: vec![part(1, "boot"), part(2, "rootfs-a"), part(4, "data")],
            kind: TableKind::Gpt,
            reserved: Vec::new(),
            warnings: Vec::new(),
        };
        for (node, expected) in [
            ("/dev/mmcblk0", None),
            ("/dev/mmcblk0p2", Some(Ok(2))),
            ("/dev/mmcblk0p9", Some(Err(()))),
            ("/dev/nvme0n1", None),
            ("/dev/nvme0n1p4", Some(Ok(4))),
            ("/dev/sda", None),
            ("/dev/sda1", Some(Ok(1))),
            ("/dev/vdb2", Some(Ok(2))),
            ("/dev/surefoot/disk", None),
            ("/dev/surefoot/boot", Some(Ok(1))),
            ("/dev/surefoot/data", Some(Ok(4))),
            ("/dev/surefoot/none", Some(Err(()))),
            ("/dev/disk/by-partlabel/data", Some(Ok(4))),
        ] {
            let path = Path::new(node);
            let name = path.file_name().unwrap().to_str().unwrap();
            let found = partition(path, name, &table);
            let found = found.map(|p| p.map(|p| p.number).map_err(|_| ()));
            assert_eq!(found, expected, "{node}");
        }
        assert!(is_boot_partition("mmcblk2boot0") && !is_boot_partition("mmcblk2"));
    }
}
