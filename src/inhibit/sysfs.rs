//! Reading what the kernel says in small files: never much, and whatever stands there.

use crate::sys::files;
use std::io::Read;
use std::path::{Path, PathBuf};

/// As many entries of a folder as are looked at.
const MOST: usize = 1_024;

/// The first line of a small file; `None` if it cannot be read or is no text.
pub(super) fn line(file: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    files::foreign(file).ok()?.take(128).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.lines().next()?.trim().to_owned()).filter(|l| !l.is_empty())
}

/// A whole number in a small file.
pub(super) fn number(file: &Path) -> Option<u64> {
    line(file)?.parse().ok()
}

/// What is in a folder, by name; nothing if it cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let all = std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST);
    let named =
        |entry: std::fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    let mut found: Vec<_> = all.filter_map(named).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_file_little_is_read_and_of_a_folder_not_everything() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("long");
        std::fs::write(&file, "1".repeat(1 << 20)).unwrap();
        assert_eq!(line(&file).unwrap().len(), 128);
        assert_eq!(number(&file), None);
        std::fs::write(&file, " 42 \nmore").unwrap();
        assert_eq!(number(&file), Some(42));
        (0..1_100).for_each(|n| std::fs::write(dir.path().join(format!("f{n}")), "").unwrap());
        assert_eq!(entries(dir.path()).len(), MOST);
    }
}
