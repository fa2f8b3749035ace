//! Everybody who may knock at the real daemon. What a door alone must stand is tried in
//! src/control/tests.rs.

use crate::common::Bench;
use crate::kept::{Kept, answer, until};
use crate::skip::skipped;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use surefoot::sys::unix::send_with;

/// A good client is answered.
fn answers(daemon: &Kept) {
    assert_eq!(daemon.status()["state"], "idle");
}

#[test]
fn garbage_and_heads_without_end_are_answered_and_forgotten() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let size = || std::fs::read_to_string(format!("/proc/{}/statm", daemon.pid())).unwrap();
    let pages = |text: String| text.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    let before = pages(size());
    for socket in ["status.sock", "control.sock"] {
        assert!(daemon.raw(socket, b"\x16\x03\x01\x02\x00\x01\x00").starts_with("HTTP/1.1 400"));
        assert!(daemon.raw(socket, &[0; 4096]).starts_with("HTTP/1.1 400"));
        assert!(daemon.raw(socket, b"GET /v1/status\r\n\r\n").starts_with("HTTP/1.1 400"));
        // 100 MiB that never end: sent in a thread, because nobody takes them.
        let mut stream = daemon.connect(socket);
        let mut back = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nX: ");
            let block = [b'a'; 1 << 16];
            (0..1600).take_while(|_| stream.write_all(&block).is_ok()).count()
        });
        let mut text = String::new();
        let _ = back.read_to_string(&mut text);
        assert!(text.starts_with("HTTP/1.1 431"), "{text}");
        drop(back);
        assert!(sender.join().unwrap() < 1600, "it took all of it");
    }
    let mut noise = 0x1234_5678_u64;
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..200)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise.to_le_bytes()[0]
            })
            .collect();
        let mut stream = daemon.connect("control.sock");
        let _ = stream.write_all(&bytes);
    }
    answers(&daemon);
    assert!(pages(size()) < before + 512, "2 MiB more than before");
}

#[test]
fn a_thousand_at_once_and_a_good_one_among_them() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    // Half of them ask, the other half begin and say no more.
    let mut silent = Vec::new();
    let answered = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..500)
            .map(|_| {
                let ask = || daemon.ask("status.sock", "GET", "/v1/status").0;
                let thread = std::thread::Builder::new().stack_size(128 * 1024);
                thread.spawn_scoped(scope, ask).unwrap()
            })
            .collect();
        let knock = || {
            let mut stream = UnixStream::connect(daemon.folder.join("control.sock")).ok()?;
            stream.write_all(b"GET /v1/sta").ok()?;
            Some(stream)
        };
        // As many as there is room for; the rest would wait in the kernel's queue.
        silent.extend((0..120).filter_map(|_| knock()));
        answers(&daemon);
        let answers = asking.into_iter().map(|t| t.join().unwrap());
        answers.filter(|status| *status == 200).count()
    });
    assert_eq!(answered, 500);
    // A client that asks behind the silent ones has its turn, although none of them goes away.
    let (status, _) = daemon.ask("control.sock", "GET", "/v1/status");
    assert_eq!(status, 200);
    // Each of them is sent away: the daemon ends the connection, with an answer or without one.
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        let ended = stream.read_to_end(&mut Vec::new());
        let kept = ended.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!kept, "a silent client is kept");
    }
}

#[test]
fn who_sends_one_byte_a_second_is_sent_away() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let mut slow = daemon.connect("control.sock");
    let start = Instant::now();
    for byte in b"GET /v1/status HTTP/1.1\r\n\r\n".iter().cycle() {
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        answers(&daemon);
        assert!(start.elapsed() < Duration::from_secs(300), "it is listened to without end");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn what_is_not_there_or_makes_no_sense_is_told_as_that() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let before = bench.firm_ground();
    let control = |method: &str, target: &str| {
        let (status, document) = daemon.ask("control.sock", method, target);
        (status, document["error"]["code"].as_str().unwrap_or("").to_owned())
    };
    let of = |status: u16, code: &str| (status, code.to_owned());
    for path in ["/", "/v2/status", "/v1/", "//", "/v1/status/", "/v1/install/x", "/v1/%73tatus"] {
        let expected = if path == "/v1/" { of(200, "") } else { of(404, "NO_SUCH_FILE") };
        assert_eq!(control("GET", path), expected, "{path}");
    }
    for (method, path) in [
        ("POST", "/v1/status"),
        ("GET", "/v1/install"),
        ("DELETE", "/v1/history"),
        ("PUT", "/v1/hold"),
        ("BREW", "/v1/events"),
    ] {
        assert_eq!(control(method, path), of(405, "USAGE"), "{method} {path}");
    }
    assert!(
        daemon.raw("control.sock", b"GET /v1/hold HTTP/1.1\r\n\r\n").contains("Allow: POST\r\n")
    );
    let head = daemon.raw("control.sock", b"HEAD /v1/status HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 405") && head.ends_with("\r\n\r\n"), "{head}");
    for (method, target) in [
        ("POST", "/v1/install?stage=1&reboot=now"),
        ("POST", "/v1/hold?seconds=-1"),
        ("POST", "/v1/hold?seconds=99999999999999999999"),
        ("POST", "/v1/hold?seconds=1&seconds=2"),
        ("POST", "/v1/hold?until=2d"),
        ("POST", "/v1/commit?force=1"),
        ("POST", "/v1/install?hold-ok=1"),
        ("POST", "/v1/install?reboot=sometime"),
        ("POST", "/v1/install?stage=perhaps"),
        ("POST", "/v1/unhold?progress=yes"),
        ("GET", "/v1/verify?slot=c"),
        ("GET", "/v1/verify?slot="),
        ("GET", "/v1/events?after=yesterday"),
        ("GET", "/v1/status?verbose=1"),
    ] {
        assert_eq!(control(method, target), of(400, "USAGE"), "{target}");
    }
    let long = format!("/v1/hold?reason={}", "x".repeat(5_000));
    let (status, document) = daemon.ask("control.sock", "POST", &long);
    assert_eq!(status, 200);
    assert!(document["reason"].as_str().unwrap().chars().count() <= 201, "{document}");
    let nasty = "/v1/hold?seconds=18446744073709551615&by=%1b%5b2J&reason=%00%1b%5d0%3bx%07%0a";
    let (status, document) = daemon.ask("control.sock", "POST", nasty);
    assert_eq!(status, 200, "{document}");
    let printable = |v: &serde_json::Value| v.as_str().unwrap().chars().all(|c| !c.is_control());
    assert!(printable(&document["by"]) && printable(&document["reason"]), "{document}");
    assert_eq!(control("POST", "/v1/unhold"), of(200, ""));
    assert!(bench.firm_ground() == before);
}

#[test]
fn the_status_socket_does_nothing_for_anybody() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let artifact = crate::common::read(&bench.release("2.0.0"));
    let before = bench.firm_ground();
    for path in ["install", "judge", "switch", "commit", "rollback", "hold", "unhold", "drill"] {
        let (status, document) = daemon.ask("status.sock", "POST", &format!("/v1/{path}"));
        assert_eq!((status, &document["error"]["code"]), (403, &"NOT_ALLOWED".into()), "{path}");
    }
    // Also with the artifact behind it: refused before it is read, and the answer arrives.
    let mut request =
        format!("PUT /v1/install HTTP/1.1\r\nContent-Length: {}\r\n\r\n", artifact.len())
            .into_bytes();
    request.extend(&artifact);
    let (status, document) = answer(&daemon.raw("status.sock", &request));
    assert_eq!((status, &document["error"]["code"]), (403, &"NOT_ALLOWED".into()));
    assert!(bench.firm_ground() == before);
    assert_eq!(daemon.status()["hold"], serde_json::Value::Null);
}

/// A request with a descriptor.
fn hand(daemon: &Kept, fd: BorrowedFd<'_>) -> (u16, String) {
    let mut stream = daemon.connect("control.sock");
    let head = b"POST /v1/install HTTP/1.1\r\n\r\n";
    assert_eq!(send_with(&stream, head, fd).unwrap(), head.len());
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (status, document) = answer(&text);
    (status, document["error"]["code"].as_str().unwrap_or("").to_owned())
}

#[test]
fn what_is_handed_over_is_read_as_a_file_or_refused() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let before = bench.firm_ground();
    let refused = |fd: BorrowedFd<'_>, what: &str| {
        let (status, code) = hand(&daemon, fd);
        assert!((400..600).contains(&status) && !code.is_empty(), "{what}: {status} {code}");
        answers(&daemon);
        code
    };
    refused(File::open(bench.dir.path()).unwrap().as_fd(), "a folder");
    assert_eq!(refused(File::open("/dev/null").unwrap().as_fd(), "nothing"), "SOURCE_LOST");
    assert_eq!(refused(File::open("/dev/zero").unwrap().as_fd(), "zeros"), "NOT_AN_ARTIFACT");
    let only_writable = File::create(bench.path("w")).unwrap();
    refused(only_writable.as_fd(), "a file that is open for writing");
    let (here, there) = UnixStream::pair().unwrap();
    drop(there);
    // At the other end of a socket somebody reads a stick; nobody does.
    assert_eq!(refused(here.as_fd(), "a socket that has ended"), "SOURCE_LOST");
    assert!(bench.firm_ground() == before);
    // A descriptor is closed when the answer is given, whatever became of it.
    let open = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let (before, file) = (open(), File::open("/dev/zero").unwrap());
    (0..20).for_each(|_| drop(hand(&daemon, file.as_fd())));
    until("all are closed", || open() <= before);
}

#[test]
fn of_two_descriptors_the_first_counts_and_none_leaks() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let before = open();
    let artifact = File::open(bench.release("2.0.0")).unwrap();
    let zero = File::open("/dev/zero").unwrap();
    let mut stream = daemon.connect("control.sock");
    send_with(&stream, b"POST /v1/judge HTTP/1.1\r\n", artifact.as_fd()).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    send_with(&stream, b"X: y\r\n\r\n", zero.as_fd()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (status, document) = answer(&text);
    assert_eq!((status, &document["plan"]["version"]), (200, &"2.0.0".into()), "{text}");
    drop(stream);
    until("both are closed", || open() <= before);
    // As many as a message carries, and more than a careless reader has room for.
    for many in [5, 253] {
        for socket in ["status.sock", "control.sock"].repeat(5) {
            let stream = daemon.connect(socket);
            let fds = vec![zero.as_raw_fd(); many];
            let parts = [std::io::IoSlice::new(b"GET /v1/status HT")];
            let rights = [ControlMessage::ScmRights(&fds)];
            sendmsg::<()>(stream.as_raw_fd(), &parts, &rights, MsgFlags::empty(), None).unwrap();
            drop(stream);
        }
        until("all are closed", || open() <= before);
    }
    answers(&daemon);
}

/// Another user of this machine, with this group, runs a program.
fn as_user(uid: u32, group: u32, words: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={group}")).arg("--clear-groups");
    command.args(words);
    command
}

#[test]
fn strangers_stay_outside_readers_only_ask_and_who_orders_is_named() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("three users of the sockets: not root");
    }
    const READERS: u32 = 61_234;
    const CONTROL: u32 = 61_235;
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    // As the units and the package's groups set them.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(bench.dir.path(), open.clone()).unwrap();
    std::fs::set_permissions(bench.path("DEV"), open.clone()).unwrap();
    std::fs::set_permissions(bench.path("DEV/run"), open.clone()).unwrap();
    std::fs::set_permissions(&daemon.folder, open).unwrap();
    for (socket, group) in [("status.sock", READERS), ("control.sock", CONTROL)] {
        let path = daemon.folder.join(socket);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        std::os::unix::fs::chown(&path, None, Some(group)).unwrap();
    }
    let asked = |group: u32, socket: &str, words: &[&str], target: &str| {
        let path = daemon.folder.join(socket);
        let target = format!("http://surefoot{target}");
        let curl = ["curl", "-sS", "--unix-socket", path.to_str().unwrap()];
        let all = [&curl[..], words, &[&target]].concat();
        let done = as_user(group, group, &all).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        done.status.success().then(|| serde_json::from_str::<serde_json::Value>(&text).unwrap())
    };
    for socket in ["status.sock", "control.sock"] {
        assert_eq!(asked(60_000, socket, &[], "/v1/status"), None, "a stranger is in");
    }
    assert_eq!(asked(READERS, "status.sock", &[], "/v1/status").unwrap()["state"], "idle");
    assert_eq!(asked(READERS, "control.sock", &[], "/v1/status"), None, "a reader is in");
    let post = &["-X", "POST"];
    let no = asked(READERS, "status.sock", post, "/v1/hold").unwrap();
    assert_eq!(no["error"]["code"], "NOT_ALLOWED");
    // Nobody but root is believed to be somebody else.
    let held = asked(CONTROL, "control.sock", post, "/v1/hold").unwrap();
    assert_eq!(held["by"], format!("uid {CONTROL}"), "{held}");
    let held = asked(CONTROL, "control.sock", post, "/v1/hold?by=root").unwrap();
    assert_eq!(held["by"], format!("root (uid {CONTROL})"), "{held}");
    let (_, held) = daemon.ask("control.sock", "POST", "/v1/hold?by=stick");
    assert_eq!(held["by"], "stick");
    daemon.surefoot(&["install", &bench.release("2.0.0"), "--hold-ok", "--stage"]).ok();
    asked(CONTROL, "control.sock", post, "/v1/rollback?reason=enough").unwrap();
    let last = daemon.status()["last"].clone();
    assert_eq!(last["detail"], format!("enough (by uid {CONTROL})"), "{last}");
    let told = asked(CONTROL, "control.sock", post, "/v1/unhold").unwrap();
    assert_eq!(told["text"], format!("Automatic updates are let go by uid {CONTROL}."));
}

#[test]
fn a_thousand_silent_connections_of_one_user_keep_nobody_else_out() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("a thousand connections of another user: not root");
    }
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    for path in [
        bench.dir.path(),
        bench.path("DEV").as_ref(),
        bench.path("DEV/run").as_ref(),
        &daemon.folder,
    ] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let socket = daemon.folder.join("status.sock");
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    // A thousand that say nothing more, and followers of events for as long as they are let.
    let script = r#"
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (1100, 1100))
def one(words):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    try: s.sendall(words)
    except OSError: pass  # sent away already
    return s
kept = [one(b"GET /v1/events?follow=1 HTTP/1.1\r\n\r\n") for _ in range(8)]
print("follows", flush=True)
for _ in range(1000): kept.append(one(b"GET /v1/st"))
print("full", flush=True)
time.sleep(600)
"#;
    // The system's own: what is first in the path may be in a folder that nobody else reads.
    let words = ["/usr/bin/python3", "-c", script, socket.to_str().unwrap()];
    let mut crowd =
        as_user(61_236, 61_236, &words).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(crowd.stdout.take().unwrap()).lines();
    let followed = said.next().unwrap().unwrap();
    let full = said.next().unwrap().unwrap();
    assert_eq!((followed.as_str(), full.as_str()), ("follows", "full"));
    for _ in 0..20 {
        answers(&daemon);
        let (status, report) = daemon.ask("status.sock", "GET", "/v1/report");
        assert_eq!(status, 200, "{report}");
    }
    assert!(crowd.try_wait().unwrap().is_none(), "the crowd has gone");
    crowd.kill().unwrap();
    crowd.wait().unwrap();
}

#[test]
fn an_upload_that_breaks_off_leaves_the_device_to_the_next() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let artifact = bench.release("2.0.0");
    let bytes = crate::common::read(&artifact);
    for part in [0, 1, 100, 4096, bytes.len() / 2, bytes.len() - 1] {
        let mut stream = daemon.connect("control.sock");
        write!(stream, "PUT /v1/install HTTP/1.1\r\nContent-Length: {}\r\n\r\n", bytes.len())
            .unwrap();
        stream.write_all(&bytes[..part]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (status, document) = answer(&text);
        assert!(status >= 400 && document["error"]["code"] != "BUSY", "{part}: {text}");
    }
    daemon.surefoot(&["install", &artifact]).ok();
    assert_eq!(daemon.status()["state"], "switching");
}

#[test]
fn an_artifact_that_is_refused_midway_is_answered_while_it_is_sent() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let mut bytes =
        crate::common::read(&bench.artifact("big", 3, 3 << 20, &["--version", "2.0.0"]));
    bytes[10] ^= 1; // in the header: known to be bad from its first block
    let mut request =
        format!("PUT /v1/install HTTP/1.1\r\nContent-Length: {}\r\n\r\n", bytes.len()).into_bytes();
    request.extend(&bytes);
    let (status, document) = answer(&daemon.raw("control.sock", &request));
    assert_eq!(status, 422, "{document}");
}
