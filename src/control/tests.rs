//! A door with an echo behind it, and everybody who may knock.

use super::*;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Echo;

impl Handler for Echo {
    fn lasts(&self, head: &Head) -> bool {
        ["/lines", "/hold", "/unread"].contains(&head.path.as_str()) || head.method == "PUT"
    }

    fn answer(&self, mut request: Incoming, reply: Reply) {
        match request.head.path.as_str() {
            "/lines" => {
                let mut lines = reply.lines().unwrap();
                for n in 0..3 {
                    lines
                        .line(&serde_json::json!({ "n": n, "may": request.may >= May::Control }))
                        .unwrap();
                }
                lines.end().unwrap();
            }
            "/broken" => {
                let mut lines = reply.lines().unwrap();
                let _ = lines.line(&1);
            }
            "/unread" => reply.json(422, &"no").unwrap(),
            "/hold" => {
                let _ = request.body.read_to_end(&mut Vec::new());
            }
            "/handed" => {
                let mut text = String::new();
                let mut file = std::fs::File::from(request.handed.unwrap());
                file.read_to_string(&mut text).unwrap();
                reply.json(200, &text).unwrap();
            }
            _ => {
                let mut text = String::new();
                let read = (&mut request.body).take(64 * 1024 + 1).read_to_string(&mut text);
                match read.is_ok_and(|n| n <= 64 * 1024) {
                    true => reply.text(200, "text/plain", &text).unwrap(),
                    false => reply.json(400, &"bad").unwrap(),
                }
            }
        }
    }
}

struct Place {
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

fn door(limits: Limits) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    Door::open(UnixListener::bind(&socket).unwrap(), May::Read, limits, Arc::new(Echo)).unwrap();
    Place { socket, _folder: folder }
}

fn hasty() -> Limits {
    Limits { patience: Duration::from_millis(300), ..Limits::default() }
}

fn ask(place: &Place, method: &str, target: &str, body: &str) -> (u16, String) {
    let call = Call { method, target, body, handed: None, patience: None };
    let answered = super::call(&place.socket, &call).unwrap();
    (answered.status, answered.lines.rest().unwrap())
}

/// Waits until a long answer has this status: what holds its place is seen a moment later.
fn becomes(place: &Place, status: u16) {
    let start = Instant::now();
    while ask(place, "GET", "/lines", "").0 != status {
        assert!(start.elapsed() < Duration::from_secs(200), "never {status}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is said to raw bytes until the connection ends.
fn raw(place: &Place, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(&place.socket).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn documents_lines_and_descriptors_come_through() {
    let place = door(Limits::default());
    assert_eq!(ask(&place, "POST", "/", "hello\n"), (200, "hello\n".to_owned()));
    let (status, lines) = ask(&place, "GET", "/lines", "");
    assert_eq!((status, lines.lines().count()), (200, 3));
    assert!(lines.contains("\"may\":false"), "{lines}");
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"in the file").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let handed = Some(file.as_fd());
    let call = Call { method: "POST", target: "/handed", body: "", handed, patience: None };
    let answered = super::call(&place.socket, &call).unwrap();
    assert_eq!(answered.lines.rest().unwrap(), "\"in the file\"\n");
}

#[test]
fn lines_that_break_off_are_no_whole_answer() {
    let place = door(Limits::default());
    let call = Call { method: "GET", target: "/broken", body: "", handed: None, patience: None };
    let answered = super::call(&place.socket, &call).unwrap();
    assert!(answered.lines.rest().is_err());
}

#[test]
fn a_client_that_waits_for_a_word_gets_it() {
    let place = door(Limits::default());
    let head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let mut stream = UnixStream::connect(&place.socket).unwrap();
    stream.write_all(head).unwrap();
    let mut word = [0; 25];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nbody"));
}

#[test]
fn garbage_and_huge_heads_are_answered_and_gone() {
    let place = door(Limits::default());
    assert!(raw(&place, b"\x16\x03\x01\x02\x00\x01\x00").starts_with("HTTP/1.1 400"));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    assert!(raw(&place, long.as_bytes()).starts_with("HTTP/1.1 431"));
    let huge = format!("POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n{}", "a".repeat(70_000));
    assert!(raw(&place, huge.as_bytes()).starts_with("HTTP/1.1 400"));
    let short = "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc";
    assert!(raw(&door(hasty()), short.as_bytes()).starts_with("HTTP/1.1 400"));
    assert_eq!(ask(&place, "POST", "/", "still here"), (200, "still here\n".to_owned()));
}

#[test]
fn slow_clients_wait_at_the_door_and_nobody_behind_them() {
    let crowd = |place: &Place| {
        let knock = |_| {
            let mut stream = UnixStream::connect(&place.socket).unwrap();
            stream.write_all(b"GET / HT").unwrap();
            stream
        };
        (0..100).map(knock).collect::<Vec<_>>()
    };
    // With so much patience, who waits behind them waits for ten minutes.
    let place = door(Limits { patience: Duration::from_secs(600), ..Limits::default() });
    let slow = crowd(&place);
    let start = Instant::now();
    assert_eq!(ask(&place, "POST", "/", "quick").0, 200);
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
    drop(slow);
    let place = door(hasty());
    for mut stream in crowd(&place) {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

#[test]
fn a_body_that_trickles_is_not_waited_for() {
    let place = door(hasty());
    let mut slow = UnixStream::connect(&place.socket).unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n").unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(300) && slow.write_all(b"a").is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        start.elapsed() < Duration::from_secs(300),
        "it was listened to for {:?}",
        start.elapsed()
    );
}

#[test]
fn a_thousand_at_once_are_all_answered() {
    let place = door(Limits::default());
    let answered = std::thread::scope(|scope| {
        let knocking: Vec<_> = (0..1_000)
            .map(|n| {
                let place = &place;
                let client =
                    move || ask(place, "POST", "/", &n.to_string()) == (200, format!("{n}\n"));
                std::thread::Builder::new()
                    .stack_size(64 * 1024)
                    .spawn_scoped(scope, client)
                    .unwrap()
            })
            .collect();
        knocking.into_iter().filter_map(|t| t.join().ok()).filter(|ok| *ok).count()
    });
    assert_eq!(answered, 1_000);
}

#[test]
fn who_still_sends_reads_the_answer_and_no_broken_pipe() {
    let place = door(Limits::default());
    let mut stream = UnixStream::connect(&place.socket).unwrap();
    stream.write_all(b"POST /unread HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n").unwrap();
    // More than any buffer between the two holds.
    (0..100).for_each(|_| stream.write_all(&[0; 16 * 1024]).unwrap());
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
}

#[test]
fn long_answers_are_counted_and_leave_room_for_brief_ones() {
    let place =
        door(Limits { lasting: 2, patience: Duration::from_secs(300), ..Limits::default() });
    let hold = || {
        let mut stream = UnixStream::connect(&place.socket).unwrap();
        stream.write_all(b"POST /hold HTTP/1.1\r\nContent-Length: 5\r\n\r\n").unwrap();
        stream
    };
    let (first, _second) = (hold(), hold());
    becomes(&place, 503);
    assert_eq!(ask(&place, "POST", "/", "brief").0, 200);
    drop(first);
    becomes(&place, 200);
}

/// What the client makes of a server that is not ours: it says a head, and one piece again and
/// again until nobody listens.
fn stranger(head: &'static str, piece: Vec<u8>) -> std::io::Result<String> {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // An end to it, so that a client without a bound fails too.
        for _ in 0..20_000_000 / piece.len() * 4 {
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    });
    let patience = Some(Duration::from_secs(20));
    let call = Call { method: "GET", target: "/", body: "", handed: None, patience };
    super::call(&socket, &call)?.lines.rest()
}

#[test]
fn a_server_that_says_too_much_is_not_listened_to() {
    let strange = |said: std::io::Result<String>| {
        let kind = said.map(|text| text.len()).unwrap_err().kind();
        assert_eq!(kind, std::io::ErrorKind::InvalidData);
    };
    strange(stranger("HTTP/1.1 200 OK\r\n", b"X-Header: again\r\n".to_vec()));
    strange(stranger("HTTP/1.1 200 OK\r\nContent-Length: 99000000000\r\n\r\n", vec![b'x'; 4096]));
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0xffff], b"\n\r\n"].concat();
    strange(stranger("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk));
}
