//! From a host to a connection: every address is tried, through a proxy where one is set, and never
//! nearer than a redirect may lead.

use super::question::Setup;
use super::url::{Url, Zone};
use crate::model::{Failure, ReasonCode, Result, printable};
use crate::source::names::{self, NO_NAME};
use crate::sys::net;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An address that stays silent holds up the next one for so long (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// The head of a proxy's answer.
const PROXY_HEAD_MAX: usize = 16 << 10;

/// A connection to a server, or through a proxy to it.
#[derive(Debug)]
pub(super) struct Dialed {
    pub(super) stream: TcpStream,
    /// What stands before the path in a request, where the proxy reads the request.
    pub(super) prefix: Option<String>,
    /// It leads to the server itself, which may have other addresses.
    pub(super) direct: bool,
}

/// The proxy that `url` is reached by; none for a host that is exempt or this device itself.
pub(super) fn proxy_for(setup: &Setup, url: &Url) -> Result<Option<Url>> {
    let Some(text) = &setup.proxy else { return Ok(None) };
    let exempt = |name: &String| {
        let name = name.to_ascii_lowercase();
        url.host == name.trim_start_matches('.')
            || name.starts_with('.') && url.host.ends_with(&name)
    };
    if Zone::written(&url.host) == Zone::Own || setup.no_proxy.iter().any(exempt) {
        return Ok(None);
    }
    let bad = |e| Failure::new(ReasonCode::ConfigInvalid, format!("`source.proxy`: {e}"));
    Url::parse(text).map(Some).map_err(bad)
}

/// Connects. `nearest` is how near its address may be, and `but` are addresses that were tried in vain.
pub(super) fn dial(setup: &Setup, url: &Url, nearest: Zone, but: &[IpAddr]) -> Result<Dialed> {
    let limit = Duration::from_millis(setup.connect);
    let Some(proxy) = proxy_for(setup, url)? else {
        let stream = connect(&url.host, url.port, nearest, but, limit)?;
        return Ok(Dialed { stream, prefix: None, direct: true });
    };
    // The proxy asks for the name, so that only what is written can be judged here.
    if Zone::written(&url.host) < nearest {
        return Err(too_near(&url.host));
    }
    let stream = connect(&proxy.host, proxy.port, Zone::Own, &[], limit)?;
    if !url.https {
        let prefix = Some(format!("http://{}", url.authority()));
        return Ok(Dialed { stream, prefix, direct: false });
    }
    let due = Instant::now() + Duration::from_millis(setup.header);
    tunnel(&stream, &proxy, url, due)?;
    Ok(Dialed { stream, prefix: None, direct: false })
}

fn too_near(host: &str) -> Failure {
    let text =
        format!("a redirect leads to {host}, which is nearer to this device than its origin");
    Failure::new(ReasonCode::RedirectRefused, text)
}

fn connect(
    host: &str,
    port: u16,
    nearest: Zone,
    but: &[IpAddr],
    limit: Duration,
) -> Result<TcpStream> {
    let found = names::lookup(host, Instant::now() + limit)?;
    let far = |address: &IpAddr| Zone::of(*address) >= nearest;
    if !found.iter().any(far) {
        return Err(too_near(host));
    }
    let allowed = found.into_iter().filter(|address| far(address) && !but.contains(address));
    let places: Vec<SocketAddr> = allowed.map(|address| SocketAddr::new(address, port)).collect();
    match net::first(&places, STAGGER, limit) {
        Ok(stream) => ready(stream, host),
        Err(failed) => {
            let said: Vec<String> = failed.iter().map(|(place, e)| said(place.ip(), e)).collect();
            let text = format!("{host} port {port}: {}", said.join("; "));
            Err(Failure::new(ReasonCode::Unreachable, text))
        }
    }
}

fn said(address: IpAddr, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut => format!("{address}: no answer"),
        _ => format!("{address}: {error}"),
    }
}

fn ready(stream: TcpStream, host: &str) -> Result<TcpStream> {
    // Neither is a reason not to fetch.
    let _unmarked = net::background(&stream);
    stream.set_nodelay(true).map_err(|e| lost(host, &e))?;
    Ok(stream)
}

pub(super) fn lost(host: &str, error: &std::io::Error) -> Failure {
    let text = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
        ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(ReasonCode::Unreachable, format!("{host}: {text}"))
}

/// Whether the same is worth another try.
pub(super) fn may_pass(failure: &Failure) -> bool {
    match failure.code() {
        ReasonCode::Unreachable | ReasonCode::Stalled | ReasonCode::SourceLost => true,
        ReasonCode::NameUnknown => !failure.detail().ends_with(NO_NAME),
        _ => false,
    }
}

/// `user:password` as `Basic` has it.
pub(super) fn basic(login: &str) -> String {
    format!("Basic {}", base64(&unescaped(login)))
}

fn tunnel(mut stream: &TcpStream, proxy: &Url, to: &Url, due: Instant) -> Result<()> {
    let told = |e: std::io::Error| lost(&format!("the proxy {}", proxy.authority()), &e);
    let place = to.authority();
    let login = proxy
        .login
        .as_deref()
        .map_or_else(String::new, |login| format!("Proxy-Authorization: {}\r\n", basic(login)));
    let asked = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{login}\r\n");
    stream.set_write_timeout(Some(left(due))).map_err(told)?;
    stream.write_all(asked.as_bytes()).map_err(told)?;
    let mut head = Vec::new();
    // One byte at a time: what follows the head belongs to TLS.
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.set_read_timeout(Some(left(due))).map_err(told)?;
        if stream.read(&mut byte).map_err(told)? == 0 || head.len() >= PROXY_HEAD_MAX {
            return Err(told(ErrorKind::UnexpectedEof.into()));
        }
        head.push(byte[0]);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    let code = match answer.parse(&head) {
        Ok(httparse::Status::Complete(_)) => answer.code.unwrap_or(0),
        _ => 0,
    };
    match code {
        200..=299 => Ok(()),
        code => Err(refused_by_proxy(&proxy.authority(), code)),
    }
}

pub(super) fn refused_by_proxy(proxy: &str, code: u16) -> Failure {
    let text = match code {
        407 => "it wants other credentials than those in `source.proxy` (407)".to_owned(),
        0 => "its answer is none".to_owned(),
        code => format!("it answers {code}"),
    };
    Failure::new(ReasonCode::ProxyRefused, format!("{}: {text}", printable(proxy, 100)))
}

fn left(due: Instant) -> Duration {
    due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// `%40` as the byte that it stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()).filter(|_| *byte == b'%') {
            Some(meant) => {
                out.push(meant);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let n =
            three.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[n >> (18 - 6 * place) & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_written_as_every_server_reads_them() {
        for (text, written) in
            [("a:b", "YTpi"), ("u:p%40", "dTpwQA=="), ("u:pp", "dTpwcA=="), ("", "")]
        {
            assert_eq!(basic(text), format!("Basic {written}"));
        }
    }

    #[test]
    fn a_proxy_is_for_others_and_not_for_this_device() {
        let setup = Setup {
            proxy: Some("http://proxy:3128".to_owned()),
            no_proxy: vec![".lan".to_owned(), "one.example".to_owned()],
            ..Setup::default()
        };
        let used = |url: &str| proxy_for(&setup, &Url::parse(url).unwrap()).unwrap().is_some();
        for (url, expected) in [
            ("https://x.example/", true),
            ("https://one.example/", false),
            ("https://box.lan/", false),
            ("https://a.one.example/", true),
            ("http://127.0.0.1/", false),
            ("http://localhost/", false),
        ] {
            assert_eq!(used(url), expected, "{url}");
        }
    }
}
