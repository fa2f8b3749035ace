//! Writing a new image file.

use super::{
    ENV_LEN, ENV_OFFSETS, Layout, Place, SCRIPT_FILE, fat, shipped_boot_script, wrap_script,
};
use crate::boot::uboot::Env;
use crate::model::{BOOT_PARTITION, ByteLen, Failure, ReasonCode, Result, WithReason};
use crate::slot::record::RECORD_LEN;
use crate::sys::files;
use gpt::partition_types;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Who counts the boots of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// U-Boot itself (CONFIG_BOOTCOUNT_ENV).
    Uboot,
    /// The boot script, on a stock U-Boot.
    Script,
}

impl Counter {
    /// The factory environment for boards of this kind: `name=value` lines.
    pub fn factory_environment(self) -> &'static str {
        match self {
            Counter::Uboot => include_str!("../../uboot-scripts/factory-env-uboot.txt"),
            Counter::Script => include_str!("../../uboot-scripts/factory-env-script.txt"),
        }
    }
}

/// What a new disk carries.
#[derive(Debug, Clone)]
pub struct Card<'a> {
    /// Bytes of each root filesystem's partition.
    pub slot_size: u64,
    /// Bytes of each slot's boot part, if slots have one.
    pub boot_part: Option<u64>,
    /// Bytes of the disk; what is needed if `None`.
    pub disk_size: Option<u64>,
    /// Its factory environment, written to both copies; `None` for a board without U-Boot, whose
    /// disk has no environment and no boot script.
    pub counter: Option<Counter>,
    /// Variables of the board that stand before the factory's: a stored environment replaces the
    /// compiled-in one, load addresses and all.
    pub board: &'a [(&'a str, &'a str)],
    /// The root filesystem in slot a; an image file.
    pub rootfs: Option<&'a Path>,
    /// The boot part of slot a; an image file.
    pub boot: Option<&'a Path>,
}

/// Makes the image file. It must not exist: no disk, and nothing that somebody may need, is ever
/// written over. What is left after a failure is removed.
pub fn make(path: &Path, card: &Card<'_>) -> Result<Layout> {
    let layout = Layout::new(card.slot_size, card.boot_part, card.disk_size)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .reason(ReasonCode::Io, format!("making {}", path.display()))?;
    match fill(&file, &layout, card) {
        Ok(()) => Ok(layout),
        Err(failure) => {
            let _ = std::fs::remove_file(path);
            Err(failure.at(path.display()))
        }
    }
}

fn fill(file: &File, layout: &Layout, card: &Card<'_>) -> Result<()> {
    file.set_len(layout.size).reason(ReasonCode::NoSpace, "reserving its length")?;
    write_table(file, layout)?;
    let mut script = None;
    if let Some(counter) = card.counter {
        write_environment(file, counter, card.board)?;
        let shipped = wrap_script(&shipped_boot_script());
        let long = || Failure::new(ReasonCode::Internal, "the boot script is too long");
        script = Some(shipped.ok_or_else(long)?);
    }
    let files: Vec<_> = script.iter().map(|script| (SCRIPT_FILE, script.as_slice())).collect();
    let boot = fat::format(layout.boot().len, &files)?;
    copy_sparse(file, layout.boot().start, boot.as_slice(), layout.boot().len)?;
    // Last the root filesystem; the first part carries the slot record.
    for (index, place) in layout.slot_a().enumerate() {
        let image = if place.name == "rootfs-a" { card.rootfs } else { card.boot };
        let room = place.len - if index == 0 { RECORD_LEN } else { 0 };
        if let Some(image) = image {
            copy_part(file, place, room, image).map_err(|e| e.at(image.display()))?;
        }
    }
    file.sync_all().map_err(io)
}

fn write_environment(file: &File, counter: Counter, board: &[(&str, &str)]) -> Result<()> {
    let mut env = Env::default();
    let factory = counter.factory_environment().lines();
    let pairs = board.iter().copied().chain(factory.filter_map(|l| l.split_once('=')));
    for (name, value) in pairs {
        env.set(name, value)?;
    }
    for (serial, offset) in [(1, ENV_OFFSETS[0]), (0, ENV_OFFSETS[1])] {
        let len = usize::try_from(ENV_LEN).reason(ReasonCode::Internal, "environment")?;
        let copy = env.encode(len, Some(serial))?;
        file.write_all_at(&copy, offset).map_err(io)?;
    }
    Ok(())
}

fn io(error: std::io::Error) -> Failure {
    crate::sys::durable::io_failure("write", Path::new("the image"), &error)
}

fn write_table(file: &File, layout: &Layout) -> Result<()> {
    let told = "writing the partition table";
    let sectors = u32::try_from(layout.size / 512 - 1).unwrap_or(u32::MAX);
    let mut device = file.try_clone().map_err(io)?;
    gpt::mbr::ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(&mut device)
        .reason(ReasonCode::Io, told)?;
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(gpt::disk::LogicalBlockSize::Lb512)
        .create_from_device(device, None)
        .reason(ReasonCode::Io, told)?;
    for (number, place) in (1..).zip(&layout.partitions) {
        let boot = place.name == BOOT_PARTITION;
        let kind = if boot { partition_types::BASIC } else { partition_types::LINUX_FS };
        // Attribute bit 2, legacy BIOS bootable: where U-Boot looks for a boot script first.
        let attributes = if boot { 1 << 2 } else { 0 };
        disk.add_partition_at(
            place.name,
            number,
            place.start / 512,
            place.len / 512,
            kind,
            attributes,
        )
        .reason(ReasonCode::Io, told)?;
    }
    disk.write().reason(ReasonCode::Io, told)?;
    Ok(())
}

fn copy_part(file: &File, place: &Place, room: u64, image: &Path) -> Result<()> {
    let source = files::foreign(image).reason(ReasonCode::NoSuchFile, image.display())?;
    let len = source.metadata().map_err(io)?.len();
    if len > room {
        let text = format!("{} do not fit a slot with room for {}", ByteLen(len), ByteLen(room));
        return Err(Failure::new(ReasonCode::TooBig, text));
    }
    copy_sparse(file, place.start, source, room)
}

/// Copies what is not zero into a file that reads as zeros.
fn copy_sparse(to: &File, start: u64, mut from: impl Read, room: u64) -> Result<()> {
    const BLOCK: usize = 64 << 10;
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let mut block = vec![0; BLOCK];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match from.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io(e)),
            }
        }
        let now = &block[..filled];
        if now != &ZEROS[..filled] {
            if at + filled as u64 > room {
                return Err(Failure::new(ReasonCode::TooBig, "it grew while it was copied"));
            }
            to.write_all_at(now, start + at).map_err(io)?;
        }
        if filled < BLOCK {
            return Ok(());
        }
        at += filled as u64;
    }
}
