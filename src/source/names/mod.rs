//! From the name of a host to its addresses, by this program alone: the C library of a static
//! program would load code of the device's own library for it.

mod files;
mod packet;

use crate::model::{Failure, ReasonCode, Result};
use crate::sys::{files as read, net, wait};
use files::{Servers, in_hosts};
use packet::{Answer, Kind};
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Addresses of one name that are kept.
const ADDRESSES_MAX: usize = 16;

/// The longest answer over TCP that is read.
const ANSWER_MAX: usize = 16 << 10;

/// A longer file is not read.
const FILE_MAX: u64 = 1 << 20;

const KINDS: [Kind; 2] = [Kind::Aaaa, Kind::A];

/// The addresses of `host`, both families in turn. `NAME_UNKNOWN` where it has none; that failure
/// says of a name that does not exist `there is no such name`.
pub fn lookup(host: &str, due: Instant) -> Result<Vec<IpAddr>> {
    let text = |path: &str| read::foreign_text(Path::new(path), FILE_MAX).unwrap_or_default();
    if let Some(found) = without_asking(host, &text("/etc/hosts")) {
        return Ok(found);
    }
    let servers = Servers::read(&text("/etc/resolv.conf"));
    let mut why = NO_NAME.to_owned();
    for name in servers.candidates(host) {
        match ask_all(&servers, &name, due) {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => {}
            Err(error) => why = error.to_string(),
        }
    }
    Err(Failure::new(ReasonCode::NameUnknown, format!("{host}: {why}")))
}

/// What a failure says where asking again brings nothing.
pub(in crate::source) const NO_NAME: &str = "there is no such name";

fn without_asking(host: &str, hosts: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    let found = in_hosts(hosts, host);
    if !found.is_empty() {
        return Some(found);
    }
    // RFC 6761: no server is asked for these.
    let bare = host.trim_end_matches('.');
    let own = bare == "localhost" || bare.ends_with(".localhost");
    own.then(|| vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])])
}

/// One name, from each server in turn. An empty list: the name has no address, or is none.
fn ask_all(servers: &Servers, name: &str, due: Instant) -> std::io::Result<Vec<IpAddr>> {
    let mut last = Error::other("no server for names answers");
    for _ in 0..servers.attempts {
        for server in &servers.servers {
            let now = Instant::now();
            if now >= due {
                return Err(last);
            }
            match ask(SocketAddr::new(*server, 53), name, due.min(now + servers.timeout)) {
                Ok(found) => return Ok(found),
                Err(error) => last = Error::other(format!("{server}: {error}")),
            }
        }
    }
    Err(last)
}

/// Both families at once. What one says is enough where the other stays silent.
fn ask(server: SocketAddr, name: &str, due: Instant) -> std::io::Result<Vec<IpAddr>> {
    let chance = net::random()?;
    let mut open = Vec::new();
    for (at, kind) in KINDS.into_iter().enumerate() {
        let id = u16::try_from(chance >> (16 * at) & 0xffff).unwrap_or(0);
        let Some(question) = packet::question(id, name, kind) else { return Ok(Vec::new()) };
        // The kernel chooses a port by chance, for each question another.
        // No text: what reads an address from one brings the resolver of the C library into the program.
        let from: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
        // From no other address anything is received.
        socket.connect(server)?;
        socket.send(&question)?;
        socket.set_nonblocking(true)?;
        open.push((socket, question, kind));
    }
    let (mut found, mut said) = (Vec::new(), 0);
    let mut failed = None;
    while !open.is_empty() {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let fds: Vec<_> = open.iter().map(|(socket, ..)| socket.as_fd()).collect();
        let ready = wait::any(&fds, Some(left))?;
        for at in (0..ready.len()).rev().filter(|at| ready[*at]) {
            let (socket, question, kind) = &open[at];
            let mut bytes = [0; 4096];
            let answer = match socket.recv(&mut bytes) {
                Ok(n) => packet::answer(&bytes[..n], question, *kind),
                Err(e) if e.kind() == ErrorKind::WouldBlock => None,
                Err(e) => {
                    failed = Some(e);
                    open.remove(at);
                    continue;
                }
            };
            let answer = match answer {
                Some(Answer::Longer) => over_tcp(server, question, *kind, due)?,
                Some(answer) => answer,
                // Anybody can send something; the answer may still come.
                None => continue,
            };
            open.remove(at);
            match answer {
                Answer::Addresses(addresses) => {
                    said += 1;
                    found.push(addresses);
                }
                Answer::NoName => said += 1,
                Answer::Longer => failed = Some(Error::other("its answer has no end")),
                Answer::Fails(code) => {
                    failed = Some(Error::other(format!("it answers with its error {code}")));
                }
            }
        }
    }
    let found = in_turn(found);
    match (found.is_empty(), said == KINDS.len(), failed) {
        (false, ..) | (_, true, _) => Ok(found),
        (.., Some(error)) => Err(error),
        (.., None) => Err(Error::new(ErrorKind::TimedOut, "no answer in time")),
    }
}

fn over_tcp(server: SocketAddr, asked: &[u8], kind: Kind, due: Instant) -> std::io::Result<Answer> {
    let left = || due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&server, left())?;
    stream.set_write_timeout(Some(left()))?;
    let len = u16::try_from(asked.len()).map_err(Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), asked].concat())?;
    let mut bytes = Vec::new();
    let mut wanted = 2;
    while bytes.len() < wanted {
        let mut block = [0; 1024];
        stream.set_read_timeout(Some(left()))?;
        let n = stream.read(&mut block)?;
        if n == 0 || Instant::now() >= due {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&block[..n]);
        if let [a, b, ..] = bytes[..] {
            wanted = 2 + usize::from(u16::from_be_bytes([a, b])).min(ANSWER_MAX);
        }
    }
    packet::answer(&bytes[2..wanted], asked, kind).ok_or_else(|| Error::other("its answer is none"))
}

/// One of each family after the other: where one does not get through, the other is next.
fn in_turn(found: Vec<Vec<IpAddr>>) -> Vec<IpAddr> {
    let all: Vec<IpAddr> = found.into_iter().flatten().collect();
    let (mut six, mut four): (Vec<_>, Vec<_>) = all.into_iter().partition(IpAddr::is_ipv6);
    six.reverse();
    four.reverse();
    let mut turn = Vec::new();
    while turn.len() < ADDRESSES_MAX && !(six.is_empty() && four.is_empty()) {
        turn.extend(six.pop());
        turn.extend(four.pop());
    }
    turn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_server_is_asked_for_what_is_known() {
        let hosts = "192.0.2.9 box\n";
        let found = |host| without_asking(host, hosts);
        assert_eq!(found("192.0.2.1"), Some(vec!["192.0.2.1".parse().unwrap()]));
        assert_eq!(found("box"), Some(vec!["192.0.2.9".parse().unwrap()]));
        assert_eq!(found("localhost").unwrap().len(), 2);
        assert_eq!(found("example.org"), None);
    }

    #[test]
    fn families_take_turns() {
        let list = |words: &[&str]| words.iter().map(|w| w.parse().unwrap()).collect::<Vec<_>>();
        let found = in_turn(vec![list(&["::1", "::2", "::3"]), list(&["1.1.1.1"])]);
        assert_eq!(found, list(&["::1", "1.1.1.1", "::2", "::3"]));
    }

    /// A server that answers the first packet with noise, an answer to another question, and then.
    #[test]
    fn noise_before_the_answer_changes_nothing() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let mut asked = [0; 512];
                let (n, from) = socket.recv_from(&mut asked).unwrap();
                let mut answer = asked[..n].to_vec();
                answer[2..4].copy_from_slice(&[0x81, 0x80]);
                let a = answer[n - 3] == 1;
                if a {
                    answer[7] = 1;
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 5]);
                }
                let mut other = answer.clone();
                other[0] ^= 1;
                for packet in [&b"noise"[..], &other, &answer] {
                    socket.send_to(packet, from).unwrap();
                }
            }
        });
        let due = Instant::now() + Duration::from_secs(60);
        let found = ask(address, "box.example", due).unwrap();
        assert_eq!(found, ["192.0.2.5".parse::<IpAddr>().unwrap()]);
        server.join().unwrap();
    }
}
