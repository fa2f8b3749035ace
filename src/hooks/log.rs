//! What hooks have said, kept for whoever asks later. Nothing is decided by it.

use super::{Answer, Moment};
use crate::model::{
    ReasonCode, Result, StateFile, WithReason, from_json, from_value, printable, printable_lines,
};
use crate::sys::durable;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// As many runs as are kept.
const RUNS: usize = 32;
/// As many bytes as the file has at most: the oldest runs make room.
const LIMIT: usize = 256 * 1024;

/// One run of one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it began, seconds since 1970 by the clock of the device.
    pub time: u64,
    /// The moment.
    pub moment: Moment,
    /// The name of the hook.
    pub name: String,
    /// What it answered; after a step nobody waits for the answer.
    pub answer: Answer,
    /// How it ended: `exit status 3`.
    pub ended: String,
    /// How long it ran.
    pub seconds: u64,
    /// What it printed, standard output first, as lines that a terminal may show.
    pub output: String,
}

/// The file with the last runs.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
}

/// The file as it is read: a run with words of a newer updater is left out, the others stay.
#[derive(Deserialize)]
struct Read {
    runs: Vec<serde_json::Value>,
}

/// Another program may have written the file.
fn shown(report: Report) -> Report {
    Report {
        ended: printable(&report.ended, 400),
        output: printable_lines(&report.output, LIMIT),
        name: printable(&report.name, 64),
        ..report
    }
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    runs: &'a [Report],
}

impl Log {
    /// The log in this folder.
    pub fn new(state: &Path) -> Log {
        Log { path: StateFile::HOOKS.within(state) }
    }

    /// All runs that are kept, oldest first. A file that is missing or damaged holds none.
    pub fn load(&self) -> Vec<Report> {
        let bytes =
            durable::read(&self.path, StateFile::HOOKS.limit).ok().flatten().unwrap_or_default();
        let runs = from_json(&bytes).map_or_else(|_| Vec::new(), |r: Read| r.runs);
        let mut runs: Vec<Report> =
            runs.into_iter().filter_map(|run| from_value(&run).ok()).map(shown).collect();
        runs.drain(..runs.len().saturating_sub(RUNS));
        runs
    }

    /// Adds what [`super::run`] has reported. A cut leaves the file as it was.
    pub fn note(&self, reports: &[Report]) -> Result<()> {
        if reports.is_empty() {
            return Ok(());
        }
        let mut runs = self.load();
        runs.extend_from_slice(reports);
        runs.drain(..runs.len().saturating_sub(RUNS));
        loop {
            let bytes = serde_json::to_vec(&Written { v: 1, runs: &runs });
            let bytes = bytes.reason(ReasonCode::Internal, "what hooks said")?;
            if bytes.len() <= LIMIT || runs.is_empty() {
                return durable::write(&self.path, &bytes);
            }
            runs.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(n: u64) -> Report {
        Report {
            time: n,
            moment: Moment::AfterInstall,
            name: "x".into(),
            answer: Answer::Veto,
            ended: "exit status 1".into(),
            seconds: 2,
            output: "no\n".into(),
        }
    }

    fn log() -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(dir.path());
        (dir, log)
    }

    #[test]
    fn the_last_runs_are_kept_and_the_oldest_make_room() {
        let (dir, log) = log();
        assert_eq!(log.load(), []);
        log.note(&[]).unwrap();
        assert!(!dir.path().join("hooks.json").exists(), "nothing to say, nothing written");
        for n in 0..40 {
            log.note(&[report(n)]).unwrap();
        }
        let kept: Vec<u64> = log.load().iter().map(|r| r.time).collect();
        assert_eq!(kept, (8..40).collect::<Vec<_>>());
    }

    #[test]
    fn much_that_was_printed_makes_fewer_runs_and_never_a_longer_file() {
        let (dir, log) = log();
        // As JSON each of these is two bytes.
        let long = Report { output: "\"".repeat(32 * 1024), ..report(0) };
        for n in 0..12 {
            log.note(&[Report { time: n, ..long.clone() }]).unwrap();
        }
        let size = std::fs::metadata(dir.path().join("hooks.json")).unwrap().len();
        assert!(size <= 256 * 1024, "{size}");
        let kept: Vec<u64> = log.load().iter().map(|r| r.time).collect();
        assert_eq!(kept, [9, 10, 11]);
    }

    #[test]
    fn a_damaged_file_holds_nothing_and_a_newer_ones_words_cost_only_their_run() {
        let (dir, log) = log();
        let file = dir.path().join("hooks.json");
        for bad in ["", "{", "[]", "{\"v\":1,\"runs\":7}", &"x".repeat(300_000)] {
            std::fs::write(&file, bad).unwrap();
            assert_eq!(log.load(), []);
        }
        log.note(&[report(1), report(2)]).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen("after-install", "after-lunch", 1)).unwrap();
        assert_eq!(log.load(), [report(2)]);
        std::fs::write(&file, text.replacen("{\"v\":1", "{\"v\":2,\"more\":[]", 1)).unwrap();
        assert_eq!(log.load(), [report(1), report(2)]);
    }
}
