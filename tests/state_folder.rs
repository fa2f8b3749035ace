//! What a device keeps in its state folder, held to the one list of it (`model::StateFile`).

use crate::common::Bench;
use serde_json::Value;
use std::path::Path;
use surefoot::model::{Format, StateFile};

/// How a file of the state folder breaks what the list says of it.
fn breaks_its_row(path: &Path) -> Option<String> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let Some(row) = StateFile::named(name) else { return Some("is in no row".into()) };
    if row.format == Format::Folder {
        return (!path.is_dir()).then(|| "is no folder".into());
    }
    let bytes = std::fs::read(path).unwrap();
    if bytes.len() as u64 > row.limit {
        return Some(format!("{} bytes", bytes.len()));
    }
    let document = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    let text = || std::str::from_utf8(&bytes).unwrap();
    let holds = match row.format {
        Format::Copies => text().starts_with("surefoot-"),
        Format::Document => document(text()),
        Format::Lines => text().lines().all(document),
        Format::Word => text().lines().count() == 1,
        Format::Empty | Format::Folder => true,
    };
    (!holds).then(|| format!("is not {:?}: {:?}", row.format, text().get(..200)))
}

#[test]
fn every_file_of_the_state_folder_is_what_its_row_says() {
    let bench = Bench::new();
    bench.surefoot(&["install", &bench.release("2.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["commit"]).ok();
    bench.surefoot(&["hold", "--reason", "a test"]).ok();
    bench.surefoot(&["unhold"]).ok();
    bench.surefoot(&["hold"]).ok();
    bench.surefoot(&["install", "--hold-ok", &bench.release("3.0.0")]).ok();
    assert_eq!(bench.reboot(&[]), "a");
    bench.surefoot(&["rollback"]).ok();
    assert_eq!(bench.reboot(&[]), "b");
    bench.surefoot(&["doctor"]);
    let state = bench.path("DEV/state");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(breaks_its_row(&path), None, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    for name in ["journal.0", "journal.1", "committed.0", "history.jsonl", "hold.json", "lock"] {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }
    let planted = Path::new(&state).join("diary.json");
    std::fs::write(&planted, "{}").unwrap();
    assert!(breaks_its_row(&planted).is_some());
    let journal = Path::new(&state).join("journal.0");
    std::fs::write(&journal, "{}").unwrap();
    assert!(breaks_its_row(&journal).is_some());
}
