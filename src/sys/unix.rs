//! Unix sockets: who is at the other end, and descriptors that come with the bytes.

#![allow(unsafe_code)]

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, getsockopt, recvmsg, sendmsg, sockopt,
};
use std::io::{IoSlice, IoSliceMut, Result};
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

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
