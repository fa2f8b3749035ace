//! What the caged children do. Each has two descriptors, one errand, and nobody to ask.

use super::disk::Disk;
use super::kind::{HEAD, Kind, kind};
use super::names::REPORT;
use super::words::{Answer, Listing, print};
use super::{PLACES_MAX, fat, table};
use crate::source::{answer_ranges, refuse_ranges};
use crate::sys::cage::{Cage, enter};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::ops::Range;
use std::rc::Rc;

/// Memory of a child: the program itself, one piece, one block, and a list of pieces.
const MEMORY: u64 = 96 << 20;

/// How long the longest name and the longest content of a report may be.
pub(super) const NAME_MAX: usize = 80;
pub(super) const CONTENT_MAX: usize = 256 << 10;

/// What a child was started for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Errand {
    /// `fat-read list PLACE`: say what is in one place of the medium.
    List { place: usize },
    /// `fat-read serve PLACE N,N…`: give the bytes of files, as numbered by the listing, one after
    /// the other.
    Serve { place: usize, files: Vec<usize> },
    /// `fat-write PLACE`: leave a report.
    Write { place: usize },
}

/// The errand that this program was started with, and after how many reads the medium is gone.
fn errand(words: &[String]) -> Option<(Errand, Option<u64>)> {
    let unplug = words.last().and_then(|w| w.strip_prefix("--unplug=")?.parse().ok());
    let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    let errand = match words.as_slice() {
        ["fat-read", "list", place, ..] => Errand::List { place: place.parse().ok()? },
        ["fat-read", "serve", place, files, ..] => {
            let files = files.split(',').map(|f| f.parse().ok()).collect::<Option<_>>()?;
            Errand::Serve { place: place.parse().ok()?, files }
        }
        ["fat-write", place, ..] => Errand::Write { place: place.parse().ok()? },
        _ => return None,
    };
    Some((errand, unplug))
}

/// Runs the errand that these words name, and says whether it went well; `None` if they name
/// none. Whatever there is to say goes to standard output.
pub fn run_errand(words: &[String]) -> Option<bool> {
    let (errand, unplug) = errand(words)?;
    Some(run(errand, unplug).is_ok())
}

/// What a stranger made may be more than the reader of FAT expects: such a defect is the end of this
/// process, as any other is, and the parent knows it by the status.
fn run(errand: Errand, unplug: Option<u64>) -> Result<()> {
    let writes = matches!(errand, Errand::Write { .. });
    let seconds = match errand {
        Errand::List { .. } | Errand::Write { .. } => 10,
        Errand::Serve { .. } => 1800,
    };
    let (medium, answer) = enter(&Cage { memory: MEMORY, seconds, writes })?;
    let disk = Rc::new(Disk::new(medium, unplug)?);
    match errand {
        Errand::List { place } => list(disk, place, answer),
        Errand::Serve { place, files } => serve(disk, place, &files, answer),
        Errand::Write { place } => write(disk, place, answer),
    }
}

fn places(disk: &Disk) -> Result<(Vec<Range<u64>>, usize)> {
    table::places(disk.len(), &mut |at, buf| disk.read(at, buf))
}

fn kind_of(disk: &Disk, place: &Range<u64>) -> Result<Kind> {
    let len = (place.end - place.start).min(HEAD as u64);
    let mut head = vec![0; usize::try_from(len).unwrap_or(0)];
    disk.read(place.start, &mut head)?;
    Ok(kind(&head))
}

/// The place of that number, which must be a FAT.
fn fat_in(disk: &Disk, place: usize) -> Result<Range<u64>> {
    let (places, _) = places(disk)?;
    let found = places.get(place).ok_or(ErrorKind::NotFound)?;
    match kind_of(disk, found)? {
        Kind::Fat => Ok(found.clone()),
        _ => Err(ErrorKind::NotFound.into()),
    }
}

fn list(disk: Rc<Disk>, place: usize, mut answer: &File) -> Result<()> {
    let said = listed(disk, place).unwrap_or_else(|error| {
        // The reason goes to the parent: a child that only ends keeps it.
        let listing = Listing { damage: Some(error.to_string()), ..Listing::default() };
        Answer { places: place + 1, kind: Kind::Fat, firmware: false, listing }
    });
    answer.write_all(print(&said).as_bytes())
}

fn listed(disk: Rc<Disk>, place: usize) -> Result<Answer> {
    let (places, usual) = places(&disk)?;
    let kind = match places.get(place).map(|found| kind_of(&disk, found)) {
        Some(Ok(kind)) => kind,
        None => Kind::Nothing,
        // How many there are is known all the same.
        Some(Err(error)) => {
            let listing = Listing { damage: Some(error.to_string()), ..Listing::default() };
            let (places, firmware) = (places.len().min(PLACES_MAX), place >= usual);
            return Ok(Answer { places, kind: Kind::Fat, firmware, listing });
        }
    };
    let listing = match places.get(place) {
        Some(found) if kind == Kind::Fat => fat::list(disk, found.clone()),
        _ => Listing::default(),
    };
    let places = places.len().min(PLACES_MAX);
    Ok(Answer { places, kind, firmware: place >= usual, listing })
}

fn serve(disk: Rc<Disk>, place: usize, files: &[usize], answer: &File) -> Result<()> {
    let found = fat_in(&disk, place).and_then(|range| fat::find(disk.clone(), range, files));
    let pieces = match found {
        Ok(pieces) => pieces,
        Err(error) => return refuse_ranges(answer, disk.failed(), &error.to_string()),
    };
    let mut starts = Vec::with_capacity(pieces.len());
    let mut len = 0;
    for piece in &pieces {
        starts.push(len);
        len += piece.end - piece.start;
    }
    let mut read = |offset: u64, buf: &mut [u8]| {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let index = starts.partition_point(|s| *s <= at).saturating_sub(1);
            let piece = pieces.get(index).ok_or(ErrorKind::UnexpectedEof)?;
            let from = piece.start + (at - starts[index]);
            let there = usize::try_from(piece.end.saturating_sub(from)).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_mut(there.min(rest.len()));
            if now.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            disk.read(from, now)?;
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    };
    answer_ranges(answer, len, &mut read)
}

/// Names and contents come through the socket, and a word goes back.
fn write(disk: Rc<Disk>, place: usize, mut answer: &File) -> Result<()> {
    let written = take(answer).and_then(|files| {
        let range = fat_in(&disk, place)?;
        fat::write(disk, range, &files)
    });
    let word = match &written {
        Ok(()) => "ok\n".to_owned(),
        Err(error) => format!("{error}\n"),
    };
    answer.write_all(word.as_bytes())?;
    written
}

/// What [`take`] takes.
pub(super) fn pack(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::new();
    for (name, content) in files {
        for bytes in [name.as_bytes(), content] {
            out.extend(number(bytes.len()));
            out.extend(bytes);
        }
    }
    out.extend(number(0));
    out
}

fn take(mut from: &File) -> Result<Vec<(String, Vec<u8>)>> {
    let refuse = |what: &str| Error::new(ErrorKind::InvalidData, what);
    let mut field = |most: usize| {
        let mut len = [0; 4];
        from.read_exact(&mut len)?;
        let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
        if len > most {
            return Err(refuse("too long"));
        }
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let mut files = Vec::new();
    while files.len() <= 2 {
        let name = field(NAME_MAX)?;
        if name.is_empty() {
            return Ok(files);
        }
        let name = String::from_utf8(name).map_err(|_| refuse("no name"))?;
        if !is_report(&name) {
            return Err(refuse("only a report is written here"));
        }
        files.push((name, field(CONTENT_MAX)?));
    }
    Err(refuse("too many files"))
}

/// `surefoot-report-NAME.txt` or `.json`, in letters that every FAT has.
pub(super) fn is_report(name: &str) -> bool {
    let own = name.strip_prefix(REPORT);
    let own = own.and_then(|n| n.strip_suffix(".txt").or_else(|| n.strip_suffix(".json")));
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    own.is_some_and(|n| !n.is_empty() && n.len() <= 48 && n.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;

    #[test]
    fn only_reports_are_taken() {
        let put = |files: &[(String, Vec<u8>)]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&pack(files)).unwrap();
            file.rewind().unwrap();
            take(&file)
        };
        let named = |name: &str| (name.to_owned(), b"content".to_vec());
        let (txt, json) = (named("surefoot-report-x-1.txt"), named("surefoot-report-x-1.json"));
        assert_eq!(put(&[txt.clone(), json.clone()]).unwrap(), [txt.clone(), json.clone()]);
        assert!(put(&[txt.clone(), json.clone(), json]).is_err());
        for name in [
            "autorun.inf",
            "surefoot-report-.txt",
            "surefoot-report-X.txt",
            "surefoot-report-a/b.txt",
            "surefoot-report-a.exe",
            "x/surefoot-report-a.txt",
        ] {
            assert!(put(&[named(name)]).is_err(), "{name}");
        }
        let long = (txt.0, vec![0; CONTENT_MAX + 1]);
        assert!(put(&[long]).is_err());
    }
}
