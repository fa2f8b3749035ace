//! Looking over the network: a TCP connection, an HTTP answer. Runs where the network is, which
//! on a device is not in the daemon.

use super::url::Url;
use super::{Kind, Outcome};
use crate::source::Setup;
#[cfg(feature = "http")]
use crate::source::http;
use crate::source::names;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Looks at one thing over the network; anything else is no question for it.
pub fn probe(kind: &Kind, timeout: Duration, net: &Setup) -> Outcome {
    let due = Instant::now() + timeout;
    match kind {
        Kind::Tcp(place) => match connect(place, due) {
            Ok(_) => Outcome::Good,
            Err(why) => Outcome::Bad(why),
        },
        Kind::Reach(places) => {
            // Each gets its share of the time: one dead host must not hide that another answers.
            let mut said = Vec::new();
            for (n, place) in places.iter().enumerate() {
                let left = due.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(places.len() - n).unwrap_or(1);
                match connect(place, Instant::now() + share) {
                    Ok(_) => return Outcome::Good,
                    Err(why) => said.push(why),
                }
            }
            Outcome::Bad(said.join("; "))
        }
        Kind::Http(url) => match Url::parse(url) {
            Ok(parts) if parts.secure => securely(url, timeout, net),
            Ok(parts) => answered(url, ask(url, &parts, due)),
            Err(why) => Outcome::Bad(why),
        },
        _ => Outcome::CouldNot("this is not looked at over the network".to_owned()),
    }
}

fn connect(place: &str, due: Instant) -> Result<TcpStream, String> {
    let bare = place.replace(['[', ']'], "");
    let (host, port) = bare.rsplit_once(':').unwrap_or((&bare, ""));
    let port: u16 = port.parse().map_err(|_| format!("{place}: no port"))?;
    let found = addresses(host, port, due).map_err(|e| format!("{place}: {e}"))?;
    let mut last = format!("{place}: no address");
    for address in found {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{place}: no answer in time"));
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{place}: {error}"),
        }
    }
    Err(last)
}

fn addresses(host: &str, port: u16, due: Instant) -> Result<Vec<SocketAddr>, String> {
    let found = names::lookup(host, due).map_err(|failure| failure.detail().to_owned())?;
    Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

fn answered(url: &str, status: Result<u16, String>) -> Outcome {
    match status {
        Ok(200..400) => Outcome::Good,
        Ok(status) => Outcome::Bad(format!("{url} answered {status}")),
        Err(why) => Outcome::Bad(why),
    }
}

/// The same over TLS.
#[cfg(feature = "http")]
fn securely(url: &str, timeout: Duration, net: &Setup) -> Outcome {
    let status = http::status(url, net, timeout);
    answered(url, status.map_err(|failure| failure.detail().to_owned()))
}

#[cfg(not(feature = "http"))]
fn securely(url: &str, _: Duration, _: &Setup) -> Outcome {
    Outcome::CouldNot(format!("{url}: this program was built without the network"))
}

/// The status of the answer; its body is not read.
fn ask(url: &str, parts: &Url<'_>, due: Instant) -> Result<u16, String> {
    let Url { host, port, path, .. } = parts;
    let mut stream = connect(&format!("{host}:{port}"), due)?;
    let told = |e: std::io::Error| format!("{url}: {e}");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.set_write_timeout(Some(left(due))).map_err(told)?;
    stream.write_all(request.as_bytes()).map_err(told)?;
    let (mut head, mut block) = (Vec::new(), [0; 512]);
    loop {
        stream.set_read_timeout(Some(left(due))).map_err(told)?;
        let n = stream.read(&mut block).map_err(told)?;
        head.extend_from_slice(&block[..n]);
        let line = head.iter().position(|b| *b == b'\n').map(|end| &head[..end]);
        if let Some(line) = line {
            let text = String::from_utf8_lossy(line);
            let status = text.strip_prefix("HTTP/").and_then(|t| t.split(' ').nth(1));
            let status = status.and_then(|s| s.trim().parse().ok());
            return status.ok_or_else(|| format!("{url}: this is no HTTP answer"));
        }
        if n == 0 || head.len() > 1024 {
            return Err(format!("{url}: this is no HTTP answer"));
        }
    }
}

fn left(due: Instant) -> Duration {
    due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server on the loopback that says `answer` to whoever comes, once.
    fn server(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
            std::thread::sleep(Duration::from_millis(400));
        });
        port
    }

    fn http(answer: &'static [u8]) -> Outcome {
        let url = format!("http://127.0.0.1:{}/ok", server(answer));
        probe(&Kind::Http(url), Duration::from_secs(60), &Setup::default())
    }

    #[test]
    fn the_status_decides_and_silence_is_bad() {
        assert_eq!(http(b"HTTP/1.1 200 OK\r\n\r\n"), Outcome::Good);
        assert_eq!(http(b"HTTP/1.0 302 Found\r\n\r\n"), Outcome::Good);
        for bad in [&b"HTTP/1.1 503 no\r\n\r\n"[..], b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 2"] {
            assert!(matches!(http(bad), Outcome::Bad(_)), "{bad:?}");
        }
    }

    #[test]
    fn one_open_port_is_enough_to_reach() {
        let open = format!("127.0.0.1:{}", server(b""));
        // The near end of a connection: nothing listens there, and no other test is given its port.
        let kept = TcpStream::connect(("127.0.0.1", server(b""))).unwrap();
        let shut = kept.local_addr().unwrap().to_string();
        let (long, net) = (Duration::from_secs(60), Setup::default());
        assert_eq!(probe(&Kind::Reach(vec![shut.clone(), open]), long, &net), Outcome::Good);
        let Outcome::Bad(why) = probe(&Kind::Tcp(shut.clone()), long, &net) else { panic!() };
        assert!(why.contains(&shut), "{why}");
    }

    #[test]
    fn urls_are_taken_apart() {
        let url = |text| Url::parse(text).map(|u| (u.host, u.port, u.path));
        assert_eq!(url("http://a/b/c?d"), Ok(("a", 80, "/b/c?d")));
        assert_eq!(url("http://[::1]:8080"), Ok(("[::1]", 8080, "/")));
        assert_eq!(url("http://[::1]/x"), Ok(("[::1]", 80, "/x")));
        let secure = |text| Url::parse(text).map(|u| (u.secure, u.port));
        assert_eq!(secure("https://a/x"), Ok((true, 443)));
        assert_eq!(secure("https://a:8443"), Ok((true, 8443)));
        for bad in [
            "ftp://a",
            "https://",
            "http://",
            "http://:80/",
            "http://a:99999/",
            "http://a/\r\nX: y",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
