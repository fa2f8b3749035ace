//! A file or folder of the image, copied to the data partition as it is: owner, mode, extended attributes, links.

use super::work::{clear, make_folder};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::{attributes, durable, files, power};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown, lchown, symlink};
use std::path::Path;

/// More than a file of `/etc` has.
const LARGEST: u64 = 64 << 20;

/// Copies `from`, which is a file or a folder, to `to`, where nothing is yet: made in the folder `work` and given its name when it
/// is whole and durable, so that a cut leaves all of it or nothing. What is neither file, folder nor link is left out, and named
/// in `left`.
pub(super) fn copy(from: &Path, to: &Path, work: &Path, left: &mut Vec<String>) -> Result<()> {
    let told = || format!("keeping {}", from.display());
    clear(work).reason(ReasonCode::Io, told())?;
    make_folder(work)?;
    let beside = work.join("whole");
    part(from, &beside, left).map_err(|e| failure(&e, from))?;
    let folder = to.parent().unwrap_or(work);
    make_folder(folder)?;
    power::acting(power::Deed::Rename(&beside, to), || std::fs::rename(&beside, to))
        .reason(ReasonCode::Io, told())?;
    durable::sync_folder(folder)?;
    clear(work).reason(ReasonCode::Io, told())
}

fn failure(error: &io::Error, from: &Path) -> Failure {
    durable::io_failure("keep", from, error)
}

fn part(from: &Path, to: &Path, left: &mut Vec<String>) -> io::Result<()> {
    let about = std::fs::symlink_metadata(from)?;
    let kind = about.file_type();
    if kind.is_symlink() {
        power::acting(power::Deed::Create(to), || symlink(std::fs::read_link(from)?, to))?;
        return lchown(to, Some(about.uid()), Some(about.gid()));
    }
    if kind.is_dir() {
        power::acting(power::Deed::Create(to), || std::fs::create_dir(to))?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            part(&entry.path(), &to.join(entry.file_name()), left)?;
        }
        return dressed(&files::folder(from)?, &files::folder(to)?, &about);
    }
    if let Some(what) = files::not_a_file(kind) {
        left.push(format!("{} {what}", from.display()));
        return Ok(());
    }
    let source = files::own(from)?;
    let bytes = files::bytes(&source, LARGEST)?;
    let copy = power::acting(power::Deed::Create(to), || files::new(to, 0o600))?;
    power::writing(power::Deed::Write(&copy, 0), &bytes, |part| {
        io::Write::write_all(&mut &copy, part)
    })?;
    dressed(&source, &copy, &about)
}

/// Gives a copy what belongs to the original beside its content. The owner first: a new owner takes special bits away.
fn dressed(from: &File, to: &File, about: &Metadata) -> io::Result<()> {
    let own = to.metadata()?;
    if (own.uid(), own.gid()) != (about.uid(), about.gid()) {
        fchown(to, Some(about.uid()), Some(about.gid()))?;
    }
    to.set_permissions(std::fs::Permissions::from_mode(about.mode() & 0o7777))?;
    attributes::copy(from, to)?;
    power::telling(power::Deed::Sync(to), || to.sync_all())
}
