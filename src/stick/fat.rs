//! FAT through `fatfs`, which believes what it reads: folders that contain themselves, chains that
//! never end, numbers that overflow. So this runs in a caged child, through a [`Part`] that can do
//! a bounded number of things, and only what is needed is asked of it.

use super::disk::{Disk, Part};
use super::names::{is_near, is_offered};
use super::words::{Listed, Listing};
use super::{ENTRIES_MAX, NAMES_MAX, NEAR_MAX};
use crate::sys::clock;
use fatfs::{Date, DateTime, DirEntry, FileSystem, FsOptions, Time, TimeProvider};
use std::io::{Error, Read, Result, Write};
use std::ops::Range;
use std::rc::Rc;

/// Steps for the listing of one place: about twenty for an entry.
const LIST_STEPS: u64 = 2_000_000;

/// Steps to find all clusters of one file: four for each.
const FIND_STEPS: u64 = 64_000_000;

/// Steps to write a report: finding free clusters on a large and full stick takes the most.
const WRITE_STEPS: u64 = 100_000_000;

/// Pieces that a file may be scattered in.
const PIECES_MAX: usize = 1 << 17;

/// The one folder beside the root that is looked into.
const FOLDER: &str = "surefoot";

/// How the lines with the date begin in the two files of a report.
const DATED: [&[u8]; 2] = [b"Date      ", b"  \"at\": "];

type Volume = FileSystem<Part>;

fn open(part: Part) -> Result<Volume> {
    let clock: &'static Now = Box::leak(Box::new(Now::look()));
    FileSystem::new(part, FsOptions::new().time_provider(clock))
}

/// What files are dated with: now, or where nobody has set the clock the first day of FAT.
#[derive(Debug)]
struct Now(DateTime);

impl Now {
    fn look() -> Now {
        let mut then = clock::civil(clock::unix_seconds());
        if !(1980..=2107).contains(&then[0]) {
            then = [1980, 1, 1, 0, 0];
        }
        let [year, month, day, hour, min] = then.map(|n| u16::try_from(n).unwrap_or(0));
        let (date, time) = (Date { year, month, day }, Time { hour, min, sec: 0, millis: 0 });
        Now(DateTime { date, time })
    }
}

impl TimeProvider for Now {
    fn get_current_date(&self) -> Date {
        self.0.date
    }
    fn get_current_date_time(&self) -> DateTime {
        self.0
    }
}

/// Looks at every entry of the root and of one folder, until `each` says that it is enough. Says
/// whether it got to the end.
fn walk(
    volume: &Volume,
    each: &mut dyn FnMut(String, &DirEntry<'_, Part>) -> bool,
) -> Result<bool> {
    let mut inner = None;
    let mut seen = 0;
    for entry in volume.root_dir().iter() {
        let entry = entry?;
        seen += 1;
        if seen > ENTRIES_MAX {
            return Ok(false);
        }
        let name = entry.file_name();
        if entry.is_dir() {
            if name.eq_ignore_ascii_case(FOLDER) {
                inner = Some(entry.to_dir());
            }
        } else if !each(name, &entry) {
            return Ok(true);
        }
    }
    let Some(inner) = inner else {
        return Ok(true);
    };
    for entry in inner.iter() {
        let entry = entry?;
        seen += 1;
        if seen > ENTRIES_MAX {
            return Ok(false);
        }
        if entry.is_file() && !each(format!("{FOLDER}/{}", entry.file_name()), &entry) {
            return Ok(true);
        }
    }
    Ok(true)
}

/// What is offered in one place.
pub(super) fn list(disk: Rc<Disk>, range: Range<u64>) -> Listing {
    let mut out = Listing::default();
    let result = open(Part::new(disk, range, LIST_STEPS, false)).and_then(|volume| {
        let whole = walk(&volume, &mut |name, entry| {
            if is_offered(&name) {
                match out.files.len() < NAMES_MAX {
                    true => out.files.push(Listed { len: entry.len(), name }),
                    false => out.more = true,
                }
            }
            true
        })?;
        Ok((whole, near(&volume)))
    });
    match result {
        Ok((whole, near)) => {
            out.more |= !whole;
            out.near = near;
        }
        Err(error) => out.damage = Some(error.to_string()),
    }
    out
}

/// Files that a person may have meant to be artifacts: with something behind the name, or in another
/// folder. What cannot be read there is passed over: it is only for a hint.
fn near(volume: &Volume) -> Vec<String> {
    let (mut out, mut seen) = (Vec::new(), 0);
    let mut look = |folder: &str, entry: &DirEntry<'_, Part>, out: &mut Vec<String>| {
        let name = entry.file_name();
        let elsewhere = !folder.is_empty() && !folder.eq_ignore_ascii_case(FOLDER);
        if entry.is_file() && (is_near(&name) || elsewhere && is_offered(&name)) {
            let joint = if folder.is_empty() { "" } else { "/" };
            out.push(format!("{folder}{joint}{name}"));
        }
        seen += 1;
        seen < ENTRIES_MAX && out.len() < NEAR_MAX
    };
    for entry in volume.root_dir().iter().map_while(Result::ok) {
        if !look("", &entry, &mut out) {
            break;
        }
        let folder = entry.file_name();
        if !entry.is_dir() || folder.starts_with('.') {
            continue;
        }
        for inner in entry.to_dir().iter().map_while(Result::ok) {
            if !look(&folder, &inner, &mut out) {
                return out;
            }
        }
    }
    out
}

/// Where the bytes of these files are, numbered as [`list`] lists them, one after the other.
pub(super) fn find(disk: Rc<Disk>, range: Range<u64>, files: &[usize]) -> Result<Vec<Range<u64>>> {
    let part = Part::new(disk, range, FIND_STEPS, false);
    let notes = part.notes();
    let volume = open(part)?;
    let mut found: Vec<Option<Vec<Range<u64>>>> = vec![None; files.len()];
    let mut failed = None;
    let mut number = 0;
    walk(&volume, &mut |name, entry| {
        if !is_offered(&name) {
            return true;
        }
        if let Some(at) = files.iter().position(|f| *f == number) {
            // The library follows the chain; the content itself is only noted, not read.
            let mut buf = vec![0; 64 << 10];
            let mut file = entry.to_file();
            let mut left = entry.len();
            notes.begin(&buf);
            while left > 0 {
                match file.read(&mut buf) {
                    Ok(0) => failed = Some(Error::other("its chain ends before its length")),
                    Err(error) => failed = Some(error),
                    Ok(_) if notes.pieces() > PIECES_MAX => {
                        failed = Some(Error::other("it is scattered in too many pieces"));
                    }
                    Ok(n) => left = left.saturating_sub(n as u64),
                }
                if failed.is_some() {
                    return false;
                }
            }
            found[at] = Some(notes.end());
        }
        number += 1;
        number <= files.iter().copied().max().unwrap_or(0)
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let all: Option<Vec<_>> = found.into_iter().collect();
    Ok(all.ok_or_else(|| Error::other("it is not there any more"))?.concat())
}

/// Creates or replaces files in the root. One that has this content already is left alone.
pub(super) fn write(disk: Rc<Disk>, range: Range<u64>, files: &[(String, Vec<u8>)]) -> Result<()> {
    let volume = open(Part::new(disk.clone(), range, WRITE_STEPS, true))?;
    for (name, content) in files {
        if same(&volume, name, content) {
            continue;
        }
        let mut file = volume.root_dir().create_file(name)?;
        // What is too long is cut off last: the first cluster is never let go. A stick that is pulled
        // in between may come back with another file where a cut chain was, which a second cut frees.
        file.write_all(content)?;
        file.truncate()?;
        file.flush()?;
    }
    volume.unmount()?;
    disk.sync()
}

/// Whether a file says this already. The line with its date is not compared: a stick that stays in is
/// looked at in each boot, and a report that only has another date is not worth a write.
fn same(volume: &Volume, name: &str, content: &[u8]) -> bool {
    let mut there = Vec::new();
    let limit = content.len() as u64 + 64;
    let read =
        volume.root_dir().open_file(name).and_then(|f| f.take(limit).read_to_end(&mut there));
    let undated = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let dated = |line: &&[u8]| DATED.iter().any(|start| line.starts_with(start));
        bytes.split(|b| *b == b'\n').filter(|line| !dated(line)).map(<[u8]>::to_vec).collect()
    };
    read.is_ok() && undated(&there) == undated(content)
}
