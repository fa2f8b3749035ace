//! Folders with all that is in them: made, taken away and copied, durably.

use super::blk::share;
use super::power::{self, Deed};
use super::{attributes, durable, files};
use crate::model::{Failure, ReasonCode, Result, WithReason};
use std::collections::HashMap;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

/// Bytes that are copied in one step.
const STEP: usize = 256 << 10;

/// Deeper than any tree that programs write; a deeper one is an error, not the end of the stack.
const DEEPEST: u32 = 128;

/// A folder with those above it, durable with their names.
pub fn make_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new("/"));
    make_folder(above)?;
    let told = || format!("making {}", folder.display());
    match fs::create_dir(folder) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
    .reason(ReasonCode::StateNotDurable, told())?;
    durable::sync_folder(above)
}

/// Takes away what stands there, of whatever kind; no link is followed.
pub fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => power::acting(Deed::Memory, || fs::remove_dir_all(path)),
        Ok(_) => power::acting(Deed::Memory, || fs::remove_file(path)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Gives what stands at `from` the name `to`, durably; both are on one file system, and nothing stands at `to`.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    power::acting(Deed::Rename(from, to), || fs::rename(from, to))
        .map_err(|e| durable::io_failure("rename", from, &e))?;
    let folder = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_owned();
    durable::sync_folder(&folder(to))?;
    if folder(from) != folder(to) {
        durable::sync_folder(&folder(from))?;
    }
    Ok(())
}

/// Copies `from`, which is a file or a folder, to `to`, where nothing is yet: made in the folder `work` and given its name when it
/// is whole and durable, so that a cut leaves all of it or nothing. Owner, mode, times, extended attributes, links and holes are
/// as they were. What is neither file, folder nor link is left out, and named in `left`.
pub fn copy(from: &Path, to: &Path, work: &Path, left: &mut Vec<String>) -> Result<()> {
    let told = || format!("copying {}", from.display());
    clear(work).reason(ReasonCode::Io, told())?;
    make_folder(work)?;
    let beside = work.join("whole");
    let mut tree = Tree { left, linked: HashMap::new() };
    tree.part(from, &beside, DEEPEST).map_err(|e| failure(&e, from))?;
    let folder = to.parent().unwrap_or(work);
    make_folder(folder)?;
    rename(&beside, to)?;
    clear(work).reason(ReasonCode::Io, told())
}

/// Makes a file with the next `len` bytes of `from`, durable but for its name; `seen` is shown each byte. A source that ends
/// before is `TRUNCATED`; a failure that it carries is that failure.
pub fn fill(
    path: &Path,
    mode: u32,
    from: &mut dyn Read,
    len: u64,
    seen: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    let told = |e: &io::Error| failure(e, path);
    let file =
        power::acting(Deed::Create(path), || files::new(path, 0o600)).map_err(|e| told(&e))?;
    let (mut at, mut buffer) = (0, vec![0; STEP]);
    while at < len {
        super::stop::look()?;
        super::systemd::waits();
        let most = usize::try_from(len - at).map_or(STEP, |left| left.min(STEP));
        let count = from.read(&mut buffer[..most]).map_err(|e| told(&e))?;
        if count == 0 {
            let text = format!("{} has {at} bytes of {len}", path.display());
            return Err(Failure::new(ReasonCode::Truncated, text));
        }
        let bytes = &buffer[..count];
        seen(bytes);
        power::writing(Deed::Write(&file, at), bytes, |part| file.write_all_at(part, at))
            .map_err(|e| told(&e))?;
        at += count as u64;
    }
    file.set_permissions(Permissions::from_mode(mode))
        .and_then(|()| power::telling(Deed::Sync(&file), || file.sync_all()))
        .map_err(|e| told(&e))
}

/// Bytes of disk that a folder with all that is in it takes; one that is not there takes none.
pub fn used_bytes(path: &Path) -> io::Result<u64> {
    fn part(path: &Path, depth: u32) -> io::Result<u64> {
        let about = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
            about => about?,
        };
        let mut bytes = about.blocks().saturating_mul(512);
        if about.is_dir() {
            let below = depth.checked_sub(1).ok_or_else(too_deep)?;
            for entry in fs::read_dir(path)? {
                bytes = bytes.saturating_add(part(&entry?.path(), below)?);
            }
        }
        Ok(bytes)
    }
    part(path, DEEPEST)
}

fn too_deep() -> io::Error {
    io::Error::other(format!("has more than {DEEPEST} folders in each other"))
}

fn failure(error: &io::Error, from: &Path) -> Failure {
    let stopped = error.get_ref().and_then(|e| e.downcast_ref::<Failure>());
    stopped.cloned().unwrap_or_else(|| durable::io_failure("copy", from, error))
}

struct Tree<'a> {
    left: &'a mut Vec<String>,
    /// Where a file with several names was copied to, by device and number.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Tree<'_> {
    fn part(&mut self, from: &Path, to: &Path, depth: u32) -> io::Result<()> {
        super::stop::look_reading()?;
        super::systemd::waits();
        let about = fs::symlink_metadata(from)?;
        let kind = about.file_type();
        if kind.is_symlink() {
            power::acting(Deed::Create(to), || symlink(fs::read_link(from)?, to))?;
            return lchown(to, Some(about.uid()), Some(about.gid()));
        }
        if kind.is_dir() {
            let below = depth.checked_sub(1).ok_or_else(too_deep)?;
            power::acting(Deed::Create(to), || fs::create_dir(to))?;
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                self.part(&entry.path(), &to.join(entry.file_name()), below)?;
            }
            return dressed(&files::folder(from)?, &files::folder(to)?, &about);
        }
        if let Some(what) = files::not_a_file(kind) {
            self.left.push(format!("{} {what}", from.display()));
            return Ok(());
        }
        let name = (about.dev(), about.ino());
        if let Some(first) = self.linked.get(&name) {
            return power::acting(Deed::Create(to), || fs::hard_link(first, to));
        }
        let source = files::own(from)?;
        let copy = power::acting(Deed::Create(to), || files::new(to, 0o600))?;
        content(&source, &copy)?;
        dressed(&source, &copy, &about)?;
        if about.nlink() > 1 {
            self.linked.insert(name, to.to_owned());
        }
        Ok(())
    }
}

/// All bytes of a file, without its holes: shared with it where the file system can, else copied.
fn content(from: &File, to: &File) -> io::Result<()> {
    if power::acting(Deed::Memory, || share(from, to)).is_ok() {
        return Ok(());
    }
    let len = from.metadata()?.len();
    power::telling(Deed::Memory, || to.set_len(len))?;
    let mut buffer = vec![0; STEP];
    for (start, count) in files::data_ranges(from, len)? {
        let mut at = start;
        while at < start + count {
            super::stop::look_reading()?;
            super::systemd::waits();
            let step = usize::try_from(start + count - at).map_or(STEP, |left| left.min(STEP));
            let bytes = &mut buffer[..step];
            from.read_exact_at(bytes, at)?;
            power::writing(Deed::Write(to, at), bytes, |part| to.write_all_at(part, at))?;
            at += step as u64;
        }
    }
    Ok(())
}

/// Gives a copy what belongs to the original beside its content. The owner first: a new owner takes special bits away.
fn dressed(from: &File, to: &File, about: &Metadata) -> io::Result<()> {
    let own = to.metadata()?;
    if (own.uid(), own.gid()) != (about.uid(), about.gid()) {
        fchown(to, Some(about.uid()), Some(about.gid()))?;
    }
    to.set_permissions(Permissions::from_mode(about.mode() & 0o7777))?;
    attributes::copy(from, to)?;
    if let (Ok(accessed), Ok(modified)) = (about.accessed(), about.modified()) {
        to.set_times(FileTimes::new().set_accessed(accessed).set_modified(modified))?;
    }
    power::telling(Deed::Sync(to), || to.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn make(folder: &Path) {
        fs::create_dir_all(folder.join("sub/empty")).unwrap();
        fs::write(folder.join("sub/file"), b"text").unwrap();
        fs::set_permissions(folder.join("sub/file"), Permissions::from_mode(0o640)).unwrap();
        fs::hard_link(folder.join("sub/file"), folder.join("twin")).unwrap();
        symlink("sub/file", folder.join("link")).unwrap();
        let sparse = File::create(folder.join("sparse")).unwrap();
        sparse.write_all_at(b"end", 8 << 20).unwrap();
        nix::unistd::mkfifo(&folder.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }

    #[test]
    fn a_tree_is_copied_as_it_is_with_its_links_and_holes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        make(&at("from"));
        let mut left = Vec::new();
        copy(&at("from"), &at("to"), &at("work"), &mut left).unwrap();
        assert_eq!(names(&at("to")), ["link", "sparse", "sub", "twin"]);
        assert_eq!(names(&at("to/sub")), ["empty", "file"]);
        assert_eq!(left.len(), 1, "the FIFO: {left:?}");
        let about = |name: &str| fs::symlink_metadata(at(name)).unwrap();
        assert_eq!(about("to/sub/file").mode() & 0o7777, 0o640);
        assert_eq!(about("to/sub/file").ino(), about("to/twin").ino());
        assert_eq!(about("to/sub/file").mtime(), about("from/sub/file").mtime());
        assert_eq!(fs::read_link(at("to/link")).unwrap(), Path::new("sub/file"));
        assert_eq!(fs::read(at("to/sparse")).unwrap(), fs::read(at("from/sparse")).unwrap());
        let few = about("from/sparse").blocks() + 64;
        assert!(about("to/sparse").blocks() <= few, "the hole is filled");
        assert!(used_bytes(&at("to")).unwrap() < 4 << 20);
        assert_eq!(used_bytes(&at("none")).unwrap(), 0);
        assert!(!at("work").exists());
    }

    #[cfg(feature = "sim")]
    #[test]
    fn a_cut_leaves_no_half_copy_under_the_name_of_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        make(&at("from"));
        let mut cuts = 0;
        loop {
            let done = power::cut_at_write(cuts, 1, || {
                copy(&at("from"), &at("to"), &at("work"), &mut Vec::new()).unwrap();
            });
            if at("to").exists() {
                assert_eq!(names(&at("to")), ["link", "sparse", "sub", "twin"], "cut {cuts}");
                assert_eq!(fs::read(at("to/sub/file")).unwrap(), b"text");
                fs::remove_dir_all(at("to")).unwrap();
            }
            if done.is_some() {
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 8, "{cuts}");
    }
}
