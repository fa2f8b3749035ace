//! The kinds of source, and what each allows.

use super::{ByteStream, Fetch, Fetching, LocalFile, RangeSocket};
use crate::model::Result;
use crate::sys::files;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where an artifact's bytes come from, opened.
pub enum Source {
    /// A file on this device: any part, in any order, and again.
    Local(LocalFile),
    /// Anything else that can be read at any offset: what a caged reader gives through its socket.
    /// It says itself whether it is dear to read twice.
    Ranges(Arc<dyn Fetch>),
    /// Once, in order.
    Stream(ByteStream),
}

impl Source {
    /// A file of this device. Fails as [`LocalFile::open`] does.
    pub fn open(path: &Path) -> Result<Source> {
        Ok(Source::Local(LocalFile::open(path)?))
    }

    /// What a person has named: `-` is standard input, as it comes (`SOURCE_LOST` where there is
    /// none); anything else is a file.
    pub fn named(word: &str) -> Result<Source> {
        match word {
            "-" => Ok(Source::Stream(ByteStream::stdin()?)),
            path => Source::open(Path::new(path)),
        }
    }

    /// What a URL names, by a fetcher. `USAGE` for what is no URL, `NO_NETWORK` in a program without the
    /// network, `BUDGET_SPENT` where no byte of the day is left, else the codes of the network.
    #[cfg(feature = "http")]
    pub fn fetched(url: &str, settings: &super::Settings, how: Fetching<'_>) -> Result<Source> {
        super::http::checked(url)?;
        let setup = super::Setup::of(settings, how.floor, how.tries)?;
        let refused = |denied: super::http::Denied| {
            how.fruitless.fetch_add(denied.received, std::sync::atomic::Ordering::Relaxed);
            (denied.failure, denied.received)
        };
        let Some(budget) = how.budget else {
            let found = super::http::open(url, setup, how.run);
            return found.map(Source::from).map_err(|denied| refused(denied).0);
        };
        let setup = super::Setup { budget: budget.left()?, ..setup };
        let mut meter = super::budget::Meter::new(budget)?;
        match super::http::open(url, setup, how.run) {
            Ok(found) => Ok(match Source::from(found) {
                Source::Ranges(bytes) => Source::Ranges(super::metered::ranges(bytes, meter)),
                Source::Stream(stream) => Source::Stream(super::metered::whole(stream, meter)),
                local @ Source::Local(_) => local,
            }),
            Err(denied) => {
                let (failure, received) = refused(denied);
                meter.came(received)?;
                Err(meter.told(failure))
            }
        }
    }

    /// This program has no network.
    #[cfg(not(feature = "http"))]
    pub fn fetched(url: &str, _: &super::Settings, _: Fetching<'_>) -> Result<Source> {
        let text = format!("{url} is not fetched");
        Err(crate::model::Failure::new(crate::model::ReasonCode::NoNetwork, text))
    }

    /// What another process has handed over: a file can be read anywhere, a socket has a reader at
    /// its other end, and anything else is read as it comes and may pause for [`super::SILENCE`].
    /// `SOURCE_LOST` or `FILE_DAMAGED` if the reader has nothing to give.
    pub fn handed(fd: OwnedFd) -> Result<Source> {
        let fd = match RangeSocket::handed(fd, "the stick") {
            Ok(ranges) => return Ok(Source::Ranges(Arc::new(ranges?))),
            Err(fd) => fd,
        };
        Ok(match LocalFile::handed(fd, "the file handed over") {
            Ok(file) => Source::Local(file),
            Err(pipe) => Source::Stream(ByteStream::pipe(pipe)),
        })
    }

    /// The bytes at any offset; `None` for a stream.
    pub fn ranges(&self) -> Option<&dyn Fetch> {
        match self {
            Source::Local(file) => Some(file),
            Source::Ranges(ranges) => Some(&**ranges),
            Source::Stream(_) => None,
        }
    }

    /// The same, for a caller that reads them again later; `None` where that is dear or impossible.
    pub fn twice(&self) -> Option<&dyn Fetch> {
        self.ranges().filter(|bytes| !bytes.is_dear())
    }

    /// What counts the bytes of all answers, after the source is given away too; `None` where no network is
    /// involved.
    pub fn counter(&self) -> Option<Box<dyn Fn() -> u64 + Send + Sync>> {
        match self {
            Source::Ranges(bytes) if bytes.is_dear() => {
                let bytes = Arc::clone(bytes);
                Some(Box::new(move || bytes.received()))
            }
            Source::Stream(stream) => {
                let received = stream.received()?;
                Some(Box::new(move || received.load(Ordering::Relaxed)))
            }
            Source::Local(_) | Source::Ranges(_) => None,
        }
    }

    /// Where another process can find the same file, and this one after a power cut.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Source::Local(file) => files::path_of(file.as_fd()),
            Source::Ranges(_) | Source::Stream(_) => None,
        }
    }

    /// What to hand to another process that reads in place of this one ([`Source::handed`]); `None`
    /// for what only this process can read.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Source::Local(file) => Some(file.as_fd()),
            Source::Ranges(ranges) => ranges.descriptor(),
            Source::Stream(stream) => stream.descriptor(),
        }
    }
}

#[cfg(feature = "http")]
impl From<super::http::Found> for Source {
    fn from(found: super::http::Found) -> Source {
        match found {
            super::http::Found::Parts(ranges) => Source::Ranges(ranges),
            super::http::Found::Whole(stream) => Source::Stream(stream),
        }
    }
}
