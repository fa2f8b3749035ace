//! The folder that is a device.

use super::boot::{Content, Hardware};
use super::environment::{Flash, Variables};
use crate::boot::uboot::FwEnvConfig;
use crate::config::{Where, load};
use crate::disk::Window;
use crate::disk::{BlockDevice, TableKind, open_image_writable, read_table};
use crate::model::{BOOT_PARTITION, Failure, PART_ROOTFS, ReasonCode, Result, SlotId, WithReason};
use crate::provision::{Counter, SCRIPT_FILE, read_boot_file};
use crate::slot::{PartName, SlotNames, filesystem, kernel_part};
use crate::sys::{AlignedBuf, durable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the board loads things to; those of U-Boot's sandbox build, so that it can boot the
/// same image. The boot partition's script knows them as variables.
pub(super) const BOARD: [(&str, &str); 4] = [
    ("kernel_addr_r", "0x1000000"),
    ("ramdisk_addr_r", "0x2000000"),
    ("fdt_addr_r", "0xc00000"),
    ("scriptaddr", "0x1000"),
];

/// What is soldered, and no update can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Soldered {
    /// U-Boot; whether it counts the boots of a trial by itself, and not its script.
    Uboot { counts: bool },
    /// The bootloader with two numbered files.
    Numbered,
}

/// `sim.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// `uboot` where it is missing, or `numbered`.
    bootloader: Option<String>,
    /// Of U-Boot: `uboot` or `script`.
    counter: Option<String>,
}

impl Soldered {
    /// The text of `sim.toml`.
    pub(super) fn text(self) -> Result<String> {
        let (bootloader, counter) = match self {
            Soldered::Uboot { counts } => (None, Some(if counts { "uboot" } else { "script" })),
            Soldered::Numbered => (Some("numbered"), None),
        };
        let word = |word: Option<&str>| word.map(str::to_owned);
        let written = Written { bootloader: word(bootloader), counter: word(counter) };
        toml::to_string(&written).reason(ReasonCode::Internal, "sim.toml")
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) folder: PathBuf,
}

impl Device {
    /// A folder made by `new`.
    pub(super) fn open(folder: &Path) -> Result<Device> {
        let device = Device { folder: folder.to_owned() };
        if device.disk().is_file() && device.path("sim.toml").is_file() {
            Ok(device)
        } else {
            let text = format!(
                "{} is no simulated device; make one: surefoot-sim new DIR",
                folder.display()
            );
            Err(Failure::new(ReasonCode::NoSuchFile, text))
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.path("disk.img")
    }

    /// Which bootloader it has.
    pub(super) fn soldered(&self) -> Result<Soldered> {
        let path = self.path("sim.toml");
        let bad = |why: String| {
            Failure::new(ReasonCode::ConfigInvalid, format!("{}: {why}", path.display()))
        };
        let bytes = durable::read_foreign(&path, 1 << 16)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|e| bad(e.to_string()))?;
        let written: Written = toml::from_str(&text).map_err(|e| bad(e.message().to_owned()))?;
        let words = (written.bootloader.as_deref(), written.counter.as_deref());
        match words {
            (None | Some("uboot"), Some("uboot")) => Ok(Soldered::Uboot { counts: true }),
            (None | Some("uboot"), Some("script")) => Ok(Soldered::Uboot { counts: false }),
            (Some("numbered"), None) => Ok(Soldered::Numbered),
            (None | Some("uboot"), counter) => {
                let counter = counter.unwrap_or_default();
                Err(bad(format!("the counter `{counter}` is not `uboot` or `script`")))
            }
            (Some("numbered"), Some(_)) => Err(bad("only U-Boot has a counter".to_owned())),
            (Some(other), _) => {
                Err(bad(format!("the bootloader `{other}` is not `uboot` or `numbered`")))
            }
        }
    }

    /// Whether its U-Boot counts by itself. `USAGE` for a device that has no U-Boot.
    pub(super) fn counts(&self) -> Result<bool> {
        match self.soldered()? {
            Soldered::Uboot { counts } => Ok(counts),
            Soldered::Numbered => {
                let folder = self.folder.display();
                let text = format!("{folder} has no U-Boot, and this is made for U-Boot alone");
                Err(Failure::new(ReasonCode::Usage, text))
            }
        }
    }

    /// Nothing runs on it any more, until something does.
    pub(super) fn nothing_runs(&self) {
        for name in ["run/booted", "run/boot.json", "run/unhealthy"] {
            let _ = std::fs::remove_file(self.path(name));
        }
    }

    /// The image, held so that no update writes while it boots.
    pub(super) fn disk_held(&self) -> Result<Disk> {
        let image = open_image_writable(&self.disk())?;
        let slots = load(&Where::File(self.path("surefoot.toml")))?.settings.slots;
        Ok(Disk { image, slots })
    }

    /// The same, with the environment of U-Boot in it.
    pub(super) fn uboot_disk(&self) -> Result<UbootDisk> {
        let disk = self.disk_held()?;
        let copies = self.copies(disk.image.len())?;
        Ok(UbootDisk { disk, copies })
    }

    /// Where `fw_env.config` says that the copies of the environment are, in this disk of `len`
    /// bytes: offset and length.
    fn copies(&self, len: u64) -> Result<[(u64, u64); 2]> {
        let path = self.path("fw_env.config");
        let text = durable::read_foreign(&path, 1 << 16)?.unwrap_or_default();
        let config = FwEnvConfig::parse(&String::from_utf8_lossy(&text))
            .map_err(|f| f.at(path.display()))?;
        let place = |offset: i64| match u64::try_from(offset) {
            Ok(at) => at,
            Err(_) => len.saturating_sub(offset.unsigned_abs()),
        };
        match &config.copies[..] {
            [a, b] => Ok([(place(a.offset), a.size), (place(b.offset), b.size)]),
            _ => Err(Failure::new(
                ReasonCode::EnvConfig,
                format!("{}: the simulator plays boards with two copies", path.display()),
            )),
        }
    }
}

/// The image of a device, as its bootloader sees it.
pub(super) struct Disk {
    image: Arc<dyn BlockDevice>,
    /// The partitions of the slots.
    slots: SlotNames,
}

impl Disk {
    /// A disk that is only looked at.
    pub(super) fn of_image(image: Arc<dyn BlockDevice>, slots: SlotNames) -> Disk {
        Disk { image, slots }
    }

    /// What U-Boot finds on it. `broken` names a slot whose kernel cannot be loaded in this boot.
    pub(super) fn hardware(&self, counts: bool, broken: Option<SlotId>) -> Result<Hardware> {
        let partitions = self.partitions(broken)?;
        let kind = if counts { Counter::Uboot } else { Counter::Script };
        let factory = kind.factory_environment().lines().filter_map(|l| l.split_once('='));
        let defaults: Variables = BOARD
            .into_iter()
            .chain(factory)
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Ok(Hardware { counts, defaults, partitions })
    }

    /// Its partitions by number. `broken` names a slot whose kernel cannot be loaded in this boot.
    pub(super) fn partitions(&self, broken: Option<SlotId>) -> Result<BTreeMap<u32, Content>> {
        let mut partitions = BTreeMap::new();
        let table = read_table(self.image.as_ref())?;
        for partition in table.partitions {
            let slot = [SlotId::A, SlotId::B].into_iter().find(|slot| {
                let parts = self.slots.of(*slot);
                let kernel = kernel_part(parts.iter().map(|name| &name.part));
                let is_it = |name: &&PartName| {
                    let uuid = name.partition.strip_prefix("partuuid:");
                    name.partition == partition.name
                        || uuid.is_some_and(|uuid| partition.uuid.eq_ignore_ascii_case(uuid))
                };
                let mut named = parts.iter().filter(is_it);
                named.any(|name| name.part.as_str() == kernel)
            });
            let system = match slot.filter(|s| Some(*s) != broken) {
                Some(slot) => self.has_system(partition.start)?.then_some(slot),
                None => None,
            };
            let mut files = BTreeMap::new();
            // A table without names has it in the first place.
            let unnamed = table.kind == TableKind::Mbr && partition.number == 1;
            if partition.name == BOOT_PARTITION || unnamed && slot.is_none() {
                let window = Window::new(self.image.clone(), partition.start, partition.len)?;
                let script = read_boot_file(&window, SCRIPT_FILE);
                files.extend(script.ok().map(|bytes| (SCRIPT_FILE.to_owned(), bytes)));
            }
            let content = Content { name: partition.name, uuid: partition.uuid, files, system };
            partitions.insert(partition.number, content);
        }
        Ok(partitions)
    }

    /// The partition with the root filesystem of a slot, as the configuration names it.
    pub(super) fn root_of(&self, slot: SlotId) -> Option<&str> {
        let parts = self.slots.of(slot).iter();
        parts.clone().find(|n| n.part.as_str() == PART_ROOTFS).map(|n| n.partition.as_str())
    }

    /// Whether a superblock that U-Boot knows stands at its place. The first 128 KiB of a part are
    /// written last, so that this is also whether it is whole.
    fn has_system(&self, start: u64) -> Result<bool> {
        Ok(filesystem(&self.bytes(start, 4096)?).is_some())
    }

    fn bytes(&self, start: u64, len: u64) -> Result<Vec<u8>> {
        let len = usize::try_from(len)
            .map_err(|_| Failure::new(ReasonCode::LayoutInvalid, "a partition beyond memory"))?;
        let mut buf = AlignedBuf::new(len);
        self.image.read_at(start, &mut buf)?;
        Ok(buf.to_vec())
    }
}

/// The image of a device with U-Boot.
pub(super) struct UbootDisk {
    disk: Disk,
    /// Offset and length of each copy of the environment.
    copies: [(u64, u64); 2],
}

impl UbootDisk {
    /// What U-Boot finds on it. `broken` names a slot whose kernel cannot be loaded in this boot.
    pub(super) fn hardware(&self, counts: bool, broken: Option<SlotId>) -> Result<Hardware> {
        self.disk.hardware(counts, broken)
    }
}

impl Flash for UbootDisk {
    fn read(&self) -> Result<[Vec<u8>; 2]> {
        let [first, second] = self.copies;
        Ok([self.disk.bytes(first.0, first.1)?, self.disk.bytes(second.0, second.1)?])
    }

    fn write(&mut self, copy: usize, bytes: &[u8]) -> Result<()> {
        let mut buf = AlignedBuf::new(bytes.len());
        buf.copy_from_slice(bytes);
        self.disk.image.write_at(self.copies[copy].0, &buf)?;
        self.disk.image.flush()
    }
}
