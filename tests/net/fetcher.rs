//! The fetcher as a unit: one process for each connection to its socket, as the init system starts it.

use super::server::{File, Server};
use super::tls::Authority;
use crate::common;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;
use surefoot::model::ReasonCode;
use surefoot::source::http::{Denied, Setup, Want, document, open};
use surefoot::source::{Settings, Source, Tries};

/// A folder whose `fetch.sock` starts a fetcher for each connection, without anything of this process.
struct Unit {
    folder: tempfile::TempDir,
}

impl Unit {
    fn new() -> Unit {
        let folder = common::scratch();
        let listener = UnixListener::bind(folder.path().join("fetch.sock")).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || run(stream));
            }
        });
        Unit { folder }
    }

    fn document(&self, url: &str, want: Want, net: &Setup) -> Result<(u16, Vec<u8>), Denied> {
        document(url, want, net.clone(), self.folder.path())
            .map(|(head, bytes)| (head.status, bytes))
    }

    fn open(&self, url: &str, net: Setup) -> surefoot::model::Result<Source> {
        open(url, net, self.folder.path()).map(Source::from).map_err(|denied| denied.failure)
    }
}

fn run(stream: UnixStream) {
    let twin = OwnedFd::from(stream.try_clone().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .arg("fetch")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(stream)))
        .stdout(Stdio::from(twin))
        .spawn()
        .unwrap();
    child.wait().unwrap();
}

/// The usual setup, without patience.
pub(super) fn setup() -> Setup {
    let net = Setup::of(&Settings::default().at("/nowhere".as_ref()), 0, Tries::Minute).unwrap();
    Setup { patience: Some(0), ..net }
}

fn document_of(limit: u64) -> Want {
    Want::Document { limit, etag: None }
}

#[test]
fn ranges_come_in_order_and_are_counted() {
    let unit = Unit::new();
    let bytes = common::image(3, 6 << 20);
    let file = File::new(&bytes);
    let server = Server::new(move |asked, line| file.give(asked, line));
    let source = unit.open(&server.url("/x"), setup()).unwrap();
    let Source::Ranges(file) = source else { panic!("no ranges") };
    assert_eq!((file.len(), file.is_dear()), (bytes.len() as u64, true));
    // Far apart, next to each other, across pieces, and backwards.
    let ranges = [100_000..100_010, 100_020..3_000_000, 5_000_000..5_000_001, 70_000..70_100];
    let mut found = Vec::new();
    let mut reader = file.in_order(&ranges).unwrap().unwrap();
    reader.read_to_end(&mut found).unwrap();
    let part = |r: &std::ops::Range<u64>| {
        &bytes[usize::try_from(r.start).unwrap()..usize::try_from(r.end).unwrap()]
    };
    assert_eq!(found, ranges.iter().flat_map(part).copied().collect::<Vec<_>>());
    let wanted = found.len() as u64;
    let received = file.received();
    assert!(received >= wanted && received < wanted + 200_000, "{received} for {wanted}");
    // While one is read, others are asked for.
    let mut slow = file.in_order(std::slice::from_ref(&(0..6_000_000))).unwrap().unwrap();
    let mut first = [0; 10];
    slow.read_exact(&mut first).unwrap();
    let mut two = [0; 20];
    file.read_ranges(&[10..20, 4_000_000..4_000_010], &mut two).unwrap();
    assert_eq!(two[..10], bytes[10..20]);
    assert_eq!(two[10..], bytes[4_000_000..4_000_010]);
    drop(slow);
    let past = file.read_at(bytes.len() as u64 - 1, &mut [0; 2]).unwrap_err();
    assert_eq!(past.code(), ReasonCode::Truncated);
}

#[test]
fn what_fails_in_order_says_why_and_the_next_question_is_answered() {
    let unit = Unit::new();
    let bytes = common::image(4, 3 << 20);
    let (one, two) = (File::new(&bytes), File { etag: "\"two\"", ..File::new(&bytes) });
    let server = Server::new(move |asked, line| match asked.number {
        0 => one.give(asked, line),
        _ => two.give(asked, line),
    });
    let Source::Ranges(file) = unit.open(&server.url("/x"), setup()).unwrap() else { panic!() };
    let mut reader = file.in_order(std::slice::from_ref(&(100_000..3_000_000))).unwrap().unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("another file"), "{error}");
    let again = file.read_at(200_000, &mut [0; 10]).unwrap_err();
    assert_eq!(again.code(), ReasonCode::SourceChanged);
    let mut known = [0; 10];
    file.read_at(10, &mut known).unwrap();
    assert_eq!(known, bytes[10..20], "what has come already");
}

#[test]
fn n10_a_part_that_was_not_asked_for_is_no_document() {
    let (unit, net) = (Unit::new(), setup());
    let server = Server::new(|_, line| {
        let head = "HTTP/1.1 206 Part\r\nContent-Length: 2\r\nContent-Range: bytes 0-1/2\r\n\r\nhi";
        line.write_all(head.as_bytes()).map(|()| false)
    });
    let denied = unit.document(&server.url("/"), document_of(100), &net).unwrap_err();
    assert_eq!(denied.failure.code(), ReasonCode::HttpAnswer);
}

#[test]
fn n16_a_dead_clock_is_raised_to_what_is_known() {
    let unit = Unit::new();
    let authority = Authority::new();
    let server = Server::tls(authority.identity("127.0.0.1", 2090, 2110).server(), |_, line| {
        line.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").map(|()| false)
    });
    let net = Setup { roots: authority.pem(), ..setup() };
    let early = unit.document(&server.url("/"), document_of(100), &net).unwrap_err();
    assert_eq!(early.failure.code(), ReasonCode::TlsRefused);
    // 2100-01-01: something signed has said that it is at least so late.
    let late = Setup { floor: 4_102_444_800, ..net.clone() };
    assert_eq!(unit.document(&server.url("/"), document_of(100), &late), Ok((200, b"hi".to_vec())));
    // And later than the certificate it is the clock that is named.
    let later = Setup { floor: 5_102_444_800, ..net };
    let wrong = unit.document(&server.url("/"), document_of(100), &later).unwrap_err();
    assert_eq!(wrong.failure.code(), ReasonCode::ClockWrong);
}

#[test]
fn a_document_is_small_and_known_ones_do_not_come_again() {
    let (unit, net) = (Unit::new(), setup());
    let server =
        Server::new(|asked, line| {
            match asked.target.as_str() {
                "/busy" => line
                    .write_all(b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
                _ if asked.header("if-none-match") == Some("\"a\"") => {
                    line.write_all(b"HTTP/1.1 304 Same\r\nETag: \"a\"\r\n\r\n")
                }
                _ => line
                    .write_all(b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\nhello"),
            }
            .map(|()| true)
        });
    let url = server.url("/x");
    assert_eq!(unit.document(&url, document_of(5), &net), Ok((200, b"hello".to_vec())));
    let known = Want::Document { limit: 5, etag: Some("\"a\"".to_owned()) };
    assert_eq!(unit.document(&url, known, &net), Ok((304, Vec::new())));
    let long = unit.document(&url, document_of(4), &net).unwrap_err();
    assert_eq!(long.failure.code(), ReasonCode::HttpAnswer);
    let busy = unit.document(&server.url("/busy"), document_of(4), &net).unwrap_err();
    assert_eq!(busy.wait, Some(Duration::from_secs(7)));
}

#[test]
fn a_document_of_another_host_is_none_and_a_report_goes_nowhere_else() {
    let (unit, net) = (Unit::new(), setup());
    let port = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(0));
    let own = port.clone();
    let server = Server::new(move |asked, line| {
        let port = own.load(std::sync::atomic::Ordering::Relaxed);
        let head = match asked.target.as_str() {
            "/far" => format!("302 F\r\nLocation: https://localhost:{port}/x\r\nContent-Length: 0"),
            "/near" => "302 F\r\nLocation: /x\r\nContent-Length: 0".to_owned(),
            _ => "200 OK\r\nContent-Length: 0".to_owned(),
        };
        line.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).map(|()| true)
    });
    port.store(server.port, std::sync::atomic::Ordering::Relaxed);
    let far = unit.document(&server.url("/far"), document_of(9), &net).unwrap_err();
    assert_eq!(far.failure.code(), ReasonCode::RedirectRefused);
    assert_eq!(unit.document(&server.url("/near"), document_of(9), &net), Ok((200, Vec::new())));
    let report = || Want::Report { body: "{\"v\":1}".to_owned() };
    assert_eq!(unit.document(&server.url("/x"), report(), &net), Ok((200, Vec::new())));
    let sent = server.asked().pop().unwrap();
    assert_eq!((sent.method.as_str(), sent.body.as_slice()), ("POST", &b"{\"v\":1}"[..]));
    let moved = unit.document(&server.url("/near"), report(), &net).unwrap_err();
    assert_eq!(moved.failure.code(), ReasonCode::RedirectRefused);
}

#[test]
fn the_bytes_that_are_left_are_not_exceeded() {
    let unit = Unit::new();
    let bytes = common::image(5, 2 << 20);
    let file = File::new(&bytes);
    let server = Server::new(move |asked, line| file.give(asked, line));
    let net = Setup { budget: Some(300_000), connections: 1, ..setup() };
    let Source::Ranges(file) = unit.open(&server.url("/x"), net).unwrap() else { panic!() };
    let mut reader = file.in_order(std::slice::from_ref(&(0..2_000_000))).unwrap().unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("300000 bytes were left"), "{error}");
}

/// Nobody waits for the answer any more: the process ends, in the middle of a pause too.
#[test]
fn a_fetcher_ends_with_the_one_who_asked() {
    let (here, there) = UnixStream::pair().unwrap();
    let twin = OwnedFd::from(there.try_clone().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_surefoot"))
        .arg("fetch")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(there)))
        .stdout(Stdio::from(twin))
        .spawn()
        .unwrap();
    let net = Setup { patience: None, pause: 3_600_000, ..setup() };
    let question =
        serde_json::json!({ "url": "http://127.0.0.1:1/", "want": "artifact", "net": net });
    std::io::Write::write_all(&mut &here, format!("{question}\n").as_bytes()).unwrap();
    drop(here);
    assert!(child.wait().unwrap().success());
}

/// Chunks may have more words behind their length, and the last one more lines behind it. Neither has an end of its own.
#[test]
fn n06_what_frames_a_body_has_an_end() {
    let (unit, net) = (Unit::new(), Setup { header: 300, stall: 300, ..setup() });
    let server = Server::new(|asked, line| {
        line.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let flood = asked.target.contains("flood");
        let (begin, more): (&[u8], &[u8]) = match asked.target.contains("trailer") {
            true => (b"2\r\nhi\r\n0\r\n", b"A: b\r\n"),
            false => (b"2;", b"x"),
        };
        line.write_all(begin)?;
        let more = if flood { more.repeat(1_000) } else { more.to_vec() };
        // An hour at most, so that no thread turns for ever.
        for _ in 0..36_000 {
            line.write_all(&more)?;
            line.flush()?;
            if !flood {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(false)
    });
    for (path, code) in [
        ("/trailer", ReasonCode::Stalled),
        ("/chunk", ReasonCode::Stalled),
        ("/trailer-flood", ReasonCode::HttpAnswer),
        ("/chunk-flood", ReasonCode::HttpAnswer),
    ] {
        let denied = unit.document(&server.url(path), document_of(100), &net).unwrap_err();
        // On a loaded device the flood may be as slow as a trickle.
        let slow = denied.failure.code() == ReasonCode::Stalled;
        assert!(denied.failure.code() == code || slow, "{path}: {}", denied.failure);
    }
}

#[test]
fn n20_a_date_that_is_none_ends_no_fetcher() {
    let (unit, net) = (Unit::new(), setup());
    let server = Server::new(|_, line| {
        let date = "Sun, 18446744073709551615 Nov 1994 08:49:37 GMT";
        let head = format!("HTTP/1.1 503 N\r\nRetry-After: {date}\r\nContent-Length: 0\r\n\r\n");
        line.write_all(head.as_bytes()).map(|()| false)
    });
    let denied = unit.document(&server.url("/"), document_of(9), &net).unwrap_err();
    assert_eq!((denied.failure.code(), denied.wait), (ReasonCode::HttpStatus, None));
}

/// The certificate of this device is for the server that it asks, as credentials are.
#[test]
fn n11_another_host_does_not_see_who_this_device_is() {
    let unit = Unit::new();
    let (authority, devices) = (Authority::new(), Authority::new());
    let me = devices.identity("device-7", 2020, 2200);
    let bytes = common::image(6, 5_000);
    let file = File::new(&bytes);
    let other = authority.identity("localhost", 2020, 2200).server_for(&devices);
    let other = Server::tls(other, move |asked, line| file.give(asked, line));
    let port = other.port;
    let file = File::new(&bytes);
    let home = Server::tls(authority.good().server_for(&devices), move |asked, line| {
        if asked.target == "/x" {
            return file.give(asked, line);
        }
        let to = format!("https://localhost:{port}/x");
        let head = format!("HTTP/1.1 302 F\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        line.write_all(head.as_bytes()).map(|()| true)
    });
    let client = Some((me.certificate, me.key));
    let net = Setup { roots: authority.pem(), client, ..setup() };
    assert!(unit.open(&home.url("/x"), net.clone()).is_ok());
    let refused = unit.open(&home.url("/far"), net).err().unwrap();
    assert_eq!(refused.code(), ReasonCode::TlsRefused);
    assert!(refused.detail().contains("this device's certificate"), "{refused}");
}

/// What is reached through a proxy is not as near as the proxy.
#[test]
fn n11_a_proxy_brings_no_far_server_nearer() {
    let unit = Unit::new();
    let near = Server::new(|_, line| line.write_all(b"HTTP/1.1 404 N\r\n\r\n").map(|()| false));
    let port = near.port;
    let proxy = Server::new(move |_, line| {
        let to = format!("https://127.0.0.1:{port}/x");
        let head = format!("HTTP/1.1 302 F\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        line.write_all(head.as_bytes()).map(|()| true)
    });
    let net = Setup { proxy: Some(proxy.url("")), ..setup() };
    // An address of RFC 5737: nothing but the proxy is asked.
    let refused = unit.open("http://192.0.2.1/x", net).err().unwrap();
    assert_eq!(refused.code(), ReasonCode::RedirectRefused);
    assert!(near.asked().is_empty());
}
