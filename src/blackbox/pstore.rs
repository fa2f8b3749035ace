//! What the kernel has put aside when it died (Documentation/admin-guide/ramoops.rst): bounded,
//! and told apart from what was there before.

use crate::model::{ReasonCode, Result, WithReason, document, printable};
use crate::sys::{durable, files};
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where the kernel shows it, and where systemd-pstore(8) puts it away.
pub const FOLDERS: [&str; 2] = ["/sys/fs/pstore", "/var/lib/systemd/pstore"];

/// More files than any store has.
const FILES_MAX: usize = 32;
/// The end of a file is what counts.
const TAIL: u64 = 32 * 1024;
const LINES_MAX: usize = 60;
const KNOWN_MAX: usize = 64;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its file.
    pub name: String,
    /// Knows it again.
    mark: Option<u32>,
    /// Its last lines.
    pub lines: Vec<String>,
}

/// What was there before, by the checksums of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    marks: Vec<u32>,
}

/// The records in these folders, and one folder deeper.
pub fn look(folders: &[PathBuf]) -> Vec<Record> {
    let mut files = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX) {
            match entry.file_type() {
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                Ok(kind) if kind.is_dir() => {
                    let inner = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
                    let whole = inner.filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
                    files.extend(whole.map(|e| e.path()).take(FILES_MAX));
                }
                _ => {}
            }
        }
    }
    files.sort();
    let mut out: Vec<Record> = Vec::new();
    for path in files {
        let Some(record) = record(&path) else { continue };
        let again = record.mark.is_some() && out.iter().any(|r| r.mark == record.mark);
        if !again && out.len() < FILES_MAX {
            out.push(record);
        }
    }
    out
}

fn record(path: &Path) -> Option<Record> {
    let name = path.file_name()?.to_str()?.to_owned();
    // `dmesg.txt` is what systemd makes of the others.
    let dump = name.starts_with("dmesg-");
    if !dump && !name.starts_with("console-") {
        return None;
    }
    let mut file = files::foreign(path).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    // A console is always that of the boot before; a dump stays until somebody removes it.
    let mark = dump.then(|| crc32fast::hash(&bytes));
    let lines = lines(&bytes);
    (!lines.is_empty()).then_some(Record { name, mark, lines })
}

/// The last lines of a record.
pub(super) fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> =
        text.lines().map(|l| printable(l, 400)).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].to_vec()
}

impl Record {
    /// Whether it is what a kernel has left that died, and not the console of any boot.
    pub fn is_dump(&self) -> bool {
        self.mark.is_some()
    }
}

impl Known {
    /// What was known when it was saved last; a file that is lost or foreign knows nothing.
    pub fn load(file: &Path) -> Known {
        let bytes = durable::read(file, 16 * 1024).ok().flatten();
        bytes.and_then(|b| document(&b)).unwrap_or_default()
    }

    /// Those that were not there before.
    pub fn fresh(&self, found: &[Record]) -> Vec<Record> {
        let fresh = |r: &&Record| r.mark.is_none_or(|mark| !self.marks.contains(&mark));
        found.iter().filter(fresh).cloned().collect()
    }

    /// Remembers what is there now, in a file that is only written when that differs.
    pub fn remember(&self, found: &[Record], file: &Path) -> Result<()> {
        let mut marks = self.marks.clone();
        marks.extend(found.iter().filter_map(|r| r.mark).filter(|m| !self.marks.contains(m)));
        marks.drain(..marks.len().saturating_sub(KNOWN_MAX));
        // The file is there once somebody has looked, also where nothing was found.
        if marks == self.marks && file.exists() {
            return Ok(());
        }
        let text = serde_json::to_string(&Known { marks });
        durable::write_strictly(file, text.reason(ReasonCode::Internal, "pstore")?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_counts_and_systemd_moving_it_makes_nothing_new() {
        let dir = tempfile::tempdir().unwrap();
        let [sys, var] = ["sys", "var"].map(|n| dir.path().join(n));
        let file = dir.path().join("known");
        std::fs::create_dir_all(var.join("17000")).unwrap();
        std::fs::create_dir(&sys).unwrap();
        let folders = [sys.clone(), var.clone()];
        std::fs::write(sys.join("dmesg-ramoops-0"), "Panic#1 Part1\n<0>old").unwrap();
        let found = look(&folders);
        assert_eq!(Known::load(&file).fresh(&found).len(), 1);
        Known::load(&file).remember(&found, &file).unwrap();
        assert_eq!(Known::load(&file).fresh(&found), []);
        std::fs::rename(sys.join("dmesg-ramoops-0"), var.join("17000/dmesg-ramoops-0")).unwrap();
        std::fs::write(var.join("17000/dmesg.txt"), "made of it").unwrap();
        assert_eq!(Known::load(&file).fresh(&look(&folders)), []);
        std::fs::write(sys.join("dmesg-ramoops-0"), b"Panic#1 Part1\n\xff\x1b<0>new").unwrap();
        let fresh = Known::load(&file).fresh(&look(&folders));
        assert_eq!(fresh.len(), 1);
        assert_eq!(fresh[0].lines[1], "\u{fffd}?<0>new");
        for garbage in ["", "7", "{\"marks\":\"x\"}"] {
            std::fs::write(&file, garbage).unwrap();
            assert_eq!(Known::load(&file), Known::default());
        }
        assert_eq!(look(&["/nowhere".into()]), []);
    }
}
