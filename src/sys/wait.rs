//! Waiting for whatever comes first: bytes, a file that is replaced, the word to end.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// Which of these can be read, or have ended; none where the time is over first.
pub fn any(fds: &[BorrowedFd<'_>], most: Option<Duration>) -> Result<Vec<bool>> {
    ready(fds, PollFlags::POLLIN, most)
}

/// Which of these can be written to, or have failed; none where the time is over first.
pub(super) fn writable(fds: &[BorrowedFd<'_>], most: Duration) -> Result<Vec<bool>> {
    ready(fds, PollFlags::POLLOUT, Some(most))
}

fn ready(fds: &[BorrowedFd<'_>], flags: PollFlags, most: Option<Duration>) -> Result<Vec<bool>> {
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, flags)).collect();
    // Rounded up: waking before the time is up would be waking twice.
    let most = match most.map(|m| u16::try_from(m.as_millis() + 1)) {
        None => PollTimeout::NONE,
        Some(millis) => PollTimeout::from(millis.unwrap_or(u16::MAX)),
    };
    match poll(&mut polled, most) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(polled.iter().map(|p| p.any().unwrap_or(false)).collect())
}

/// The word to end, as something that can be waited for.
#[derive(Debug)]
pub struct Farewell {
    signals: SignalFd,
}

impl Farewell {
    /// From now on SIGTERM and SIGINT do not end this thread but are read here. For a process of
    /// one thread: others would take them.
    pub fn take() -> Result<Farewell> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Farewell { signals })
    }
}

impl AsFd for Farewell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

/// Reads of one look at a folder; each takes about a hundred events.
const DRAIN_MAX: usize = 16;

/// A folder whose files are watched for being replaced or taken away.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
}

impl Watch {
    /// Begins to watch.
    pub fn folder(path: &Path) -> Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let what = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE_SELF;
        inotify.add_watch(path, what)?;
        Ok(Watch { inotify })
    }

    /// Takes note of what has happened; says whether something has. What it leaves can be waited
    /// for as before.
    pub fn drain(&self) -> bool {
        // Somebody who makes files as fast as we read must not hold us here.
        let read = || self.inotify.read_events().is_ok_and(|events| !events.is_empty());
        (0..DRAIN_MAX).take_while(|_| read()).count() > 0
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_can_be_read_is_told_and_time_ends_the_wait() {
        let (a, b) = UnixStream::pair().unwrap();
        let short = Some(Duration::from_millis(5));
        assert_eq!(any(&[a.as_fd(), b.as_fd()], short).unwrap(), [false, false]);
        (&a).write_all(b"x").unwrap();
        assert_eq!(any(&[a.as_fd(), b.as_fd()], None).unwrap(), [false, true]);
        drop(a);
        assert_eq!(any(&[b.as_fd()], None).unwrap(), [true], "an end is something");
    }

    #[test]
    fn a_file_that_takes_its_place_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::folder(folder.path()).unwrap();
        assert!(!watch.drain());
        crate::sys::durable::write(&folder.path().join("x"), b"1").unwrap();
        assert_eq!(any(&[watch.as_fd()], None).unwrap(), [true]);
        assert!(watch.drain() && !watch.drain());
    }

    #[test]
    fn a_flood_of_files_is_taken_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a", "b"].map(|name| folder.path().join(name));
        std::fs::write(&names[0], "").unwrap();
        let watch = Watch::folder(folder.path()).unwrap();
        // One event is 32 bytes long, and a read takes 4096.
        for turn in 0..DRAIN_MAX * 128 + 1 {
            std::fs::rename(&names[turn % 2], &names[(turn + 1) % 2]).unwrap();
        }
        assert!(watch.drain(), "something has happened");
        assert!(watch.drain(), "and there is more");
        assert!(!watch.drain());
    }
}
