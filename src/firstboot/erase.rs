//! Erases the data partition but for what stays. It goes through no mount, ends at no error, and leaves the folders that are
//! shown elsewhere where they are, empty: a mount of the next boot has its source.

use crate::model::{ReasonCode, Result, WithReason};
use crate::sys::mounts::{self, Mount};
use crate::sys::{durable, files, power};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// So much of what is left is told: on a file system that nothing can be written to it is everything.
const MOST: usize = 64;

/// What is left, and why.
type Left = Vec<(PathBuf, String)>;

struct Eraser {
    kept: Vec<String>,
    /// The file system that is erased, as `stat` calls it.
    device: u64,
    /// What is mounted below it, and what a mounted overlay writes to.
    busy: Vec<PathBuf>,
    /// What of it is shown elsewhere.
    shown: Vec<PathBuf>,
    left: Left,
}

/// Erases what is below `data`, a path without links, but for `kept`: paths below it, and beginnings of them that end with `*`.
/// Says what is left of the rest, as far as a person reads on.
pub(super) fn erase(data: &Path, kept: Vec<String>) -> Result<Left> {
    let told = || format!("looking at {}", data.display());
    let mounts = mounts::mounts().reason(ReasonCode::Io, told())?;
    let device = data.metadata().reason(ReasonCode::Io, told())?.dev();
    let own = mounts::mount_of(&mounts, data);
    let inside = |path: &str| PathBuf::from(path).strip_prefix(data).ok().map(|p| data.join(p));
    let points = mounts.iter().map(|m| &m.point);
    let busy = points.chain(mounts.iter().flat_map(|m| &m.written)).filter_map(|p| inside(p));
    let shown = |m: &Mount| {
        let own = own.filter(|own| own.device == m.device)?;
        let root = Path::new(&own.root).join(data.strip_prefix(&own.point).ok()?);
        Some(data.join(Path::new(&m.root).strip_prefix(root).ok()?))
    };
    let shown = mounts.iter().filter_map(shown).collect();
    let mut eraser = Eraser { kept, device, busy: busy.collect(), shown, left: Left::new() };
    eraser.empty(data, "");
    Ok(eraser.left)
}

impl Eraser {
    fn leave(&mut self, path: &Path, why: impl ToString) -> bool {
        if self.left.len() < MOST {
            self.left.push((path.to_owned(), why.to_string()));
        }
        false
    }

    /// Takes away what is in a folder, and says whether nothing is in it any more.
    fn empty(&mut self, folder: &Path, name: &str) -> bool {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.leave(folder, error),
        };
        let mut all = true;
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.leave(folder, error),
            };
            let own = entry.file_name().to_string_lossy().into_owned();
            let below = if name.is_empty() { own } else { format!("{name}/{own}") };
            all &= match stays(&below, &self.kept) {
                Stays::Whole => false,
                stays => self.remove(&entry.path(), &below, matches!(stays, Stays::Partly)),
            };
        }
        match durable::sync_folder(folder) {
            Ok(()) => all,
            Err(failure) => self.leave(folder, failure),
        }
    }

    /// A file, or a folder with all that is in it; says whether it is gone. Links are not followed.
    fn remove(&mut self, path: &Path, name: &str, partly: bool) -> bool {
        let about = match path.symlink_metadata() {
            Ok(about) => about,
            Err(error) => return self.leave(path, error),
        };
        let is = |all: &[PathBuf]| all.iter().any(|one| one == path);
        if is(&self.busy) || about.dev() != self.device {
            return self.leave(path, "it is a mount point, or an overlay is mounted over it");
        }
        let shown = is(&self.shown);
        if about.is_dir() && (!self.empty(path, name) || partly || shown) {
            return false;
        }
        let done = power::acting(power::Deed::Memory, || match (about.is_dir(), shown) {
            (true, _) => std::fs::remove_dir(path),
            (false, true) if about.is_file() => emptied(path),
            (false, _) => std::fs::remove_file(path),
        });
        done.map_or_else(|error| self.leave(path, error), |()| !shown)
    }
}

fn emptied(file: &Path) -> io::Result<()> {
    files::own_to_change(file, 0o600)?.set_len(0)
}

/// Whether this name stays, or something in it.
fn stays(name: &str, kept: &[String]) -> Stays {
    let is = |kept: &String| match kept.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == kept,
    };
    if kept.iter().any(is) {
        Stays::Whole
    } else if kept.iter().any(|kept| kept.starts_with(&format!("{name}/"))) {
        Stays::Partly
    } else {
        Stays::Not
    }
}

enum Stays {
    Whole,
    Partly,
    Not,
}
