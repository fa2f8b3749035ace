//! The server that the old system has reached is reached by the new one, or something else shows that the
//! network works. Everything is on the loopback; a namespace without any link is no network at all.

use crate::common::{Bench, Said, run};
use crate::kept::{Kept, configure, until};
use crate::net::server::Server;
use crate::net::tls::self_signed;
use crate::skip;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A server that takes connections and says nothing, until it is out. Its port stays its own.
struct Silent {
    port: u16,
    out: Arc<AtomicBool>,
    gone: std::sync::mpsc::Receiver<()>,
}

impl Silent {
    fn start() -> Silent {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let out = Arc::new(AtomicBool::new(false));
        let (over, gone) = std::sync::mpsc::channel();
        let stop = out.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                kept.push(listener.accept().unwrap());
            }
            drop(listener);
            over.send(()).unwrap();
            // No other program is given this port while a connection to it is there.
            std::thread::sleep(Duration::from_secs(3_600));
            drop(kept);
        });
        Silent { port, out, gone }
    }

    fn goes_out(&self) {
        self.out.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        self.gone.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}

/// A device that follows a channel and has one check, which passes.
fn device(channel: &str, witness: u16) -> Bench {
    let bench = Bench::new();
    let config = bench.path("DEV/surefoot.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let check = "[[health.check]]\nname = \"there\"\nfile = \"/etc\"\n";
    let source = format!(
        "[source]\nchannel = \"{channel}/stable.channel\"\nwitness = [\"127.0.0.1:{witness}\"]\n"
    );
    std::fs::write(&config, format!("{text}\n{check}\n{source}")).unwrap();
    std::fs::create_dir_all(bench.path("DEV/run/surefoot")).unwrap();
    bench
}

fn tried(bench: &Bench) {
    let artifact = bench.release("2.0.0");
    bench.surefoot(&["install", &artifact]).ok();
    assert_eq!(bench.reboot(&[]), "b");
}

/// The verdict where there is no network at all; `None` where this test may not make such a place.
fn commit_without_a_network(bench: &Bench) -> Option<Said> {
    if run("unshare", &["-n", "true"], &[], b"").code != 0 {
        skip::skipped("a network namespace: `unshare -n` is not allowed here");
        return None;
    }
    let (program, config) = (env!("CARGO_BIN_EXE_surefoot"), bench.path("DEV/surefoot.toml"));
    Some(run("unshare", &["-n", program, "--config", &config, "commit"], &[], b""))
}

#[test]
fn an_outage_of_the_server_sends_no_release_home() {
    let (server, other) = (Silent::start(), Silent::start());
    let bench = device(&format!("http://127.0.0.1:{}", server.port), other.port);
    tried(&bench);
    server.goes_out();
    let said = bench.surefoot(&["commit"]).ok();
    assert!(said.err.contains("passed over: can-update-again"), "{}", said.err);
    assert_eq!(bench.status()["state"], "updated");
    let history = bench.surefoot(&["history", "--json"]).ok().out;
    assert!(history.contains("checks passed; passed over: can-update-again"), "{history}");
    assert_eq!(bench.reboot(&[]), "b");
}

#[test]
fn no_network_at_all_sends_a_release_home_and_only_where_there_was_one() {
    let (server, other) = (Silent::start(), Silent::start());
    let bench = device(&format!("http://127.0.0.1:{}", server.port), other.port);
    tried(&bench);
    let Some(said) = commit_without_a_network(&bench) else { return };
    let said = said.refused(77, "HEALTH_FAILED");
    assert!(said.err.contains("nothing answers over the network"), "{}", said.err);
    assert_eq!(bench.reboot(&[]), "a");
    // The old system did not reach it either.
    server.goes_out();
    let bench = device(&format!("http://127.0.0.1:{}", server.port), other.port);
    tried(&bench);
    commit_without_a_network(&bench).unwrap().ok();
    assert_eq!(bench.status()["state"], "updated");
}

#[test]
fn a_server_that_nobody_believes_is_reached_all_the_same() {
    let server = Server::tls(self_signed().server(), |_, _| Ok(false));
    let bench = device(&server.url(""), server.port);
    tried(&bench);
    let said = bench.surefoot(&["commit"]).ok();
    assert!(!said.err.contains("passed over"), "{}", said.err);
    assert!(server.asked().is_empty(), "nothing is asked for");
    let mark = std::fs::read_to_string(bench.path("DEV/run/surefoot/reached")).unwrap();
    assert!(!mark.is_empty());
}

#[test]
fn the_default_gateway_shows_that_the_network_works_and_be_it_by_its_link_address() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/net/gateway.sh");
    if run("unshare", &["-n", "ip", "link", "add", "near", "type", "veth"], &[], b"").code != 0 {
        return skip::skipped("a network namespace with a link: `unshare -n` is not allowed here");
    }
    let said = run("unshare", &["-n", script, env!("CARGO_BIN_EXE_surefoot")], &[], b"").ok().out;
    let answers: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let network: Vec<_> = answers.iter().map(|found| found["network"].as_str()).collect();
    let by = [
        Some("the gateway 10.9.0.1: refuses a connection"),
        Some("the gateway 10.9.0.1: is on the link"),
        None,
    ];
    assert_eq!(network, by, "{said}");
    assert!(answers.iter().all(|found| found["source"] == false), "{said}");
}

#[test]
fn each_trial_asks_anew() {
    let (server, other) = (Silent::start(), Silent::start());
    let bench = device(&format!("http://127.0.0.1:{}", server.port), other.port);
    tried(&bench);
    let good = bench.path("DEV/run/surefoot/reached");
    assert!(!std::path::Path::new(&good).exists());
    let said = bench.surefoot(&["commit"]).ok();
    assert!(!said.err.contains("passed over"), "{}", said.err);
    assert!(std::path::Path::new(&good).exists());
    // The next trial asks anew.
    let artifact = bench.release("3.0.0");
    bench.surefoot(&["install", &artifact]).ok();
    bench.reboot(&[]);
    server.goes_out();
    let said = bench.surefoot(&["commit"]).ok();
    assert!(said.err.contains("passed over: can-update-again"), "{}", said.err);
}

#[test]
fn a_daemon_waits_for_a_server_that_is_out_until_its_deadline_and_then_commits() {
    let (server, other) = (Silent::start(), Silent::start());
    let bench = device(&format!("http://127.0.0.1:{}", server.port), other.port);
    configure(&bench, "[health]\nstable = \"1s\"\ndeadline = \"10m\"\n");
    tried(&bench);
    server.goes_out();
    let daemon = Kept::start(&bench);
    until("it has looked", || daemon.log().contains("can-update-again fails: the server is not"));
    assert_eq!(daemon.status()["state"], "trying");
    std::fs::write(bench.path("DEV/run/uptime"), "700\n").unwrap();
    daemon.until_state("updated");
    let events = daemon.surefoot(&["events"]).ok().out;
    assert!(events.contains("passed over: can-update-again"), "{events}");
    drop(daemon);
    assert_eq!(bench.reboot(&[]), "b");
}
