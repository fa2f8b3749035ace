//! What is written to: a whole disk of this computer that nothing uses, or a file.

use super::source::{BLOCK, is_zero};
use super::words::Words;
use crate::disk::{BlockDevice, open_whole};
use crate::model::{ByteLen, Failure, ReasonCode, Result, WithReason};
use crate::sys::AlignedBuf;
use crate::sys::blk::Identity;
use crate::sys::disks::{self, About};
use crate::sys::mounts::{self, DeviceNumber};
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

/// Opened for writing, alone.
pub(super) struct Target {
    pub(super) device: Arc<dyn BlockDevice>,
    /// `None` for a file.
    pub(super) about: Option<About>,
}

/// What can be written.
const CARD: &str = "Give the device of a card (`lsblk` lists them), or a file that is there.";

impl Target {
    /// Refuses what is in use, then has a disk or a file that holds something confirmed, then opens it so that nothing else can.
    pub(super) fn open(words: &Words) -> Result<Target> {
        let path = &words.target;
        let found = Identity::of(path)
            .map_err(|e| crate::forge::file::failure(path, &e).with_next(CARD))?;
        if Identity::of(&words.image).is_ok_and(|image| image == found) {
            let text = "image and target are the same file";
            return Err(Failure::new(ReasonCode::Usage, text));
        }
        let about = match found {
            Identity::Device(rdev) => {
                let number = DeviceNumber::from_rdev(rdev);
                let about = disks::about(number);
                free(path, number, &about)?;
                Some(about)
            }
            Identity::File(..) => {
                let used = mounts::image_in_use(path, 0..u64::MAX);
                if let Some(why) = used.reason(ReasonCode::Io, path.display())? {
                    return Err(in_use(path, &why));
                }
                None
            }
        };
        // Held from here on: what is confirmed is what is written, also where a person takes the card out meanwhile.
        let device = open_whole(path).map_err(|f| match f.code() {
            ReasonCode::SlotMounted => in_use(path, "in use by another program or device"),
            _ if about.is_none() => f.with_next(CARD),
            _ => f,
        })?;
        match &about {
            Some(about) if about.len != device.len() => {
                let text = format!("{} is another disk now", path.display());
                return Err(Failure::new(ReasonCode::NotConfirmed, text));
            }
            Some(about) => confirm(words, &Asked::disk(about))?,
            None if holds_bytes(&*device)? => {
                confirm(words, &Asked::file(path, device.len()))?;
            }
            None => {}
        }
        Ok(Target { device, about })
    }
}

fn in_use(path: &Path, why: &str) -> Failure {
    Failure::new(ReasonCode::DiskInUse, format!("{}: {why}", path.display()))
}

/// Whether nothing of a disk is in use.
fn free(path: &Path, number: DeviceNumber, about: &About) -> Result<()> {
    if about.partition {
        let text = format!("{} is a partition; give the whole disk", path.display());
        return Err(Failure::new(ReasonCode::Usage, text));
    }
    let asking = "asking the kernel what is in use";
    let root = mounts::root().reason(ReasonCode::Io, asking)?;
    let whole = |device: &DeviceNumber| mounts::disk_of(*device).map_or(*device, |(disk, _)| disk);
    if root.devices.iter().any(|device| whole(device) == number) {
        return Err(in_use(path, "this computer runs from it"));
    }
    let parts = mounts::partitions_of(number).into_iter();
    let parts = parts.map(|part| (part.node.display().to_string(), part.device));
    for (name, device) in std::iter::once((path.display().to_string(), number)).chain(parts) {
        if let Some(why) = mounts::in_use(device).reason(ReasonCode::Io, asking)? {
            return Err(in_use(path, &format!("{name} is {why}")));
        }
    }
    Ok(())
}

/// A disk as people know it: `sdb, Generic Card Reader, 29.7 GiB`.
pub(super) fn described(about: &About) -> String {
    let model = if about.model.is_empty() { "of unknown make" } else { &about.model };
    format!("{}, {model}, {}", about.name, ByteLen(about.len))
}

/// Whether there is a byte in a file that is not zero.
fn holds_bytes(file: &dyn BlockDevice) -> Result<bool> {
    let mut buf = AlignedBuf::new(BLOCK);
    for at in (0..file.len()).step_by(BLOCK) {
        let left = file.len() - at;
        let part = &mut buf[..usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)];
        if !file.is_hole(at, part.len() as u64) {
            file.read_at(at, part)?;
            if !is_zero(part) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What a person is asked about.
struct Asked {
    name: String,
    described: String,
    /// MiB.
    size: u64,
    what: &'static str,
    /// Whether `--yes` is enough.
    simple: bool,
}

impl Asked {
    fn disk(about: &About) -> Asked {
        let (name, size) = (about.name.clone(), about.len >> 20);
        let described = described(about);
        Asked { name, described, size, what: "disk", simple: about.removable }
    }

    fn file(path: &Path, len: u64) -> Asked {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let described = format!("the file {}, {}", path.display(), ByteLen(len));
        Asked { name, described, size: len >> 20, what: "file", simple: true }
    }
}

/// Has a person say that this is the disk, or the file; `--yes` says it for a file, and for a disk that can be taken out.
fn confirm(words: &Words, asked: &Asked) -> Result<()> {
    let Asked { name, described, size, what, simple } = asked;
    if let Some(named) = &words.yes_really {
        if named == name {
            return Ok(());
        }
        let text = format!("--yes-really names {named}, and the {what} is {described}");
        return Err(Failure::new(ReasonCode::NotConfirmed, text));
    }
    if words.yes && *simple {
        return Ok(());
    }
    let (answer, ask) = match simple {
        true => (name.clone(), "its name"),
        false => (format!("{name} {size}"), "its name and its size in MiB"),
    };
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let flag = match simple {
            true => "--yes".to_owned(),
            false => format!("--yes-really {name}: it cannot be taken out of this computer"),
        };
        let text = format!("{described} is to be erased: say {flag}");
        return Err(Failure::new(ReasonCode::NotConfirmed, text));
    }
    let warning = match simple {
        true => "",
        false => "\nIt cannot be taken out of this computer: is it really the disk of a device?",
    };
    let mut err = std::io::stderr().lock();
    let _ = write!(
        err,
        "All that is on this {what} will be lost: {described} ({size} MiB){warning}\nType {ask} to go on ({answer}): "
    );
    let _ = err.flush();
    drop(err);
    let mut line = String::new();
    let read = std::io::Read::take(stdin.lock(), 256).read_line(&mut line);
    read.reason(ReasonCode::Io, "reading the answer")?;
    match line.trim() == answer {
        true => Ok(()),
        false => Err(Failure::new(ReasonCode::NotConfirmed, "another answer was typed")),
    }
}
