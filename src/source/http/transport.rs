//! The connections of the HTTP library: made by [`super::dial`], with TLS on top, and with a limit
//! for each wait.

use super::dial::{Dialed, dial, lost};
use super::question::Setup;
use super::tls;
use super::url::{Url, Zone};
use crate::model::{Failure, ReasonCode};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Error as IoError, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Bytes of a connection's buffers: a head of an answer fits.
const INPUT: usize = 80 << 10;
const OUTPUT: usize = 8 << 10;

/// What all connections of one fetcher share.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) setup: Setup,
    /// The host that was asked for: only there this device shows its certificate.
    pub(super) home: String,
    pub(super) tls: Arc<ClientConfig>,
    /// For all other hosts.
    pub(super) nameless: Arc<ClientConfig>,
    pub(super) known: Mutex<Known>,
}

/// By `host:port`.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The address that was reached.
    pub(super) peers: BTreeMap<String, IpAddr>,
    /// The certificate that a server has shown, DER.
    pub(super) certificates: BTreeMap<String, Vec<u8>>,
    /// How near it may be, for where a redirect has led to.
    pub(super) nearest: BTreeMap<String, Zone>,
}

/// Bytes from the wire for one piece of a body: what frames it (chunks, and what follows the last
/// one) has no length of its own.
const FRAMES_MAX: usize = 4 * INPUT;

thread_local! {
    /// Until when this thread reads one piece of a body, and how many bytes may still come for it.
    static PIECE: Cell<Option<(Instant, usize)>> = const { Cell::new(None) };
}

/// Carries out one read of a body. It ends in so long, whatever comes that is no part of the body.
pub(super) fn limited<T>(most: Duration, read: impl FnOnce() -> T) -> T {
    PIECE.set(Some((Instant::now() + most, FRAMES_MAX)));
    let done = read();
    PIECE.set(None);
    done
}

/// A failure of ours on its way through the library.
pub(super) fn wrapped(failure: Failure) -> Error {
    Error::Io(IoError::other(failure))
}

/// Nothing is asked for here: the connector knows the names.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// The connector of one agent.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Arc<Dialer>);

impl Connector<()> for Lines {
    type Out = Line;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Line>, Error> {
        let bad = |e| wrapped(Failure::new(ReasonCode::Internal, e));
        let url = Url::parse(&details.uri.to_string()).map_err(bad)?;
        let known = || self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let nearest = known().nearest.get(&url.authority()).copied().unwrap_or(Zone::Own);
        let (mut vain, mut why) = (Vec::new(), None);
        loop {
            let dialed = match dial(&self.0.setup, &url, nearest, &vain) {
                Ok(dialed) => dialed,
                // What TLS has said of an address that answered says more.
                Err(failure) => return Err(wrapped(why.unwrap_or(failure))),
            };
            let Dialed { stream, prefix, direct } = dialed;
            let peer = stream.peer_addr().map(|peer| peer.ip());
            let due = Instant::now() + Duration::from_millis(self.0.setup.header);
            let wire = Wire { stream, due };
            let end = match url.https {
                false => End::Plain(wire),
                true => match self.secured(&url, wire) {
                    Ok(tls) => {
                        if let Some([first, ..]) = tls.conn.peer_certificates() {
                            known().certificates.insert(url.authority(), first.to_vec());
                        }
                        End::Tls(Box::new(tls))
                    }
                    Err(failure) => {
                        let Some(peer) = peer.ok().filter(|_| direct) else {
                            return Err(wrapped(failure));
                        };
                        // Another address of the name may be that of the server.
                        why.get_or_insert(failure);
                        vain.push(peer);
                        continue;
                    }
                },
            };
            if let Ok(peer) = peer {
                known().peers.insert(url.authority(), peer);
            }
            let buffers = LazyBuffers::new(INPUT, OUTPUT);
            return Ok(Some(Line { end, buffers, prefix, fresh: true }));
        }
    }
}

impl Lines {
    fn secured(&self, url: &Url, wire: Wire) -> Result<Tls, Failure> {
        let told = |e: &rustls::Error| tls::meaning(&url.host, e, self.0.setup.floor);
        let name = ServerName::try_from(url.host.clone())
            .map_err(|e| Failure::new(ReasonCode::TlsRefused, format!("{}: {e}", url.host)))?;
        let config = if url.host == self.0.home { &self.0.tls } else { &self.0.nameless };
        let client = ClientConnection::new(config.clone(), name).map_err(|e| told(&e))?;
        let mut stream = StreamOwned::new(client, wire);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|e| match tls_error(&e) {
                Some(error) => told(error),
                None => lost(&url.host, &e),
            })?;
        }
        Ok(stream)
    }
}

fn tls_error(error: &IoError) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

type Tls = StreamOwned<ClientConnection, Wire>;

/// A TCP connection on which every wait ends at `due`, however slowly bytes trickle.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    due: Instant,
}

impl Wire {
    fn left(&self) -> std::io::Result<Duration> {
        let left = self.due.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buf)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

#[derive(Debug)]
enum End {
    Plain(Wire),
    Tls(Box<Tls>),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    end: End,
    buffers: LazyBuffers,
    /// For a proxy that reads the request.
    prefix: Option<String>,
    /// The next bytes are the head of a request.
    fresh: bool,
}

impl Line {
    fn wire(&mut self) -> &mut Wire {
        match &mut self.end {
            End::Plain(wire) => wire,
            End::Tls(tls) => &mut tls.sock,
        }
    }

    fn wait_for(&mut self, timeout: NextTimeout) {
        // Each wait of the library has a limit of its own; this is for what has none.
        let most = match timeout.after {
            time::Duration::Exact(after) => after,
            time::Duration::NotHappening => Duration::from_secs(3_600),
        };
        self.wire().due = Instant::now() + most;
    }
}

fn timed(error: IoError, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.wait_for(timeout);
        let head = self.fresh.then(|| self.prefix.clone()).flatten();
        self.fresh = false;
        let output = &self.buffers.output()[..amount];
        let first = output.iter().position(|b| *b == b' ').map_or(0, |at| at + 1);
        let end: &mut dyn Write = match &mut self.end {
            End::Plain(wire) => wire,
            End::Tls(tls) => tls,
        };
        let done = match &head {
            // A proxy is told the whole URL.
            Some(prefix) => end
                .write_all(&output[..first])
                .and_then(|()| end.write_all(prefix.as_bytes()))
                .and_then(|()| end.write_all(&output[first..])),
            None => end.write_all(output),
        };
        done.and_then(|()| end.flush()).map_err(|e| timed(e, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        // What has a limit as a whole may be silent for as long as that.
        let timeout = match timeout.after {
            time::Duration::Exact(_) => timeout,
            time::Duration::NotHappening => timeout.for_read(),
        };
        self.wait_for(timeout);
        let piece = PIECE.get();
        if let Some((due, _)) = piece {
            let wire = self.wire();
            wire.due = wire.due.min(due);
        }
        self.fresh = true;
        let input = self.buffers.input_append_buf();
        let read = match &mut self.end {
            End::Plain(wire) => wire.read(input),
            // The end of TLS without its last word is an end: lengths decide whether it came early.
            End::Tls(tls) => tls.read(input).or_else(|e| match e.kind() {
                ErrorKind::UnexpectedEof => Ok(0),
                _ => Err(e),
            }),
        };
        let n = read.map_err(|e| timed(e, timeout))?;
        self.buffers.input_appended(n);
        if let Some((due, left)) = piece {
            let text = "the body is wrapped in more than itself";
            let unfit = || wrapped(Failure::new(ReasonCode::HttpAnswer, text));
            PIECE.set(Some((due, left.checked_sub(n).ok_or_else(unfit)?)));
        }
        Ok(n > 0)
    }

    fn is_open(&mut self) -> bool {
        // Nothing is said on a connection that rests; an end, or bytes that nobody asked for, end it.
        if !self.buffers.input().is_empty() {
            return false;
        }
        let stream = &self.wire().stream;
        let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
        let back = stream.set_nonblocking(false);
        back.is_ok() && looked.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    }

    fn is_tls(&self) -> bool {
        matches!(self.end, End::Tls(_))
    }
}
