//! Which disk it is, and whether it is one of ours. Nothing is written before that is known.

use super::volume::written_part;
use crate::disk::{Disk, Partition, PartitionTable, TableKind, Window};
use crate::firstboot::volume::read_file;
use crate::firstboot::{PROVISION_FILE, PROVISION_LIMIT};
use crate::forge::flash::without_maps;
use crate::model::{BOOT_PARTITION, Failure, ReasonCode, Result};
use std::path::{Path, PathBuf};

/// The script that U-Boot runs, and a word that every version of it puts on the kernel's command line.
const SCRIPT: &str = "boot.scr";
const SCRIPT_MAX: u64 = 1 << 20;
const MARK: &[u8] = b"surefoot.script=";

/// The types of a FAT partition in a DOS partition table.
const FAT_TYPES: [&str; 7] = ["01", "04", "06", "0b", "0c", "0e", "ef"];

/// What to give here, where a device would look into its settings.
const HOST: &str = "Give the image of a disk, or the device of a card (`lsblk`).";

/// A disk of ours.
pub(super) struct Target {
    disk: Disk,
    boot: Partition,
}

impl Target {
    /// `FOREIGN_DISK` where it is none; `DISK_IN_USE` where a part of it is in use.
    pub(super) fn open(path: &Path) -> Result<Target> {
        let disk = Disk::open(path).map_err(|f| f.with_next(HOST))?;
        let foreign =
            |why: &str| Failure::new(ReasonCode::ForeignDisk, format!("{}: {why}", path.display()));
        // It names the disk itself.
        let table = disk.table().map_err(|f| Failure::new(ReasonCode::ForeignDisk, f.detail()))?;
        for partition in &table.partitions {
            if let Some(why) = disk.in_use(partition)? {
                let (at, number) = (path.display(), partition.number);
                let text = format!("partition {number} of {at} is {why}");
                return Err(Failure::new(ReasonCode::DiskInUse, text));
            }
        }
        let boot = boot_partition(&table).map_err(foreign)?.clone();
        let script = read_file(&disk.read_partition(&boot)?, SCRIPT, SCRIPT_MAX)
            .map_err(|e| foreign(&format!("partition {}: {e}", boot.number)))?;
        match script {
            Some(script) if script.windows(MARK.len()).any(|w| w == MARK) => {
                Ok(Target { disk, boot })
            }
            Some(_) => Err(foreign("the boot.scr on its boot partition is not Surefoot's")),
            None => Err(foreign("there is no boot.scr on its boot partition")),
        }
    }

    /// For people.
    pub(super) fn place(&self) -> String {
        format!("partition {} of {}", self.boot.number, self.disk.path().display())
    }

    /// The bytes of `provision.toml`; `None` where there is none.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>> {
        let part = self.disk.read_partition(&self.boot)?;
        read_file(&part, PROVISION_FILE, PROVISION_LIMIT).map_err(|e| {
            let text = format!("{PROVISION_FILE} on {}: {e}", self.place());
            Failure::new(ReasonCode::Io, text)
        })
    }

    /// Has `provision.toml` hold these bytes, or not be there. Says which maps of the image are removed.
    pub(super) fn write(&self, content: Option<&[u8]>) -> Result<Vec<PathBuf>> {
        let part: Window = self.disk.open_partition(&self.boot).map_err(|f| match f.code() {
            ReasonCode::SlotMounted => Failure::new(ReasonCode::DiskInUse, f.detail()),
            _ => f,
        })?;
        // Before the image is another one: after a cut it has no map, and not a wrong one.
        let maps = without_maps(self.disk.path())?;
        written_part(&part, PROVISION_FILE, content)?;
        let there = self.read()?;
        match there.as_deref() == content {
            true => Ok(maps),
            false => {
                let text =
                    format!("{PROVISION_FILE} on {} reads back other than written", self.place());
                Err(Failure::new(ReasonCode::ReadBack, text))
            }
        }
    }
}

/// The boot partition: by its name, or on a disk without names the first that is FAT.
fn boot_partition(table: &PartitionTable) -> std::result::Result<&Partition, &'static str> {
    match table.kind {
        TableKind::Gpt => {
            if ["rootfs-a", "rootfs-b"].iter().any(|name| table.by_name(name).is_none()) {
                return Err("there is no rootfs-a or no rootfs-b on it");
            }
            match table.only(|p| p.name == BOOT_PARTITION) {
                Ok(Some(boot)) => Ok(boot),
                Ok(None) => Err("it has no partition `boot`"),
                Err(_) => Err("it has two partitions `boot`"),
            }
        }
        TableKind::Mbr => {
            let fat = |p: &&Partition| FAT_TYPES.contains(&p.type_id.as_str());
            table.partitions.iter().find(fat).ok_or("it has no FAT partition")
        }
    }
}
