//! What a connection to a far server is given besides its address, and chance that no server can
//! foresee.
#![allow(unsafe_code)]

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{Error, Result};
use std::net::TcpStream;

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

    #[test]
    fn chance_differs() {
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
