//! The FAT of the boot partition, read in a cage: another computer has written it, and its reader ends at what it does not expect.

use super::volume::{Changes, erasure, read_file, slack};
use crate::disk::BlockDevice;
use crate::model::{Failure, ReasonCode, Result, WithReason, printable};
use crate::sys::blk;
use crate::sys::cage::{Cage, enter, start};
use std::fs::File;
use std::io::{ErrorKind, Read, Result as IoResult, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The first word of the child.
const CHILD: &str = "boot-fat";

const CAGE: Cage = Cage { memory: 96 << 20, seconds: 10, writes: false };

/// For a card that answers slowly.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than any answer: a file of the largest limit, or all sectors of one.
const ANSWER_MAX: usize = 4 << 20;

/// The deed that writes over what lies behind a file's end.
const SLACK: &str = "slack";

/// How an answer begins.
const FILE: u8 = b'f';
const NONE: u8 = b'n';
const WRONG: u8 = b'w';

/// A sector of an erasure, in the answer: where it is, and what it becomes.
const ROW: usize = 8 + 512;

/// Where the FAT is: a disk, the offset of the partition in it, and its length.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) disk: &'a Path,
    pub(super) start: u64,
    pub(super) len: u64,
}

impl Place<'_> {
    /// A file of its root with at most `limit` bytes; `None` where there is none, and where no FAT is.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.ask("read", name, limit)
    }

    /// What writes over what an older file of that name has left behind the end of this one.
    pub(super) fn slack(&self, name: &str) -> Result<Changes> {
        self.changes(SLACK, name)
    }

    /// What writes over that file.
    pub(super) fn erasure(&self, name: &str) -> Result<Changes> {
        self.changes("erase", name)
    }

    fn changes(&self, deed: &str, name: &str) -> Result<Changes> {
        let rows = self.ask(deed, name, 0)?.unwrap_or_default();
        let number = |row: &[u8]| row.try_into().map(u64::from_le_bytes);
        let row = |row: &[u8]| Some((number(row.get(..8)?).ok()?, row.get(8..)?.to_vec()));
        Ok(rows.chunks_exact(ROW).filter_map(row).collect())
    }

    fn ask(&self, deed: &str, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let told = || format!("{name} on the boot partition");
        let numbers = [self.start, self.len, limit].map(|n| n.to_string());
        let words = [&[CHILD.to_owned(), deed.to_owned(), name.to_owned()], &numbers[..]].concat();
        let disk = blk::open_foreign(self.disk, false).reason(ReasonCode::Io, told())?;
        let (here, there) = UnixStream::pair().reason(ReasonCode::Io, told())?;
        let child = start(&words, disk.into(), there.into()).reason(ReasonCode::Io, told())?;
        let answer = hear(&here).reason(ReasonCode::Io, told())?;
        let end = child.end(Duration::from_secs(1));
        let why = match answer.split_first() {
            Some((&FILE, bytes)) => return Ok(Some(bytes.to_vec())),
            Some((&NONE, _)) => return Ok(None),
            Some((&WRONG, why)) => printable(&String::from_utf8_lossy(why), 200),
            _ => match end {
                Some(end) => format!("its file system cannot be read: the reader: {end}"),
                None => "its reader said nothing".to_owned(),
            },
        };
        Err(Failure::new(ReasonCode::Io, format!("{}: {why}", told())))
    }
}

/// All that is said until the other end closes.
fn hear(mut stream: &UnixStream) -> IoResult<Vec<u8>> {
    let due = Instant::now() + PATIENCE;
    let (mut answer, mut block) = (Vec::new(), [0; 4096]);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() > ANSWER_MAX {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut block) {
            Ok(0) => return Ok(answer),
            Ok(len) => answer.extend_from_slice(&block[..len]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(Vec::new()),
            Err(e) => return Err(e),
        }
    }
}

/// Runs the errand that these words name, and says whether it went well; `None` if they name none.
pub fn run_errand(words: &[String]) -> Option<bool> {
    let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    let [CHILD, deed, name, start, len, limit] = *words.as_slice() else { return None };
    let number = |word: &str| word.parse().ok();
    let (start, len, limit) = (number(start)?, number(len)?, number(limit)?);
    Some(answer(deed, name, (start, len), limit).is_ok())
}

fn answer(deed: &str, name: &str, (start, len): (u64, u64), limit: u64) -> IoResult<()> {
    let (file, mut out) = enter(&CAGE)?;
    let medium = Medium { file, start, len };
    let said = match deed {
        _ if no_fat(&medium)? => Ok(None),
        "read" => read_file(&medium, name, limit),
        _ => (if deed == SLACK { slack } else { erasure })(&medium, name).map(|rows| {
            Some(
                rows.into_iter()
                    .flat_map(|(at, row)| [&at.to_le_bytes()[..], &row].concat())
                    .collect(),
            )
        }),
    };
    let (kind, bytes) = match said {
        Ok(Some(bytes)) => (FILE, bytes),
        Ok(None) => (NONE, Vec::new()),
        Err(why) => (WRONG, why.to_string().into_bytes()),
    };
    out.write_all(&[&[kind], &bytes[..]].concat())
}

/// Whether nothing or ext4 is there. A FAT that is torn is none of both.
fn no_fat(medium: &Medium) -> IoResult<bool> {
    let mut head = [0; 2048];
    medium.file.read_exact_at(&mut head, medium.start)?;
    Ok(head == [0; 2048] || head[1080..1082] == [0x53, 0xef] && head[510..512] != [0x55, 0xaa])
}

/// The partition, as the child has it.
struct Medium {
    file: &'static File,
    start: u64,
    len: u64,
}

impl BlockDevice for Medium {
    fn len(&self) -> u64 {
        self.len
    }

    fn block_size(&self) -> usize {
        512
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let read = self.file.read_exact_at(buf, self.start.saturating_add(offset));
        read.reason(ReasonCode::Io, "reading the boot partition")
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> Result<()> {
        Err(Failure::new(ReasonCode::Internal, "nothing is written in the cage"))
    }

    fn zero(&self, offset: u64, _len: u64) -> Result<()> {
        self.write_at(offset, &[])
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
