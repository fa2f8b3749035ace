//! Unix sockets: who is at the other end, and descriptors that come with the bytes.

#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, getsockopt, sendmsg,
    socket, sockopt,
};
use std::io::{ErrorKind, IoSlice, Read, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

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

/// A message carries no more descriptors (`SCM_MAX_FD` of the kernel).
const FDS_MAX: usize = 253;

/// Some bytes, and a descriptor if one came with them; 0 bytes is the end. Of several descriptors
/// the first is kept and the others are closed.
///
/// By the system call itself: a wrapper that refuses a message whose descriptors did not all fit,
/// be it into its buffer or into this process, leaves the others open for ever.
pub fn receive(stream: &UnixStream, buf: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    // A header and the descriptors, aligned as a header must be.
    let mut space = [0_u64; 2 + FDS_MAX.div_ceil(2)];
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: a header of zeros is an empty one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&space);
    // SAFETY: every pointer in the message is to something that outlives the call, with its length.
    let n = unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let n = usize::try_from(n).map_err(|_| std::io::Error::last_os_error())?;
    let mut came = Vec::new();
    // SAFETY: the kernel has filled `space` with whole headers, each followed by what its length
    // says; the descriptors in them are new in this process, and each is owned here, once.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(header) = at.as_ref() {
            if (header.cmsg_level, header.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let first = libc::CMSG_DATA(at);
                let before = first.addr() - at.addr();
                let count = header.cmsg_len.saturating_sub(before) / size_of::<RawFd>();
                for index in 0..count {
                    let fd = first.cast::<RawFd>().add(index).read_unaligned();
                    came.push(OwnedFd::from_raw_fd(fd));
                }
            }
            at = libc::CMSG_NXTHDR(&raw const message, at);
        }
    }
    Ok((n, came.into_iter().next()))
}

/// Sends some of `bytes`, and with them a descriptor. Returns how many went.
pub fn send_with(stream: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> Result<usize> {
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let parts = [IoSlice::new(bytes)];
    Ok(sendmsg::<UnixAddr>(stream.as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Connects to a socket whose server may have stopped: where its queue is full that is an error, and no wait.
pub fn connect(path: &Path) -> Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    nix::sys::socket::connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
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

/// Whether enough comes: whoever sends a byte now and then holds up everybody as one who is silent
/// does. Only the time that is spent waiting counts.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    most: Duration,
    waited: Duration,
    bytes: usize,
}

/// The least that comes while somebody has waited for as long as he would wait for one byte.
const LEAST: usize = 64 * 1024;

impl Flow {
    /// Of one that may be waited for so long.
    pub fn within(most: Duration) -> Flow {
        Flow { most, waited: Duration::ZERO, bytes: 0 }
    }

    /// For how long the next byte may be waited for.
    pub fn most(&self) -> Duration {
        self.most
    }

    /// So many bytes came after so long.
    pub fn came(&mut self, bytes: usize, waited: Duration) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited += waited;
        match (self.bytes >= LEAST, self.waited >= self.most) {
            (true, _) => {
                *self = Flow::within(self.most);
                super::systemd::progress();
            }
            (false, true) => return Err(ErrorKind::TimedOut.into()),
            (false, false) => {}
        }
        Ok(())
    }
}

/// Reads from what may fall silent, or nearly so: that is an error.
#[derive(Debug)]
pub struct Patient {
    file: std::fs::File,
    flow: Flow,
}

impl Patient {
    /// Reads this file, waiting for so long at most.
    pub fn new(file: std::fs::File, most: Duration) -> Patient {
        Patient { file, flow: Flow::within(most) }
    }
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let start = Instant::now();
        readable(self.file.as_fd(), self.flow.most())?;
        let n = self.file.read(buf)?;
        self.flow.came(n, start.elapsed())?;
        Ok(n)
    }
}

/// Waits until there is something to read, or an end: `TimedOut` where that takes longer than
/// `most`, and an error where the work that this thread takes part in is to end.
pub fn readable(fd: BorrowedFd<'_>, most: Duration) -> Result<()> {
    until(most, |slice| super::wait::any(&[fd], Some(slice)))
}

/// The same until something can be written, or the other end has gone.
pub fn writable(fd: BorrowedFd<'_>, most: Duration) -> Result<()> {
    until(most, |slice| super::wait::writable(&[fd], slice))
}

fn until(most: Duration, ready: impl Fn(Duration) -> Result<Vec<bool>>) -> Result<()> {
    let start = Instant::now();
    loop {
        super::stop::look_reading()?;
        let left = most.saturating_sub(start.elapsed());
        if ready(left.min(super::stop::SLICE))?.contains(&true) {
            return Ok(());
        }
        if start.elapsed() >= most {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

/// Standard input, read as it comes; a wait for it ends with the work.
#[derive(Debug)]
pub struct Stdin(std::fs::File);

impl Stdin {
    /// Of this process.
    pub fn of_this_process() -> Result<Stdin> {
        Ok(Stdin(std::io::stdin().as_fd().try_clone_to_owned()?.into()))
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        // Whoever fills it may take as long as he likes.
        readable(self.0.as_fd(), Duration::MAX)?;
        self.0.read(buf)
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
        let mut patient = Patient::new(file, Duration::from_millis(50));
        (&there).write_all(b"abc").unwrap();
        let mut buf = [0; 8];
        assert_eq!(patient.read(&mut buf).unwrap(), 3);
        assert_eq!(patient.read(&mut buf).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(there);
        assert_eq!(patient.read(&mut buf).unwrap(), 0);
    }

    #[test]
    fn a_trickle_is_an_error_as_silence_is_and_a_slow_stream_is_none() {
        let mut flow = Flow::within(Duration::from_secs(2));
        let second = Duration::from_secs(1);
        assert!(flow.came(1, second).is_ok());
        assert!(flow.came(1, second).is_err(), "two bytes in two seconds");
        let mut flow = Flow::within(Duration::from_secs(2));
        for _ in 0..100 {
            flow.came(LEAST / 2, second - Duration::from_millis(1)).unwrap();
        }
        flow.came(1, Duration::ZERO).unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        let file = std::fs::File::from(OwnedFd::from(here));
        let mut patient = Patient::new(file, Duration::from_millis(60));
        let trickle = std::thread::spawn(move || {
            while (&there).write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut text = Vec::new();
        assert_eq!(patient.read_to_end(&mut text).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(text.len() < 60, "{} bytes", text.len());
        drop(patient);
        trickle.join().unwrap();
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
