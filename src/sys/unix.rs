//! Unix sockets: who is at the other end, and descriptors that come with the bytes.

#![allow(unsafe_code)]

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, getsockopt, recvmsg, sendmsg, sockopt,
};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// Who opened a connection, by the kernel's word (unix(7), `SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Process id at the time of the connection.
    pub pid: i32,
}

/// Who is at the other end.
pub fn peer(stream: &UnixStream) -> Result<Peer> {
    let found = getsockopt(stream, sockopt::PeerCredentials)?;
    Ok(Peer { uid: found.uid(), gid: found.gid(), pid: found.pid() })
}

/// At most so many descriptors are taken out of one message; the kernel drops the rest.
const FDS_MAX: usize = 4;

/// Some bytes, and a descriptor if one came with them; 0 bytes is the end. Of several descriptors
/// the first is kept and the others are closed.
pub fn receive(stream: &UnixStream, buf: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; FDS_MAX]);
    let mut parts = [IoSliceMut::new(buf)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut came = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = part {
            // SAFETY: the kernel has just made these descriptors for this process, and nothing
            // else knows them: each is owned here, once.
            came.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, came.into_iter().next()))
}

/// Sends some of `bytes`, and with them a descriptor. Returns how many went.
pub fn send_with(stream: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> Result<usize> {
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let parts = [IoSlice::new(bytes)];
    Ok(sendmsg::<UnixAddr>(stream.as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Who has something to say.
#[derive(Debug, Default)]
pub struct Ready {
    /// Somebody knocks.
    pub listener: bool,
    /// Of each stream whether it can be read, or has ended.
    pub streams: Vec<bool>,
}

/// Waits for a connection or for bytes; for ever where no time is given.
pub fn wait<'a>(
    listener: Option<&'a UnixListener>,
    streams: impl Iterator<Item = &'a UnixStream>,
    most: Option<Duration>,
) -> Result<Ready> {
    let listening = listener.is_some();
    let fds = listener.map(AsFd::as_fd).into_iter().chain(streams.map(AsFd::as_fd));
    let mut polled: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    // Rounded up: waking before the time is up would be waking twice.
    let millis = most.map(|m| m.as_millis() + 1).and_then(|m| u16::try_from(m).ok());
    let most = match (most, millis) {
        (None, _) => PollTimeout::NONE,
        (Some(_), Some(millis)) => PollTimeout::from(millis),
        (Some(_), None) => PollTimeout::from(u16::MAX),
    };
    match poll(&mut polled, most) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut ready = polled.iter().map(|p| p.any().unwrap_or(false));
    let listener = listening && ready.next().unwrap_or(false);
    Ok(Ready { listener, streams: ready.collect() })
}

/// Waits until `bell` can be read; false if whoever is at the other end of `line` has gone before
/// that. One that has only said its last word is still there.
pub fn wait_unless_gone(bell: &UnixStream, line: &UnixStream) -> Result<bool> {
    loop {
        let mut polled = [
            PollFd::new(bell.as_fd(), PollFlags::POLLIN),
            PollFd::new(line.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let [bell, line] = polled.map(|p| p.any().unwrap_or(true));
        if bell || line {
            return Ok(!line);
        }
    }
}

/// Reads from what may fall silent: nothing for so long is an error.
#[derive(Debug)]
pub struct Patient {
    /// What is read.
    pub file: std::fs::File,
    /// For how long it may be silent.
    pub most: Duration,
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let start = std::time::Instant::now();
        loop {
            let left = self.most.saturating_sub(start.elapsed()).as_millis();
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, left) {
                Ok(0) if start.elapsed() >= self.most => return Err(ErrorKind::TimedOut.into()),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return self.file.read(buf),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    #[test]
    fn who_has_gone_is_noticed_and_who_only_stopped_talking_is_waited_on() {
        let (bell, rope) = UnixStream::pair().unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        there.shutdown(std::net::Shutdown::Write).unwrap();
        (&rope).write_all(b"!").unwrap();
        assert!(wait_unless_gone(&bell, &here).unwrap());
        (&bell).read_exact(&mut [0]).unwrap();
        drop(there);
        assert!(!wait_unless_gone(&bell, &here).unwrap());
    }

    #[test]
    fn silence_is_an_error_after_its_time_and_an_end_is_an_end() {
        let (here, there) = UnixStream::pair().unwrap();
        let file = std::fs::File::from(OwnedFd::from(here));
        let mut patient = Patient { file, most: Duration::from_millis(50) };
        (&there).write_all(b"abc").unwrap();
        let mut buf = [0; 8];
        assert_eq!(patient.read(&mut buf).unwrap(), 3);
        assert_eq!(patient.read(&mut buf).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(there);
        assert_eq!(patient.read(&mut buf).unwrap(), 0);
    }

    #[test]
    fn a_descriptor_comes_with_the_bytes_and_the_peer_is_known() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        file.rewind().unwrap();
        assert_eq!(send_with(&here, b"take", file.as_fd()).unwrap(), 4);
        let mut buf = [0; 16];
        let (n, fd) = receive(&there, &mut buf).unwrap();
        assert_eq!(&buf[..n], b"take");
        let mut text = String::new();
        std::fs::File::from(fd.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        let own = peer(&there).unwrap();
        assert_eq!(own.pid, i32::try_from(std::process::id()).unwrap());
        (&here).write_all(b"bare").unwrap();
        assert!(receive(&there, &mut buf).unwrap().1.is_none());
    }
}
