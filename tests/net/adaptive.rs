//! Updates by ranges from a server: the bytes are the server's own count, and the power may go at any write.

use super::server::{self, Asked, File, Line, Server};
use crate::adaptive::{LEN, build, new, old, running};
use crate::common::{self, Bench, Said, run};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use surefoot::sys::power::CUT_VARIABLE;

/// A server of one file that counts the bytes of its bodies.
fn counting(path: &str, parts: bool) -> (Server, Arc<AtomicU64>) {
    let (file, sent) = (File::new(&common::read(path)), Arc::new(AtomicU64::new(0)));
    let count = sent.clone();
    let server = Server::new(move |asked: &Asked, line: &mut dyn Line| {
        if asked.target.ends_with(".delta.surefoot") {
            return server::missing(line);
        }
        let whole = (file.whole_head(), &file.bytes[..]);
        let (head, bytes) = if parts { file.parts(asked) } else { whole };
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        line.write_all(head.as_bytes())?;
        line.write_all(bytes).map(|()| true)
    });
    (server, sent)
}

fn install(bench: &Bench, url: &str, environment: &[(&str, &str)]) -> Said {
    let all = [environment, &[("SUREFOOT_SIM_PACE", "100")]].concat();
    bench.surefoot_with(&["install", url, "--json"], &all, b"")
}

/// The documents on standard output, in order.
fn documents(said: &Said) -> Vec<Value> {
    serde_json::Deserializer::from_str(&said.out).into_iter().map(Result::unwrap).collect()
}

#[test]
fn what_is_fetched_is_what_the_server_has_sent() {
    let bench = Bench::new();
    running(&bench, &build(&bench, "1.5.0", &old(), &[]));
    let artifact = build(&bench, "2.0.0", &new(), &[]);
    let whole = common::read(&artifact).len() as u64;
    for (parts, via) in [(true, "adaptive"), (false, "full")] {
        let (server, sent) = counting(&artifact, parts);
        let plan = bench.surefoot(&["install", &server.url("/x.surefoot"), "--dry-run"]).ok().out;
        assert!(plan.contains(&format!("(via {via})")), "{plan}");
        assert!(plan.contains("over the network") && !plan.contains("to read from"), "{plan}");
        sent.store(0, Ordering::Relaxed);
        let said = install(&bench, &server.url("/x.surefoot"), &[]).ok();
        let told = documents(&said);
        let last = told.last().unwrap();
        assert_eq!(
            (&last["via"], &last["fetched"]),
            (&via.into(), &sent.load(Ordering::Relaxed).into())
        );
        let fetched = last["fetched"].as_u64().unwrap();
        assert_eq!((&told[0]["event"], &told[0]["via"]), (&"planned".into(), &via.into()));
        match parts {
            true => {
                assert!(
                    fetched < whole / 2 && last["reused"].as_u64() > Some(LEN as u64 / 3),
                    "{last}"
                );
            }
            false => assert_eq!((told.len(), fetched), (2, whole), "{}", said.out),
        }
        assert!(bench.slot_bytes("a")[..LEN] == new()[..]);
        bench.surefoot(&["rollback"]).ok();
    }
}

#[test]
fn a_server_that_does_not_answer_is_no_silence() {
    let bench = Bench::new();
    running(&bench, &build(&bench, "1.5.0", &old(), &[]));
    // Nothing listens there.
    let url = "http://127.0.0.1:1/x.surefoot";
    let pace = [("SUREFOOT_SIM_PACE", "20")];
    let said = bench.surefoot_with(&["install", url], &pace, b"").refused(69, "UNREACHABLE");
    assert!(said.err.contains("waiting for 127.0.0.1"), "{}", said.err);
    assert!(said.err.contains("surefoot doctor --network URL"), "{}", said.err);
    let said = bench.surefoot(&["doctor", "--network", url]).refused(69, "UNREACHABLE");
    assert!(!format!("{}{}", said.out, said.err).contains("doctor --network"), "{}", said.err);
}

#[test]
fn the_power_may_go_at_any_write_and_the_same_url_goes_on() {
    let bench = Bench::new();
    running(&bench, &build(&bench, "1.5.0", &old(), &[]));
    let artifact = build(&bench, "2.0.0", &new(), &[]);
    let (server, sent) = counting(&artifact, true);
    let url = server.url("/x.surefoot");
    let copy = |from: &str, to: &str| {
        run("rm", &["-rf", &bench.path(to)], &[], b"").ok();
        run("cp", &["-a", "--sparse=always", &bench.path(from), &bench.path(to)], &[], b"").ok();
    };
    copy("DEV", "KEPT");
    let (mut cuts, mut most) = (0, 0);
    // Every third write, and the last ones in the long run.
    for cut in (0..200).step_by(3) {
        let plug = format!("{cut}:{}", if cut % 2 == 0 { 0 } else { 700 });
        let said = install(&bench, &url, &[(CUT_VARIABLE, &plug)]);
        if said.code != 99 {
            said.ok();
            break;
        }
        cuts += 1;
        let slot = bench.reboot(&[]);
        if slot == "b" {
            let before = sent.load(Ordering::Relaxed);
            install(&bench, &url, &[]).ok();
            most = most.max(sent.load(Ordering::Relaxed) - before);
            assert_eq!(bench.reboot(&[]), "a", "write {cut}");
        }
        assert!(bench.slot_bytes("a")[..LEN] == new()[..], "write {cut}");
        copy("KEPT", "DEV");
    }
    assert!(cuts >= 5, "an installation has more than {cuts} cuts");
    assert!(most < common::read(&artifact).len() as u64 / 2, "{most} bytes to go on");
}
