//! `surefoot-sim powercut` as an integrator runs it. That it sees what is wrong is shown where the
//! product can be spoilt: tests/vm/crash-images.py.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use crate::common::{self, Bench};
use crate::kept::until;
use crate::net::server::{File, Server};

#[test]
fn every_image_of_a_short_run_comes_to_rest_and_the_device_stays_as_it_was() {
    let bench = Bench::new();
    let (artifact, next) = (bench.release("2.0.0"), bench.release("3.0.0"));
    let before = bench.firm_ground();
    let keep = bench.path("KEEP");
    let words = ["--images", "40", "--per-phase", "2", "--json", "--keep", &keep];
    let mut all = vec!["powercut", "--artifact", &artifact, "--next", &next];
    all.extend(words);
    let report = bench.sim(&all).ok().json();
    assert_eq!(report["violations"].as_array().unwrap().len(), 0, "{report}");
    for phase in ["first blocks destroyed", "arming", "altbootcmd", "denylist", "journal rename"] {
        assert!(report["phases"][phase]["images"].as_u64() > Some(1), "{phase}: {report}");
    }
    let images = report["images"].as_u64().unwrap();
    let rested: u64 =
        report["rested"].as_object().unwrap().values().filter_map(|n| n.as_u64()).sum();
    assert!(images >= 40 && rested == images, "{report}");
    assert!(report["worst_boots"].as_u64() >= Some(4), "boots are used up in one story: {report}");
    assert!(bench.firm_ground() == before, "the device was changed");
    assert!(!common::exists(&keep), "nothing is kept where nothing is wrong");
}

#[test]
fn what_a_server_or_a_delta_brings_goes_on_after_each_cut_or_begins_again() {
    let bench = Bench::new();
    bench.update_to("2.0.0");
    let (base, artifact) = (bench.path("v2.0.0.surefoot"), bench.release("3.0.0"));
    let (delta, key) = (bench.path("3.from-2.delta.surefoot"), bench.path("KEYS/release.key"));
    let make = ["delta", "--from", &base, "--to", &artifact, "-o", &delta, "--key", &key];
    common::forge(&make).ok();
    let [whole, other] = [&artifact, &delta].map(|path| File::new(&common::read(path)));
    // No delta lies beside the artifact, and no artifact beside the delta: each is brought as itself.
    let server = Server::new(move |asked, line| match asked.target.as_str() {
        "/a/x.surefoot" => whole.give(asked, line),
        "/b/x.from-2.0.0.delta.surefoot" => other.give(asked, line),
        _ => line.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").map(|()| true),
    });
    let ways = [server.url("/a/x.surefoot"), delta, server.url("/b/x.from-2.0.0.delta.surefoot")];
    let mut words =
        vec!["powercut", "--artifact", &artifact, "--only", "brought", "--images", "24"];
    words.extend(["--per-phase", "2", "--json"]);
    ways.iter().for_each(|way| words.extend(["--also-from", way]));
    let report = bench.sim(&words).ok().json();
    assert_eq!(report["violations"].as_array().unwrap().len(), 0, "{report}");
    for phase in ["first blocks destroyed", "slot body", "last phase", "arming", "commit"] {
        assert!(report["phases"][phase]["images"].as_u64() > Some(1), "{phase}: {report}");
    }
    // A delta for another system, and a file that is not there, are told before anything is made.
    let other = bench.path("3.from-1.delta.surefoot");
    let base = bench.artifact("base", 5, 1 << 20, &["--version", "1.0.1"]);
    common::forge(&["delta", "--from", &base, "--to", &artifact, "-o", &other, "--key", &key]).ok();
    let run = |way: &str| {
        bench.sim(&["powercut", "--artifact", &artifact, "--also-from", way, "--images", "1"])
    };
    let said = run(&other);
    assert!(said.code != 0 && said.code != 1 && said.err.contains("DELTA_BASE"), "{}", said.err);
    assert_eq!(run("nowhere.surefoot").code, 66);
}

#[test]
fn a_device_that_would_not_take_the_update_is_refused_before_anything_is_made() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    let run = |artifact: &str| bench.sim(&["powercut", "--artifact", artifact]).code;
    assert_eq!(run("nowhere.surefoot"), 66);
    bench.surefoot(&["install", &artifact]).ok();
    assert_eq!(run(&artifact), 77, "an update is under way");
    bench.reboot(&[]);
    bench.surefoot(&["commit"]).ok();
    assert_eq!(run(&artifact), 3, "it runs already");
}

#[test]
fn a_signal_ends_it_in_good_order_and_is_no_violation() {
    let bench = Bench::new();
    let artifact = bench.release("2.0.0");
    let (device, keep) = (bench.path("DEV"), bench.path("KEEP"));
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_surefoot-sim"))
        .args(["powercut", &device, "--artifact", &artifact, "--images", "100000", "--keep", &keep])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = program.id();
    let places = ["/dev/shm".to_owned(), std::env::temp_dir().display().to_string()]
        .map(|place| format!("{place}/surefoot-powercut-{pid}"));
    let worker = |place: &String| common::exists(&format!("{place}/worker-0/state/journal.0"));
    until("an image is judged", || places.iter().any(worker));
    let number = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(number, nix::sys::signal::Signal::SIGTERM).unwrap();
    let done = program.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(69), "{told}");
    assert!(told.contains("SIGTERM") && told.contains("[INTERRUPTED]"), "{told}");
    assert!(!common::exists(&keep), "nothing is kept: {told}");
    assert!(!places.iter().any(|place| common::exists(place)), "its folder is gone");
}
