//! What a monitoring system reads, by both grammars.

use crate::kept::{Kept, configure, quick, until};
use std::collections::{BTreeMap, BTreeSet};

/// A strict reader of the part of OpenMetrics' grammar that counters and gauges without
/// timestamps need: every sample with its labels.
fn parsed(text: &str) -> BTreeMap<String, u64> {
    let body = text.strip_suffix("# EOF\n").expect("the last line is `# EOF`");
    let (mut samples, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let (mut family, mut kind) = ("", "");
    let name_of = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for line in body.lines() {
        if let Some(about) = line.strip_prefix("# HELP ") {
            (family, kind) = (about.split_once(' ').unwrap().0, "");
            assert!(seen.insert(family), "{family} comes twice");
            continue;
        }
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, word) = of.split_once(' ').unwrap();
            assert_eq!(name, family, "{line}");
            assert!(["counter", "gauge"].contains(&word), "both grammars know it: {line}");
            kind = word;
            continue;
        }
        let name: String = line.chars().take_while(|c| name_of(*c)).collect();
        let suffix = if kind == "counter" { "_total" } else { "" };
        assert_eq!(name, format!("{family}{suffix}"), "{line}");
        let (labels, value) = line[name.len()..].rsplit_once(' ').unwrap();
        let mut rest = labels;
        if let Some(inside) = labels.strip_prefix('{') {
            rest = inside.strip_suffix('}').unwrap();
            let mut names = BTreeSet::new();
            while !rest.is_empty() {
                let (label, after) = rest.split_once("=\"").unwrap();
                assert!(!label.is_empty() && label.chars().all(name_of), "{line}");
                assert!(names.insert(label), "{line}");
                let mut end = 0;
                let bytes = after.as_bytes();
                while bytes[end] != b'"' {
                    end += 1 + usize::from(bytes[end] == b'\\');
                }
                rest = &after[end + 1..];
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
        }
        assert!(rest.is_empty(), "{line}");
        assert!(samples.insert(format!("{name}{labels}"), value.parse().unwrap()).is_none());
    }
    samples
}

#[test]
fn the_file_says_what_the_status_says_and_is_written_when_that_changes() {
    let bench = quick();
    configure(&bench, "[metrics]\nfile = \"run/metrics.prom\"\n");
    let path = bench.path("DEV/run/metrics.prom");
    let read = || parsed(&String::from_utf8(crate::common::read(&path)).unwrap());
    let daemon = Kept::start(&bench);
    until("it is written", || crate::common::exists(&path));
    let first = read();
    assert_eq!(first["surefoot_state{state=\"idle\"}"], 1);
    assert_eq!(
        first.iter().filter(|(k, v)| k.starts_with("surefoot_state{") && **v == 1).count(),
        1
    );
    assert_eq!(first.keys().filter(|k| k.starts_with("surefoot_state{")).count(), 8);
    assert_eq!(first["surefoot_rollback{grade=\"armed\"}"], 1);
    assert_eq!(first["surefoot_updates_total{outcome=\"updated\"}"], 0);
    assert!(!first.contains_key("surefoot_last_update_timestamp_seconds"));
    assert!(first["surefoot_daemon_resident_bytes"] > 1 << 20);
    // Others may read it, and nobody waits for a timer.
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let about = std::fs::metadata(&path).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o644);
    // The keeper comes round after each request, and finds nothing new.
    let artifact = bench.release("2.0.0");
    daemon.surefoot(&["verify", &artifact]).ok();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let unchanged = std::fs::metadata(&path).unwrap();
    assert_eq!(unchanged.mtime_nsec(), about.mtime_nsec(), "written without a reason");
    daemon.surefoot(&["hold", "--until", "2d"]).ok();
    until("held", || read()["surefoot_held"] == 1);
    assert!(read()["surefoot_held_until_timestamp_seconds"] > 1_700_000_000);
    daemon.surefoot(&["unhold"]).ok();
    until("released", || read()["surefoot_held"] == 0);
    daemon.surefoot(&["install", &artifact]).ok();
    until("armed", || read()["surefoot_state{state=\"switching\"}"] == 1);
    drop(daemon);
    bench.reboot(&[]);
    let daemon = Kept::start(&bench);
    until("on trial", || read()["surefoot_trial_boots"] == 1);
    assert!(read()["surefoot_trial_left_seconds"] <= 3_600);
    daemon.until_state("updated");
    until("updated", || read()["surefoot_updates_total{outcome=\"updated\"}"] == 1);
    let last = read();
    let slot = "surefoot_slot_info{slot=\"b\",version=\"2.0.0\",booted=\"true\",bootable=\"true\"}";
    assert_eq!(last[slot], 1, "{last:?}");
    assert!(last["surefoot_last_update_timestamp_seconds"] > 1_700_000_000);
    // The reference readers of both grammars agree, where they are installed.
    let script = "import sys\n\
        from prometheus_client.parser import text_string_to_metric_families as old\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as new\n\
        text = open(sys.argv[1]).read()\n\
        for read in old, new:\n    \
            print(sorted((s.name, sorted(s.labels.items()), float(s.value)) for f in read(text) for s in f.samples))\n";
    let python =
        |script: &str| crate::common::run("/usr/bin/python3", &["-c", script, &path], &[], b"");
    if python("import prometheus_client").code != 0 {
        return crate::skip::skipped("python3-prometheus-client is not installed");
    }
    let said = python(script).ok().out;
    let (old, new) = said.trim_end().split_once('\n').unwrap();
    assert_eq!(old, new);
    assert_eq!(old.matches("surefoot_").count(), last.len(), "{old}");
}

#[test]
fn a_file_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let bench = quick();
    configure(&bench, "[metrics]\nfile = \"not/there/metrics.prom\"\n");
    let daemon = Kept::start(&bench);
    daemon.surefoot(&["hold"]).ok();
    daemon.surefoot(&["unhold"]).ok();
    daemon.surefoot(&["install", &bench.release("2.0.0")]).ok();
    daemon.until_state("switching");
    until("the keeper has told it", || daemon.log().contains("switching: Running"));
    assert_eq!(daemon.log().matches("metrics: cannot").count(), 1, "{}", daemon.log());
}

#[test]
fn what_said_no_is_a_metric_and_in_the_event_and_a_drill_is_neither_an_update_nor_an_alarm() {
    let bench = quick();
    configure(&bench, "[metrics]\nfile = \"run/metrics.prom\"\n");
    let path = bench.path("DEV/run/metrics.prom");
    let read = || parsed(&String::from_utf8(crate::common::read(&path)).unwrap());
    bench.update_to("1.5.0");
    bench.update_to("2.0.0");
    bench.surefoot(&["install", &bench.release("3.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    let check = |name: &str, status: u32| {
        format!(
            "[[health.check]]\nname = \"{name}\"\ncommand = [\"/bin/sh\", \"-c\", \"exit {status}\"]\n"
        )
    };
    let config = crate::common::read(&bench.path("DEV/surefoot.toml"));
    configure(&bench, &(check("web: front", 4) + &check("db", 5)));
    let daemon = Kept::start(&bench);
    let told = |daemon: &Kept| -> serde_json::Value {
        let lines = daemon.surefoot(&["events", "--json"]).ok().out;
        let mut events =
            lines.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        events.rfind(|e| e["event"] == "rolled-back").unwrap_or_default()
    };
    until("it goes back", || !told(&daemon).is_null());
    let event = told(&daemon);
    let failing: Vec<_> = event["failing"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert_eq!(failing, ["web: front", "db"], "{event:#}");
    assert_eq!((&event["reason"], &event["drill"]), (&"HEALTH_FAILED".into(), &Default::default()));
    drop(daemon);
    std::fs::write(bench.path("DEV/surefoot.toml"), config).unwrap();
    assert_eq!(bench.reboot(&[]), "a");
    let daemon = Kept::start(&bench);
    let failing = |name: &str| format!("surefoot_last_failing{{name=\"{name}\"}}");
    until("told", || read().contains_key(&failing("web: front")));
    assert_eq!(read()[&failing("db")], 1);
    assert_eq!(read()["surefoot_updates_total{outcome=\"rolled-back\"}"], 1);
    assert_eq!(read()["surefoot_drills_total"], 0);
    daemon.surefoot(&["install", &bench.release("3.1.0")]).ok();
    drop(daemon);
    bench.reboot(&[]);
    bench.surefoot(&["commit"]).ok();
    let before = {
        let _daemon = Kept::start(&bench);
        until("a good one ends it", || {
            read().keys().all(|k| !k.starts_with("surefoot_last_failing"))
        });
        read()
    };
    bench.surefoot(&["drill", "unhealthy"]).ok();
    bench.reboot(&[]);
    let daemon = Kept::start(&bench);
    until("it goes back", || !told(&daemon).is_null());
    let event = told(&daemon);
    assert_eq!((&event["drill"], &event["failing"][0]["by"]), (&true.into(), &"drill".into()));
    drop(daemon);
    bench.reboot(&[]);
    let _daemon = Kept::start(&bench);
    until("counted", || read()["surefoot_drills_total"] == 1);
    let after = read();
    assert!(after.keys().all(|k| !k.starts_with("surefoot_last_failing")), "{after:?}");
    for outcome in ["updated", "rolled-back", "failed"] {
        let key = format!("surefoot_updates_total{{outcome=\"{outcome}\"}}");
        assert_eq!(after[&key], before[&key], "{outcome}");
    }
}
