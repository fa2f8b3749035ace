//! Getting at the bytes of one copy, wherever it lies: in the configured disk or image, in a
//! partition of its own, in an eMMC boot partition, in a file on FAT or ext4.

use super::CopyPlace;
use crate::disk::{BlockDevice, Disk, open_device, open_in_place, rehearse_writing};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::blk::{ForceRo, Identity, create_file};
use crate::sys::mounts::{self, DeviceNumber};
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a copy whose file is not there is dead.
pub(super) const MISSING: &str = "the file does not exist";

/// A copy's place with its path made absolute.
pub(super) struct Place {
    pub(super) device: PathBuf,
    /// As `fw_env.config` writes it.
    pub(super) written: PathBuf,
    offset: i64,
    pub(super) size: usize,
    disk: Option<Arc<Disk>>,
}

impl Place {
    pub(super) fn new(copy: &CopyPlace, base: &Path, disk: Option<&Arc<Disk>>) -> Place {
        let device = base.join(&copy.device);
        let disk = disk.filter(|d| d.is(&device)).cloned();
        Place {
            device,
            written: copy.device.clone(),
            offset: copy.offset,
            size: usize::try_from(copy.size).unwrap_or(usize::MAX),
            disk,
        }
    }

    /// True if it lies on hardware of this machine, where libubootenv's lock is needed.
    pub(super) fn is_device(&self) -> bool {
        match &self.disk {
            Some(disk) => !disk.is_image(),
            None => matches!(Identity::of(&self.device), Ok(Identity::Device(_))),
        }
    }

    /// True for a disk that was handed in, which need not be a file of that name.
    fn is_given(&self) -> bool {
        self.disk.is_some() && !self.device.exists()
    }

    /// Offset in the device, bytes. `None` if it would start before the first byte.
    pub(super) fn start(&self, len: u64) -> Option<u64> {
        match u64::try_from(self.offset) {
            Ok(start) => Some(start),
            Err(_) => len.checked_sub(self.offset.unsigned_abs()),
        }
    }

    /// Offset for people and for comparing copies, bytes; 0 if the device cannot be opened.
    pub(super) fn offset(&self) -> u64 {
        let from_end = || self.start(self.open().ok()?.len());
        let known = u64::try_from(self.offset).ok();
        known.or_else(from_end).unwrap_or(0)
    }

    /// Length, bytes.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.size).unwrap_or(u64::MAX)
    }

    fn range_in(&self, len: u64) -> std::result::Result<u64, &'static str> {
        let start = self.start(len).ok_or("it would start before the device")?;
        match start.checked_add(self.len()) {
            Some(end) if end <= len => Ok(start),
            _ => Err("it reaches beyond the end"),
        }
    }

    fn open(&self) -> Result<Arc<dyn BlockDevice>> {
        match &self.disk {
            Some(disk) => Ok(disk.reader()),
            None if self.is_flash() => Err(Failure::new(
                ReasonCode::EnvConfig,
                format!("{}: MTD and UBI are not supported", self.device.display()),
            )),
            None => open_device(&self.device),
        }
    }

    /// Raw flash is a character device.
    fn is_flash(&self) -> bool {
        std::fs::metadata(&self.device).is_ok_and(|m| m.file_type().is_char_device())
    }

    /// The bytes of the copy from the medium; the inner error says why there are none, which
    /// makes it a dead copy. The outer one: we could not look.
    pub(super) fn read(&self) -> Result<std::result::Result<Vec<u8>, String>> {
        if self.is_missing_file() {
            return Ok(Err(MISSING.to_owned()));
        }
        let device = self.open()?;
        let start = match self.range_in(device.len()) {
            Ok(start) => start,
            Err(why) => return Ok(Err(why.to_owned())),
        };
        let mut bytes = vec![0; self.size];
        match device.read_at(start, &mut bytes) {
            Ok(()) => Ok(Ok(bytes)),
            Err(f) if f.code() == ReasonCode::Io => Ok(Err(f.detail().to_owned())),
            Err(f) => Err(f),
        }
    }

    /// Bytes at any place of the device; `None` if they are not there.
    pub(super) fn peek(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        self.peek_some(offset, len).filter(|bytes| bytes.len() == len)
    }

    /// The same, or fewer at the end of the device.
    pub(super) fn peek_some(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        if self.is_missing_file() {
            return None;
        }
        let device = self.open().ok()?;
        let there = usize::try_from(device.len().checked_sub(offset)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(there)];
        device.read_at(offset, &mut bytes).ok()?;
        Some(bytes).filter(|b| !b.is_empty())
    }

    /// U-Boot on FAT makes its second file only when it saves for the first time.
    pub(super) fn is_missing_file(&self) -> bool {
        self.disk.is_none()
            && self.offset == 0
            && !self.device.starts_with("/dev")
            && !self.device.exists()
            && self.device.parent().is_some_and(Path::exists)
    }

    /// Whether a write would get as far as its first byte: opens for writing, and writes nothing.
    pub(super) fn rehearse(&self) -> Result<()> {
        if self.is_missing_file() {
            return Ok(());
        }
        match ForceRo::may_lift(&self.device) {
            // It is protected until the very write.
            Some(lifted) => {
                let protected = || format!("{} cannot be made writable", self.device.display());
                lifted.reason(ReasonCode::DiskReadOnly, protected())?;
            }
            None if self.is_given() => {}
            None => rehearse_writing(&self.device)?,
        }
        let device = match &self.disk {
            Some(disk) => disk.writable()?,
            None if self.is_device() => self.open()?,
            None => open_in_place(&self.device)?,
        };
        let misplaced = |why: &str| {
            let why = format!("{}: {why}", self.device.display());
            Failure::new(ReasonCode::EnvConfig, why)
        };
        self.range_in(device.len()).map(drop).map_err(misplaced)
    }

    /// Writes the whole copy, returns when it is on the medium, and compares what the medium
    /// gives back: `ENV_READ_BACK`.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<()> {
        if self.is_missing_file() {
            create_file(&self.device, self.len())
                .reason(ReasonCode::Io, format!("making {}", self.device.display()))?;
        }
        let _writable = ForceRo::lift(&self.device)
            .reason(ReasonCode::Io, format!("making {} writable", self.device.display()))?;
        let device = match &self.disk {
            Some(disk) => disk.writable()?,
            None => open_in_place(&self.device)?,
        };
        let start = self.range_in(device.len()).map_err(|why| {
            let why = format!("{}: {why}", self.device.display());
            Failure::new(ReasonCode::EnvConfig, why)
        })?;
        let mut buffer = crate::sys::AlignedBuf::new(bytes.len());
        buffer.copy_from_slice(bytes);
        device.write_at(start, &buffer)?;
        device.flush()?;
        buffer.fill(0xa5);
        device.read_at(start, &mut buffer)?;
        if buffer[..] == *bytes {
            return Ok(());
        }
        let why = format!("{} at byte {start}", self.device.display());
        Err(Failure::new(ReasonCode::EnvReadBack, why))
    }

    /// The bytes of the configured disk that the copy covers, and whether it is reached through a
    /// partition's own node.
    pub(super) fn on_disk(&self, configured: Option<&Disk>) -> (Option<Range<u64>>, bool) {
        let Ok(device) = self.open() else {
            return (None, false);
        };
        let Ok(start) = self.range_in(device.len()) else {
            return (None, false);
        };
        let range = |base: u64| base + start..base + start + self.len();
        if self.disk.is_some() {
            return (Some(range(0)), false);
        }
        let Ok(Identity::Device(rdev)) = Identity::of(&self.device) else {
            return (None, false);
        };
        match mounts::disk_of(DeviceNumber::from_rdev(rdev)) {
            Some((disk, place)) if configured.and_then(Disk::number) == Some(disk) => {
                (Some(range(place.start)), true)
            }
            other => (None, other.is_some()),
        }
    }
}
