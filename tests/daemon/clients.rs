//! Other people's programs at the sockets: curl, and the examples that the documents point to.

use crate::common::{Bench, run};
use crate::kept::{Kept, until};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn curl(daemon: &Kept, socket: &str, words: &[&str]) -> crate::common::Said {
    let socket = daemon.folder.join(socket).to_str().unwrap().to_owned();
    let mut all = vec!["-sS", "--max-time", "30", "--unix-socket", &socket];
    all.extend(words);
    run("curl", &all, &[], b"")
}

#[test]
fn curl_is_a_client() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    let of = |socket: &str, words: &[&str]| {
        let mut all = vec!["-w", "\n%{http_code} %{content_type}"];
        all.extend(words);
        let said = curl(&daemon, socket, &all).ok().out;
        let (body, end) = said.rsplit_once('\n').unwrap();
        (body.to_owned(), end.to_owned())
    };
    let (body, end) = of("status.sock", &["http://localhost/v1"]);
    assert_eq!(end, "200 application/json");
    let version: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&version["v"], &version["api"]), (&1.into(), &1.into()));
    assert_eq!(version["updater"], env!("CARGO_PKG_VERSION"));
    assert_eq!(of("status.sock", &["http://localhost/v1/nothing"]).1, "404 application/json");
    assert_eq!(
        of("status.sock", &["-X", "POST", "http://localhost/v1/hold"]).1,
        "403 application/json"
    );
    // The daemon answers before it has told all of its start.
    until("two events are told", || {
        let (events, end) = of("status.sock", &["http://localhost/v1/events"]);
        assert_eq!(end, "200 application/x-ndjson");
        events.lines().count() >= 2
    });
    let head = curl(&daemon, "status.sock", &["-I", "http://localhost/v1/status"]).ok().out;
    assert!(head.starts_with("HTTP/1.1 405") && head.contains("Allow: GET\r\n"), "{head}");
    // As one line of the documents has it, with lines as they come.
    let artifact = bench.artifact("good", 5, 3 << 20, &["--version", "2.0.0"]);
    let (lines, end) =
        of("control.sock", &["-N", "-T", &artifact, "http://localhost/v1/install?progress=1"]);
    assert_eq!(end, "200 application/x-ndjson");
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["answer"]["state"], "switching", "{lines}");
    assert!(lines.contains("\"phase-started\""), "{lines}");
    // Chunked, from a pipe, while another is armed: the same again is done already.
    let pipe = format!(
        "cat {artifact} | curl -sS --unix-socket {} -T - -X POST http://localhost/v1/install",
        daemon.folder.join("control.sock").display()
    );
    let said = run("sh", &["-c", &pipe], &[], b"").ok().out;
    assert!(said.contains("\"state\":\"switching\""), "{said}");
}

#[test]
fn curl_reads_why_an_upload_is_refused() {
    let bench = Bench::new();
    let daemon = Kept::start(&bench);
    // As long as an artifact, and none.
    let path = bench.path("noise");
    std::fs::write(&path, crate::common::image(7, 60 << 20)).unwrap();
    for socket in ["control.sock", "status.sock"] {
        for more in [&[][..], &["-H", "Expect:"], &["-H", "Transfer-Encoding: chunked"]] {
            let mut words = vec!["-w", "\n%{http_code}", "-T", &path];
            words.extend(more);
            words.push("http://localhost/v1/install");
            let said = curl(&daemon, socket, &words);
            let (status, code) = match socket {
                "control.sock" => ("422", "NOT_AN_ARTIFACT"),
                _ => ("403", "NOT_ALLOWED"),
            };
            assert!(
                said.out.ends_with(status) && said.out.contains(code),
                "{}{}",
                said.out,
                said.err
            );
        }
    }
}

/// A client of the examples, and its lines.
struct Client {
    child: Child,
    lines: Receiver<String>,
}

impl Client {
    fn start(program: &Path, daemon: &Kept) -> Client {
        let mut child = Command::new(program)
            .arg(daemon.folder.join("status.sock"))
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).all(|l| sender.send(l).is_ok())
        });
        Client { child, lines }
    }

    fn line(&self, what: &str) -> String {
        let wait = Duration::from_secs(300);
        std::iter::from_fn(|| self.lines.recv_timeout(wait).ok())
            .find(|line| line.contains(what))
            .unwrap_or_else(|| panic!("no line with {what}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // As a terminal does, all that belong to it: a shell waits for what it has started.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn the_example_clients_tell_the_status_and_follow_over_a_restart() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clients");
    let bench = Bench::new();
    let compiled = bench.path("follow");
    let source = folder.join("follow.c").to_str().unwrap().to_owned();
    run("cc", &["-Wall", "-Wextra", "-Werror", "-O2", "-o", &compiled, &source], &[], b"").ok();
    let mut daemon = Kept::start(&bench);
    let programs = [folder.join("follow.sh"), folder.join("follow.py"), compiled.into()];
    let clients = programs.map(|program| {
        let text = std::fs::read_to_string(&program).unwrap_or_default();
        assert!(text.lines().count() <= 80, "{} is long", program.display());
        Client::start(&program, &daemon)
    });
    for client in &clients {
        let status = client.line("Running");
        assert_eq!(status, "Running the factory system (slot a). Rollback armed. Nothing new.");
        client.line("started");
    }
    daemon.surefoot(&["hold", "--reason", "a \"quoted\" word"]).ok();
    clients.iter().for_each(|client| drop(client.line("hold")));
    daemon.kill();
    daemon = Kept::start(&bench);
    clients.iter().for_each(|client| drop(client.line("started")));
    daemon.surefoot(&["unhold"]).ok();
    clients.iter().for_each(|client| drop(client.line("are let go")));
    let threads = || std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count();
    let followed = threads();
    drop(clients);
    until("nobody follows any more", || threads() < followed);
}
