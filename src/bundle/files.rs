//! The rules for the files of native and command apps, and for paths.

use super::{AppDocument, MAX_FILES, MAX_TREE_LEN, NativeApp, NativeFile};
use crate::model::{Failure, ReasonCode, Result, printable};
use std::collections::BTreeSet;

/// What systemd starts.
const UNITS: [&str; 5] = [".service", ".socket", ".timer", ".path", ".target"];

pub(super) fn invalid<T>(why: impl AsRef<str>) -> Result<T> {
    Err(Failure::new(ReasonCode::AppInvalid, why))
}

/// Whether a text is a path of parts that are neither empty, `.` nor `..`, and that nothing takes for something
/// else on its way: an engine separates paths by `:` and `,`, and a line ends at a line end.
pub(super) fn is_clean(path: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
    path.len() <= 1024
        && path.split('/').all(part)
        && !path.chars().any(|c| c.is_control() || c == ':' || c == ',' || c == '\\')
}

/// The same, from the root.
pub(super) fn is_absolute(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(is_clean)
}

/// The bytes that files have together.
pub(super) fn check_files(files: &[NativeFile]) -> Result<u64> {
    if files.len() > MAX_FILES {
        return invalid(format!("{} files; {MAX_FILES} at most", files.len()));
    }
    let (mut paths, mut total) = (BTreeSet::new(), 0u64);
    for file in files {
        let shown = printable(&file.path, 200);
        if !is_clean(&file.path) {
            return invalid(format!("`{shown}` is not a relative path without `..`, `:` and `,`"));
        }
        if !paths.insert(file.path.as_str()) {
            return invalid(format!("the file `{shown}` is there twice"));
        }
        total = total.saturating_add(file.size);
    }
    for path in &paths {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(file) = folders.into_iter().find(|folder| paths.contains(folder)) {
            let file = printable(file, 200);
            return invalid(format!("`{file}` is a file and a folder"));
        }
    }
    if total > MAX_TREE_LEN {
        return invalid(format!("the files have {total} bytes together; {MAX_TREE_LEN} at most"));
    }
    if !files.is_empty() && total == 0 {
        return invalid("the files are all empty");
    }
    Ok(total)
}

impl NativeApp {
    pub(super) fn check(&self) -> Result<()> {
        if self.files.is_empty() || self.units.is_empty() {
            return invalid("a native app has files, and units among them");
        }
        check_files(&self.files)?;
        let mut names = BTreeSet::new();
        for unit in &self.units {
            let shown = printable(unit, 200);
            if !self.files.iter().any(|file| file.path == *unit) {
                return invalid(format!("the unit `{shown}` is none of the files"));
            }
            let name = unit.rsplit('/').next().unwrap_or(unit);
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let ending = UNITS.iter().any(|ending| name.ends_with(ending));
            if !ending || name.starts_with('.') || !name.bytes().all(plain) {
                let endings = UNITS.join(", ");
                return invalid(format!("`{shown}` is no unit: a plain name with {endings}"));
            }
            if !names.insert(name) {
                return invalid(format!("two units have the name `{name}`"));
            }
        }
        Ok(())
    }
}

impl AppDocument {
    /// The files of a native or command app, in the order in which they stand in the payload `tree`.
    pub fn files(&self) -> &[NativeFile] {
        let native = self.native.as_ref().map(|native| native.files.as_slice());
        let command = self.command.as_ref().map(|command| command.files.as_slice());
        native.or(command).unwrap_or_default()
    }
}
