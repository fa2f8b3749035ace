//! Links that break, proxies, and what the settings say.

use super::Fetching;
use super::server::{File, Server};
use super::tls::Authority;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn a_cut_anywhere_is_gone_on_with() {
    let it = Fetching::new();
    for after in [0, 1, 100, 65_535, 65_536, 65_537, 300_000] {
        let it = Fetching::new();
        let file = File::new(&it.bytes);
        let server = Server::new(move |asked, line| match asked.number {
            1 | 2 => file.cut(asked, line, after),
            _ => file.give(asked, line),
        });
        it.gets(&server.url("/"));
    }
    // Nor does it matter without parts, where the server vouches for the same bytes.
    let file = File::new(&it.bytes);
    let server = Server::new(move |asked, line| match asked.number {
        0 | 1 => {
            line.write_all(file.whole_head().as_bytes())?;
            line.write_all(&file.bytes[..200_000 * (asked.number + 1)]).map(|()| false)
        }
        _ => file.whole(line),
    });
    it.gets(&server.url("/"));
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_server_that_is_away_for_a_while_is_waited_for() {
    let it = Fetching::new();
    let file = File::new(&it.bytes);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{port}/u.surefoot");
    let fetching = std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let words = ["install", &url, "--wait"];
            it.bench.surefoot_with(&words, &[("SUREFOOT_SIM_PACE", "100")], b"")
        });
        std::thread::sleep(Duration::from_millis(300));
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let server = Server::new(move |asked, line| file.give(asked, line));
        scope.spawn(move || {
            // Forwards to a server that knows HTTP.
            for _ in 0..64 {
                let Ok((stream, _)) = listener.accept() else { return };
                let to = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
                std::thread::spawn(move || forward(stream, to));
            }
        });
        let said = waits.join().unwrap();
        // Ends the thread that accepts.
        (0..64).for_each(|_| drop(TcpStream::connect(("127.0.0.1", port))));
        said
    });
    fetching.ok();
    it.is_installed();
}

pub(super) fn forward(from: TcpStream, to: TcpStream) {
    let (mut a, mut b) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let back = std::thread::spawn(move || drop(std::io::copy(&mut b, &mut a)));
    let (mut a, mut b) = (from, to);
    let _ = std::io::copy(&mut a, &mut b);
    let _ = b.shutdown(std::net::Shutdown::Both);
    let _ = back.join();
}

/// A proxy: says what it was asked for, and lets through.
fn proxy(wants: Option<&'static str>) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let _ = sender.send(text.clone());
            if wants.is_some_and(|login| !text.contains(login)) {
                let _ = stream.write_all(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let first = text.split(' ').nth(1).unwrap_or_default();
            let place = first.trim_start_matches("http://");
            let port = place.split([':', '/']).nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            // What stands before the path of a whole URL.
            let origin = &first[..first.len() - place.len() + place.find('/').unwrap_or(0)];
            let asked = text.replacen(origin, "", 1);
            let tunnel = text.starts_with("CONNECT");
            std::thread::spawn(move || {
                match tunnel {
                    true => drop(stream.write_all(b"HTTP/1.1 200 Through\r\n\r\n")),
                    false => drop(to.write_all(asked.as_bytes())),
                }
                forward(stream, to);
            });
        }
    });
    (port, heard)
}

/// A name that only the proxy can resolve: it takes the port and goes to the loopback.
const ELSEWHERE: &str = "updates.invalid";

#[test]
fn a_proxy_is_asked_where_the_settings_name_one() {
    let authority = Authority::new();
    for secure in [true, false] {
        let (port, heard) = proxy(Some("Basic dXNlcjpzZWNyZXQ="));
        let it = Fetching::with(&format!(
            "roots = \"ca.pem\"\nproxy = \"http://user:secret@127.0.0.1:{port}\""
        ));
        std::fs::write(it.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
        let file = File::new(&it.bytes);
        let give = move |asked: &super::server::Asked, line: &mut dyn super::server::Line| {
            file.give(asked, line)
        };
        let server = match secure {
            true => Server::tls(authority.identity(ELSEWHERE, 2020, 2200).server(), give),
            false => Server::new(give),
        };
        it.gets(&server.url("/u.surefoot").replace("127.0.0.1", ELSEWHERE));
        let first = heard.recv().unwrap();
        let place = format!("{ELSEWHERE}:{}", server.port);
        let line = match secure {
            true => format!("CONNECT {place} HTTP/1.1\r\n"),
            false => format!("GET http://{place}/u.surefoot HTTP/1.1\r\n"),
        };
        assert!(first.starts_with(&line), "{first}");
        let all = server.asked();
        assert!(all.iter().all(|a| secure == a.header("proxy-authorization").is_none()));
    }
}

#[test]
fn a_proxy_that_wants_other_credentials_is_named() {
    for scheme in ["https", "http"] {
        let (port, _heard) = proxy(Some("Basic something else"));
        let it = Fetching::with(&format!("proxy = \"http://u:p@127.0.0.1:{port}\""));
        let said = it.refused(&format!("{scheme}://{ELSEWHERE}/x"), 69, "PROXY_REFUSED");
        assert!(said.err.contains("407"), "{}", said.err);
    }
}

#[test]
fn a_server_may_want_the_certificate_of_the_device() {
    let (authority, devices) = (Authority::new(), Authority::new());
    let it = Fetching::with(
        "roots = [\"other.pem\", \"ca.pem\"]\nclient_cert = \"me.pem\"\nclient_key = \"me.key\"",
    );
    let write = |name: &str, text: &str| std::fs::write(it.bench.path(name), text).unwrap();
    write("DEV/ca.pem", &authority.pem());
    write("DEV/other.pem", &Authority::new().pem());
    let me = devices.identity("device-7", 2020, 2200);
    write("DEV/me.pem", &me.certificate);
    write("DEV/me.key", &me.key);
    let file = File::new(&it.bytes);
    let server = Server::tls(authority.good().server_for(&devices), move |asked, line| {
        file.give(asked, line)
    });
    it.gets(&server.url("/"));
    let bare = Fetching::with("roots = \"ca.pem\"");
    std::fs::write(bare.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
    let said = bare.refused(&server.url("/"), 69, "TLS_REFUSED");
    assert!(said.err.contains("this device's certificate"), "{}", said.err);
}

#[test]
fn no_more_bytes_come_in_a_second_than_the_settings_allow() {
    let it = Fetching::with("rate = \"256KiB\"");
    let file = File::new(&it.bytes);
    let server = Server::new(move |asked, line| file.give(asked, line));
    let start = Instant::now();
    it.gets(&server.url("/"));
    // The half of it: what the rate has saved up at the start, and rounding, are no matter.
    let least = Duration::from_millis(it.bytes.len() as u64 * 1000 / (2 * 256 * 1024));
    assert!(start.elapsed() > least, "{} bytes in {:?}", it.bytes.len(), start.elapsed());
}

#[test]
fn settings_that_cannot_be_meant_are_named_with_their_file() {
    for (text, said) in [
        ("client_cert = \"x.pem\"", "client_key"),
        ("connections = 0", "connections"),
        ("rate = 0", "rate"),
        ("proxy = \"socks5://x\"", "proxy"),
        ("stall = \"soon\"", "duration"),
    ] {
        let it = Fetching::with(text);
        let told =
            it.bench.surefoot(&["install", "http://127.0.0.1:1/"]).refused(78, "CONFIG_INVALID");
        assert!(told.err.contains(said) && told.err.contains("surefoot.toml"), "{}", told.err);
    }
    let it = Fetching::with("roots = \"nowhere.pem\"");
    it.bench.surefoot(&["install", "https://127.0.0.1:1/"]).refused(78, "CONFIG_INVALID");
}

#[test]
fn the_doctor_names_every_step_on_the_way() {
    let authority = Authority::new();
    let it = Fetching::with("roots = \"ca.pem\"");
    std::fs::write(it.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
    let file = File::new(&it.bytes);
    let give = file.clone();
    let server = Server::tls(authority.good().server(), move |asked, line| give.give(asked, line));
    let said = it.bench.surefoot(&["doctor", "--network", &server.url("/u.surefoot")]).ok();
    for text in [
        "127.0.0.1",
        "answers",
        "made by authority",
        "until 2200-01-01",
        "status 206",
        "gives parts",
    ] {
        assert!(said.out.contains(text), "{text}: {}", said.out);
    }
    let plain = Server::new(move |_, line| file.whole(line));
    let said = it.bench.surefoot(&["doctor", "--network", &plain.url("/")]).ok();
    for text in ["not encrypted", "gives no parts"] {
        assert!(said.out.contains(text), "{text}: {}", said.out);
    }
    let stranger = Server::tls(Authority::new().good().server(), |_, _| Ok(false));
    let words = ["doctor", "--network", &stranger.url("/"), "--json"];
    let said = it.bench.surefoot(&words);
    assert_eq!((said.code, said.reason()), (69, Some("TLS_REFUSED")), "{}", said.err);
    let steps = said.json()["steps"].as_array().unwrap().clone();
    assert_eq!(steps.last().unwrap()["code"], "TLS_REFUSED", "{steps:?}");
}
