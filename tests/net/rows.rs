//! The table of hostile answers, row by row. `n07_…` is row N07 of the project's list.

use super::Fetching;
use super::links::forward;
use super::server::{Asked, File, Line, Server};
use super::tls::{Authority, self_signed};
use crate::common::skip::skipped;
use std::sync::atomic::{AtomicU8, Ordering};

/// A server that says these words, whatever it is asked for.
fn says(words: impl Into<Vec<u8>>) -> Server {
    let words = words.into();
    Server::new(move |_, line| line.write_all(&words).map(|()| false))
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat()
}

#[test]
fn n01_an_endless_body_ends_with_the_artifact() {
    let it = Fetching::new();
    let bytes = it.bytes.clone();
    let server = Server::new(move |_, line| {
        line.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        line.write_all(&bytes)?;
        // To the end of the connection, which the device makes.
        loop {
            line.write_all(&[0; 65_536])?;
        }
    });
    it.refused(&server.url("/u.surefoot"), 65, "TRAILING_BYTES");
}

#[test]
fn n02_a_trickle_is_a_stall() {
    let it = Fetching::with("stall = \"1s\"");
    let server = Server::new(|_, line| {
        line.write_all(b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 100000\r\n\r\n")?;
        loop {
            line.write_all(b"x")?;
            line.flush()?;
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    });
    it.refused(&server.url("/"), 69, "STALLED");
}

#[test]
fn n02_silence_in_the_body_is_a_stall_however_long_a_head_may_take() {
    let it = Fetching::with("stall = \"1s\"\nheader = \"1h\"");
    let server = Server::new(|_, line| {
        line.write_all(b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 100000\r\n\r\nS")?;
        line.flush()?;
        // Until the device gives up.
        line.read(&mut [0]).map(|_| false)
    });
    it.refused(&server.url("/"), 69, "STALLED");
}

#[test]
fn n02_silence_before_the_head_is_an_answer_that_did_not_come() {
    let it = Fetching::with("header = \"1s\"");
    let server = Server::new(|_, line| {
        let mut byte = [0];
        // Until the device gives up.
        line.read(&mut byte).map(|_| false)
    });
    it.refused(&server.url("/"), 69, "UNREACHABLE");
}

#[test]
fn n03_lengths_that_are_wrong() {
    let it = Fetching::new();
    let len = it.bytes.len();
    for bad in ["-1", "9223372036854775808", "18446744073709551616", "0x10", "5, 6"] {
        let head = format!("200 OK\r\nContent-Length: {bad}");
        it.refused(&says(answer(&head, &it.bytes)).url("/"), 69, "HTTP_ANSWER");
    }
    let two = format!("200 OK\r\nContent-Length: {len}\r\nContent-Length: {}", len + 1);
    it.refused(&says(answer(&two, &it.bytes)).url("/"), 69, "HTTP_ANSWER");
    let short = format!("200 OK\r\nContent-Length: {}", len - 10);
    it.refused(&says(answer(&short, &it.bytes)).url("/"), 69, "SOURCE_LOST");
    let long = format!("200 OK\r\nETag: \"x\"\r\nContent-Length: {}", len + 10);
    it.refused(&says(answer(&long, &it.bytes)).url("/"), 69, "UNREACHABLE");
}

#[test]
fn n04_a_body_without_a_length_that_ends_early() {
    let it = Fetching::new();
    let half = it.bytes[..it.bytes.len() / 2].to_vec();
    it.refused(&says(answer("200 OK", &half)).url("/"), 69, "SOURCE_LOST");
    let page = says(answer("200 OK", b"<html>hello</html>"));
    it.refused(&page.url("/"), 65, "NOT_AN_ARTIFACT");
}

#[test]
fn n05_two_ways_to_say_the_length() {
    let it = Fetching::new();
    let head =
        format!("200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: {}", it.bytes.len());
    it.refused(&says(answer(&head, b"5\r\nhello\r\n0\r\n\r\n")).url("/"), 69, "HTTP_ANSWER");
}

#[test]
fn n06_chunks_that_are_none() {
    let it = Fetching::new();
    for chunks in [
        "80000000\r\nabc",
        "7fffffffffffffff\r\nabc",
        "ffffffffffffffffff\r\nabc",
        "-5\r\nabc",
        "zz\r\nabc",
        "5\nhello\n0\n\n",
        "5 \r\nhelloX\r\n",
    ] {
        let server = says(answer("200 OK\r\nTransfer-Encoding: chunked", chunks.as_bytes()));
        let before = it.bench.firm_ground();
        let said = it.install(&server.url("/"));
        assert!(said.code == 69 || said.code == 65, "{chunks:?}: {} {}", said.code, said.err);
        assert_eq!(it.bench.firm_ground(), before);
    }
    // What is allowed is read: extensions, and a trailer.
    let mut good = Vec::new();
    for chunk in it.bytes.chunks(70_000) {
        good.extend(format!("{:x};name=value\r\n", chunk.len()).bytes());
        good.extend(chunk);
        good.extend(b"\r\n");
    }
    good.extend(b"0\r\nTrailer: x\r\n\r\n");
    let server = says(answer("200 OK\r\nTransfer-Encoding: chunked", &good));
    it.gets(&server.url("/"));
}

#[test]
fn n07_a_server_without_parts_gives_the_whole() {
    let it = Fetching::new();
    let file = File::new(&it.bytes);
    let server = Server::new(move |_, line| file.whole(line));
    it.gets(&server.url("/u.surefoot"));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn n07_a_server_that_gives_no_parts_any_more_is_not_believed() {
    let it = Fetching::new();
    let file = File::new(&it.bytes);
    let server = Server::new(move |asked, line| match asked.number {
        0 => file.give(asked, line),
        _ => file.whole(line),
    });
    it.refused(&server.url("/"), 69, "HTTP_RANGE");
}

#[test]
fn n08_other_parts_than_were_asked_for() {
    let it = Fetching::new();
    let len = it.bytes.len();
    let first = it.bytes[..65_536].to_vec();
    for range in [
        format!("bytes 1-65536/{len}"),
        format!("bytes 0-65536/{len}"),
        "bytes 0-65535/1000".to_owned(),
        "bytes 0-65535/*".to_owned(),
        "bytes 0-/9".to_owned(),
        format!("items 0-65535/{len}"),
    ] {
        let head = format!("206 Partial\r\nContent-Length: 65536\r\nContent-Range: {range}");
        it.refused(&says(answer(&head, &first)).url("/"), 69, "HTTP_RANGE");
    }
    let many =
        "206 Partial\r\nContent-Length: 65536\r\nContent-Type: multipart/byteranges; boundary=x";
    it.refused(&says(answer(many, &first)).url("/"), 69, "HTTP_RANGE");
    // The right beginning, and then a part of a longer file: it is begun anew, and is not what was signed.
    let file = File::new(&it.bytes);
    let server = Server::new(move |asked, line| {
        let (head, bytes) = file.parts(asked);
        let head = match asked.number {
            0 => head,
            _ => head.replace(&format!("/{len}"), &format!("/{}", len + 1)),
        };
        line.write_all(head.as_bytes())?;
        line.write_all(bytes).map(|()| true)
    });
    it.refused(&server.url("/"), 65, "TRAILING_BYTES");
}

#[test]
fn n08_a_part_that_is_called_a_page_is_a_part_all_the_same() {
    // As the small servers of busybox call every part.
    let it = Fetching::new();
    let file = File::new(&it.bytes);
    let server = Server::new(move |asked, line| {
        let (head, bytes) = file.parts(asked);
        let head = head.replace("\r\n\r\n", "\r\nContent-Type: text/html\r\n\r\n");
        line.write_all(head.as_bytes())?;
        line.write_all(bytes).map(|()| true)
    });
    it.gets(&server.url("/u.surefoot"));
}

#[test]
fn n09_another_file_takes_its_place_midway() {
    let it = Fetching::new();
    let (one, two) = (File::new(&it.bytes), File { etag: "\"two\"", ..File::new(&it.bytes) });
    let server = Server::new(move |asked, line| match asked.number > 1 {
        true => two.give(asked, line),
        false => one.give(asked, line),
    });
    // It is begun anew, once.
    it.gets(&server.url("/"));
    // One that is another one each time is none.
    let other = Fetching::new();
    let file = File::new(&other.bytes);
    let server = Server::new(move |asked, line| {
        let etag: &'static str = if asked.number % 2 == 0 { "\"even\"" } else { "\"odd\"" };
        File { etag, ..file.clone() }.give(asked, line)
    });
    other.refused(&server.url("/"), 69, "SOURCE_CHANGED");
}

#[test]
fn n09_without_a_mark_the_date_tells_it() {
    let it = Fetching::new();
    let file = File { etag: "W/\"weak\"", ..File::new(&it.bytes) };
    let server = Server::new(move |asked, line| {
        let (head, bytes) = file.parts(asked);
        let day = if asked.number > 0 { 2 } else { 1 };
        let date = format!("Last-Modified: Sun, 0{day} Nov 2026 00:00:00 GMT\r\nContent-Length");
        line.write_all(
            head.replace("ETag: W/\"weak\"\r\n", "").replace("Content-Length", &date).as_bytes(),
        )?;
        line.write_all(bytes).map(|()| true)
    });
    it.gets(&server.url("/"));
}

#[test]
fn n11_redirects_that_are_not_followed() {
    let authority = Authority::new();
    let it = Fetching::with("roots = \"ca.pem\"");
    std::fs::write(it.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
    let other = Server::new(|_, line| line.write_all(b"HTTP/1.1 200 OK\r\n\r\n").map(|()| false));
    for to in [
        other.url("/"),
        "file:///etc/passwd".to_owned(),
        "https://localhost:1/".to_owned().replace("https", "http"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "gopher://x/".to_owned(),
        "https://u:p@127.0.0.1/".to_owned(),
    ] {
        let head = format!("302 Found\r\nLocation: {to}\r\nContent-Length: 0");
        let words = answer(&head, b"");
        let server = Server::tls(authority.good().server(), move |_, line| {
            line.write_all(&words).map(|()| false)
        });
        let url = server.url("/").replace("https://", "https://user:secret@");
        let said = it.refused(&url, 69, "REDIRECT_REFUSED");
        assert!(!said.err.contains("secret"), "{}", said.err);
        assert!(server.asked()[0].header("authorization").is_some());
    }
    assert!(other.asked().is_empty(), "nothing was asked for there");
    let nowhere = says(answer("302 Found\r\nContent-Length: 0", b""));
    it.refused(&nowhere.url("/"), 69, "HTTP_ANSWER");
}

#[test]
fn n11_a_redirect_to_another_host_over_tls_brings_the_file_and_no_credentials_along() {
    let authority = Authority::new();
    let it = Fetching::with("roots = [\"ca.pem\"]");
    std::fs::write(it.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
    let file = File::new(&it.bytes);
    let far = authority.identity("localhost", 2020, 2200).server();
    let far = Server::tls(far, move |asked, line| file.give(asked, line));
    let to = format!("https://localhost:{}/u.surefoot", far.port);
    let words = answer(&format!("307 Moved\r\nLocation: {to}\r\nContent-Length: 0"), b"");
    let near = Server::tls(authority.good().server(), move |_, line| {
        line.write_all(&words).map(|()| false)
    });
    let url = near.url("/").replace("https://", "https://user:secret@");
    it.gets(&url);
    assert!(!far.asked().is_empty());
    assert!(far.asked().iter().all(|a| a.header("authorization").is_none()));
    assert_eq!(near.asked()[0].header("authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
}

#[test]
fn n12_a_circle_of_redirects_ends() {
    let it = Fetching::new();
    let server = Server::new(|asked, line| {
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n",
            asked.number
        );
        line.write_all(head.as_bytes()).map(|()| true)
    });
    it.refused(&server.url("/"), 69, "REDIRECT_REFUSED");
    assert_eq!(server.asked().len(), 6);
}

#[test]
fn n13_a_body_that_is_coded_is_not_read() {
    let it = Fetching::new();
    for coding in ["gzip", "br", "deflate, gzip"] {
        let head = format!("200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 1000000000");
        let server = says(answer(&head, &[0x1f; 1000]));
        it.refused(&server.url("/"), 69, "HTTP_ENCODING");
        assert_eq!(server.asked()[0].header("accept-encoding"), Some("identity"));
    }
}

#[test]
fn n14_heads_without_an_end() {
    let it = Fetching::new();
    let many = format!("200 OK{}", "\r\nX: y".repeat(20_000));
    let long = format!("200 OK\r\nX: {}", "y".repeat(80 << 10));
    for head in [many, long] {
        it.refused(&says(answer(&head, b"")).url("/"), 69, "HTTP_ANSWER");
    }
}

#[test]
fn n15_certificates_that_prove_nothing() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let it = Fetching::with("roots = \"ca.pem\"");
    std::fs::write(it.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
    for (name, identity, said) in [
        ("expired", authority.identity("127.0.0.1", 2020, 2021), "was good until 2021-01-01"),
        ("not yet", authority.identity("127.0.0.1", 2199, 2200), "is good from 2199-01-01"),
        ("host", authority.identity("example.org", 2020, 2200), "another name"),
        ("authority", stranger.good(), "no authority"),
        ("self", self_signed(), "certificate"),
        ("itself", authority.itself(), "that of an authority and no server's"),
    ] {
        let server = Server::tls(identity.server(), |_, line| {
            line.write_all(b"HTTP/1.1 200 OK\r\n\r\n").map(|()| false)
        });
        let told = it.refused(&server.url("/"), 69, "TLS_REFUSED");
        assert!(told.err.contains(said), "{name}: {}", told.err);
        assert!(server.asked().is_empty(), "{name}");
    }
}

#[test]
fn n15_a_server_that_speaks_old_tls_only() {
    let it = Fetching::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // As a server of TLS 1.0 or 1.1 answers what offers it only newer ones: the alert `protocol_version`.
            let _ = std::io::Read::read(&mut stream, &mut [0; 16_384]);
            let _ = std::io::Write::write_all(&mut stream, &[21, 3, 1, 0, 2, 2, 70]);
            let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
        }
    });
    let said = it.refused(&format!("https://127.0.0.1:{port}/"), 69, "TLS_REFUSED");
    assert!(said.err.contains("no TLS of version 1.2 or 1.3"), "{}", said.err);
}

#[test]
fn n15_a_server_that_speaks_no_tls() {
    let it = Fetching::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 no TLS here\r\n\r\n");
            // Until the device hangs up.
            let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
        }
    });
    it.refused(&format!("https://127.0.0.1:{port}/"), 69, "TLS_REFUSED");
}

/// Two servers at one name and one port, each for one address of it. Nothing where there is no IPv6.
fn at_both(other: &Server, port: u16) -> Option<()> {
    let listener = std::net::TcpListener::bind(("::1", port)).ok()?;
    let to = other.port;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(to) = std::net::TcpStream::connect(("127.0.0.1", to)) else { return };
            std::thread::spawn(move || forward(stream, to));
        }
    });
    Some(())
}

#[test]
fn n18_the_certificate_decides_which_address_of_a_name_is_the_server() {
    let authority = Authority::new();
    // Whichever address is tried first: it is the wrong one once.
    for (here, there) in [(true, false), (false, true), (false, false)] {
        let it = Fetching::with("roots = \"ca.pem\"");
        std::fs::write(it.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
        let file = File::new(&it.bytes);
        let server = |good: bool| {
            let (file, stranger) = (file.clone(), Authority::new());
            let of = if good { &authority } else { &stranger };
            let identity = of.identity("two.localhost", 2020, 2200);
            Server::tls(identity.server(), move |asked, line| file.give(asked, line))
        };
        let (first, second) = (server(here), server(there));
        if at_both(&second, first.port).is_none() {
            return skipped("this host has no IPv6 on its loopback");
        }
        let url = format!("https://two.localhost:{}/u.surefoot", first.port);
        match here || there {
            true => it.gets(&url),
            false => {
                let said = it.refused(&url, 69, "TLS_REFUSED");
                assert!(said.err.contains("no authority"), "{}", said.err);
            }
        }
        for (server, good) in [(first, here), (second, there)] {
            assert_eq!(server.asked().is_empty(), !good);
        }
    }
}

#[test]
fn n17_an_end_of_tls_without_its_last_word() {
    let authority = Authority::new();
    let it = Fetching::with("roots = \"ca.pem\"");
    std::fs::write(it.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
    // The server drops the connection without `close_notify`: at the end the length decides.
    let whole = answer("200 OK", &it.bytes);
    let server = Server::tls(authority.good().server(), move |_, line| {
        line.write_all(&whole).map(|()| false)
    });
    it.gets(&server.url("/"));
    let it = Fetching::with("roots = \"ca.pem\"");
    std::fs::write(it.bench.path("DEV/ca.pem"), authority.pem()).unwrap();
    let half = answer("200 OK", &it.bytes[..it.bytes.len() / 2]);
    let server = Server::tls(authority.good().server(), move |_, line| {
        line.write_all(&half).map(|()| false)
    });
    it.refused(&server.url("/"), 69, "SOURCE_LOST");
}

#[test]
fn n19_a_server_that_closes_after_every_few_bytes_is_gone_on_with() {
    let it = Fetching::with("connections = 1");
    let file = File::new(&it.bytes);
    let server = Server::new(move |asked, line| file.cut(asked, line, 40_000));
    it.gets(&server.url("/"));
    assert!(server.asked().len() > 10);
    let resumed = server.asked().iter().filter(|a| a.header("if-range") == Some("\"one\"")).count();
    assert!(resumed > 10, "{resumed}");
}

#[test]
fn n20_every_status_has_its_meaning() {
    let it = Fetching::new();
    for (head, code, said) in [
        ("401 Unauthorized", "HTTP_STATUS", "401"),
        ("403 Forbidden", "HTTP_STATUS", "403"),
        ("404 Not Found", "HTTP_STATUS", "it is not there"),
        ("410 Gone", "HTTP_STATUS", "410"),
        ("418 teapot", "HTTP_STATUS", "418"),
        ("416 Range", "HTTP_RANGE", "416"),
        ("429 Slow\r\nRetry-After: 1000000000", "HTTP_STATUS", "asked again in 86400 s"),
        ("503 Busy", "HTTP_STATUS", "cannot answer now"),
        ("511 Login", "CAPTIVE_PORTAL", "login"),
        ("204 Nothing", "HTTP_ANSWER", "204"),
        ("101 Switching", "HTTP_STATUS", "101"),
    ] {
        let server = says(answer(&format!("{head}\r\nContent-Length: 0"), b""));
        let told = it.refused(&server.url("/"), 69, code);
        assert!(told.err.contains(said), "{head}: {}", told.err);
    }
    let page =
        answer("200 OK\r\nContent-Type: text/html; charset=utf-8", b"<html>Please log in</html>");
    it.refused(&says(page).url("/"), 69, "CAPTIVE_PORTAL");
}

#[test]
fn n20_a_server_that_is_busy_for_a_moment_is_asked_again() {
    let it = Fetching::new();
    let file = File::new(&it.bytes);
    let left = AtomicU8::new(4);
    let server = Server::new(move |asked: &Asked, line: &mut dyn Line| {
        let busy = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        // With and without a time, with and without a body.
        let head = match busy {
            Ok(4) => "503 Busy\r\nContent-Length: 0\r\n\r\n",
            Ok(3) => "503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy",
            Ok(2) => "429 Slow\r\nContent-Length: 0\r\n\r\n",
            Ok(_) => "429 Slow\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nslow",
            Err(_) => return file.give(asked, line),
        };
        line.write_all(format!("HTTP/1.1 {head}").as_bytes()).map(|()| true)
    });
    let said = it.bench.surefoot_with(
        &["install", &server.url("/"), "--wait"],
        &[("SUREFOOT_SIM_PACE", "100")],
        b"",
    );
    said.ok();
    it.is_installed();
}

#[test]
fn n20_informational_answers_without_an_end_are_not_waited_for_for_ever() {
    let it = Fetching::with("header = \"1s\"");
    let server = Server::new(|_, line| {
        loop {
            line.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")?;
        }
    });
    let said = it.install(&server.url("/"));
    // As many as fit into a head, or as many as come in its time.
    assert!(matches!(said.reason(), Some("HTTP_ANSWER" | "UNREACHABLE")), "{}", said.err);
}

#[test]
fn n21_a_proxy_in_the_environment_is_none() {
    let it = Fetching::new();
    let file = File::new(&it.bytes);
    let server = Server::new(move |asked, line| file.give(asked, line));
    let proxy = "http://127.0.0.1:1/";
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"];
    let environment = names.map(|name| (name, proxy));
    it.gets_with(&server.url("/"), &environment);
}

#[test]
fn a_url_that_is_none_or_shows_credentials_is_a_mistake_of_the_caller() {
    let it = Fetching::new();
    for url in
        ["http://", "https://a b/", "http://u:p@example.org/x", "http://0x7f.1/", "http://a/#x"]
    {
        it.refused(url, 64, "USAGE");
    }
}
