//! A file that has no name until it is whole: nothing is left of it, however its process ends.

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::signal::{SigSet, Signal};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A new file in `folder`, for writing and reading. `None` where the filesystem has no files
/// without a name.
pub fn create(folder: &Path) -> Result<Option<File>> {
    let mut how = File::options();
    how.read(true).write(true).custom_flags((OFlag::O_TMPFILE | OFlag::O_CLOEXEC).bits());
    match how.open(folder) {
        Ok(file) => Ok(Some(file)),
        // An old kernel sees a folder that is opened for writing.
        Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::IsADirectory) => Ok(None),
        Err(e) if e.raw_os_error() == Some(nix::libc::EINVAL) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Gives it the name `target`, in place of what has this name. Only where there is such a file it
/// is called `temporary` for a moment, in which no signal to this thread ends the process.
pub fn publish(file: &File, temporary: &Path, target: &Path) -> Result<()> {
    let held = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |name: &Path| {
        let follow = AtFlags::AT_SYMLINK_FOLLOW;
        nix::unistd::linkat(AT_FDCWD, held.as_str(), AT_FDCWD, name, follow).map_err(Error::from)
    };
    match link(target) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let mut signals = SigSet::empty();
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]
        .into_iter()
        .for_each(|s| signals.add(s));
    let before = SigSet::thread_get_mask()?;
    signals.thread_block()?;
    let renamed = link(temporary).and_then(|()| {
        std::fs::rename(temporary, target).inspect_err(|_| {
            let _ = std::fs::remove_file(temporary);
        })
    });
    before.thread_set_mask()?;
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn it_has_no_name_until_it_is_published_and_then_its_own_alone() {
        let folder = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let (target, temporary) = (folder.path().join("x"), folder.path().join("y"));
        for text in ["first", "second"] {
            let before = names();
            let Some(mut file) = create(folder.path()).unwrap() else { return };
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(names(), before);
            publish(&file, &temporary, &target).unwrap();
            assert_eq!(std::fs::read_to_string(&target).unwrap(), text);
            assert_eq!(names(), 1);
        }
        std::fs::remove_file(&target).unwrap();
        std::fs::create_dir(&target).unwrap();
        let file = create(folder.path()).unwrap().unwrap();
        assert!(publish(&file, &temporary, &target).is_err());
        assert_eq!(names(), 1, "only the folder");
    }
}
