//! The parent's side: opens the medium, and has children look at it.

use super::PLACES_MAX;
use super::child::pack;
use super::kind::Kind;
use super::names::{Candidate, Named, SHOWN_MAX, gather};
use super::words::{Answer, LISTING_MAX, Listing, parse};
use crate::model::{Failure, ReasonCode, Result, WithReason, printable};
use crate::source::{RangeSocket, Source};
use crate::sys::blk::{Identity, open_foreign};
use crate::sys::cage::{self, Caged};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the kernel says of a card reader without a card; it has no kind of its own.
const ENOMEDIUM: i32 = 123;

/// For the listing of one place.
const LIST_PATIENCE: Duration = Duration::from_secs(20);

/// For a report.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// A child that has said all it had to say ends at once.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// A medium that somebody has put in, opened for reading.
#[derive(Debug)]
pub struct Stick {
    path: PathBuf,
    device: File,
    identity: Identity,
}

/// A place on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it is.
    pub kind: Kind,
    /// The artifacts in it.
    pub candidates: Vec<Candidate>,
    /// Files that a person may have meant to be artifacts, and that are none.
    pub near: Vec<String>,
    /// It is a partition of firmware, where no person looks.
    pub firmware: bool,
    /// There was more than is looked at.
    pub more: bool,
    /// Why it could not be read, or not to its end.
    pub damage: Option<String>,
}

/// All places, in the order in which they are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The places.
    pub places: Vec<Place>,
}

impl Found {
    /// The number of the place where a report belongs: beside an artifact, else in the first FAT
    /// where a person looks; none where only a partition of firmware is left.
    pub fn place_for_report(&self) -> Option<usize> {
        // What a damaged FAT calls free may be a person's file.
        let sound = |p: &Place| p.kind == Kind::Fat && p.damage.is_none();
        let fats = || self.places.iter().enumerate().filter(|(_, p)| sound(p));
        let beside = fats().find(|(_, p)| !p.candidates.is_empty());
        beside.or_else(|| fats().find(|(_, p)| !p.firmware)).map(|(number, _)| number)
    }

    /// What keeps a person's files from being found here, in words for him; `None` if something
    /// could be read.
    pub fn unreadable(&self) -> Option<String> {
        if self.places.iter().any(|p| !p.candidates.is_empty()) {
            return None;
        }
        let readable = |p: &Place| p.kind == Kind::Fat && p.damage.is_none();
        let unread = self.places.iter().any(|p| matches!(p.kind, Kind::Foreign(_)));
        // Where a person's files may be in a place that is not read, an empty one says nothing.
        let mine = self.places.iter().any(|p| readable(p) && !p.firmware);
        let unknown = self.places.iter().any(|p| p.kind == Kind::Nothing && !p.firmware);
        if !unread && (mine || !unknown && self.places.iter().any(readable)) {
            return None;
        }
        let damaged = self.places.iter().find_map(|p| p.damage.as_ref());
        let foreign = self.places.iter().find_map(|p| match p.kind {
            Kind::Foreign(name) => Some(name),
            _ => None,
        });
        Some(match (damaged, foreign) {
            (Some(why), _) => format!("the FAT on this stick is damaged: {why}"),
            (None, Some(name)) if self.places.iter().any(readable) => format!(
                "a partition of this stick is {name}, which is not read here, and there is no \
                 artifact on the FAT partition beside it"
            ),
            (None, Some(name)) => format!("this stick is {name}, which is not read here"),
            (None, None) if self.places.iter().any(readable) => {
                "a partition of this stick holds no file system that is read here, and there is no \
                 artifact on the FAT partition of the firmware beside it"
                    .to_owned()
            }
            (None, None) => "there is no file system on this stick".to_owned(),
        })
    }
}

impl Stick {
    /// Opens what `path` names. `NO_SUCH_FILE` if it is not there (a card reader without a card),
    /// `SOURCE_LOST` if it cannot be read.
    pub fn open(path: &Path) -> Result<Stick> {
        let told = |e: std::io::Error| {
            let empty = e.raw_os_error() == Some(ENOMEDIUM);
            let code = match e.kind() {
                ErrorKind::NotFound | ErrorKind::InvalidInput => ReasonCode::NoSuchFile,
                _ if empty => ReasonCode::NoSuchFile,
                _ => ReasonCode::SourceLost,
            };
            Failure::new(code, format!("{}: {e}", path.display()))
        };
        let mut device = open_foreign(path, false).map_err(told)?;
        // Opened without waiting, a reader without a card is a device of no length.
        let is_device = device.metadata().map_err(told)?.file_type().is_block_device();
        if is_device && device.seek(SeekFrom::End(0)).map_err(told)? == 0 {
            return Err(told(std::io::Error::from_raw_os_error(ENOMEDIUM)));
        }
        let identity = Identity::from(&device.metadata().map_err(told)?);
        Ok(Stick { path: path.to_owned(), device, identity })
    }

    /// Which device it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Has every place looked at. A place whose reader hangs or dies is damaged, and the others
    /// are looked at all the same.
    pub fn look(&self) -> Found {
        let mut found = Found::default();
        // How many there are says each of them but one that cannot be read.
        let (mut count, mut told) = (1, true);
        while found.places.len() < count.min(PLACES_MAX) {
            let number = found.places.len();
            match self.list(number) {
                Ok(answer) if number > 0 && number >= answer.places => break,
                Ok(answer) => {
                    (count, told) = (count.max(answer.places), true);
                    found.places.push(place(answer.kind, answer.firmware, answer.listing));
                }
                // The one before could not be read either: there may be none here.
                Err(_) if !told => break,
                Err(failure) => {
                    (count, told) = (count.max(number + 2), false);
                    let damage = Some(failure.detail().to_owned());
                    let listing = Listing { damage, ..Listing::default() };
                    found.places.push(place(Kind::Fat, false, listing));
                }
            }
        }
        found
    }

    fn child(&self, words: &[String]) -> Result<(UnixStream, Caged)> {
        let told = "starting the reader";
        let (here, there) = UnixStream::pair().reason(ReasonCode::Io, told)?;
        let device = self.device.try_clone().reason(ReasonCode::Io, told)?;
        let child = cage::start(words, device.into(), there.into());
        Ok((here, child.reason(ReasonCode::Io, told)?))
    }

    fn list(&self, place: usize) -> Result<Answer> {
        let mut words = vec!["fat-read".to_owned(), "list".to_owned(), place.to_string()];
        words.extend(unplug("SUREFOOT_SIM_UNPLUG"));
        let (stream, child) = self.child(&words)?;
        let text = read_all(&stream, LIST_PATIENCE);
        let end = child.end(END_PATIENCE);
        let lost = |what: String| Failure::new(ReasonCode::SourceLost, what);
        let text = text.map_err(|e| lost(format!("reading it {e}")))?;
        parse(&text).ok_or_else(|| match end {
            Some(end) if end.is_over_what_it_read() => {
                let what = format!("its entries cannot be followed: its reader: {end}");
                Failure::new(ReasonCode::FileDamaged, what)
            }
            Some(end) => lost(format!("its reader did not come to an end: {end}")),
            None => lost("its reader said nothing that is known".to_owned()),
        })
    }

    /// The bytes of a candidate, read by a child. `TRUNCATED` where a part is missing, and what
    /// [`RangeSocket`] says.
    pub fn source(&self, place: usize, candidate: &Candidate) -> Result<Source> {
        if let Some(missing) = candidate.missing {
            let text = format!("{}: part {missing:03} is missing", candidate.name);
            return Err(Failure::new(ReasonCode::Truncated, text));
        }
        let files: Vec<_> = candidate.files.iter().map(usize::to_string).collect();
        let mut words = ["fat-read", "serve"].map(str::to_owned).to_vec();
        words.extend([place.to_string(), files.join(",")]);
        words.extend(unplug("SUREFOOT_SIM_UNPLUG"));
        let (stream, child) = self.child(&words)?;
        let bytes = RangeSocket::of_child(stream, child, &candidate.name)?;
        Ok(Source::Ranges(Arc::new(bytes)))
    }

    /// Leaves files in the root of a place; every name must be a report's. The medium is opened
    /// anew, for writing, and only if nobody else has it mounted.
    pub fn leave(&self, place: usize, files: &[(String, Vec<u8>)]) -> Result<()> {
        let told = |what: String| Failure::new(ReasonCode::Io, what);
        let device = open_foreign(&self.path, true).map_err(|e| match e.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                told("the stick is write-protected".to_owned())
            }
            ErrorKind::ResourceBusy | ErrorKind::WouldBlock => {
                told("somebody else uses the stick".to_owned())
            }
            _ => told(format!("{}: {e}", self.path.display())),
        })?;
        let same = device.metadata().is_ok_and(|m| Identity::from(&m) == self.identity);
        if !same {
            return Err(told("the stick was exchanged".to_owned()));
        }
        let (here, there) = UnixStream::pair().reason(ReasonCode::Io, "a socket")?;
        let mut words = vec!["fat-write".to_owned(), place.to_string()];
        words.extend(unplug("SUREFOOT_SIM_UNPLUG_REPORT"));
        let child = cage::start(&words, device.into(), there.into());
        let child = child.reason(ReasonCode::Io, "starting the writer")?;
        let sent = here
            .set_write_timeout(Some(WRITE_PATIENCE))
            .and_then(|()| (&here).write_all(&pack(files)))
            .and_then(|()| here.shutdown(Shutdown::Write));
        let word = read_all(&here, WRITE_PATIENCE);
        let end = child.end(END_PATIENCE);
        match (sent, word.as_deref(), end) {
            (Ok(()), Ok("ok\n"), None) => Ok(()),
            (_, Ok(word), _) if !word.is_empty() => Err(told(printable(word.trim(), SHOWN_MAX))),
            (_, Err(why), _) => Err(told(format!("writing it {why}"))),
            (_, _, end) => {
                let end = end.map_or_else(|| "it said nothing".to_owned(), |end| end.to_string());
                Err(told(format!("the writer: {end}")))
            }
        }
    }
}

fn place(kind: Kind, firmware: bool, listing: Listing) -> Place {
    let named = listing.files.into_iter().zip(0..);
    let named: Vec<_> =
        named.map(|(f, number)| Named { name: f.name, len: f.len, number }).collect();
    let damage = listing.damage.as_deref().map(|d| printable(d, SHOWN_MAX));
    let near = listing.near.iter().map(|name| printable(name, SHOWN_MAX)).collect();
    let candidates = gather(&named);
    Place { kind, candidates, near, firmware, more: listing.more, damage }
}

/// All that is said until the other end closes, within a time.
fn read_all(mut stream: &UnixStream, patience: Duration) -> std::result::Result<String, String> {
    let due = Instant::now() + patience;
    let (mut text, mut block) = (Vec::new(), [0; 4096]);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("took too long".to_owned());
        }
        let read = stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut block));
        match read {
            Ok(0) => return String::from_utf8(text).map_err(|_| "gave no text".to_owned()),
            Ok(n) => text.extend_from_slice(&block[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(String::new()),
            Err(e) => return Err(e.to_string()),
        }
        if text.len() > LISTING_MAX {
            return Err("had no end".to_owned());
        }
    }
}

/// In a build with the simulator, `SUREFOOT_SIM_UNPLUG=N` is the stick that is pulled after N
/// reads, and `SUREFOOT_SIM_UNPLUG_REPORT=N` after N reads and writes of the writer.
fn unplug(variable: &str) -> Option<String> {
    if !cfg!(feature = "sim") {
        return None;
    }
    Some(format!("--unplug={}", std::env::var(variable).ok()?))
}
