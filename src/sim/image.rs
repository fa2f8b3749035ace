//! A finished disk, as `surefoot-forge image` makes it: what its root says of the device, and one boot of it.

use super::boot::boot;
use super::device::Disk;
use super::environment::InMemory;
use super::reboot::told;
use super::told::Told;
use crate::boot::uboot::Env;
use crate::config::{Where, load};
use crate::disk::{BlockDevice, TableKind, Window, open_image, read_table};
use crate::model::{BOOT_PARTITION, Failure, Identifier, ReasonCode, Result, WithReason, paths};
use crate::provision::{ENV_LEN, ENV_OFFSETS, env_places, read_boot_file};
use crate::rootfs::Root;
use crate::slot::SlotNames;
use crate::sys::files;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TEXT: u64 = 1 << 20;

/// What a disk says of the device that it is for.
pub(super) struct Found {
    pub(super) product: Identifier,
    pub(super) compatible: Identifier,
    pub(super) slots: SlotNames,
    /// The text of the trust file; the updater of this device believes nobody else.
    pub(super) trust: String,
    /// Where the copies of the environment are: path, offset, length.
    pub(super) places: Vec<(PathBuf, i64, u64)>,
    /// Both copies as U-Boot would find them; one that stands alone is there twice.
    pub(super) copies: [Vec<u8>; 2],
    /// U-Boot itself counts the boots of a trial.
    pub(super) counts: bool,
    /// Health checks and hooks of the disk's own settings, which are programs of its system.
    pub(super) programs: Vec<String>,
}

impl Found {
    /// The offsets on the disk itself; `None` where the copies are in files or in another partition.
    pub(super) fn raw(&self) -> Option<[u64; 2]> {
        let raw = |(path, at, _): &(PathBuf, i64, u64)| {
            place_of(path).filter(|p| *p == Place::Disk).and(u64::try_from(*at).ok())
        };
        match self.places.as_slice() {
            [a, b] => Some([raw(a)?, raw(b)?]),
            _ => None,
        }
    }
}

/// Where a line of `fw_env.config` points.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The disk itself.
    Disk,
    /// A file of the boot partition.
    File(String),
    /// `boot0` or `boot1` of an eMMC: a file beside the disk.
    Beside(String),
}

fn place_of(path: &Path) -> Option<Place> {
    let text = path.to_str()?;
    if let Some(name) = text.strip_prefix("/boot/") {
        return Some(Place::File(name.to_owned()));
    }
    let end =
        ["boot0", "boot1"].into_iter().find(|end| text.starts_with("/dev/") && text.ends_with(end));
    Some(end.map_or(Place::Disk, |end| Place::Beside(end.to_owned())))
}

/// Looks at a disk, and changes nothing. What its root lacks comes from the files beside it.
pub(super) fn look(image: &Path) -> Result<Found> {
    let disk = open_image(image)?;
    let table = read_table(disk.as_ref())?;
    let root = table
        .partitions
        .iter()
        .find(|p| p.name == "rootfs-a" || table.kind == TableKind::Mbr && p.number == 2)
        .ok_or_else(|| {
            Failure::new(ReasonCode::SlotMissing, "the disk has no rootfs-a").at(image.display())
        })?;
    let root = Root::open_part(image, root.start, Some(root.len))?;
    let settings = settings(image, &root)?;
    let trust = match root.read_text(&settings.trust_file.to_string_lossy(), TEXT)? {
        Some(text) => text,
        None => beside(image, "trust.toml")?.ok_or_else(|| {
            let text =
                format!("neither the root of {} nor its folder has a trust file", image.display());
            Failure::new(ReasonCode::TrustMissing, text)
        })?,
    };
    let text = match root.read_text(paths::FW_ENV_CONFIG, TEXT)? {
        Some(text) => Some(text),
        None => beside(image, "fw_env.config")?,
    };
    let places = match text {
        Some(text) => env_places(&text)?,
        None => {
            let usual = |at: u64| {
                Ok((
                    PathBuf::from("disk.img"),
                    i64::try_from(at).reason(ReasonCode::Internal, "offset")?,
                    ENV_LEN,
                ))
            };
            ENV_OFFSETS.into_iter().map(usual).collect::<Result<_>>()?
        }
    };
    let copies = copies(image, &disk, &places)?;
    let variables = super::environment::load(&copies).variables.unwrap_or_default();
    let counts = variables.get(&b"surefoot_counter"[..]).is_some_and(|who| who == b"uboot");
    let checks = settings.checks.iter().map(|check| format!("the health check `{}`", check.name));
    let hooks = settings.hooks.iter().map(|hook| format!("the hook `{}`", hook.name));
    let programs = checks.chain(hooks).collect();
    Ok(Found {
        product: settings.device.product,
        compatible: settings.device.compatible,
        slots: settings.slots,
        trust,
        places,
        copies,
        counts,
        programs,
    })
}

/// The configuration of the device: the root's, or the one that lies beside the disk.
fn settings(image: &Path, root: &Root) -> Result<crate::config::Settings> {
    let scratch = Scratch::new()?;
    let mut there = false;
    for folder in [paths::LIB, paths::ETC] {
        for name in root.list(folder)?.iter().filter(|n| n.ends_with(".toml") && *n != "trust.toml")
        {
            let Some(text) = root.read_text(&format!("{folder}/{name}"), TEXT)? else { continue };
            let place = paths::within(&scratch.0, folder);
            std::fs::create_dir_all(&place).reason(ReasonCode::Io, place.display())?;
            put(&place.join(name), text.as_bytes())?;
            there = true;
        }
    }
    let place = match there {
        true => Where::Folders(scratch.0.clone()),
        false => Where::File(beside_path(image, "surefoot.toml")),
    };
    let clean =
        |f: Failure| Failure::new(f.code(), f.detail().replace(&*scratch.0.to_string_lossy(), ""));
    Ok(load(&place).map_err(|f| clean(f).at(image.display()))?.settings)
}

fn beside_path(image: &Path, name: &str) -> PathBuf {
    image.with_file_name(name)
}

fn beside(image: &Path, name: &str) -> Result<Option<String>> {
    match files::foreign_text(&beside_path(image, name), TEXT) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::new(ReasonCode::Io, format!("{name}: {e}"))),
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let written = files::new(path, 0o600).and_then(|mut file| file.write_all(bytes));
    written.reason(ReasonCode::Io, path.display())
}

/// The bytes of both copies. One that stands alone has no flags byte: it is stored anew with one, as U-Boot
/// on such a board has no second one to choose.
fn copies(
    image: &Path,
    disk: &Arc<dyn BlockDevice>,
    places: &[(PathBuf, i64, u64)],
) -> Result<[Vec<u8>; 2]> {
    let mut found = Vec::new();
    for (path, at, len) in places {
        let len = usize::try_from(*len).reason(ReasonCode::EnvConfig, "length")?;
        let at = u64::try_from(*at)
            .reason(ReasonCode::EnvConfig, "offsets from the end are not played here")?;
        let bytes = match place_of(path) {
            None | Some(Place::Disk) => {
                let mut buf = crate::sys::AlignedBuf::new(len);
                disk.read_at(at, &mut buf)?;
                buf.to_vec()
            }
            Some(Place::File(name)) => {
                let table = read_table(disk.as_ref())?;
                let is_boot = |p: &&crate::disk::Partition| {
                    p.name == BOOT_PARTITION || table.kind == TableKind::Mbr && p.number == 1
                };
                let boot = table.partitions.iter().find(is_boot);
                let boot = boot.ok_or_else(|| {
                    Failure::new(ReasonCode::EnvConfig, "the disk has no boot partition")
                })?;
                let window = Window::new(disk.clone(), boot.start, boot.len)?;
                read_boot_file(&window, &name).reason(ReasonCode::EnvConfig, &name)?
            }
            Some(Place::Beside(part)) => {
                let stem = image.file_stem().unwrap_or_default().to_string_lossy();
                let path = beside_path(image, &format!("{stem}.{part}.img"));
                let whole = files::read_foreign(&path, 64 << 20)
                    .reason(ReasonCode::NoSuchFile, path.display())?;
                let start = usize::try_from(at).reason(ReasonCode::EnvConfig, "offset")?;
                whole.get(start..start + len).unwrap_or_default().to_vec()
            }
        };
        found.push(bytes);
    }
    match found.as_slice() {
        [a, b] => Ok([a.clone(), b.clone()]),
        [one] => {
            let again = Env::decode(one, false).ok().map(|(env, _)| env.encode(one.len(), Some(0)));
            let copy = again.transpose()?.unwrap_or_else(|| one.clone());
            Ok([copy.clone(), copy])
        }
        _ => Err(Failure::new(
            ReasonCode::EnvConfig,
            "fw_env.config names no copy of the environment",
        )),
    }
}

/// Boots a disk once by the script's rules, and changes nothing on it. Also returns the bootloader's console.
pub(super) fn boot_image(image: &Path) -> Result<(Told, Vec<String>)> {
    let found = look(image)?;
    let hardware = Disk::of_image(open_image(image)?, found.slots).hardware(found.counts, None)?;
    let before = super::environment::load(&found.copies).variables.unwrap_or_default();
    let done = boot(&hardware, &mut InMemory(found.copies))?;
    Ok((told(&before, &done, None), done.console))
}

/// Copies a disk with its holes.
pub(super) fn copy(image: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let told = || format!("copying {}", image.display());
    let from = files::foreign(image).reason(ReasonCode::NoSuchFile, image.display())?;
    let len = from.metadata().reason(ReasonCode::Io, told())?.len();
    let out = files::new(to, 0o644).reason(ReasonCode::Io, told())?;
    out.set_len(len).reason(ReasonCode::NoSpace, told())?;
    let mut block = vec![0; 1 << 20];
    for (start, run) in files::data_ranges(&from, len).reason(ReasonCode::Io, told())? {
        let mut at = 0;
        while at < run {
            let step = usize::try_from(run - at).map_or(block.len(), |left| left.min(block.len()));
            from.read_exact_at(&mut block[..step], start + at).reason(ReasonCode::Io, told())?;
            out.write_all_at(&block[..step], start + at).reason(ReasonCode::NoSpace, told())?;
            at += step as u64;
        }
    }
    Ok(())
}

/// A folder that is gone with its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("surefoot-sim-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).reason(ReasonCode::Io, path.display())?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
