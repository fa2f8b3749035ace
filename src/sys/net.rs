//! What a connection to a far server is given besides its address, and chance that no server can
//! foresee.
#![allow(unsafe_code)]

use super::wait;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{self, SockFlag, SockaddrStorage, setsockopt, sockopt};
use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Lower effort (RFC 8622): an update makes way for everything else on a narrow link.
const LOWER_EFFORT: i32 = 0x04;

/// Seconds without a byte until the other end is asked whether it is there, between two questions,
/// and how many stay unanswered.
const ALIVE: [u32; 3] = [60, 15, 4];

/// Marks a connection as one that makes way, and has the kernel notice a dead peer.
pub fn background(stream: &TcpStream) -> Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &ALIVE[0])?;
    setsockopt(stream, sockopt::TcpKeepInterval, &ALIVE[1])?;
    setsockopt(stream, sockopt::TcpKeepCount, &ALIVE[2])?;
    // A network that does not know the mark treats it as any other packet.
    match stream.peer_addr()?.is_ipv4() {
        true => setsockopt(stream, sockopt::Ipv4Tos, &LOWER_EFFORT)?,
        false => setsockopt(stream, sockopt::Ipv6TClass, &LOWER_EFFORT)?,
    }
    Ok(())
}

/// Connects to whichever of these answers first. Each is begun `pause` after the one before it, or at once where
/// one has failed; after `most` in all none is waited for any more. Fails with what each address has said.
pub fn first(
    addresses: &[SocketAddr],
    pause: Duration,
    most: Duration,
) -> std::result::Result<TcpStream, Vec<(SocketAddr, Error)>> {
    let due = Instant::now() + most;
    let (mut rest, mut next) = (addresses.iter(), Instant::now());
    let (mut open, mut failed): (Vec<(SocketAddr, TcpStream)>, Vec<_>) = (Vec::new(), Vec::new());
    loop {
        let now = Instant::now();
        if (now >= next || open.is_empty())
            && let Some(address) = rest.next()
        {
            match begin(*address) {
                Ok(stream) => {
                    open.push((*address, stream));
                    next = now + pause;
                }
                Err(error) => failed.push((*address, error)),
            }
            continue;
        }
        if open.is_empty() {
            return Err(failed);
        }
        if now >= due {
            let late = open.iter().map(|(address, _)| address).chain(rest);
            failed.extend(late.map(|address| (*address, ErrorKind::TimedOut.into())));
            return Err(failed);
        }
        let until = if rest.len() > 0 { due.min(next) } else { due };
        let fds: Vec<_> = open.iter().map(|(_, stream)| stream.as_fd()).collect();
        let ready = match wait::writable(&fds, until.saturating_duration_since(now)) {
            Ok(ready) => ready,
            Err(error) => {
                failed.push((open[0].0, error));
                return Err(failed);
            }
        };
        for at in (0..ready.len()).rev().filter(|at| ready[*at]) {
            let (address, stream) = open.remove(at);
            let said = stream.take_error().and_then(|error| error.map_or(Ok(()), Err));
            match said.and_then(|()| stream.set_nonblocking(false)) {
                Ok(()) => return Ok(stream),
                Err(error) => {
                    failed.push((address, error));
                    next = now;
                }
            }
        }
    }
}

/// A connection that is being made.
fn begin(address: SocketAddr) -> Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => socket::AddressFamily::Inet,
        SocketAddr::V6(_) => socket::AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let made = socket::socket(family, socket::SockType::Stream, flags, None)?;
    match socket::connect(made.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(made)),
        Err(errno) => Err(errno.into()),
    }
}

/// A number that nobody can foresee.
pub fn random() -> Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the kernel writes at most the length of the buffer into it.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(n) {
        Ok(8) => Ok(u64::from_ne_bytes(bytes)),
        _ => Err(Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;

    #[test]
    fn a_connection_makes_way_and_notices_a_dead_peer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        background(&stream).unwrap();
        assert_eq!(getsockopt(&stream, sockopt::Ipv4Tos).unwrap(), LOWER_EFFORT);
        assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap());
    }

    /// A listener whose queue is full: its kernel answers nothing to the next ones.
    fn silent() -> (std::net::TcpListener, Vec<TcpStream>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket::listen(&listener, socket::Backlog::new(0).unwrap()).unwrap();
        let place = listener.local_addr().unwrap();
        let short = Duration::from_millis(50);
        let calls = (0..16).map_while(|_| TcpStream::connect_timeout(&place, short).ok()).collect();
        (listener, calls)
    }

    #[test]
    fn the_address_that_answers_is_taken_while_another_one_stays_silent_and_one_refuses() {
        let good = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refuses = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (dead, _calls) = silent();
        let all = [dead.local_addr().unwrap(), refuses, good.local_addr().unwrap()];
        let hour = Duration::from_secs(3600);
        let stream = first(&all, Duration::from_millis(10), hour).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), all[2]);
        let failed = first(&all[..2], hour, Duration::from_millis(300)).unwrap_err();
        let said: Vec<_> = failed.iter().map(|(address, e)| (*address, e.kind())).collect();
        assert_eq!(said, [(all[0], ErrorKind::TimedOut), (all[1], ErrorKind::TimedOut)]);
        let failed = first(&all[1..2], hour, hour).unwrap_err();
        assert_eq!(failed[0].1.kind(), ErrorKind::ConnectionRefused);
        assert!(first(&[], hour, hour).unwrap_err().is_empty());
    }

    #[test]
    fn chance_differs() {
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
