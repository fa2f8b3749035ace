//! Names on a stick: which are offers, and which parts make one.

use crate::model::printable;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the name of every report begins with; a child writes no other file.
pub(super) const REPORT: &str = "surefoot-report-";

const END: &str = ".surefoot";

/// A file that was found, by its number in the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// As it is called.
    pub name: String,
    /// Bytes.
    pub len: u64,
    /// Its number.
    pub number: usize,
}

/// One artifact to be, in one file or in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The name, without the part's number.
    pub name: String,
    /// Bytes, all parts together.
    pub len: u64,
    /// The numbers of its files, in order.
    #[serde(skip)]
    pub files: Vec<usize>,
    /// The first part that is missing though a later one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u16>,
}

/// More of a name is not shown.
pub(super) const SHOWN_MAX: usize = 120;

/// The name of the file in a path, and what it is a part of.
fn split(path: &str) -> Option<(&str, Option<u16>)> {
    let own = path.rsplit('/').next().unwrap_or(path);
    if own.starts_with('.') {
        return None;
    }
    let ends = |text: &str| {
        let at = text.len().checked_sub(END.len())?;
        let end = text.get(at..)?;
        (at > 0 && end.eq_ignore_ascii_case(END)).then_some(())
    };
    if ends(own).is_some() {
        return Some((path, None));
    }
    let (base, number) = path.rsplit_once('.')?;
    let digits = number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit());
    ends(own.rsplit_once('.')?.0)?;
    digits.then(|| Some((base, Some(number.parse().ok()?))))?
}

/// Whether a file of this name is an artifact, whole or in part. Hidden files are none: a Mac
/// leaves `._x.surefoot` beside `x.surefoot`.
pub(super) fn is_offered(path: &str) -> bool {
    split(path).is_some()
}

/// Whether a file that is no artifact may have been meant to be one: a browser, a mail program or a
/// person has put something behind or around its name.
pub(super) fn is_near(path: &str) -> bool {
    let own = path.rsplit('/').next().unwrap_or(path);
    let lower = own.to_lowercase();
    let ours = lower.starts_with(REPORT);
    lower.contains(END) && !own.starts_with('.') && !ours && !is_offered(path)
}

/// Whether a file of this name is a whole artifact.
pub fn is_artifact(name: &str) -> bool {
    matches!(split(name), Some((_, None)))
}

/// The candidates that these files make, by name.
pub fn gather(files: &[Named]) -> Vec<Candidate> {
    let mut whole = Vec::new();
    let mut parts: BTreeMap<&str, BTreeMap<u16, &Named>> = BTreeMap::new();
    for file in files {
        match split(&file.name) {
            Some((base, None)) => whole.push(Candidate {
                name: printable(base, SHOWN_MAX),
                len: file.len,
                files: vec![file.number],
                missing: None,
            }),
            Some((base, Some(part))) => {
                parts.entry(base).or_default().entry(part).or_insert(file);
            }
            None => {}
        }
    }
    let joined = parts.into_iter().map(|(base, parts)| {
        let missing = (1..).zip(parts.keys()).find(|(want, there)| want != *there);
        Candidate {
            name: format!("{} (in parts)", printable(base, SHOWN_MAX)),
            len: parts.values().map(|f| f.len).sum(),
            files: parts.values().map(|f| f.number).collect(),
            missing: missing.map(|(want, _)| want),
        }
    });
    let mut sorted: Vec<Candidate> = Vec::new();
    for one in whole.into_iter().chain(joined) {
        let before = |c: &Candidate| (&c.name, &c.files) < (&one.name, &one.files);
        sorted.insert(sorted.partition_point(before), one);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> Vec<Candidate> {
        let named = names.iter().enumerate().map(|(number, name)| Named {
            name: (*name).to_owned(),
            len: 10,
            number,
        });
        gather(&named.collect::<Vec<_>>())
    }

    #[test]
    fn hidden_files_and_others_are_no_offers() {
        for name in [
            "._x.surefoot",
            ".x.surefoot",
            ".surefoot",
            "x.surefoot.1",
            "surefoot/._x.surefoot",
            "x.surefoot.0001",
            "x.surefoot.bak",
            "x.img",
            "surefoot",
            "x.surefoot.abc",
            "é.surefoo",
        ] {
            assert!(!is_offered(name), "{name}");
        }
        for name in ["x.surefoot", "X.SUREFOOT", "surefoot/x.surefoot", "x.surefoot.001"] {
            assert!(is_offered(name), "{name}");
        }
        assert!(is_artifact("x.surefoot") && !is_artifact("x.surefoot.001"));
    }

    #[test]
    fn names_that_are_nearly_right_are_noticed() {
        for name in [
            "x.surefoot.zip",
            "x.surefoot (1)",
            "X.SUREFOOT.part",
            "x.surefoot.1",
            "f/x.surefoot.txt",
        ] {
            assert!(is_near(name), "{name}");
        }
        for name in
            ["x.surefoot", "._x.surefoot", "notes.txt", "surefoot-report-a.txt", "x.surefoot.001"]
        {
            assert!(!is_near(name), "{name}");
        }
    }

    #[test]
    fn parts_are_joined_in_their_order_and_a_gap_is_named() {
        let whole = made(&["b.surefoot.002", "a.surefoot", "b.surefoot.001"]);
        assert_eq!(whole.len(), 2);
        assert_eq!((whole[0].name.as_str(), whole[0].missing), ("a.surefoot", None));
        assert_eq!((&whole[1].files, whole[1].missing, whole[1].len), (&vec![2, 0], None, 20));
        assert_eq!(made(&["b.surefoot.001", "b.surefoot.003"])[0].missing, Some(2));
        assert_eq!(made(&["b.surefoot.002"])[0].missing, Some(1));
        assert_eq!(made(&["b.surefoot.000", "b.surefoot.001"])[0].missing, Some(1));
    }

    #[test]
    fn names_cannot_play_with_a_terminal() {
        let shown = &made(&["a\u{1b}[2J\u{202e}b.surefoot"])[0].name;
        assert_eq!(shown, "a?[2J?b.surefoot");
        let long = format!("{}.surefoot", "x".repeat(1000));
        assert!(made(&[&long])[0].name.len() < 130);
    }
}
